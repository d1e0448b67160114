"""What the rehearsal has to show: figures per act, side and verdict; as JSON, as a page with
charts, and in words."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import page

KILL_WINDOW_S = 5
"""Failures this soon after a task was killed, on the new side, are its requests in flight."""
SIDES = ("old", "new", "none")
VERDICTS = ("ok", "slow", "wrong", "lost")
Plain = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """Equal answers of one second."""

    second: int
    side: str
    verdict: str
    action: str
    reason: str
    release: str
    count: int

    @property
    def good(self) -> bool:
        return self.verdict in ("ok", "slow")

    @property
    def planted(self) -> bool:
        """It met r2's fault: receipts that ask for the host's name."""
        met = (self.action, self.side, self.release, self.reason)
        return met == ("order", "new", "r2", "status 500")

    def in_flight(self, killed_at: float) -> bool:
        """It was on its way in the task that was killed."""
        soon = killed_at <= self.second + 1 and self.second <= killed_at + KILL_WINDOW_S
        return soon and self.side != "old" and self.verdict == "lost"

    def to_plain(self) -> Plain:
        return {
            "t": self.second,
            "side": self.side,
            "verdict": self.verdict,
            "action": self.action,
            "reason": self.reason,
            "count": self.count,
        }


def read_load(file: Path) -> list[Plain]:
    if not file.exists():
        return []
    lines = []
    for line in file.read_text().splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue  # the last line may be half written while the load runs
    return lines


def rows_of(seconds: list[Plain], since: float, until: float) -> Iterator[Row]:
    for second in seconds:
        if since <= second["t"] < until:
            for side, verdict, action, reason, release, count in second["rows"]:
                yield Row(second["t"], side, verdict, action, reason, release, count)


def load_line(file: Path, since: float, until: float) -> str:
    """The load between two times in one line."""
    seconds = [s for s in read_load(file) if since <= s["t"] <= until]
    if not seconds:
        return "no load yet"
    verdicts: Counter[str] = Counter()
    new = 0
    for row in rows_of(seconds, since, until + 1):
        verdicts[row.verdict] += row.count
        new += row.count if row.side == "new" else 0
    total = verdicts.total()
    parts = " · ".join(f"{verdict} {verdicts[verdict]}" for verdict in VERDICTS)
    share = 100 * new / max(1, total)
    return f"{total / len(seconds):.0f} requests/s · new side {share:.0f}% · {parts}"


def slow_part(file: Path, since: float) -> float:
    """Which part of the answers since then was slow; 0 where there were none."""
    verdicts: Counter[str] = Counter()
    for row in rows_of(read_load(file), since, float("inf")):
        verdicts[row.verdict] += row.count
    return verdicts["slow"] / max(1, verdicts.total())


def summarise(seconds: list[Plain], acts: list[Plain], facts: Plain) -> Plain:
    """Counts per act and side; what failed, and which of it was planted."""
    by_act = [(act, list(rows_of(seconds, act["began"], act["ended"]))) for act in acts]
    rows = [row for _, rows in by_act for row in rows]
    planted, in_flight, outside = _failures(rows, facts.get("task_killed_at", 0.0))
    totals: Counter[str] = Counter()
    for row in rows:
        totals[row.verdict] += row.count
    last = seconds[-1] if seconds else {"sessions_lost": 0, "stalled": 0}
    return {
        "acts": [_told_act(act, rows) for act, rows in by_act],
        "totals": dict(totals),
        "sent": totals.total(),
        "sessions_lost": last["sessions_lost"],
        "stalled": last["stalled"],
        "met_the_planted_fault": sum(row.count for row in planted),
        "in_flight_of_the_killed_task": sum(row.count for row in in_flight),
        "outside": [row.to_plain() for row in outside],
    }


def _failures(rows: list[Row], killed_at: float) -> tuple[list[Row], list[Row], list[Row]]:
    """Those that were planted, those in flight in the killed task, and all others."""
    planted = []
    in_flight = []
    outside = []
    for row in rows:
        if row.good:
            continue
        if row.planted:
            planted.append(row)
        elif row.in_flight(killed_at):
            in_flight.append(row)
        else:
            outside.append(row)
    return planted, in_flight, outside


def _told_act(act: Plain, rows: list[Row]) -> Plain:
    sides: dict[str, Counter[str]] = {side: Counter() for side in SIDES}
    for row in rows:
        sides[row.side][row.verdict] += row.count
    told = {side: dict(counts) for side, counts in sides.items()}
    return {**act, "seconds": round(act["ended"] - act["began"], 1), "sides": told}


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What a rehearsal kept for its report.

    ``measured``: what the machine can carry, and the pace that was chosen.  ``history``: the
    journal of the move.  ``plan``: what `move plan` says.
    """

    acts: list[Plain]
    marks: list[Plain]
    facts: Plain
    measured: Plain
    history: list[Plain]
    plan: Plain


def write(out: Path, load_file: Path, rehearsed: Rehearsed) -> Plain:
    """Write report.json and report.html; the answer is what the JSON holds."""
    seconds = read_load(load_file)
    acts = rehearsed.acts
    summary = {
        **summarise(seconds, acts, rehearsed.facts),
        "cores": os.cpu_count(),
        **rehearsed.measured,
        "facts": rehearsed.facts,
        "marks": rehearsed.marks,
        "plan": rehearsed.plan,
        "took_s": round(acts[-1]["ended"] - acts[0]["began"], 1),
        "journal": rehearsed.history,
    }
    summary["broken"] = list(broken(summary))
    (out / "report.json").write_text(json.dumps(summary, indent=1, ensure_ascii=False))
    html = page.of(summary, seconds, in_words(summary))
    (out / "report.html").write_text(html, encoding="utf-8")
    return summary


def broken(summary: Plain) -> Iterator[str]:
    """The promises that this rehearsal did not keep."""
    facts = summary["facts"]
    if lost := lost_outside(summary):
        yield (
            f"{lost} requests were lost or wrong outside the planted fault and the killed task: "
            f"{summary['outside'][:5]}"
        )
    if summary["sessions_lost"]:
        yield f"{summary['sessions_lost']} sessions were lost"
    if facts.get("secrets_found_in"):
        yield f"the planted secret stands in {', '.join(facts['secrets_found_in'])}"
    over = facts.get("refused_over", [])
    if not {"ST03", "ST04"} <= set(over):
        yield f"the first survey did not refuse over logins and uploads but over {over}"
    if not summary["met_the_planted_fault"]:
        yield "the planted fault was never met: the rehearsal proved nothing"
    if not any(entry["intent"] == "back-out" for entry in summary["journal"]):
        yield "kirikae never backed out"
    if (phase := summary["journal"][-1]["phase"]) != "retired":
        yield f"the move ended {phase}, not retired"


def lost_outside(summary: Plain) -> int:
    return sum(row["count"] for row in summary["outside"])


def in_words(summary: Plain) -> str:
    totals = summary["totals"]
    facts = summary["facts"]
    verdicts = ", ".join(f"{totals.get(verdict, 0)} {verdict}" for verdict in VERDICTS)
    margins = "; ".join(
        f"{step['share']}: at most {step['errors_at_most_more']:.1%} more errors"
        for step in summary["plan"]["steps"]
    )
    lines = [
        "",
        "Summary",
        f"  {summary['sent']} requests in {summary['took_s']:.0f} s on {summary['cores']} cores: "
        f"{verdicts}",
        f"  {summary['met_the_planted_fault']} requests met r2's fault before kirikae had backed "
        f"out: {facts['fail']}",
        f"  {summary['in_flight_of_the_killed_task']} requests were in flight in the killed task",
        f"  outside of these: {lost_outside(summary)} lost or wrong, "
        f"{summary['sessions_lost']} sessions lost",
        f"  red button: share 0 after {facts['red_button_s']} s",
        f"  margins: {margins}",
        *_crontab_in_words(facts.get("crontab")),
        *_letters_in_words(facts.get("letters")),
        *_logs_in_words(facts.get("logs")),
        *(f"  expected turn: {turn}" for turn in facts["turns"]),
        *(_act_in_words(act) for act in summary["acts"]),
    ]
    return "\n".join(lines)


def _crontab_in_words(crontab: Plain | None) -> Iterator[str]:
    """Nothing where the crontab did not move."""
    if crontab is not None:
        yield (
            f"  the crontab: {crontab['due']} firings were due, {crontab['once']} run once "
            f"({crontab['on_ecs']} of them on ECS), {crontab['doubled']} doubled, "
            f"{crontab['missing']} missing; a scheduler, a worker and the driver were killed"
        )


def _letters_in_words(letters: Plain | None) -> Iterator[str]:
    """Nothing where the Celery workers did not move."""
    if letters is not None:
        yield (
            f"  Celery: {letters['asked']} letters were asked for, {letters['once']} written once "
            f"({letters['on_ecs']} of them on ECS), {letters['doubled']} doubled, "
            f"{letters['missing']} missing; {letters['again']} begun again: a worker and the "
            "driver were killed"
        )


def _logs_in_words(logs: Plain | None) -> Iterator[str]:
    """Nothing where the logs did not move."""
    if logs is not None:
        yield (
            f"  the logs: {logs['lines']} lines ({logs['now']} written meanwhile), "
            f"{logs['missing']} missing in the new tree, {logs['doubled_by_the_shipper']} sent "
            f"twice by the shipper; "
            f"{logs['folders']} hours proven; a planted lost line was found in {logs['lost']}, a "
            f"doubled one in {logs['doubled']}; readers counted {logs['counted']} times during the "
            "shift, each time right; the backfill was killed in its middle"
        )


def _act_in_words(act: Plain) -> str:
    sides = " · ".join(
        f"{side} " + " ".join(f"{verdict} {n}" for verdict, n in sorted(counts.items()))
        for side, counts in act["sides"].items()
        if counts
    )
    return f"  {act['seconds']:5.0f} s  {act['title']}: {sides or 'no load yet'}"
