"""From what was measured to the figures that Prometheus scrapes.  Names are public."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, time

from kirikae.console.drill_reports import DrillSeen
from kirikae.console.exposition import Family, Sample, known, name_of, one_of
from kirikae.console.measured import Measured, MoveSeen, ReleasesSeen, SurveySeen
from kirikae.model.evidence import Evidence, Verdict
from kirikae.model.finding import Severity, blocking
from kirikae.model.move import Move, Phase, Why
from kirikae.model.project import Project
from kirikae.release.fleet import NEW, OLD
from kirikae.release.ledger import Outcome
from kirikae.release.status import ServiceNow

Labels = Mapping[str, str]
_SIDES = (OLD, NEW)


def families(seen: Measured) -> list[Family]:
    """In the order in which a person reads them."""
    found = [
        _info(seen),
        *_looked(seen.moves),
        *_stands(seen.moves),
        *_figures(seen.moves),
    ]
    if seen.releases is not None:
        found += _releases(seen.releases)
    if seen.survey is not None:
        found += _survey(
            seen.survey,
            [move.kind for move in seen.moves],
        )
    found += _drills(seen.drills)
    found += _acceptances(seen.project)
    return [family for family in found if family.samples]


def _info(seen: Measured) -> Family:
    project = seen.project
    labels = {
        "version": seen.version,
        "service": project.service,
        "environment": project.environment,
        "region": project.region,
    }
    return Family("kirikae_info", "Which kirikae tells of which service.", [Sample(1, labels)])


def _looked(moves: Iterable[MoveSeen]) -> Iterator[Family]:
    """First of all, whether the rest is to be believed."""
    yield Family(
        "kirikae_move_looked_at",
        "1: the move could be looked at; 0: not, and its other figures are missing.",
        [
            Sample(
                float(not each.trouble),
                _move(each),
            )
            for each in moves
        ],
    )


def _move(seen: MoveSeen) -> dict[str, str]:
    return {"move": seen.name, "kind": seen.kind}


def _stands(moves: Iterable[MoveSeen]) -> Iterator[Family]:
    """Where each move stands; one that was never planned, or could not be looked at, has none of
    these."""
    planned = [each for each in moves if each.standing is not None]
    for name, says, look in _OF_A_MOVE:
        samples = [sample for each in planned for sample in look(each)]
        yield Family(f"kirikae_move_{name}", says, samples)


def _of(seen: MoveSeen) -> Move:
    assert seen.standing is not None
    return seen.standing.move


def _share(seen: MoveSeen) -> list[Sample]:
    return known(
        _of(seen).share,
        _move(seen),
    )


def _share_found(seen: MoveSeen) -> list[Sample]:
    assert seen.standing is not None
    return known(
        seen.standing.share_found,
        _move(seen),
    )


def _next_share(seen: MoveSeen) -> list[Sample]:
    return known(
        _of(seen).next_share,
        _move(seen),
    )


def _phase(seen: MoveSeen) -> list[Sample]:
    return one_of(
        _of(seen).phase,
        Phase,
        "phase",
        _move(seen),
    )


def _held(seen: MoveSeen) -> list[Sample]:
    """All 0 where nothing holds it: that is known."""
    held = _of(seen).held
    return one_of(
        "" if held is None else held.why,
        Why,
        "why",
        _move(seen),
    )


def _driven(seen: MoveSeen) -> list[Sample]:
    assert seen.standing is not None
    return known(
        float(seen.standing.driver is not None),
        _move(seen),
    )


def _differs(seen: MoveSeen) -> list[Sample]:
    assert seen.standing is not None
    return known(
        float(seen.standing.differs is not None),
        _move(seen),
    )


def _entries(seen: MoveSeen) -> list[Sample]:
    return known(
        _of(seen).seq,
        _move(seen),
    )


def _last_entry(seen: MoveSeen) -> list[Sample]:
    return known(seen.at, _move(seen))


def _verdict(seen: MoveSeen) -> list[Sample]:
    """Nothing where there is nothing to judge."""
    said = None if seen.evidence is None else seen.evidence.verdict
    return one_of(said, Verdict, "verdict", _move(seen))


_OF_A_MOVE = (
    ("share", "Permille of the new side, as the journal has it.", _share),
    (
        "found_share",
        "Permille of the new side, as the world has it; missing where that cannot be told.",
        _share_found,
    ),
    ("next_share", "Permille that the plan has next; missing once all has moved.", _next_share),
    ("phase", "1 for the phase that the move is in.", _phase),
    ("held", "1 for why the move stands still; all 0: it is not held.", _held),
    ("driven", "1: somebody drives it.", _driven),
    ("differs", "1: the weights are not what the journal says.", _differs),
    ("entries", "The number of its last entry in the journal.", _entries),
    ("last_entry_timestamp_seconds", "When that was written (Unix time).", _last_entry),
    ("verdict", "1 for what the figures of both sides say now.", _verdict),
)


def _figures(moves: Iterable[MoveSeen]) -> Iterator[Family]:
    """What the verdicts rest on: each kind of move has figures of its own."""
    samples: dict[str, list[Sample]] = {}
    for seen in moves:
        for key, value in _evidence(seen.evidence).items():
            side, figure = _side_of(key)
            name = name_of("kirikae_move", seen.kind, figure)
            labels = {
                "move": seen.name,
                **({"side": side} if side else {}),
            }
            samples.setdefault(name, []).extend(known(value, labels))
    for name, found in sorted(samples.items()):
        yield Family(name, "A figure of this step that the verdict rests on.", found)


def _drills(drills: Iterable[DrillSeen]) -> Iterator[Family]:
    """Of the reports that lie beside the project file: each stays until it is taken away."""
    told = [({"report": each.report, "fault": each.fault}, each) for each in drills]
    yield Family(
        "kirikae_drill_requests",
        "Requests of a drill by what became of them.",
        [
            Sample(value, {**labels, "verdict": verdict})
            for labels, each in told
            for verdict, value in each.requests.items()
        ],
    )
    yield Family(
        "kirikae_drill_latency_seconds",
        "Answer times of a drill; missing where so many had no answer.",
        [
            Sample(value, {**labels, "quantile": f"{float(name.removeprefix('p')) / 100:g}"})
            for labels, each in told
            for name, value in each.latency_s.items()
        ],
    )
    yield Family(
        "kirikae_drill_recovery_seconds",
        "From a fault until answers were as before; missing where they never were.",
        [sample for labels, each in told for sample in known(each.recovery_s, labels)],
    )
    yield Family(
        "kirikae_drill_lost_requests",
        "Requests that a fault lost.",
        [sample for labels, each in told if each.fault for sample in known(each.lost, labels)],
    )
    yield Family(
        "kirikae_drill_report_timestamp_seconds",
        "When the report was written (Unix time).",
        [Sample(each.at, labels) for labels, each in told],
    )


def _evidence(evidence: Evidence | None) -> Mapping[str, float]:
    return {} if evidence is None else evidence.figures


def _side_of(key: str) -> tuple[str, str]:
    """``old_requests`` is a figure of the old side; ``log_harm`` one of both."""
    side, _, figure = key.partition("_")
    return (side, figure) if side in _SIDES and figure else ("", key)


def _releases(seen: ReleasesSeen) -> Iterator[Family]:
    done = {each.fleet: each for each in seen.ledger if each.outcome is Outcome.DONE}
    last = {each.fleet: each for each in seen.ledger}
    yield Family(
        "kirikae_release_serving",
        "1 for the release that each fleet got last, as the ledger has it.",
        [Sample(1, {"fleet": fleet, "release": each.release}) for fleet, each in done.items()],
    )
    yield Family(
        "kirikae_release_last_outcome",
        "1 for how the last deploy of each fleet ended.",
        [
            sample
            for fleet, each in last.items()
            for sample in one_of(
                each.outcome,
                Outcome,
                "outcome",
                {"fleet": fleet},
            )
        ],
    )
    yield Family(
        "kirikae_release_last_deploy_timestamp_seconds",
        "When the last deploy of each fleet began (Unix time).",
        [Sample(each.at, {"fleet": fleet}) for fleet, each in last.items()],
    )
    yield from _tasks(seen.services)


def _tasks(services: Mapping[str, ServiceNow | None]) -> Iterator[Family]:
    """Of the services that are there."""
    there = {name: now for name, now in services.items() if now is not None}
    yield Family(
        "kirikae_release_tasks_running",
        "Tasks of the new fleet's services that run.",
        [Sample(now.running, {"service": name}) for name, now in there.items()],
    )
    yield Family(
        "kirikae_release_tasks_desired",
        "Tasks of the new fleet's services that shall run.",
        [Sample(now.desired, {"service": name}) for name, now in there.items()],
    )


def _survey(seen: SurveySeen, kinds: Iterable[str]) -> Iterator[Family]:
    counted = Counter(each.severity for each in seen.findings if not each.accepted)
    yield Family(
        "kirikae_survey_findings",
        "Findings of the newest survey that nobody answers for.",
        [
            Sample(
                counted[each],
                {"severity": str(each)},
            )
            for each in Severity
        ],
    )
    yield Family(
        "kirikae_survey_blocking_findings",
        "Findings that stand in the way of a kind of move.",
        [
            Sample(
                len(blocking(seen.findings, each)),
                {"kind": each},
            )
            for each in sorted({*kinds})
        ],
    )
    yield Family(
        "kirikae_survey_age_seconds",
        "How old the newest look at a host is; missing for one that was never looked at.",
        [s for host, age in seen.ages_s.items() for s in known(age, {"host": host})],
    )


def _acceptances(project: Project) -> Iterator[Family]:
    samples = []
    for each in project.accepted:
        ends = datetime.combine(
            each.until,
            time.max,
            UTC,
        ).timestamp()
        samples.append(
            Sample(
                int(ends),
                {"finding": each.finding, "where": each.where},
            )
        )
    yield Family(
        "kirikae_acceptance_ends_timestamp_seconds",
        "When somebody's answer for a finding ends (Unix time).",
        samples,
    )
