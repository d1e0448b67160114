"""A run as files that other tools read: vegeta's CSV and report, and HdrHistogram's text.

Sources: vegeta's README, "encode" and "report"; HdrHistogram's ``.hgrm``, as hdrplot reads it.
"""

from __future__ import annotations

import base64
import csv
import datetime
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from kirikae.drill.columns import Error, Record
from kirikae.drill.targets import Target
from kirikae.drill.verdict import Figures

_TOLD = {
    Error.NOT_SENT: "not sent",
    Error.REFUSED: "connection refused",
    Error.CLOSED: "connection closed before the answer",
    Error.TIMED_OUT: "timed out",
    Error.NO_HTTP: "the answer is not HTTP",
    Error.STOPPED: "stopped",
}
_TICKS = (50, 75, 90, 95, 97.5, 99, 99.5, 99.9, 99.95, 99.99, 99.995, 99.999)


def vegeta_csv(
    out: TextIO,
    record: Record,
    targets: Sequence[Target],
) -> None:
    """Twelve columns, no head line; latency from when a request was due.  Bodies and headers of
    answers are not kept."""
    writer = csv.writer(out, lineterminator="\n")
    offset = int(record.wall * 1e9) - record.began_ns
    for number in np.flatnonzero(record.sent > 0).tolist():
        target = targets[int(record.target[number])]
        error = Error(int(record.error[number]))
        ended = record.done[number] or record.sent[number]
        writer.writerow(
            (
                int(record.due[number]) + offset,
                int(record.status[number]),
                int(ended - record.due[number]),
                len(target.body),
                int(record.octets[number]),
                _TOLD.get(error, ""),
                "",
                "kirikae",
                number,
                target.method,
                target.url.geturl(),
                base64.b64encode(b"\r\n").decode(),
            )
        )


def vegeta_report(record: Record, figures: Figures) -> dict[str, Any]:
    """The JSON of ``vegeta report -type=json``; times in nanoseconds.  A percentile without an
    answer is null."""
    sent = record.due[record.sent > 0]
    first = int(sent.min()) if len(sent) else record.began_ns
    last = int(sent.max()) if len(sent) else record.began_ns
    done = int(max(record.done.max(initial=0), last))
    lasted = max((last - first) / 1e9, 1e-9)
    answered = figures.waited[np.isfinite(figures.waited)]
    good = sum(many for status, many in figures.statuses.items() if 200 <= status < 400)
    return {
        "latencies": {
            "total": int(answered.sum() * 1e9),
            "mean": _nanoseconds(figures.mean),
            "50th": _nanoseconds(figures.percentile(50)),
            "90th": _nanoseconds(figures.percentile(90)),
            "95th": _nanoseconds(figures.percentile(95)),
            "99th": _nanoseconds(figures.percentile(99)),
            "max": _nanoseconds(float(answered.max(initial=0))),
            "min": _nanoseconds(float(answered.min(initial=0 if not len(answered) else np.inf))),
        },
        "bytes_in": {
            "total": int(record.octets.sum()),
            "mean": float(record.octets.sum() / max(1, len(sent))),
        },
        "earliest": _stamp(record, first),
        "latest": _stamp(record, last),
        "end": _stamp(record, done),
        "duration": last - first,
        "wait": done - last,
        "requests": len(sent),
        "rate": len(sent) / lasted,
        "throughput": good / max((done - first) / 1e9, 1e-9),
        "success": good / max(1, len(sent)),
        "status_codes": {str(code): many for code, many in figures.statuses.items()},
        "errors": sorted(_TOLD[Error[name.upper()]] for name in figures.errors),
    }


def _nanoseconds(seconds: float) -> int | None:
    return int(seconds * 1e9) if np.isfinite(seconds) else None


def _stamp(record: Record, at_ns: int) -> str:
    at = record.wall + (at_ns - record.began_ns) / 1e9
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat()


def hgrm(waited: NDArray[np.float64]) -> Iterator[str]:
    """Value (ms), percentile, total count, 1/(1-percentile); of the answered ones."""
    answered = np.sort(waited[np.isfinite(waited)]) * 1000
    many = len(answered)
    yield "       Value     Percentile TotalCount 1/(1-Percentile)\n"
    for tick in _TICKS if many else ():
        count = max(1, int(np.ceil(many * tick / 100)))
        value = answered[count - 1]
        yield f"{value:12.3f} {tick / 100:14.12f} {count:10d} {1 / (1 - tick / 100):14.2f}"
    if many:
        yield f"{answered[-1]:12.3f} {1:14.12f} {many:10d}"
    mean = answered.mean() if many else 0.0
    spread = answered.std() if many else 0.0
    most = answered[-1] if many else 0.0
    yield f"#[Mean    = {mean:12.3f}, StdDeviation   = {spread:12.3f}]"
    yield f"#[Max     = {most:12.3f}, TotalCount     = {many:12d}]"
    yield "#[Buckets =            1, SubBuckets     =         2048]"
