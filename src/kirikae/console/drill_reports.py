"""JSON reports of drills and capacity that lie in a folder: read again, and what they measured."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kirikae.model.errors import UsageProblem

FOLDER = "reports"
"""Beside the project file, unless somebody names another."""
_MOST = 50
_BYTES = 4_000_000
_VERDICTS = ("ok", "slow", "wrong", "lost", "not_sent")
_MEASURED_AT_MOST = 20


def report_files(folder: Path) -> list[Path]:
    """The newest first; none where the folder is not there."""
    if not folder.is_dir():
        return []
    found = [file for file in folder.glob("*.json") if file.is_file()]
    return sorted(
        found,
        key=lambda file: file.stat().st_mtime,
        reverse=True,
    )[:_MOST]


def read_report(file: Path) -> Any:
    """Raises UsageProblem."""
    try:
        if file.stat().st_size > _BYTES:
            raise UsageProblem(f"{file.name}: more than 4 MB is no report")
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageProblem(f"{file.name}: {error}; write it with `--json`") from error


@dataclass(frozen=True, slots=True)
class DrillSeen:
    """One load, or one fault of a day.  ``requests``: by verdict; ``latency_s``: by quantile."""

    report: str
    fault: str
    at: float
    requests: Mapping[str, float] = field(default_factory=dict)
    latency_s: Mapping[str, float] = field(default_factory=dict)
    recovery_s: float | None = None
    lost: float | None = None


def drills_in(folder: Path, troubles: list[str]) -> list[DrillSeen]:
    """Of the newest reports.  One that is of no drill is passed over, one that cannot be read is
    told."""
    found: list[DrillSeen] = []
    for file in report_files(folder)[:_MEASURED_AT_MOST]:
        try:
            found += _drills(file.stem, read_report(file), file.stat().st_mtime)
        except (UsageProblem, OSError) as error:
            troubles.append(str(error))
    return found


def _drills(name: str, raw: Any, at: float) -> Iterator[DrillSeen]:
    for each in _parts(raw):
        requests = _requests(each.get("figures"))
        recovery = _number(each.get("recovery_s"))
        if requests or "recovery_s" in each:
            yield DrillSeen(
                name,
                str(each.get("fault") or ""),
                at,
                requests,
                _latency(each.get("figures")),
                recovery,
                _number(each.get("lost")),
            )


def _parts(raw: Any) -> Sequence[Mapping[str, Any]]:
    """A day has several faults, every other report is one."""
    if not isinstance(raw, dict):
        return []
    faults = raw.get("faults")
    return (
        [each for each in faults if isinstance(each, dict)] if isinstance(faults, list) else [raw]
    )


def _requests(figures: Any) -> dict[str, float]:
    plain = figures if isinstance(figures, dict) else {}
    found = {verdict: _number(plain.get(verdict)) for verdict in _VERDICTS}
    return {verdict: value for verdict, value in found.items() if value is not None}


def _latency(figures: Any) -> dict[str, float]:
    """Milliseconds in the report; one that so many had no answer for is null there."""
    plain = figures.get("latency_ms") if isinstance(figures, dict) else None
    found = {key: _number(value) for key, value in plain.items()} if isinstance(plain, dict) else {}
    return {
        key: value / 1000
        for key, value in found.items()
        if value is not None and key.removeprefix("p").replace(".", "").isdecimal()
    }


def _number(value: Any) -> float | None:
    """None: not known.  A truth value is no number."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
