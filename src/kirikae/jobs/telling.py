"""What a move of jobs tells: its verdict, its steps, its figures, what may be removed; pure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kirikae.jobs.counting import Count
from kirikae.jobs.groups import Ladder
from kirikae.jobs.settings import JobsMove
from kirikae.jobs.tables import Jobs, Timed
from kirikae.model.evidence import Evidence, Verdict
from kirikae.model.move import Move
from kirikae.model.said import Said, said
from kirikae.model.share import percent
from kirikae.model.shown import code_span
from kirikae.move.kind import Fact, Prospect, Prospects, Told

_NAMED = 5
"""So many are named; the rest is counted."""
SOON_MIN = 8 * 1440
"""So far ahead is looked for a job's next due minute."""


@dataclass(frozen=True, slots=True)
class Soon:
    """``wait_s``: from the step until the job is due.  ``local``: by the clock of its zone."""

    wait_s: float
    local: str


First = Callable[[str, float], Soon | None]
"""(job, seconds from now at which the step begins) -> when it is due first; None: not soon."""


def quoted(path: str) -> str:
    """For a shell."""
    return shlex.quote(path)


def unknown(settings: JobsMove, jobs: Jobs) -> list[str]:
    """IDs in the project file that the crontab does not have."""
    named = [each.job for each in settings.stays]
    named += [*settings.order, *(job for group in settings.groups for job in group)]
    return [job for job in dict.fromkeys(named) if job not in set(jobs.ids)]


def judged(
    settings: JobsMove,
    move: Move,
    count: Count,
    left_s: float,
) -> tuple[Verdict, Said]:
    """What harms is told at once; what is well has to last."""
    harm = _harm(settings, count)
    if harm is not None:
        return Verdict.FAIL, harm
    if count.silent:
        # It would run twice as soon as it is handed over, in whichever step that is.
        return Verdict.UNSURE, said("jobs.judge.silent", jobs=_some(count.silent))
    if not move.share:
        return _ready(count, left_s, bool(settings.bake))
    if left_s > 0:
        return Verdict.UNSURE, said(
            "jobs.judge.bakes",
            seconds=left_s,
            **_blanks(count),
        )
    if not count.new and settings.bake:
        return Verdict.UNSURE, said("jobs.judge.none_due", **_blanks(count))
    return Verdict.PASS, said("jobs.judge.well", **_blanks(count))


def _ready(
    count: Count,
    left_s: float,
    watched: bool,
) -> tuple[Verdict, Said]:
    """Schedulers and guards are there."""
    if left_s > 0:
        return Verdict.UNSURE, said(
            "jobs.judge.listens",
            seconds=left_s,
            old=count.old,
        )
    if not count.old and watched:
        return Verdict.UNSURE, said("jobs.judge.none_heard")
    return Verdict.PASS, said("jobs.judge.ready", old=count.old)


def _harm(settings: JobsMove, count: Count) -> Said | None:
    for key, found in (
        ("missing", count.missing),
        ("extra", count.extra),
        ("lost", count.lost),
        ("failed", count.failed),
    ):
        if found:
            return said(
                f"jobs.judge.{key}",
                n=len(found),
                firings=_some(found),
            )
    if len(count.late) > settings.late_at_most * count.new:
        late = _some(count.late)
        return said(
            "jobs.judge.late",
            n=len(count.late),
            seconds=settings.late,
            firings=late,
        )
    return None


def _some(names: Sequence[str]) -> list[str]:
    more = [f"+{len(names) - _NAMED}"] if len(names) > _NAMED else []
    return [*names[:_NAMED], *more]


def _blanks(count: Count) -> dict[str, int]:
    return {
        "planned": count.planned,
        "new": count.new,
        "old": count.old,
        "late": len(count.late),
    }


def prospects(
    settings: JobsMove,
    ladder: Ladder,
    plan: Sequence[int],
    first: First,
) -> Prospects:
    """Which jobs each step hands over, and how long it waits until one of the new side's is due."""
    steps = []
    before: list[str] = []
    at_s = 0.0
    for share in plan:
        owned = ladder.owned(share)
        jobs = [job for job in owned if job not in set(before)]
        dues = {job: first(job, at_s) for job in owned}
        seconds = _step_s(settings, dues.values())
        says = said(
            "jobs.prospect.step",
            n=len(jobs),
            jobs=_some(jobs),
            seconds=settings.bake,
        )
        more = _when_due(settings, {job: dues[job] for job in jobs}, dues.values(), seconds)
        steps.append(
            Prospect(
                share,
                seconds,
                (says, *more),
                {"jobs": jobs, "first_due": {job: _local(dues[job]) for job in jobs}},
            )
        )
        before = owned
        at_s += seconds or 0.0
    return Prospects(tuple(steps))


def _step_s(settings: JobsMove, dues: Iterable[Soon | None]) -> float | None:
    """As `judged` has it: the bake, and until a firing of the new side can be told to be well.
    None where no job of it is due for so long that nobody looked."""
    if not settings.bake:
        return 0.0
    waits = [due.wait_s for due in dues if due is not None]
    return max(settings.bake, min(waits) + settings.settles_within) if waits else None


def _when_due(
    settings: JobsMove,
    handed: Mapping[str, Soon | None],
    every: Iterable[Soon | None],
    seconds: float | None,
) -> Iterator[Said]:
    """What a step waits for beyond its bake, and which of its jobs it never sees."""
    if not settings.bake:
        return
    known = sorted((due for due in every if due is not None), key=lambda due: due.wait_s)
    if not known:
        yield said("jobs.prospect.none_due", days=SOON_MIN // 1440)
    elif known[0].wait_s > settings.bake:
        yield said("jobs.prospect.waits", at=known[0].local)
    unseen = [
        said("jobs.prospect.later", job=job, at=_local(due))
        for job, due in handed.items()
        if due is not None and seconds is not None and due.wait_s >= seconds
    ]
    unseen += [
        said("jobs.prospect.much_later", job=job, days=SOON_MIN // 1440)
        for job, due in handed.items()
        if due is None and known
    ]
    if unseen:
        yield said("jobs.prospect.unseen", jobs=unseen)


def _local(due: Soon | None) -> str | None:
    return None if due is None else due.local


def facts(
    settings: JobsMove,
    ladder: Ladder,
    found: int | None,
    owned: Sequence[str],
) -> list[Fact]:
    """The share, who has what, and what stays with its reason."""
    every = sum(len(group) for group in ladder.groups)
    chained = [list(group) for group in ladder.groups if len(group) > 1]
    stays = [
        {
            "job": each.job,
            "reason": each.reason,
            "until": str(each.until),
        }
        for each in settings.stays
    ]
    told = [
        Fact(
            "found_share",
            None if found is None else percent(found),
            said("jobs.fact.share", share=found),
        ),
        Fact(
            "owned",
            list(owned),
            said(
                "jobs.fact.owned",
                n=len(owned),
                all=every,
            ),
        ),
        Fact(
            "chained",
            chained,
            _chained(chained),
        ),
        Fact("stays", stays),
    ]
    for each in settings.stays:
        says = said(
            "jobs.fact.stays",
            job=each.job,
            reason=each.reason,
            until=str(each.until),
        )
        told.append(
            Fact(
                f"stays.{each.job}",
                str(each.until),
                says,
            )
        )
    return told


def _chained(groups: Sequence[Sequence[str]]) -> Said | None:
    if not groups:
        return None
    return said("jobs.fact.chained", groups=[" + ".join(group) for group in groups])


def told(evidence: Evidence) -> Told | None:
    """None where nothing was counted."""
    figures = evidence.figures
    if "planned" not in figures:
        return None
    blanks = {name: int(value) for name, value in figures.items()}
    return Told(said("jobs.told.line", **blanks), said("jobs.told.sentence", **blanks))


def removal(
    move: Move,
    settings: JobsMove,
    moving: Sequence[Timed],
) -> Said:
    """A Markdown checklist: every line of the crontab that is not needed any more, by its place."""
    lines = [
        f"- [ ] {timed.job.source}: {code_span(f'{timed.entry.when} {timed.entry.raw_command}')}"
        for timed in moving
    ]
    stays = [f"- {each.job} ({each.reason}; {each.until})" for each in settings.stays]
    return said(
        "jobs.removal.plan",
        name=move.name,
        table=settings.named,
        crontab=settings.crontab,
        lines="\n".join(lines),
        stays="\n".join(stays) or "-",
    )
