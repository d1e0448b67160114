"""Consumers of a queue as a thing that moves: tasks up, then units down; and the other way."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property

from kirikae.aws import queues
from kirikae.aws.errors import NotThere
from kirikae.aws.session import Aws
from kirikae.hosts.errors import CommandFailed, HostSilent
from kirikae.hosts.ssh import Host
from kirikae.jobs.errors import StillConsuming, WorkersNotReady, WorkersNotThere
from kirikae.jobs.workers import obstacles
from kirikae.jobs.workers.figures import Source, record, recorded
from kirikae.jobs.workers.ladder import Ladder
from kirikae.jobs.workers.prospects import Today, prospects_of, told
from kirikae.jobs.workers.settings import WorkersMove
from kirikae.jobs.workers.tasks import Service, Wanted
from kirikae.jobs.workers.trial import Trial
from kirikae.jobs.workers.units import States, Units
from kirikae.model.errors import KirikaeError
from kirikae.model.evidence import Evidence, Verdict
from kirikae.model.finding import Finding, blocking, with_accepted
from kirikae.model.move import Move, Phase
from kirikae.model.project import Project
from kirikae.model.said import Said, said
from kirikae.model.share import WHOLE, percent
from kirikae.move.errors import HandOnKnob, assert_no_hand
from kirikae.move.journal import Journal
from kirikae.move.judge import Margins
from kirikae.move.kind import Fact, Prospects, Told

LONGEST_RISE_S = 20.0
"""For so long one act waits for tasks that begin; then it is tried again, and the red button is
looked for in between."""
_GLANCE_S = 1.0
_PAST_S = 3600


@dataclass(slots=True)
class _Judged:
    """The judge of one step, and from when on figures are still to be read."""

    step: int
    trial: Trial
    since: int


class WorkersThing:
    """One instance per process; what it remembers between looks can be rebuilt from the journal."""

    look_every_s = 5.0
    delay_s = 0.0

    def __init__(
        self,
        aws: Aws,
        project: Project,
        settings: WorkersMove,
        journal: Journal,
        clock: Callable[[], float],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._aws = aws
        self._project = project
        self._settings = settings
        self._journal = journal
        self._clock = clock
        self._sleep = sleep
        self._judged: _Judged | None = None

    @property
    def subject(self) -> str:
        new = self._settings.new
        return f"{self._settings.queue}: {len(self.units.all)} units -> {new.ecs_service}"

    # --- where things are

    @cached_property
    def units(self) -> Units:
        """Raises WorkersNotReady where no host is named."""
        hosts = self._settings.old.hosts or self._project.fleets.old.hosts
        if not hosts:
            raise WorkersNotReady(
                "no host is named: write `old: {hosts: [ssh://name]}` in the move, or "
                "`fleets: {old: {hosts: ...}}`"
            )
        return Units([Host(url) for url in hosts], self._settings.old.units)

    @cached_property
    def service(self) -> Service:
        new = self._settings.new
        return Service(self._aws, new.cluster or self._project.fleets.new.cluster, new.ecs_service)

    @cached_property
    def ladder(self) -> Ladder:
        return Ladder(self._settings.new.tasks, len(self.units.all))

    @cached_property
    def source(self) -> Source:
        return Source(self._aws, self._settings, self.ladder, self.units, self.service)

    @property
    def margins(self) -> Margins:
        judge = self._settings.judge
        return Margins(judge.false_alarms, judge.worse_messages_at_most, judge.bake)

    # --- the seven acts

    def prepare(self, move: Move) -> None:
        in_the_way = blocking(self.obstacles(), "workers")
        if in_the_way:
            raise WorkersNotReady("\n".join(map(str, in_the_way)))

    def start(self, move: Move) -> None:
        wanted = self.service.look()
        if wanted.desired:
            raise WorkersNotReady(
                f"{self.service.name} is wanted with {wanted.desired} tasks before the move began; "
                "set its desired count to 0 first"
            )

    def compare(self, move: Move) -> Evidence:
        wanted = self.service.look()
        found = self.ladder.share_of(wanted.desired)
        if move.phase is Phase.SETTLED:
            evidence = Evidence(Verdict.UNSURE, said("workers.settled"))
        elif found != move.share:
            evidence = Evidence(Verdict.UNSURE, said("workers.changed_elsewhere"))
        elif move.share == 0:
            evidence = self._readiness()
        else:
            evidence = self._evidence(move, wanted)
        return replace(evidence, found=found)

    def _readiness(self) -> Evidence:
        states = self.units.states()
        trouble = _differs(states, self.units, self.ladder.units_at(0))
        # What tasks of before still log must not be laid to the ones that come.
        ending = self.service.ending()
        if trouble is None and ending:
            trouble = said("workers.ending", tasks=ending)
        if trouble is not None:
            return Evidence(Verdict.UNSURE, trouble)
        says = said(
            "workers.ready",
            units=len(states),
            queue=self._settings.queue,
            service=self.service.name,
        )
        return Evidence(Verdict.PASS, says)

    def _evidence(self, move: Move, wanted: Wanted) -> Evidence:
        judged = self._judge_of(move)
        try:
            alone = self._read(move, judged)
            states = self.units.states()
        except (HostSilent, CommandFailed, NotThere) as error:
            return self._incomplete(judged, error)
        if not alone:
            self._judged = None
            return Evidence(Verdict.UNSURE, said("workers.rival_records"))
        evidence = judged.trial.evidence()
        if evidence.verdict is not Verdict.PASS:
            return evidence
        trouble = _differs(states, self.units, self.ladder.units_at(move.share))
        trouble = trouble or self._missing(move, wanted)
        if trouble is None:
            return evidence
        return replace(evidence, verdict=Verdict.UNSURE, reason=trouble)

    def _incomplete(self, judged: _Judged, error: KirikaeError) -> Evidence:
        """The clock stands still; what is proven already counts all the same."""
        known = judged.trial.evidence()
        if known.verdict is Verdict.FAIL:
            return known
        says = said("workers.figures_incomplete", why=str(error))
        return replace(known, verdict=Verdict.UNSURE, reason=says)

    def _missing(self, move: Move, wanted: Wanted) -> Said | None:
        tasks = self.ladder.tasks_at(move.share)
        if wanted.running >= tasks:
            return None
        return said(
            "workers.tasks_missing",
            running=wanted.running,
            wanted=tasks,
            why=_why(self.service.why_not()),
        )

    def _read(self, move: Move, judged: _Judged) -> bool:
        """Record and judge whole periods that are known by now.  False: another driver records as
        well."""
        figures = self._settings.figures
        now = self._clock()
        while judged.since + figures.period <= now - figures.lateness:
            period = self.source.period(move, judged.since, now)
            if not record(self._journal, move, period):
                return False
            judged.trial.look(period)
            judged.since += int(figures.period)
        return True

    def _judge_of(self, move: Move) -> _Judged:
        """Figures count from the first whole second after the share was set."""
        if self._judged is not None and self._judged.step == move.stepped:
            return self._judged
        began = self._journal.stepped_at(move)
        periods = recorded(self._journal, move)
        ends = [each.start + each.seconds for each in periods if each.step == move.stepped]
        trial = self._trial_over(move)
        since = math.ceil(max([min(began, self._clock()), *ends]))
        self._judged = _Judged(move.stepped, trial, since)
        return self._judged

    def _trial_over(self, move: Move) -> Trial:
        trial = Trial(self.margins, move.plan, self._settings.judge.oldest_message)
        for period in recorded(self._journal, move):
            trial.look(period)
        return trial.at(move.stepped, move.share)

    def shift(self, name: str, share: int, expected: tuple[int, ...] | None) -> None:
        wanted = self.service.look()
        found = self.ladder.share_of(wanted.desired)
        assert_no_hand(found, expected)
        if share and share >= found:
            self._raise_to(share)
        else:
            self._lower_to(share)

    def _raise_to(self, share: int) -> None:
        """Tasks first; a unit stops only when what takes its place runs.  Raises
        WorkersNotThere."""
        tasks = self.ladder.tasks_at(share)
        self.service.want(tasks)
        wanted = self._until_they_run(tasks)
        if self.ladder.share_of(wanted.desired) != share:
            # The red button, or another hand, came in between: no unit is stopped for this share.
            raise HandOnKnob(self.ladder.share_of(wanted.desired), share)
        self._keep(share)

    def _until_they_run(self, tasks: int) -> Wanted:
        until = self._clock() + LONGEST_RISE_S
        wanted = self.service.look()
        while wanted.running < tasks and wanted.desired >= tasks:
            if self._clock() >= until:
                why = self.service.why_not()
                raise WorkersNotThere(
                    f"{wanted.running} of {tasks} tasks of {self.service.name} run"
                    f"{f' (the last one stopped: {why})' if why else ''}; "
                    "the old side's units go on until they do"
                )
            self._sleep(_GLANCE_S)
            wanted = self.service.look()
        return wanted

    def _lower_to(self, share: int) -> None:
        """Tasks first: a host that hangs must not keep the red button, and what nobody takes
        meanwhile stays in the queue."""
        self.service.want(self.ladder.tasks_at(share))
        self._keep(share)

    def _keep(self, share: int) -> None:
        _assert_none(self.units.keep(self.ladder.units_at(share)))

    def found(self) -> int | None:
        return self.ladder.share_of(self.service.look().desired)

    def settle(self, move: Move) -> None:
        self.shift(move.name, WHOLE, (WHOLE,))

    def retire(self, move: Move) -> None:
        """Deletes nothing: whoever retires writes the removal plan."""

    def discard(self, move: Move) -> None:
        self.shift(move.name, 0, None)

    # --- the eight looks

    def plan(self) -> tuple[int, ...]:
        return self.ladder.plan()

    def obstacles(self) -> list[Finding]:
        day = datetime.fromtimestamp(self._clock(), UTC).date()
        return with_accepted(list(self._all_obstacles()), self._project.accepted, day)

    def _all_obstacles(self) -> Iterator[Finding]:
        queue = queues.found(self._aws, self._settings.queue)
        states = self.units.states()
        wanted = self.service.look()
        definition = self.service.definition(wanted.definition)
        yield from obstacles.of_the_queue(self._settings, queue)
        if not wanted.desired:
            yield from obstacles.of_the_units(states)
        yield from obstacles.of_the_service(self._settings, wanted, definition)
        yield from obstacles.of_the_stopping(states, queue, definition, self.service.name)

    def prospects(self) -> Prospects:
        return prospects_of(self.margins, self.ladder, self._today())

    def _today(self) -> Today | None:
        try:
            counted = self.source.past(int(self._clock()), _PAST_S)
        except (HostSilent, CommandFailed):
            return None
        if not counted.all:
            return None
        return Today(counted.all / _PAST_S, counted.failed / counted.all)

    def facts(self, move: Move | None) -> list[Fact]:
        wanted = self.service.look()
        return [
            self._share_fact(wanted),
            Fact(
                "tasks",
                {"running": wanted.running, "pending": wanted.pending},
                said("workers.fact.tasks", running=wanted.running, pending=wanted.pending),
            ),
            self._units_fact(),
            *self._queue_facts(),
        ]

    def _share_fact(self, wanted: Wanted) -> Fact:
        share = self.ladder.share_of(wanted.desired)
        says = said(
            "workers.fact.share",
            tasks=wanted.desired,
            all=self.ladder.tasks,
            service=self.service.name,
            share=percent(share),
        )
        return Fact("found_share", percent(share), says)

    def _units_fact(self) -> Fact:
        states = self.units.states().values()
        running = sum(unit.runs for unit in states)
        draining = sum(unit.drains for unit in states)
        plain = {"running": running, "draining": draining, "all": len(states)}
        says = said("workers.fact.units", **plain)
        return Fact("units", plain, says)

    def _queue_facts(self) -> Iterator[Fact]:
        name = self._settings.queue
        queue = queues.found(self._aws, name)
        if queue is not None:
            says = said(
                "workers.fact.queue", queue=name, waiting=queue.waiting, flying=queue.flying
            )
            yield Fact("messages", {"waiting": queue.waiting, "in_hand": queue.flying}, says)
        oldest = queues.oldest_s(self._aws, name, self._clock())
        says = said("workers.fact.oldest_unknown")
        if oldest is not None:
            says = said("workers.fact.oldest", seconds=oldest)
        yield Fact("oldest_message_s", oldest, says)

    def recorded(self, move: Move) -> Evidence | None:
        if move.phase is not Phase.RUNNING or not move.share:
            return None
        return self._trial_over(move).evidence()

    def told(self, evidence: Evidence) -> Told | None:
        return told(evidence.figures)

    def assert_may_retire(self, move: Move) -> None:
        """Raises StillConsuming."""
        for consumer, unit in self.units.states().items():
            if unit.runs or unit.drains:
                raise StillConsuming(
                    f"{consumer} still works on messages ({unit.state}): wait until it has ended, "
                    "or stop it, then retire again"
                )

    def removal(self, move: Move) -> Said:
        boxes = [f"- [ ] {each.host}: `systemctl disable {each.unit}`" for each in self.units.all]
        return said(
            "workers.removal.plan",
            name=move.name,
            service=self._project.service,
            environment=self._project.environment,
            queue=self._settings.queue,
            ecs_service=self.service.name,
            lines="\n".join(boxes),
        )


def _differs(states: States, units: Units, wanted: int) -> Said | None:
    """Do other units consume than the share asks for?"""
    running = [consumer for consumer in units.all if states[consumer].runs]
    should = units.all[len(units.all) - wanted :]
    if running == should:
        return None
    example = next(iter(set(running) ^ set(should)))
    return said("workers.differs", running=len(running), wanted=wanted, example=str(example))


def _why(reason: str) -> Said | str:
    return said("workers.why", reason=reason) if reason else ""


def _assert_none(troubles: list[str]) -> None:
    """Raises WorkersNotThere."""
    if troubles:
        raise WorkersNotThere("not every unit could be turned: " + "; ".join(troubles))
