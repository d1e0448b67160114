"""What a query engine must be told: tables over both trees, a map without a copy, and the one view
that people search.  Text for Athena; pure.

Athena user guide: "Partition projection with Amazon Athena" (projected dates are made in UTC; a
table with projection ignores every partition that is registered), "ALTER TABLE ADD PARTITION",
"Regex SerDe", "Service Quotas" (a statement has at most 262,144 characters).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from kirikae.logs.layout import Layout
from kirikae.logs.zones import HOUR_S, zone_named
from kirikae.model.share import WHOLE

MOST_CHARACTERS = 200_000
COLUMN = "dt"
"""The partition column: the folder as it is written."""
_JAVA = {
    "%Y": "yyyy",
    "%m": "MM",
    "%d": "dd",
    "%H": "HH",
    "%M": "mm",
}
_COMBINED = (
    "host STRING, ident STRING, user_name STRING, logged STRING, request STRING, status STRING, "
    "size STRING, referer STRING, user_agent STRING"
)
_COMBINED_REGEX = (
    r"^(\\S+) (\\S+) (.*?) \\[([^\\]]*)\\] \"(.*?)\" (\\S+) (\\S+) \"(.*?)\" \"(.*?)\".*$"
)
_EVENT_TIME = {
    "combined": "parse_datetime(logged, 'dd/MMM/yyyy:HH:mm:ss Z')",
    "ltsv": r"from_iso8601_timestamp(regexp_extract(line, '(?:^|\t){key}:([^\t]*)', 1))",
    "json": "from_iso8601_timestamp(json_extract_scalar(line, '$.{key}'))",
    "out_file": r"from_iso8601_timestamp(regexp_extract(line, '^([^\t]*)\t', 1))",
    "alb": r"from_iso8601_timestamp(regexp_extract(line, '^\S+ (\S+) ', 1))",
    "cloudfront": r"from_iso8601_timestamp(regexp_replace(regexp_extract("
    r"line, '^(\S+\t\S+)\t', 1), '\t', 'T') || 'Z')",
}


@dataclass(frozen=True, slots=True)
class Table:
    """One tree as a table.  ``url``: its root."""

    database: str
    name: str
    url: str
    layout: Layout


def _java(template: str) -> str:
    """A DateTimeFormatter pattern: what is no directive stands in quotes if it has letters."""
    out = []
    for part in re.split("(%[YmdHM])", template.rstrip("/")):
        if part in _JAVA:
            out.append(_JAVA[part])
        elif re.search("[A-Za-z']", part):
            out.append("'" + part.replace("'", "''") + "'")
        else:
            out.append(part)
    return "".join(out)


def _sql(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _ddl(text: str) -> str:
    """In statements that define tables (Hive's own syntax)."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def ahead_hours(layout: Layout, now: float) -> int:
    """By how much this zone is ahead of UTC: projected dates are made in UTC, and would hide so
    many of the newest hours."""
    offset = datetime.fromtimestamp(now, UTC).astimezone(zone_named(layout.zone)).utcoffset()
    assert offset is not None
    return max(0, -(-int(offset.total_seconds()) // HOUR_S))


def _columns(layout: Layout) -> str:
    return _COMBINED if layout.format == "combined" else "line STRING"


def _regex(layout: Layout) -> str:
    return _COMBINED_REGEX if layout.format == "combined" else "^(.*)$"


def _head(table: Table) -> str:
    """A line that does not match is a row of NULLs: counts stay right."""
    return (
        f"CREATE EXTERNAL TABLE IF NOT EXISTS {table.database}.{table.name} (\n"
        f"  {_columns(table.layout)}\n)\n"
        f"PARTITIONED BY ({COLUMN} STRING)\n"
        "ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.RegexSerDe'\n"
        f"WITH SERDEPROPERTIES ('input.regex' = '{_regex(table.layout)}')\n"
        f"LOCATION {_ddl(table.url)}\n"
    )


def projection(
    table: Table,
    first: str,
    now: float,
) -> str:
    """A table whose partitions are reckoned from the template.  ``first``: its oldest folder."""
    properties = _projected(table, first, now) | _skipped(table.layout)
    return f"{_head(table)}{_properties(properties)}"


def _properties(properties: dict[str, str]) -> str:
    rows = ",\n".join(f"  {_ddl(key)} = {_ddl(value)}" for key, value in properties.items())
    return f"TBLPROPERTIES (\n{rows}\n);\n"


def _projected(table: Table, first: str, now: float) -> dict[str, str]:
    ahead = ahead_hours(table.layout, now)
    end = f"NOW+{ahead}HOURS" if ahead else "NOW"
    unit = "HOURS" if table.layout.grain.value == "hour" else "DAYS"
    return {
        "projection.enabled": "true",
        f"projection.{COLUMN}.type": "date",
        f"projection.{COLUMN}.format": _java(table.layout.prefix),
        f"projection.{COLUMN}.range": f"{first.rstrip('/')},{end}",
        f"projection.{COLUMN}.interval": "1",
        f"projection.{COLUMN}.interval.unit": unit,
        "storage.location.template": f"{table.url}${{{COLUMN}}}/",
    }


_FORMS = {
    "parquet": "STORED AS PARQUET",
    "json": "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'",
}


def records_table(
    table: Table,
    columns: tuple[str, ...],
    first: str,
    now: float,
    form: str = "parquet",
) -> str:
    """Over what `logs convert` made: texts, the time in UTC, and lines that are no record."""
    time, unparsed = ("STRING", "STRING") if form == "json" else ("TIMESTAMP", "BINARY")
    rows = [f"  `{name}` STRING" for name in columns]
    rows += [f"  event_time {time}", f"  unparsed {unparsed}"]
    return (
        f"CREATE EXTERNAL TABLE IF NOT EXISTS {table.database}.{table.name} (\n"
        + ",\n".join(rows)
        + f"\n)\nPARTITIONED BY ({COLUMN} STRING)\n{_FORMS[form]}\n"
        f"LOCATION {_ddl(table.url)}\n{_properties(_projected(table, first, now))}"
    )


def _skipped(layout: Layout) -> dict[str, str]:
    return {"skip.header.line.count": "2"} if layout.format == "cloudfront" else {}


@dataclass(frozen=True, slots=True)
class Mapped:
    """One folder of the one tree that is, as it lies there, one partition of the other's time."""

    label: str
    folder: str


def mapped(
    of: Layout,
    by: Layout,
    folders: Iterable[str],
) -> Iterator[Mapped | str]:
    """Which folders of the tree ``of`` are whole partitions of the layout ``by``; the names of
    those that are not (their lines belong to several, or to none)."""
    for folder in folders:
        span = of.label_span(folder)
        labels = () if span is None or span.empty or of.writes == "arrival" else by.labels(span)
        yield Mapped(labels[0], folder) if len(labels) == 1 else folder


def map_table(table: Table) -> str:
    """Without projection, which would hide what is registered."""
    return f"{_head(table).rstrip()};\n"


def map_statements(
    table: Table,
    url: str,
    rows: Iterable[Mapped],
) -> Iterator[str]:
    """``url``: the root of the tree that the folders lie in.  Several folders of one partition
    cannot be mapped: the first is, and the others are told as a comment."""
    taken: set[str] = set()
    lines: list[str] = []
    length = 0
    head = f"ALTER TABLE {table.database}.{table.name} ADD IF NOT EXISTS\n"
    for row in rows:
        label = row.label.rstrip("/")
        if label in taken:
            yield f"-- not mapped: {row.folder} is {label} as well\n"
            continue
        taken.add(label)
        line = f"  PARTITION ({COLUMN} = {_ddl(label)}) LOCATION {_ddl(url + row.folder)}"
        if length + len(line) > MOST_CHARACTERS:
            yield head + "\n".join(lines) + ";\n"
            lines = []
            length = 0
        lines.append(line)
        length += len(line) + 1
    if lines:
        yield head + "\n".join(lines) + ";\n"


@dataclass(frozen=True, slots=True)
class View:
    """The view at one share.  ``boundary``: before it lines come from the new tree; None at 0 and
    at the whole."""

    name: str
    old: Table
    new: Table
    pad_s: int
    share: int
    boundary: int | None


_FIRST = re.compile(r"-- kirikae: share ([0-9]+)(?: boundary ([0-9TZ:-]+))?\n")


def view_sql(view: View) -> str:
    """Set, not added to: the whole text.  The first line says what it stands at."""
    at = "" if view.boundary is None else f" boundary {_utc(view.boundary)}"
    parts = [_part(view, view.new, True), _part(view, view.old, False)]
    if view.share == 0:
        parts = parts[1:]
    elif view.share == WHOLE:
        parts = parts[:1]
    body = "\nUNION ALL\n".join(parts)
    return (
        f"-- kirikae: share {view.share}{at}\n"
        f"CREATE OR REPLACE VIEW {view.new.database}.{view.name} AS\n{body};\n"
    )


def _part(
    view: View,
    table: Table,
    before: bool,
) -> str:
    """The partition is compared, so that little is read; then the time of each line, so that it
    comes from one tree only."""
    names = [column.split()[0] for column in _columns(table.layout).split(", ")]
    lines = [f"SELECT {', '.join(names)}, {COLUMN} FROM {table.database}.{table.name}"]
    if view.boundary is None:
        return lines[0]
    key = table.layout.key or "time"
    time = _EVENT_TIME[table.layout.format].replace("{key}", key)
    sign = "<" if before else ">="
    pad = view.pad_s if table.layout.writes == "arrival" else 0
    edge = folder_at(table.layout, view.boundary + (pad if before else 0))
    lines.append(f"WHERE {COLUMN} {'<=' if before else '>='} {_sql(edge)}")
    # A line whose time cannot be read belongs to the tree whose folder lies on its side.
    side = f"{COLUMN} {sign} {_sql(folder_at(table.layout, view.boundary))}"
    moment = f"TIMESTAMP '{_utc(view.boundary, ' ')} UTC'"
    lines.append(f"  AND coalesce(try({time}) {sign} {moment}, {side})")
    return "\n".join(lines)


def folder_at(layout: Layout, when: int) -> str:
    """The folder that this moment lies in, as the partition column has it."""
    return layout.label(when).rstrip("/")


def _utc(when: int, between: str = "T") -> str:
    return f"{datetime.fromtimestamp(when, UTC):%Y-%m-%d{between}%H:%M:%S}" + (
        "Z" if between == "T" else ""
    )


def share_of(text: str) -> tuple[int, int | None] | None:
    """Read the first line back; None for what kirikae did not write."""
    match = _FIRST.match(text)
    if match is None or int(match[1]) > WHOLE:
        return None
    if match[2] is None:
        return int(match[1]), None
    try:
        when = datetime.strptime(match[2], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(match[1]), int(when.timestamp())


def boundary_of(share: int, begins: list[int]) -> int | None:
    """``begins``: of the folders, in order.  The oldest come from the new tree first."""
    if share in (0, WHOLE) or not begins:
        return None
    number = -(-len(begins) * share // WHOLE)
    return begins[number] if number < len(begins) else begins[-1]
