"""What the engine's health checks of a container prove: pure functions.

The engine runs the checks and says "unhealthy" after so many failures in a row.  A check that ran
out of time while this machine was overloaded is no failure: it could not have run in time.  It is
excused, but not for ever: a task of which nothing but late checks was heard for five minutes is
believed to be dead, also on a slow machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kirikae.local.ecs.containers import engine_time
from kirikae.local.plain import Plain
from kirikae.local.rows import Excused, HealthCheck

LONGEST_EXCUSE_S = 300
DEFAULT_RETRIES = 3
DEFAULT_TIMEOUT_S = 5


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a health check.  ``in_time``: it came to an end, well or badly."""

    began: float
    ended: float
    passed: bool
    in_time: bool


def failed_runs(health: Plain) -> list[Run]:
    """The newest failures in a row that the engine still knows, oldest first."""
    streak = int(health.get("FailingStreak", 0))
    runs = [_run(entry) for entry in health.get("Log") or []]
    return runs[-streak:] if streak else []


def _run(entry: Plain) -> Run:
    """The engine writes -1 for a check that it stopped, or could not begin."""
    code = int(entry["ExitCode"])
    return Run(engine_time(entry["Start"]), engine_time(entry["End"]), code == 0, code >= 0)


def out_of_time(runs: Sequence[Run]) -> list[Run]:
    """Those that the engine stopped or could not begin: they prove nothing of the container
    itself."""
    return [run for run in runs if not run.in_time]


@dataclass(frozen=True, slots=True)
class Judged:
    """``unhealthy``: enough failures count.  ``excused``: what does not count; None: all does."""

    unhealthy: bool
    excused: Excused | None


def judged(
    health: Plain,
    check: HealthCheck,
    before: Excused | None,
    was_late: Callable[[Run], bool],
    now: float,
) -> Judged:
    """What the engine's "unhealthy" is worth."""
    known_until = before["until"] if before else 0.0
    fresh = [
        run for run in out_of_time(failed_runs(health)) if run.ended > known_until and was_late(run)
    ]
    excused = _more(before, fresh)
    if excused is None or now - excused["since"] > LONGEST_EXCUSE_S:
        return Judged(True, None)
    counted = int(health["FailingStreak"]) - excused["runs"]
    return Judged(counted >= check.get("retries", DEFAULT_RETRIES), excused)


def _more(before: Excused | None, fresh: Sequence[Run]) -> Excused | None:
    """The excuse with these further late runs; ``since`` stays the beginning of the first of them,
    so that the five minutes are counted from there."""
    if not fresh:
        return before
    return {
        "runs": len(fresh) + (before["runs"] if before else 0),
        "since": before["since"] if before else fresh[0].ended,
        "until": fresh[-1].ended,
    }
