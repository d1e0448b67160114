"""What a drill asks: a file of targets, or an access log, read as `logs` reads its lines."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import time
from zoneinfo import ZoneInfo

import click

from kirikae.drill.errors import TargetsProblem
from kirikae.drill.replay import Logged
from kirikae.drill.targets import MOST_TARGETS
from kirikae.drill.targets import target as target_of
from kirikae.logs.formats import Clock, format_named
from kirikae.logs.records import Records, columns_of

FORMATS = ("combined", "ltsv", "json", "alb", "cloudfront")
_METHODS = ("method", "request_method", "cs_method")
_PATHS = ("uri", "request_uri", "path", "url", "cs_uri_stem")
_HOSTS = ("host_header", "http_host", "vhost", "x_host_header", "domain_name")
"""What labels are called in the examples of nginx's and LTSV's own documentation."""


_STATUSES = ("status", "elb_status_code", "sc_status")
_NOBODYS = frozenset({408, 444, 460, 499})
"""The client did not wait: no status that it could have seen."""
FORM = click.option(
    "--format", "form", type=click.Choice(FORMATS), default="combined", show_default=True
)
TIME_LABEL = click.option(
    "--time-label", default="time", show_default=True, help="Of lines in LTSV and JSON."
)
ORIGIN = click.option("--origin", help="The service's own URL, where the log names no host.")


@dataclass(frozen=True, slots=True)
class Log:
    """``unread``: lines that say no request."""

    lines: list[Logged]
    unread: int


def read_log(path: Path, form: str, origin: str, time_label: str = "time") -> Log:
    """``origin``: where a line names no host, such as ``http://shop.example``.

    Raises TargetsProblem, NoLayout.
    """
    wanted = format_named(form).labelled(time_label)
    clock = Clock.at(ZoneInfo("UTC"), time())
    records = Records(wanted, clock, columns_of(form, _lines(path)))
    told: list[Logged] = []
    unread = 0
    for line in _lines(path):
        found = _logged(records, line, origin)
        if found is None:
            unread += 1
        else:
            told.append(found)
        if len(told) > MOST_TARGETS:
            raise TargetsProblem(f"{path}: more than {MOST_TARGETS:,} requests; take a part of it")
    if not told:
        raise TargetsProblem(
            f"{path}: none of {unread:,} lines says a request; "
            f"see to --format, which is one of {', '.join(FORMATS)}"
        )
    return Log(told, unread)


def _lines(path: Path) -> Iterator[bytes]:
    """Without empty ones and the heads of CloudFront's files.  Raises TargetsProblem."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as lines:
            for line in lines:
                if line.strip() and not line.startswith(b"#"):
                    yield line.rstrip(b"\r\n")
    except (OSError, EOFError, zlib.error) as error:
        raise TargetsProblem(f"{path}: cannot be read: {error}") from error


def _logged(records: Records, line: bytes, origin: str) -> Logged | None:
    found = records.row(line)
    if found is None:
        return None
    row, at = found
    named = {
        name: value
        for name, value in zip(records.columns, row, strict=False)
        if value not in (None, "-")
    }
    asked = _request(named)
    if asked is None:
        return None
    method, url = asked
    try:
        target = target_of(method, _absolute(url, named, origin), "log")
    except TargetsProblem:
        return None
    return Logged(at, replace(target, expected=_expected(named)))


def _expected(named: Mapping[str, str | None]) -> frozenset[int]:
    """What the log's own answer was; a failure of then is not expected now."""
    text = _first(named, _STATUSES) or ""
    status = int(text) if re.fullmatch("[1-5][0-9][0-9]", text) else 0
    return frozenset({status}) if 200 <= status < 500 and status not in _NOBODYS else frozenset()


def _request(named: Mapping[str, str | None]) -> tuple[str, str] | None:
    """Method and path, or method and URL."""
    words = (named.get("request") or named.get("req") or "").split(" ")
    if len(words) >= 2:
        return words[0], words[1]
    method = _first(named, _METHODS)
    path = _first(named, _PATHS)
    if method is None or path is None:
        return None
    query = _first(named, ("cs_uri_query", "query_string", "args"))
    return method, f"{path}?{query}" if query and "?" not in path else path


def _absolute(url: str, named: Mapping[str, str | None], origin: str) -> str:
    """Load balancers write down the port that a URL has anyway."""
    for scheme, port in (("http://", ":80/"), ("https://", ":443/")):
        if url.startswith(scheme):
            return url.replace(port, "/", 1)
    host = _first(named, _HOSTS)
    scheme = origin.partition("://")[0]
    return f"{scheme}://{host}{url}" if host else origin.rstrip("/") + url


def _first(named: Mapping[str, str | None], names: Iterable[str]) -> str | None:
    found: Iterator[str] = (value for name in names if (value := named.get(name)))
    return next(found, None)
