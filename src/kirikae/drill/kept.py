"""A run that was kept, and vegeta's results: read again, to be judged and shown anew.

Our own form is numpy's ``.npz``: the columns of ``Record``, and one JSON of what was asked.
Vegeta's are those of ``vegeta encode`` (README, "encode"): CSV of twelve columns, or JSON lines.
"""

from __future__ import annotations

import base64
import csv
import datetime
import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kirikae.drill.columns import Error, Record
from kirikae.drill.errors import RunProblem, TargetsProblem
from kirikae.drill.plan import MOST_REQUESTS
from kirikae.drill.targets import Target, target
from kirikae.model.texts import shortened

FORMAT = 1
_COLUMNS = {
    "due": np.int64,
    "sent": np.int64,
    "first": np.int64,
    "done": np.int64,
    "status": np.int16,
    "error": np.uint8,
    "octets": np.int64,
    "target": np.int64,
}
_MAY_LACK = {"told": np.int16, "lacks": np.uint8}
_VEGETA_COLUMNS = 12
_ENCODE = "`vegeta encode --to csv results.bin` makes one that can be read"
_ERRORS = (
    (Error.TIMED_OUT, re.compile(r"timeout|deadline exceeded|timed out", re.I)),
    (Error.REFUSED, re.compile(r"refused|no such host|unreachable", re.I)),
    (Error.NO_HTTP, re.compile(r"malformed HTTP", re.I)),
)
"""Go's words for it; whatever else it says: the connection was closed."""


@dataclass(frozen=True, slots=True)
class Run:
    """``seconds``: until the plan ended.  ``by``: ``kirikae`` or ``vegeta``.  ``fault``: what was
    made of it meanwhile, as ``KeptFault`` reads it; None: it was load alone."""

    record: Record
    targets: tuple[Target, ...]
    seconds: float
    by: str
    fault: Mapping[str, Any] | None = None


def kept(
    record: Record,
    targets: Sequence[Target],
    seconds: float,
    fault: Mapping[str, Any] | None = None,
) -> bytes:
    """As a file.  Bodies and headers of what was asked are left out: they may have secrets."""
    columns = {name: getattr(record, name) for name in _COLUMNS}
    columns |= {name: column for name in _MAY_LACK if (column := getattr(record, name)) is not None}
    about = {
        "format": FORMAT,
        "seconds": seconds,
        "began_ns": record.began_ns,
        "wall": record.wall,
        "cores": list(record.cores),
        "values": list(record.values),
        "targets": [_target_plain(each) for each in targets],
        "fault": fault,
    }
    out = io.BytesIO()
    told = np.frombuffer(json.dumps(about).encode(), np.uint8)
    np.savez_compressed(out, about=told, **columns)
    return out.getvalue()


def _target_plain(each: Target) -> dict[str, Any]:
    return {
        "method": each.method,
        "url": each.url._replace(netloc=each.url.netloc.rpartition("@")[2]).geturl(),
        "expected": sorted(each.expected),
        "route": each.route,
        "text": base64.b64encode(each.text).decode(),
    }


def read(path: Path) -> Run:
    """By its first bytes.  Raises RunProblem."""
    try:
        with path.open("rb") as file:
            begins = file.read(4)
        if begins.startswith(b"PK"):
            return _own(path)
        return _of_vegeta(path, path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise RunProblem(f"{path}: neither a kept run nor CSV nor JSON lines; {_ENCODE}") from error
    except OSError as error:
        raise RunProblem(f"{path}: cannot be read: {error}") from error


def _own(path: Path) -> Run:
    try:
        with np.load(path, allow_pickle=False) as columns:
            about = json.loads(columns["about"].tobytes())
            found = {name: columns[name].astype(kind) for name, kind in _COLUMNS.items()}
            found |= {
                name: columns[name].astype(kind)
                for name, kind in _MAY_LACK.items()
                if name in columns
            }
        return _run(path, about, found)
    except (KeyError, TypeError, ValueError, zipfile.BadZipFile, EOFError, TargetsProblem) as error:
        raise RunProblem(
            f"{path}: is no whole run that kirikae kept (--keep) ({error!r}); keep it anew"
        ) from error


def _run(path: Path, about: dict[str, Any], found: dict[str, Any]) -> Run:
    if about["format"] != FORMAT:
        raise RunProblem(
            f"{path}: is of format {about['format']}, this kirikae reads {FORMAT}; read it with "
            "the kirikae that wrote it"
        )
    targets = tuple(_target(each, str(path)) for each in about["targets"])
    many = len(found["due"])
    if not many or any(len(column) != many for column in found.values()):
        raise ValueError("columns of unequal length")
    if not targets or found["target"].min() < 0 or found["target"].max() >= len(targets):
        raise ValueError("requests of no target")
    record = Record(
        **found,
        began_ns=int(about["began_ns"]),
        wall=float(about["wall"]),
        cores=tuple(map(float, about["cores"])),
        values=tuple(map(str, about["values"])),
    )
    fault = about.get("fault")
    if fault is not None and not isinstance(fault, dict):
        raise ValueError("a fault that is none")
    return Run(record, targets, float(about["seconds"]), "kirikae", fault)


def _target(plain: dict[str, Any], where: str) -> Target:
    made = target(str(plain["method"]), str(plain["url"]), where)
    return Target(
        made.method,
        made.url,
        expected=frozenset(map(int, plain["expected"])),
        route=str(plain["route"]),
        text=base64.b64decode(plain["text"]),
    )


# --- vegeta's


class _Result(NamedTuple):
    """One request: when it was sent (Unix nanoseconds), and what came of it."""

    at_ns: int
    status: int
    latency_ns: int
    octets: int
    error: str
    method: str
    url: str


def _of_vegeta(path: Path, text: str) -> Run:
    reader = _json_lines if text.lstrip()[:1] == "{" else _csv_lines
    found = sorted(reader(text, path), key=lambda each: each.at_ns)
    if not found:
        raise RunProblem(f"{path}: has no result; {_ENCODE}")
    if len(found) > MOST_REQUESTS:
        raise RunProblem(f"{path}: more than {MOST_REQUESTS:,} results")
    names = list(dict.fromkeys((each.method, each.url) for each in found))
    try:
        targets = tuple(target(method, url, str(path)) for method, url in names)
    except TargetsProblem as error:
        raise RunProblem(str(error)) from error
    numbers = {name: number for number, name in enumerate(names)}
    return Run(_record(found, numbers), targets, _seconds(found), "vegeta")


def _seconds(found: Sequence[_Result]) -> float:
    return max(1e-9, (found[-1].at_ns - found[0].at_ns) / 1e9)


def _record(found: Sequence[_Result], numbers: dict[tuple[str, str], int]) -> Record:
    """Times from when vegeta sent: when a request was due it does not tell."""
    sent = np.array([each.at_ns for each in found], np.int64)
    done = sent + np.array([each.latency_ns for each in found], np.int64)
    return Record(
        due=sent,
        sent=sent,
        first=done,
        done=done,
        status=np.array([each.status for each in found], np.int16),
        error=np.array([_error(each) for each in found], np.uint8),
        octets=np.array([each.octets for each in found], np.int64),
        target=np.array([numbers[each.method, each.url] for each in found], np.int64),
        began_ns=int(sent[0]),
        wall=int(sent[0]) / 1e9,
        cores=(),
    )


def _error(each: _Result) -> Error:
    if each.status:
        return Error.NONE
    for error, words in _ERRORS:
        if words.search(each.error):
            return error
    return Error.CLOSED


def _csv_lines(text: str, path: Path) -> Iterator[_Result]:
    rows: Iterable[list[str]] = csv.reader(io.StringIO(text))
    try:
        for number, row in enumerate(rows, 1):
            if row:
                yield _csv_row(row, f"{path}:{number}")
    except csv.Error as error:
        raise RunProblem(f"{path}: no CSV ({error}); {_ENCODE}") from error


def _csv_row(row: Sequence[str], where: str) -> _Result:
    if len(row) != _VEGETA_COLUMNS:
        raise RunProblem(f"{where}: {len(row)} columns in place of {_VEGETA_COLUMNS}; {_ENCODE}")
    at, status, latency, _, octets, error, _, _, _, method, url, _ = row
    try:
        return _checked(
            _Result(int(at), int(status), int(latency), int(octets), error, method, url)
        )
    except ValueError as problem:
        raise RunProblem(f"{where}: {problem}; {_ENCODE}") from problem


def _json_lines(text: str, path: Path) -> Iterator[_Result]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            row = json.loads(line)
            yield _checked(
                _Result(
                    _nanoseconds(str(row["timestamp"])),
                    int(row["code"]),
                    int(row["latency"]),
                    int(row["bytes_in"]),
                    str(row.get("error", "")),
                    str(row["method"]),
                    str(row["url"]),
                )
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise RunProblem(
                f"{where}: {shortened(line)} is no result of vegeta ({error!r}); {_ENCODE}"
            ) from error


def _nanoseconds(text: str) -> int:
    """Of RFC 3339 with as many digits as Go writes.  Raises ValueError."""
    whole, fraction, zone = _parted(text)
    at = datetime.datetime.fromisoformat(whole + zone)
    if at.tzinfo is None:
        raise ValueError("a time without an offset")
    return int(at.timestamp()) * 10**9 + int(fraction.ljust(9, "0")[:9])


def _parted(text: str) -> tuple[str, str, str]:
    found = re.fullmatch(
        r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8})(?:\.([0-9]+))?(Z|[+-][0-9:]{5})", text
    )
    if found is None:
        raise ValueError(f"{shortened(text)} is no time")
    return found[1], found[2] or "0", found[3].replace("Z", "+00:00")


def _checked(each: _Result) -> _Result:
    """Raises ValueError for what no run can have."""
    if not 0 <= each.at_ns < 2**62 or not 0 <= each.latency_ns < 2**60:
        raise ValueError("a time that is none")
    if not 0 <= each.status <= 999 or not 0 <= each.octets < 2**60:
        raise ValueError("a status or a length that is none")
    return each
