"""Which objects of S3 a table holds, and which partition each is of; pure.

Athena user guide, "Partition projection with Amazon Athena", "Supported types for partition
projection", "Use compression in Athena" and "Table location in Amazon S3" (names that begin with
``_`` or ``.`` are hidden).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any
from urllib.parse import urlsplit

from kirikae.local.errors import PatternError, QueryFailed
from kirikae.local.firehose.javatime import formatted

_NOW = re.compile(r"NOW(?:([+-][0-9]+)([A-Z]+?)S?)?")
_HOLE = re.compile(r"\$\{([^}]+)\}")
_MONTH = "MONTH"
_YEAR = "YEAR"
_MONTHS = 12
_MOST = 1_000_000
"""Values of one projected column."""
_STEPS = {
    "WEEK": timedelta(weeks=1),
    "DAY": timedelta(days=1),
    "HOUR": timedelta(hours=1),
    "MINUTE": timedelta(minutes=1),
    "SECOND": timedelta(seconds=1),
}
_DIRECTIVES = {
    "yyyy": "%Y",
    "yy": "%y",
    "MMM": "%b",
    "MM": "%m",
    "dd": "%d",
    "HH": "%H",
    "mm": "%M",
    "ss": "%S",
}
Values = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of S3; the key ends with a slash, or is empty."""

    bucket: str
    prefix: str

    @classmethod
    def of(cls, url: str) -> Place:
        """Raises QueryFailed for what is no place in S3."""
        parts = urlsplit(url)
        if parts.scheme not in ("s3", "s3a", "s3n") or not parts.netloc:
            raise QueryFailed(f"{url} is no place in S3")
        prefix = url.partition("://")[2].partition("/")[2]
        return cls(parts.netloc, prefix if not prefix or prefix.endswith("/") else f"{prefix}/")


@dataclass(frozen=True, slots=True)
class Folders:
    """``roots``: what is to be listed.  ``values``: of a bucket and a key, its partition; None for
    an object that is in none."""

    roots: tuple[Place, ...]
    values: Callable[[str, str], Values | None]


def is_hidden(key: str, root: Place) -> bool:
    """Of an object below a root."""
    names = key.removeprefix(root.prefix).split("/")
    return any(name.startswith(("_", ".")) for name in names) or key.endswith("/")


def folders_of(
    location: str,
    keys: tuple[str, ...],
    parameters: Mapping[str, str],
    registered: Iterable[tuple[Values, str]],
    now: float,
) -> Folders:
    """``keys``: the partition columns; ``registered``: values and place of each partition of the
    catalog, which projection ignores."""
    if not keys:
        place = Place.of(location)
        return Folders((place,), lambda bucket, key: ())
    if parameters.get("projection.enabled", "").lower() == "true":
        return _projected(location, keys, parameters, now)
    return _registered([(values, Place.of(url)) for values, url in registered])


def _registered(found: list[tuple[Values, Place]]) -> Folders:
    """The deepest folder that is registered wins."""
    known = {(place.bucket, place.prefix): values for values, place in found}

    def values(bucket: str, key: str) -> Values | None:
        folder = key.rpartition("/")[0]
        while folder:
            if (there := known.get((bucket, f"{folder}/"))) is not None:
                return there
            folder = folder.rpartition("/")[0]
        return known.get((bucket, ""))

    return Folders(tuple(_common(place for _, place in found)), values)


def _common(places: Iterable[Place]) -> list[Place]:
    """One listing for each bucket: of the folder that holds them all."""
    by_bucket: dict[str, list[str]] = {}
    for place in places:
        by_bucket.setdefault(place.bucket, []).append(place.prefix)
    found = []
    for bucket, prefixes in sorted(by_bucket.items()):
        # What the first and the last have in common, all between them have.
        pairs = zip(min(prefixes).split("/"), max(prefixes).split("/"), strict=False)
        common = takewhile(lambda pair: pair[0] == pair[1] != "", pairs)
        found.append(Place(bucket, "".join(f"{name}/" for name, _ in common)))
    return found


# --- projection


def _projected(
    location: str, keys: tuple[str, ...], parameters: Mapping[str, str], now: float
) -> Folders:
    default = location.rstrip("/") + "/" + "/".join(f"{key}=${{{key}}}" for key in keys) + "/"
    template = parameters.get("storage.location.template", default)
    if not template.endswith("/"):
        template += "/"
    head = template.partition("${")[0]
    root = Place.of(head[: head.rfind("/") + 1])
    allowed = {key: _allowed(key, parameters, now) for key in keys}
    depths = {key: parameters.get(f"projection.{key}.format", "").count("/") for key in keys}
    pattern = re.compile(_pattern(template.partition("://")[2], depths))

    def values(bucket: str, key: str) -> Values | None:
        folder = f"{bucket}/{key}".rpartition("/")[0]
        while folder:
            match = pattern.fullmatch(f"{folder}/")
            if match is not None and all(allowed[name](match[name]) for name in keys):
                return tuple(match[name] for name in keys)
            folder = folder.rpartition("/")[0]
        return None

    return Folders((root,), values)


def _pattern(template: str, depths: Mapping[str, int]) -> str:
    """Of a whole folder.  ``depths``: so many slashes are in the values of each column."""
    parts = []
    at = 0
    for match in _HOLE.finditer(template):
        if match[1] not in depths:
            raise QueryFailed(f"storage.location.template names {match[1]}, which is no partition")
        parts.append(re.escape(template[at : match.start()]))
        again = any(f"(?P<{match[1]}>" in part for part in parts)
        value = "/".join(["[^/]+"] * (depths[match[1]] + 1))
        parts.append(f"(?P={match[1]})" if again else f"(?P<{match[1]}>{value})")
        at = match.end()
    parts.append(re.escape(template[at:]))
    return "".join(parts)


def _allowed(key: str, parameters: Mapping[str, str], now: float) -> Callable[[str], bool]:
    """Is this value one of those that are projected?"""

    def given(name: str, default: str | None = None) -> str:
        value = parameters.get(f"projection.{key}.{name}", default)
        if value is None:
            raise QueryFailed(f"HIVE_INVALID_PARTITION_VALUE: projection.{key}.{name} is missing")
        return value

    match given("type").lower():
        case "enum":
            return frozenset(each.strip() for each in given("values").split(",")).__contains__
        case "integer":
            return _integers(given("range"), int(given("interval", "1")), int(given("digits", "0")))
        case "date":
            form = given("format")
            unit = given("interval.unit", "" if "H" in form or "m" in form else "DAYS")
            return _dates(form, given("range"), int(given("interval", "1")), unit, now)
        case other:
            raise QueryFailed(f"kirikae local does not project the type {other}")


def _integers(span: str, step: int, digits: int) -> Callable[[str], bool]:
    first, last = (int(each) for each in span.split(","))
    return frozenset(str(each).zfill(digits) for each in range(first, last + 1, step)).__contains__


def _dates(form: str, span: str, step: int, unit: str, now: float) -> Callable[[str], bool]:
    """Both ends are in it; dates are made in UTC when the query runs."""
    unit = unit.upper().removesuffix("S")
    if not unit:
        raise QueryFailed(f"the format {form} needs projection.*.interval.unit")
    first, last = (_moment(each.strip(), form, now) for each in span.split(","))
    found = set()
    when = first
    while when <= last:
        found.add(_shown(form, when))
        when = _later(when, step, unit)
        if len(found) > _MOST:
            raise QueryFailed(f"the range {span} has more than {_MOST:,} values")
    return found.__contains__


def _shown(form: str, when: datetime) -> str:
    try:
        return formatted(form, when)
    except PatternError as error:
        raise QueryFailed(f"the format {form} cannot be read: {error}") from error


def _moment(text: str, form: str, now: float) -> datetime:
    """``NOW``, ``NOW+9HOURS``, or a date in the column's own format."""
    if (match := _NOW.fullmatch(text)) is not None:
        here = datetime.fromtimestamp(now, UTC)
        return _later(here, int(match[1]), match[2]) if match[1] else here
    try:
        return datetime.strptime(text, strptime_of(form)).replace(tzinfo=UTC)
    except ValueError as error:
        raise QueryFailed(f"{text} is not of the format {form}") from error


def _later(when: datetime, count: int, unit: str) -> datetime:
    if unit in (_MONTH, _YEAR):
        months = when.year * _MONTHS + when.month - 1 + count * (_MONTHS if unit == _YEAR else 1)
        year, month = divmod(months, _MONTHS)
        return when.replace(year=year, month=month + 1, day=1)
    if unit not in _STEPS:
        raise QueryFailed(f"{unit} is no unit of time")
    return when + count * _STEPS[unit]


def strptime_of(form: str) -> str:
    """A Java pattern of dates as strptime reads it.  Raises QueryFailed for letters beyond those of
    dates and times."""
    out = []
    for match in re.finditer(r"'((?:[^']|'')*)'|([A-Za-z])\2*|[^A-Za-z']", form):
        word = match.group()
        if match[1] is not None:
            out.append(match[1].replace("''", "'").replace("%", "%%") or "'")
        elif match[2]:
            if word not in _DIRECTIVES and word not in ("Z", "ZZ"):
                raise QueryFailed(f"kirikae local does not read {word} in the format {form}")
            out.append(_DIRECTIVES.get(word, "%z"))
        else:
            out.append(word.replace("%", "%%"))
    return "".join(out)


def columns_of(table: Mapping[str, Any]) -> tuple[str, ...]:
    """Of a table of Glue, without its partition columns."""
    return tuple(each["Name"] for each in table["StorageDescriptor"]["Columns"])
