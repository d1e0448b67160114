"""What a tree that nobody has described looks like: its template, zone, format, and whether its
paths go by when things happened or by when they arrived.  Looks at some objects; pure but for the
reading that it is given."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from kirikae.logs.codec import Blocks, inflated
from kirikae.logs.errors import BrokenObject, NoLayout
from kirikae.logs.formats import FORMATS, Format, Untimed
from kirikae.logs.layout import Layout, Writes
from kirikae.logs.zones import Grain, zone_named
from kirikae.model.errors import Changed
from kirikae.model.objects import Listed, Objects

SAMPLED = 24
_LINES = 400
_ZONES = (
    "UTC",
    "Asia/Tokyo",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Shanghai",
    "Asia/Singapore",
    "Europe/London",
    "Europe/Berlin",
    "America/New_York",
    "America/Los_Angeles",
    "Australia/Sydney",
)
_SHAPES = (
    (r"(?<!\d)(20\d\d)(\D{0,8})(\d\d)(\D{0,8})(\d\d)(\D{0,8})(\d\d)/", "YmdH"),
    (r"(?<!\d)(20\d\d)(\D{0,8})(\d\d)(\D{0,8})(\d\d)/", "Ymd"),
)


@dataclass
class Sampled:
    """One object: its key, and the times of its lines (with their offsets)."""

    key: str
    stamps: dict[str, list[datetime]] = field(default_factory=dict)
    lines: int = 0


@dataclass(frozen=True)
class Inferred:
    """``zones``: all that fit; the first one is taken.  ``inside``: objects whose lines all lie
    within their folder.  ``offsets``: of lines."""

    layout: Layout
    zones: tuple[str, ...]
    objects: int
    sampled: int
    inside: int
    lines: int
    timed: int
    offsets: tuple[str, ...]

    def to_plain(self) -> dict[str, Any]:
        return {
            "prefix": self.layout.prefix,
            "zone": self.zones[0],
            "zones": list(self.zones),
            "grain": str(self.layout.grain),
            "time": self.layout.writes,
            "format": self.layout.format,
            "has_time": self.layout.has_time,
            "objects": self.objects,
            "sampled": self.sampled,
            "inside": self.inside,
            "lines": self.lines,
            "timed": self.timed,
            "offsets": list(self.offsets),
        }


def template_of(key: str) -> str | None:
    """``logs/2026/11/27/07/`` is ``logs/%Y/%m/%d/%H/``; None for a key without a day in it."""
    folder = key[: key.rfind("/") + 1]
    for shape, letters in _SHAPES:
        found = list(re.finditer(shape, folder))
        if not found:
            continue
        match = found[-1]
        parts = [f"%{letter}{match[2 * number + 2]}" for number, letter in enumerate(letters[:-1])]
        middle = "".join(parts) + f"%{letters[-1]}/"
        return folder[: match.start()] + middle + folder[match.end() :]
    return None


def sampled_of(objects: Objects, all_listed: list[Listed]) -> Iterator[Sampled]:
    """Some objects from all over the tree, each read from its beginning."""
    step = max(1, len(all_listed) // SAMPLED)
    for listed in all_listed[::step][:SAMPLED]:
        found = Sampled(listed.key)
        try:
            lines = _first_lines(objects.read(listed))
        except (BrokenObject, Changed):
            continue
        found.lines = len(lines)
        for name, form in FORMATS.items():
            found.stamps[name] = list(_stamps(form, lines))
        yield found


def _first_lines(chunks: Iterable[bytes]) -> list[bytes]:
    """From the first block alone, some of its beginning and some of its end."""
    for block in Blocks(inflated(chunks)):
        lines = [line for line in block.split(b"\n")[:-1] if not line.startswith(b"#")]
        return lines if len(lines) <= _LINES else lines[: _LINES // 2] + lines[-_LINES // 2 :]
    return []


def _stamps(form: Format, lines: list[bytes]) -> Iterator[datetime]:
    for line in lines:
        stamp = form.stamp(line, form.key)
        if not isinstance(stamp, Untimed):
            yield stamp


def inferred(
    all_listed: list[Listed],
    samples: list[Sampled],
    url: str,
) -> Inferred:
    """Raises NoLayout."""
    template = _template(all_listed, url)
    name = _format_of(samples)
    dated = [each for each in samples if each.stamps[name]]
    grain = Grain.HOUR if "%H" in template else Grain.DAY
    plain = Layout(template, grain=grain, format=name, has_time=bool(dated))
    zones, inside = _zones(plain, samples)
    writes: Writes = "event" if inside == len(dated) else "arrival"
    return Inferred(
        replace(plain, zone=zones[0], writes=writes),
        zones,
        len(all_listed),
        len(dated),
        inside,
        sum(each.lines for each in samples),
        sum(len(each.stamps[name]) for each in samples),
        _offsets(dated, name),
    )


def _template(all_listed: list[Listed], url: str) -> str:
    """The one that most keys have.  Raises NoLayout."""
    templates = Counter(template_of(listed.key) for listed in all_listed)
    found = templates.most_common(1)[0][0] if templates else None
    if found is None:
        raise NoLayout(
            f"{url}: no day can be seen in the paths of its objects; name the folder above those "
            "of the years, or write `at` by hand"
        )
    return found


def _zones(plain: Layout, samples: list[Sampled]) -> tuple[tuple[str, ...], int]:
    """Those that fit best, and how many objects lie within their folder then."""
    fits = dict(_fits(plain, samples))
    best = max(fits.values())
    return tuple(zone for zone, inside in fits.items() if inside == best), best


def _offsets(samples: list[Sampled], name: str) -> tuple[str, ...]:
    found = {_offset(when) for each in samples for when in each.stamps[name]}
    return tuple(sorted(found))


def _format_of(samples: list[Sampled]) -> str:
    """The one by which most lines can be read."""
    counts = {name: sum(len(each.stamps[name]) for each in samples) for name in FORMATS}
    return max(counts, key=lambda name: counts[name])


def _fits(plain: Layout, samples: list[Sampled]) -> Iterator[tuple[str, int]]:
    """(zone, how many objects' lines all lie in their folder, were it the paths' zone)."""
    for zone in _ZONES:
        layout = Layout(
            plain.prefix,
            zone,
            plain.grain,
            "event",
            plain.format,
        )
        yield zone, sum(_inside(layout, each, zone) for each in samples)


def _inside(
    layout: Layout,
    sample: Sampled,
    zone: str,
) -> bool:
    span = layout.span(sample.key)
    stamps = sample.stamps[layout.format]
    if span is None or not stamps:
        return False
    moments = [_moment(when, zone) for when in stamps]
    return span.begin <= min(moments) and max(moments) < span.end


def _moment(when: datetime, zone: str) -> float:
    if when.tzinfo is None:
        return when.replace(tzinfo=zone_named(zone)).timestamp()
    return when.timestamp()


def _offset(when: datetime) -> str:
    offset = when.utcoffset()
    if offset is None:
        return "none"
    return "UTC" if offset == timedelta(0) else f"{when.astimezone(when.tzinfo or UTC):%z}"
