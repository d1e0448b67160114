"""Logs as they really are, made from a seed: every fault that records and objects have, and the
truth beside them.

``lines(...)`` plants late records, times that are malformed or missing, exact duplicates, brackets
in a user's name, mixed offsets, bytes that are no UTF-8, NUL and carriage returns.  ``packed(...)``
plants what gzip files suffer.
"""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import zstandard

FORMATS = ("combined", "ltsv", "json", "out_file", "alb", "cloudfront")
FAULTS = ("late", "malformed", "no time", "duplicate", "bracket", "NUL", "not UTF-8", "CR", "empty")


def line_of(name: str, when: datetime, number: int) -> bytes:
    """One record of this format; ``when`` has its offset."""
    iso = when.isoformat()
    match name:
        case "combined":
            text = (
                f"10.0.0.{number % 250} - u{number} [{when:%d/%b/%Y:%H:%M:%S %z}] "
                f'"GET /{number} HTTP/1.1" 200 {number} "-" "curl/8"'
            )
        case "ltsv":
            text = f"time:{iso}\thost:10.0.0.1\tstatus:200\tsize:{number}"
        case "json":
            text = json.dumps({"time": iso, "n": number}, separators=(",", ":"))
        case "out_file":
            text = f'{iso}\tapp.access\t{{"n":{number}}}'
        case "alb":
            utc = when.astimezone(UTC)
            text = (
                f"https {utc:%Y-%m-%dT%H:%M:%S}.{number % 10**6:06d}Z app/web/1 10.0.0.1:1 "
                f'200 "GET https://x/{number} HTTP/2.0"'
            )
        case _:
            utc = when.astimezone(UTC)
            text = f"{utc:%Y-%m-%d\t%H:%M:%S}\tNRT1\t{number}\t10.0.0.1\tGET\t/x"
    return text.encode()


def timeless(name: str, number: int) -> bytes:
    """A line without anything like a time."""
    return b'{"n": %d}' % number if name == "json" else b"  at frame %d" % number


@dataclass
class Made:
    """Lines of one object, and where each belongs by the UTC hour; None: no time of its own."""

    lines: list[bytes] = field(default_factory=list)
    hours: list[datetime | None] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)

    def add(self, line: bytes, when: datetime | None, fault: str = "") -> None:
        hour = None if when is None else when.astimezone(UTC).replace(minute=0, second=0)
        self.lines.append(line)
        self.hours.append(hour)
        if fault:
            self.faults[fault] += 1

    @property
    def body(self) -> bytes:
        return b"".join(line + b"\n" for line in self.lines)


def made(
    name: str,
    begin: datetime,
    length: timedelta,
    count: int,
    seed: int,
    zones: tuple[str, ...] = ("Asia/Tokyo",),
    faults: float = 0.05,
) -> Made:
    """``begin``: with its zone.  Records in order of time, but for those that come late."""
    rng = random.Random(f"{name} {seed}")
    out = Made()
    for number in range(count):
        offset = length * (number / count)
        zone = ZoneInfo(zones[0] if rng.random() < 0.9 else rng.choice(zones))
        when = (begin.astimezone(UTC) + offset).astimezone(zone).replace(microsecond=0)
        fault = rng.choice(FAULTS) if rng.random() < faults else ""
        _add(out, name, when, number, fault)
    return out


def _add(out: Made, name: str, when: datetime, number: int, fault: str) -> None:
    if fault == "late":
        when -= timedelta(hours=1 + number % 5)
    line = line_of(name, when, number)
    if fault == "malformed":
        out.add(_broken(name, line), None, fault)
    elif fault == "no time":
        out.add(timeless(name, number), None, fault)
    elif fault == "empty":
        out.add(b"", None, fault)
    elif fault == "bracket" and name == "combined":
        out.add(line.replace(b"- u", b"- [x", 1), when, fault)
    else:
        tail = {"NUL": b" \0 ", "not UTF-8": b" \xff\xfe", "CR": b"\r"}.get(fault, b"")
        out.add(line + tail, when, fault)
        if fault == "duplicate":
            out.add(line, when)


def _broken(name: str, line: bytes) -> bytes:
    """A day that is none: what looks like a time is not one."""
    year = b"/20" if name == "combined" else b"20"
    return line.replace(year, year[:-2] + b"zz", 1)


def packed(body: bytes, fault: str = "") -> bytes:
    """gzip, or zstd.  Each fault as it was measured on real readers."""
    if fault.startswith("zstd"):
        return _zstd_with(body, fault)
    half = body.index(b"\n", len(body) // 2) + 1
    two = gzip.compress(body[:half], 1, mtime=0) + gzip.compress(body[half:], 1, mtime=0)
    whole = gzip.compress(body, 1, mtime=0)
    match fault:
        case "members":
            return two + gzip.compress(b"", mtime=0)
        case "cut":
            return whole[: len(whole) // 2]
        case "cut at a member":
            return gzip.compress(body[:half], 1, mtime=0)
        case "bit":
            at = len(whole) - 6
            return whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :]
        case "zeros":
            return whole + bytes(512)
        case "garbage":
            return whole + b"GET / HTTP/1.1"
        case "plain":
            return body
        case _:
            return whole


def _zstd_with(body: bytes, fault: str) -> bytes:
    half = body.index(b"\n", len(body) // 2) + 1
    whole = _zstd(body)
    at = len(whole) // 2
    return {
        "zstd": whole,
        "zstd frames": _zstd(body[:half]) + _zstd(body[half:]) + _zstd(b""),
        # As pzstd begins its files: a frame to be skipped says how long the next one is.
        "zstd skipped": b"\x50\x2a\x4d\x18\x04\x00\x00\x00" + bytes(4) + whole,
        "zstd cut": whole[:-9],
        "zstd bit": whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :],
    }[fault]


def _zstd(body: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(body)


def inflated(data: bytes) -> bytes:
    """By Python's own library, as an auditor would; zstd by the library that everybody has."""
    if data[:4] == b"\x28\xb5\x2f\xfd":
        with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
            return reader.read()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


__all__ = ["FAULTS", "FORMATS", "Made", "inflated", "line_of", "made", "packed", "timeless"]
