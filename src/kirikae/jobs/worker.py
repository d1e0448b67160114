"""A worker: takes messages, asks the ledger who may run them, runs them, and says how they ended.

Every run has a lease with a fence.  What is written down decides: a message that comes twice, a
worker that was paused, a delete that failed change nothing of it.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from kirikae.aws.sqs import Received
from kirikae.jobs.errors import LedgerAway, NotStarted, Poison
from kirikae.jobs.job import Firing, Job, OnCrash, Overlap, Owner, RunsIn, State
from kirikae.jobs.ledger import (
    BEAT_S,
    LEASE_S,
    Claim,
    Ending,
    Hold,
    Ledger,
    Refused,
    Wanted,
    Why,
)
from kirikae.jobs.messages import Clocked, Foreign, Ours, read
from kirikae.jobs.reaping import CHILDREN
from kirikae.jobs.runner import PASSED, Ended, Running, environment_of
from kirikae.model.errors import KirikaeError

log = logging.getLogger(__name__)
LONGEST_HELD_S = 11 * 3600.0
"""SQS holds a message for twelve hours in all: a longer run is acknowledged before."""
_ASK_AGAIN_S = 15
_LONGEST_ASK_AGAIN_S = 900
_RECEIVE_S = 3
_PAUSE_S = 1.0


class Takes(Protocol):
    """A queue, as far as a worker needs one.  Raises AwsRefused, AwsUnreachable."""

    def receive(self, most: int, wait_s: int, visibility_s: int) -> list[Received]:
        """At most so many."""
        ...

    def delete(self, receipt: str) -> None:
        """It is done with."""
        ...

    def hold(self, receipt: str, seconds: int) -> None:
        """Hidden for so long from now on."""
        ...


class Runs(Protocol):
    """A run that is under way, here or as a task of its own."""

    def stop(self, reason: str, grace_s: float = 10.0) -> None:
        """End it, sooner or later by force."""
        ...

    def matched(self) -> tuple[tuple[str, ...], int]:
        """What its pattern has found until now: lines, and how many there were."""
        ...

    def wait(self) -> Ended:
        """How it ended."""
        ...


@dataclass(frozen=True, slots=True)
class Settings:
    """``stop_s``: how long after SIGTERM this process lives; ECS kills it then.  ``at_once``: so
    many runs.  ``passed``: names of variables that commands see of our own environment."""

    at_once: int = 4
    stop_s: float = 30.0
    lease_s: float = LEASE_S
    beat_s: float = BEAT_S
    passed: tuple[str, ...] = PASSED
    held_s: float = LONGEST_HELD_S
    receive_s: int = _RECEIVE_S

    @property
    def visible_s(self) -> int:
        """A message is hidden from others for as long as the lease of its run."""
        return max(1, math.ceil(self.lease_s))


@dataclass(slots=True)
class Counts:
    """Since the process began."""

    received: int = 0
    started: int = 0
    succeeded: int = 0
    errored: int = 0
    not_started: int = 0
    poison: int = 0
    refused: int = 0
    lease_lost: int = 0
    ledger_away: int = 0
    delete_failed: int = 0
    skipped_overlap: int = 0
    run_s: float = 0.0
    """Of all runs that ended, together."""
    late_s: float = 0.0
    """From the due minute to the start of each first attempt, together."""

    def to_plain(self) -> dict[str, Any]:
        """All of them."""
        return asdict(self)


@dataclass(slots=True)
class Run:
    """What this worker holds.  ``beaten``: when the lease was last lengthened (steady clock)."""

    received: Received
    firing: Firing
    job: Job
    hold: Hold | None
    received_at: float
    beaten: float
    running: Runs | None = None
    started: float = 0.0
    """By this machine's clock, in seconds since 1970."""
    told: set[str] = field(default_factory=set)
    """Of which people have heard while it runs."""
    acknowledged: bool = False
    lost: bool = False
    guard: threading.Lock = field(default_factory=threading.Lock)

    @property
    def may_run_elsewhere(self) -> bool:
        """Would somebody else begin it as soon as this lease has run out?"""
        policy = self.job.policy
        return policy.on_crash is OnCrash.RERUN or policy.overlap is not Overlap.ALLOW


class RunsApart(Runs, Protocol):
    """A task of its own."""

    arn: str


Starts = Callable[["Run", dict[str, str]], RunsApart]


@dataclass(frozen=True, slots=True)
class Hands:
    """What a worker acts with.  ``in_task``: starts a run as an ECS task of its own.  ``tell``:
    hears how each run ended.  ``log``: hears every line of output."""

    in_task: Starts | None = None
    tell: Callable[[Run, Ended, State], None] = lambda run, ended, state: None
    see: Callable[[Run], None] = lambda run: None
    """Looks at each run at its start and at every beat."""
    log: Callable[[str, str, str], None] = lambda firing, stream, line: None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)


def ending_of(job: Job, ended: Ended, state: State, stopping: bool) -> Ending:
    """What the ledger is told.  ``stopping``: this worker was told to end.

    What did not end by its own doing is given to somebody else if its policy allows it, and is not
    retried otherwise."""
    broken = state is State.FAILED and (stopping or ended.crashed)
    reruns = job.policy.on_crash is OnCrash.RERUN
    return Ending(
        State.LOST if ended.let_go else state,
        ended.exit_code,
        ended.reason,
        ended.tail,
        again=reruns or not broken,
        give_back=ended.let_go or (broken and reruns),
    )


def _in_order(messages: Sequence[Received]) -> list[list[Received]]:
    """By group; without one each by itself."""
    groups: dict[str, list[Received]] = {}
    for message in messages:
        groups.setdefault(message.group or message.id, []).append(message)
    return list(groups.values())


class Worker:
    """``at_once`` runs at the same time, each in a thread."""

    def __init__(
        self,
        ledger: Ledger,
        queue: Takes,
        settings: Settings = Settings(),
        hands: Hands | None = None,
    ) -> None:
        self._ledger = ledger
        self._queue = queue
        self._settings = settings
        self._hands = hands or Hands()
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._free = threading.Semaphore(settings.at_once)
        self._guard = threading.Lock()
        self._runs: list[Run] = []
        self._busy = 0
        self._stopped = threading.Event()
        self._ended = threading.Event()
        self._definitions: dict[str, Job] = {}
        self._unwritten: list[tuple[Run, Ending]] = []
        self.counts = Counts()

    # --- what is asked from outside

    def figures(self) -> dict[str, float]:
        """For monitoring."""
        return {**self.counts.to_plain(), "busy": self._busy}

    def as_sqsjkr(self) -> dict[str, Any]:
        """sqsjkr's ``/stats/metrics``."""
        return {
            "idle_worker": self._settings.at_once - self._busy,
            "busy_worker": self._busy,
        }

    def as_sqsjkr_v2(self) -> dict[str, Any]:
        """sqsjkr's ``/v2``."""
        counts = self.counts
        return {
            "workers": {
                "busy": self._busy,
                "idle": self._settings.at_once - self._busy,
            },
            "invocations": {
                "succeeded": counts.succeeded,
                "failed": counts.not_started + counts.poison,
                "errored": counts.errored,
            },
        }

    def knows(self, jobs: list[Job]) -> None:
        """Definitions that need not be asked for."""
        self._definitions |= {job.digest: job for job in jobs}

    def stop(self) -> None:
        """Take nothing more, and end what runs, in the time that is left."""
        self._stopped.set()
        grace_s = max(1.0, self._settings.stop_s - 10.0)
        for run in self._under_way():
            with run.guard:
                if run.running is not None:
                    run.running.stop("the worker was told to stop", grace_s)

    def _under_way(self) -> list[Run]:
        with self._guard:
            return list(self._runs)

    # --- the loop

    def run(self) -> None:
        """Until it is stopped, and all that was begun has ended."""
        beating = threading.Thread(target=self._beat_all, daemon=True)
        beating.start()
        while not self._stopped.is_set():
            self._take()
        for _ in range(self._settings.at_once):
            self._free.acquire()
        self._ended.set()
        beating.join()
        self._write_down()
        for run, _ in self._unwritten:
            log.error("%s ran, and nobody wrote it down", run.firing.id)

    def _take(self) -> None:
        """As many messages as there are hands free for."""
        if not self._free.acquire(timeout=_PAUSE_S):
            return
        free = 1
        while free < self._settings.at_once and self._free.acquire(blocking=False):
            free += 1
        messages = self._received(free)
        for batch in _in_order(messages):
            thread = threading.Thread(target=self._handle_all, args=(batch,), daemon=True)
            thread.start()
        for _ in range(free - len(messages)):
            self._free.release()

    def _handle_all(self, messages: Sequence[Received]) -> None:
        """One after another: what shares a group has an order."""
        for message in messages:
            self._handle(message)

    def _received(self, most: int) -> list[Received]:
        try:
            found = self._queue.receive(
                min(most, 10), self._settings.receive_s, self._settings.visible_s
            )
        except KirikaeError as error:
            log.warning("the queue does not answer: %s", error)
            self._stopped.wait(_PAUSE_S)
            return []
        self.counts.received += len(found)
        if not self._stopped.is_set():
            return found
        for message in found:
            # Nothing was started: whoever goes on has it at once.
            self._later(message.receipt, 0)
        return []

    def _handle(self, message: Received) -> None:
        with self._guard:
            self._busy += 1
        try:
            self._carry_out(message)
        except Poison as error:
            self.counts.poison += 1
            log.error("%s", error)
            self._later(message.receipt, 0)
        except LedgerAway as error:
            self.counts.ledger_away += 1
            log.warning("not run, the ledger is away: %s", error)
            self._later(message.receipt, _ASK_AGAIN_S)
        except Exception:
            log.exception("message %s", message.id)
            self._later(message.receipt, _ASK_AGAIN_S)
        finally:
            with self._guard:
                self._busy -= 1
            self._free.release()

    # --- one message

    def _carry_out(self, message: Received) -> None:
        """Raises Poison, LedgerAway: then nothing was started."""
        received_at = time.monotonic()
        found = read(message)
        if isinstance(found, Clocked):
            stands = self._admitted(message, found)
            if stands is None:
                return
            found = stands
        claim = self._claim_of(found)
        granted, beaten = self._granted(message, found, claim)
        if granted is None:
            return
        if isinstance(granted, Refused):
            self._refused(message, granted)
            return
        hold = Hold(
            granted.job,
            granted.due,
            granted.fence,
        )
        job = found.job if isinstance(found, Foreign) else self._definition(granted)
        if job is None:
            reason = "its definition is not in the ledger"
            self._ledger.finish(hold, Ending(State.NOT_STARTED, reason=reason))
            self.counts.not_started += 1
            self._delete(message)
            return
        run = Run(
            message,
            granted,
            job,
            hold,
            received_at,
            beaten,
        )
        self._run(run)

    def _admitted(self, message: Received, found: Clocked) -> Ours | None:
        """As a scheduler would.  None: a newer crontab is in force.  Raises Poison, LedgerAway."""
        mark = self._ledger.mark(found.table)
        if mark is not None and mark.serial > found.serial:
            self.counts.refused += 1
            log.warning("%s: a newer crontab than the schedule's is in force", found.job)
            self._delete(message)
            return None
        job = self._definitions.get(found.digest) or self._ledger.definition(found.digest)
        if job is None or job.id != found.job:
            raise Poison(f"message {message.id}: no scheduler has ever told this job's definition")
        self._definitions[found.digest] = job
        wanted = Wanted(job.id, found.due, found.digest, found.serial, job.in_ledger)
        [admitted] = self._ledger.admit([wanted])
        return Ours(job.id, found.due, 1, admitted.firing.digest)

    def _granted(
        self,
        message: Received,
        found: Ours | Foreign,
        claim: Claim,
    ) -> tuple[Firing | Refused | None, float]:
        """And when it was asked, by the steady clock.  None: it ran without the ledger, as its job
        says.

        The message is kept while the ledger is away: given back, it would be received again and
        again until it counts as poison.  Raises LedgerAway when this worker is to stop."""
        while True:
            asked = time.monotonic()
            try:
                return self._ledger.claim(claim), asked
            except LedgerAway as error:
                self.counts.ledger_away += 1
                if self._run_unheld(message, found, claim):
                    return None, asked
                if self._stopped.is_set():
                    raise
                log.warning("not run yet, the ledger is away: %s", error)
                self._later(message.receipt, self._settings.visible_s)
                self._stopped.wait(_PAUSE_S)

    def _run_unheld(self, message: Received, found: Ours | Foreign, claim: Claim) -> bool:
        """Without the ledger the queue alone stands against a second run: only where the job says
        that this is better than none.  False: it does not."""
        job = self._definitions.get(found.digest) if isinstance(found, Ours) else found.job
        if job is None or not job.runs_unheld:
            return False
        now = time.time()
        firing = Firing(
            claim.job,
            claim.due,
            claim.side,
            State.SENT,
            now,
            claim.attempt or 1,
        )
        run = Run(
            message,
            firing,
            job,
            None,
            time.monotonic(),
            time.monotonic(),
        )
        log.warning("%s runs without the ledger, as it says", firing.id)
        self._run(run)
        return True

    def _claim_of(self, found: Ours | Foreign) -> Claim:
        """A holder that no other claim has: the same claim may be asked twice, no other may."""
        holder = f"{self._name}:{uuid.uuid4().hex[:12]}"
        lease_s = self._settings.lease_s
        if isinstance(found, Foreign):
            # Nobody handed it over: its sender is the old side's scheduler.
            job = found.job
            return Claim(
                job.id,
                found.due,
                Owner.OLD,
                holder,
                lease_s,
                admit=job.policy,
            )
        return Claim(
            found.job,
            found.due,
            Owner.NEW,
            holder,
            lease_s,
            found.attempt,
        )

    def _definition(self, firing: Firing) -> Job | None:
        known = self._definitions.get(firing.digest)
        if known is None:
            known = self._ledger.definition(firing.digest)
            if known is not None:
                self._definitions[firing.digest] = known
        return known

    def _refused(self, message: Received, refused: Refused) -> None:
        self.counts.refused += 1
        if refused.why is Why.SKIPPED:
            self.counts.skipped_overlap += 1
        if refused.why.final:
            self._delete(message)
            return
        wait_s = float(_ASK_AGAIN_S)
        if refused.until is not None:
            wait_s = refused.until - self._ledger.now() + 1
        if refused.why is Why.UNKNOWN:
            log.warning("message %s names a firing that nobody admitted", message.id)
        self._later(message.receipt, int(min(max(wait_s, 1), _LONGEST_ASK_AGAIN_S)))

    def _run(self, run: Run) -> None:
        with self._guard:
            self._runs.append(run)
        try:
            self._started_and_ended(run)
        finally:
            with self._guard:
                self._runs.remove(run)

    def _started_and_ended(self, run: Run) -> None:
        if self._stopped.is_set():
            reason = "the worker was told to stop"
            self._finish(
                run,
                Ending(
                    State.NOT_STARTED,
                    reason=reason,
                    give_back=True,
                ),
            )
            self._later(run.received.receipt, 0)
            return
        if run.hold is not None and not self._ledger.start(run.hold):
            self.counts.lease_lost += 1
            return
        self.counts.started += 1
        run.started = time.time()
        if run.firing.attempt == 1:
            self.counts.late_s += max(0.0, run.started - run.firing.due * 60.0)
        try:
            with run.guard:
                run.running = self._start(run)
        except NotStarted as error:
            self.counts.not_started += 1
            self._end(
                run,
                Ended(
                    -1,
                    str(error),
                    "",
                ),
                State.NOT_STARTED,
            )
            return
        if self._stopped.is_set():
            self.stop()
        self._hands.see(run)
        ended = run.running.wait()
        state = State.SUCCEEDED if ended.exit_code == 0 and not ended.reason else State.FAILED
        self._end(
            run,
            ended,
            state,
        )

    def _start(self, run: Run) -> Runs:
        extra = {
            "KIRIKAE_FIRING": run.firing.id,
            "KIRIKAE_ATTEMPT": str(run.firing.attempt),
            "KIRIKAE_FENCE": str(run.firing.fence),
        }
        if run.job.runs_in is RunsIn.OWN_TASK:
            if self._hands.in_task is None:
                raise NotStarted("this worker starts no tasks: give it --cluster and --definition")
            found = self._hands.in_task(run, extra)
            if run.hold is not None:
                self._ledger.start(run.hold, found.arn)
            return found
        passed = self._settings.passed
        environment = environment_of(
            run.job,
            self._hands.environment,
            passed,
            extra,
        )
        firing = run.firing.id
        return Running(
            run.job,
            environment,
            lambda stream, line: self._hands.log(
                firing,
                stream,
                line,
            ),
        )

    def _end(self, run: Run, ended: Ended, state: State) -> None:
        """Written down, then acknowledged: a delete that is lost finds it written."""
        ending = ending_of(run.job, ended, state, self._stopped.is_set())
        if not self._finish(run, ending):
            self.counts.lease_lost += 1
            log.error("%s: its lease was lost, this ending does not count", run.firing.id)
        self.counts.run_s += time.time() - run.started
        self._count(run, ended, state)
        self._hands.tell(run, ended, state)
        if not run.acknowledged:
            self._delete(run.received)

    def _count(self, run: Run, ended: Ended, state: State) -> None:
        if ended.let_go:
            log.info("%s goes on without this worker", run.firing.id)
        elif state is State.SUCCEEDED:
            self.counts.succeeded += 1
        elif state is State.FAILED:
            self.counts.errored += 1

    def _finish(self, run: Run, ending: Ending) -> bool:
        """Until the ledger has heard it: an ending that is not written down is a lost run."""
        while True:
            try:
                return self._finished(run, ending)
            except LedgerAway as error:
                self.counts.ledger_away += 1
                if run.hold is None:
                    log.warning("%s ran; to be written down: %s", run.firing.id, error)
                    with self._guard:
                        self._unwritten.append((run, ending))
                    return True
                log.warning(
                    "%s has ended; asking the ledger again: %s",
                    run.firing.id,
                    error,
                )
                time.sleep(_PAUSE_S)

    def _write_down(self) -> None:
        """What ran without the ledger, in its order, as soon as the ledger is there."""
        while self._unwritten:
            run, ending = self._unwritten[0]
            try:
                if not self._finished(run, ending):
                    log.error("%s ran here without the ledger, which says otherwise", run.firing.id)
            except LedgerAway:
                return
            del self._unwritten[0]

    def _finished(self, run: Run, ending: Ending) -> bool:
        """A run that began without the ledger is written down now, if nobody else ran it."""
        if run.hold is None:
            claim = Claim(
                run.firing.job,
                run.firing.due,
                run.firing.side,
                f"{self._name}:unheld:{run.received.id}",
                attempt=run.firing.attempt,
                start=True,
            )
            granted = self._ledger.claim(claim)
            if isinstance(granted, Refused):
                return False
            run.hold = Hold(
                granted.job,
                granted.due,
                granted.fence,
            )
        return self._ledger.finish(run.hold, ending)

    # --- the queue

    def _delete(self, message: Received) -> None:
        try:
            self._queue.delete(message.receipt)
        except KirikaeError as error:
            # It comes once more; then the ledger says that it is over.
            self.counts.delete_failed += 1
            log.warning(
                "message %s was not deleted: %s",
                message.id,
                error,
            )

    def _later(self, receipt: str, seconds: int) -> None:
        try:
            self._queue.hold(receipt, seconds)
        except KirikaeError as error:
            log.debug("a message comes back when its time is over: %s", error)

    # --- leases

    def _beat_all(self) -> None:
        """Lease and message of every run; and whatever died and belongs to nobody."""
        while not self._ended.wait(self._settings.beat_s):
            for run in self._under_way():
                self._beat(run)
                if run.running is not None:
                    self._hands.see(run)
            self._write_down()
            CHILDREN.reap()

    def _beat(self, run: Run) -> None:
        hold = run.hold
        if run.lost:
            return
        if hold is None:
            self._keep_message(run)
            return
        asked = time.monotonic()
        try:
            holds = self._ledger.heartbeat(hold, self._settings.lease_s)
        except LedgerAway as error:
            self.counts.ledger_away += 1
            log.warning(
                "no heartbeat of %s: %s",
                run.firing.id,
                error,
            )
            overdue = asked > run.beaten + self._settings.lease_s
            if overdue and run.may_run_elsewhere:
                self._lose(run, "the ledger was away for longer than its lease")
            return
        if not holds:
            self._lose(run, "its lease was lost")
            return
        run.beaten = asked
        self._keep_message(run)

    def _lose(self, run: Run, reason: str) -> None:
        """Somebody else may run it by now."""
        run.lost = True
        with run.guard:
            if run.running is not None:
                run.running.stop(reason)

    def _keep_message(self, run: Run) -> None:
        if run.acknowledged:
            return
        if time.monotonic() - run.received_at > self._settings.held_s:
            # From here on the lease alone holds it: if this worker dies, the sweep decides.
            run.acknowledged = True
            self._delete(run.received)
            return
        self._later(run.received.receipt, self._settings.visible_s)
