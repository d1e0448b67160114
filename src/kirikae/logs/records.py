"""A line as a record of named texts, and back to what is counted: for conversion to other forms.

What a line has beside its columns stands in ``rest``; a line that is none of its format, or is no
UTF-8, stands in ``unparsed`` as it is.  So no line is left out, and nothing that one says.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any

from kirikae.logs.errors import NoLayout
from kirikae.logs.formats import Clock, Format, Untimed
from kirikae.logs.sums import MODULUS, Sums, digest

Row = tuple[str | None, ...]
"""One text a column."""
REST = "rest"
TIME = "event_time"
UNPARSED = "unparsed"
_PARTITION = "dt"
"""The tables' own column."""
_SAMPLED = 2000
_MOST_COLUMNS = 200
_MOST_KNOWN = 100_000
_QUOTED = r'"([^"\\]*(?:\\.[^"\\]*)*)"'
_COMBINED = re.compile(
    rf"(\S+) (\S+) (.*?) \[([^\]]*)\] {_QUOTED} (\S+) (\S+)(?: {_QUOTED} {_QUOTED})?(.*)",
    re.DOTALL,
)
_COMBINED_COLUMNS = (
    "host",
    "ident",
    "user_name",
    "logged",
    "request",
    "status",
    "size",
    "referer",
    "user_agent",
    REST,
)
_ALB_FIELD = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')
_ALB_COLUMNS = (
    "type",
    "time",
    "elb",
    "client",
    "target",
    "request_processing_time",
    "target_processing_time",
    "response_processing_time",
    "elb_status_code",
    "target_status_code",
    "received_bytes",
    "sent_bytes",
    "request",
    "user_agent",
    "ssl_cipher",
    "ssl_protocol",
    "target_group_arn",
    "trace_id",
    "domain_name",
    "chosen_cert_arn",
    "matched_rule_priority",
    "request_creation_time",
    "actions_executed",
    "redirect_url",
    "error_reason",
    REST,
)
"""Elastic Load Balancing user guide, "Access logs for your Application Load Balancer"."""
_CLOUDFRONT_COLUMNS = (
    "date",
    "time",
    "x_edge_location",
    "sc_bytes",
    "c_ip",
    "cs_method",
    "cs_host",
    "cs_uri_stem",
    "sc_status",
    "cs_referer",
    "cs_user_agent",
    "cs_uri_query",
    "cs_cookie",
    "x_edge_result_type",
    "x_edge_request_id",
    "x_host_header",
    "cs_protocol",
    "cs_bytes",
    "time_taken",
    REST,
)
"""CloudFront developer guide, "Standard log file fields"; what follows stands in ``rest``."""
Split = Callable[[str, Sequence[str]], Row | None]


def _combined(line: str, columns: Sequence[str]) -> Row | None:
    match = _COMBINED.fullmatch(line)
    return None if match is None else match.groups()


def _filled(parts: Sequence[str], columns: Sequence[str], between: str) -> Row:
    """The last column takes what is more."""
    known = len(columns) - 1
    rest = between.join(parts[known:]) if len(parts) > known else None
    return (*parts[:known], *[None] * (known - len(parts)), rest)


def _alb(line: str, columns: Sequence[str]) -> Row | None:
    """Only where the fields, put together again, are the line."""
    found = list(_ALB_FIELD.finditer(line))
    if " ".join(match[0] for match in found) != line or len(found) < 3:
        return None
    known = len(columns) - 1
    values = [match[2] if match[1] is None else match[1] for match in found[:known]]
    rest = [match[0] for match in found[known:]]
    return _filled([*values, *rest], columns, " ")


def _cloudfront(line: str, columns: Sequence[str]) -> Row | None:
    parts = line.split("\t")
    return _filled(parts, columns, "\t") if len(parts) > 2 else None


def _out_file(line: str, columns: Sequence[str]) -> Row | None:
    parts = line.split("\t", 2)
    return (*parts,) if len(parts) == 3 else None


def _ltsv(line: str, columns: Sequence[str]) -> Row | None:
    """Labels that are no column, and any that comes again, stand in ``rest`` as they are."""
    found: dict[str, str] = {}
    rest = []
    known = columns[:-1]
    for part in line.split("\t"):
        label, colon, value = part.partition(":")
        if colon and label in known and label not in found:
            found[label] = value
        else:
            rest.append(part)
    if not found:
        return None
    return (*(found.get(label) for label in known), "\t".join(rest) if rest else None)


def _json(line: str, columns: Sequence[str]) -> Row | None:
    """Texts as they are, whatever else as JSON; keys that are no column stand in ``rest``."""
    try:
        row = json.loads(
            line,
            parse_float=_Number,
            parse_int=_Number,
            object_pairs_hook=_each_once,
        )
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict):
        return None
    known = columns[:-1]
    rest = {key: value for key, value in row.items() if key not in known}
    values = [_as_text(row[label]) if label in row else None for label in known]
    return (*values, _as_json(rest) if rest else None)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a key that is there twice one value would be lost.  Raises ValueError."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


class _Number(float):
    """As it was written: 1.10 stays 1.10, and a number of thirty digits keeps them."""

    def __new__(cls, text: str) -> _Number:
        made = super().__new__(cls, text)
        made.text = text
        return made

    text: str


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else _as_json(value)


def _as_json(value: object) -> str:
    if isinstance(value, _Number):
        return value.text
    if isinstance(value, dict):
        parts = (f"{json.dumps(key)}: {_as_json(each)}" for key, each in value.items())
        return "{" + ", ".join(parts) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_as_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


_SPLITS: Mapping[str, tuple[Split, tuple[str, ...]]] = {
    "combined": (_combined, _COMBINED_COLUMNS),
    "ltsv": (_ltsv, ()),
    "json": (_json, ()),
    "out_file": (_out_file, ("time", "tag", "record")),
    "alb": (_alb, _ALB_COLUMNS),
    "cloudfront": (_cloudfront, _CLOUDFRONT_COLUMNS),
}


_TIMES = {
    "combined": ("logged",),
    "out_file": ("time",),
    "alb": ("time",),
    "cloudfront": ("date", "time"),
}
"""The columns that a time stands in, where a line has no labels."""


def columns_of(name: str, lines: Iterable[bytes]) -> tuple[str, ...]:
    """Of lines without labels the known ones; else the labels of some lines, in their order."""
    _, known = _SPLITS[name]
    if known:
        return known
    found: dict[str, None] = {}
    for number, line in enumerate(lines):
        if number >= _SAMPLED or len(found) >= _MOST_COLUMNS:
            break
        for label in _labels(name, line.decode("utf-8", "replace")):
            found[label] = None
    if not found:
        raise NoLayout(f"no line with labels was found that is {name}: see to `format`")
    return (*found, REST)


def _labels(name: str, line: str) -> list[str]:
    taken = (TIME, UNPARSED, REST, _PARTITION)
    if name == "ltsv":
        labels = [part.partition(":")[0] for part in line.split("\t") if ":" in part]
    else:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            return []
        labels = list(row) if isinstance(row, dict) else []
    return [
        label
        for label in labels
        if re.fullmatch(r"[A-Za-z_]\w{0,100}", label) and label.lower() not in taken
    ]


@dataclass(frozen=True)
class Records:
    """Lines of one format as rows: its columns, when it happened, and what is none."""

    format: Format
    clock: Clock
    columns: tuple[str, ...]

    @cached_property
    def _known(self) -> dict[str, int | None]:
        """Times by their text: a second has many lines."""
        return {}

    @cached_property
    def _places(self) -> tuple[int, ...]:
        """Of the columns that the time stands in."""
        named = _TIMES.get(self.format.name, (self.format.key.decode(),))
        return tuple(self.columns.index(name) for name in named if name in self.columns)

    def row(self, line: bytes) -> tuple[Row, int | None] | None:
        """The columns and Unix seconds; None: it stays as it is."""
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            return None
        if "\0" in text:
            return None
        found = self._split(text, self.columns)
        return None if found is None else (found, self._time(line, found))

    @cached_property
    def _split(self) -> Split:
        return _SPLITS[self.format.name][0]

    def _time(self, line: bytes, row: Row) -> int | None:
        """As the format tells it.  Where a second bracket could be meant, nothing is remembered."""
        texts = [row[place] for place in self._places]
        text = "".join(each for each in texts if each is not None)
        if not text or (self.format.name == "combined" and line.count(b"[") != 1):
            return self.told(line)
        if text not in self._known:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[text] = self.told(line)
        return self._known[text]

    @property
    def place_of_time(self) -> int | None:
        """The column that alone decides when a line happened; None: there is no such one."""
        return self._places[0] if len(self._places) == 1 else None

    def told(self, line: bytes) -> int | None:
        """When this line happened, in Unix seconds."""
        found = self.clock.epoch(self.format.stamp(line, self.format.key))
        return None if isinstance(found, Untimed) else found


def canonical(row: Row, when: int | None) -> bytes:
    """What is counted of a record, whatever form it is kept in."""
    texts = ["\0" if text is None else text for text in row]
    return "\x1f".join([*texts, "" if when is None else str(when)]).encode()


def canonical_unparsed(line: bytes) -> bytes:
    """Of one that stays as it is."""
    return b"\0\0" + line


def counted(all_bytes: Iterable[bytes]) -> Sums:
    """Of what ``canonical`` gives."""
    hash_of = digest()
    found = list(all_bytes)
    total = sum(map(hash_of, found)) % MODULUS
    return Sums(len(found), sum(map(len, found)) + len(found), total)


# --- JSON


def to_json(records: Records, row: Row, when: int | None) -> bytes:
    """One object; what is not there is left out."""
    plain: dict[str, Any] = {
        name: text for name, text in zip(records.columns, row, strict=True) if text is not None
    }
    if when is not None:
        plain[TIME] = written(when)
    return _ENCODE(plain).encode()


_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@lru_cache(maxsize=_MOST_KNOWN)
def written(when: int) -> str:
    """As it stands in JSON."""
    return f"{datetime.fromtimestamp(when, UTC):%Y-%m-%dT%H:%M:%SZ}"


@lru_cache(maxsize=_MOST_KNOWN)
def seconds(text: str) -> int:
    """What ``written`` wrote.  Raises ValueError."""
    return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())


def unparsed_to_json(line: bytes) -> bytes:
    """Base64 (RFC 4648): it may hold any byte."""
    return json.dumps({UNPARSED: base64.b64encode(line).decode()}).encode()


def from_json(records: Records, line: bytes) -> bytes:
    """What is counted of an object that ``to_json`` made.  Raises ValueError, LookupError."""
    plain = json.loads(line.decode())
    if UNPARSED in plain:
        return canonical_unparsed(base64.b64decode(plain[UNPARSED]))
    when = plain.get(TIME)
    row = tuple(map(plain.get, records.columns))
    return canonical(row, None if when is None else seconds(when))
