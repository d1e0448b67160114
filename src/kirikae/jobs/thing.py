"""Jobs as a thing that moves: who owns each of them stands in the ledger, and one call sets it.

At share 0 the schedulers write down what they would send, and the guards on the old hosts are
heard; above, firings that were planned are compared with those that happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from kirikae.hosts.errors import CommandFailed, HostSilent
from kirikae.hosts.ssh import Host
from kirikae.jobs import telling
from kirikae.jobs.calendar import calendar, expressed
from kirikae.jobs.counting import Count, Seen, Window, counted
from kirikae.jobs.cronlog import Logged, read_log
from kirikae.jobs.errors import LedgerAway, NoCrontab, NoTable, NotPrepared, StillRuns
from kirikae.jobs.files import perhaps_users, read_text, zone_of
from kirikae.jobs.groups import Ladder, ladder, locks_of
from kirikae.jobs.job import Firing, Overlap, Owner
from kirikae.jobs.ledger import Ledger
from kirikae.jobs.settings import JobsMove
from kirikae.jobs.tables import Jobs, Timed, jobs_of
from kirikae.jobs.wrapping import without_guards
from kirikae.model.catalogue import load
from kirikae.model.crontab.table import Table, read_table
from kirikae.model.crontab.zones import Zone
from kirikae.model.evidence import Evidence, Verdict
from kirikae.model.finding import Finding, Trace
from kirikae.model.move import Move, Phase
from kirikae.model.said import Said, said
from kirikae.model.share import WHOLE
from kirikae.move.errors import assert_no_hand
from kirikae.move.journal import Journal
from kirikae.move.kind import Fact, Prospects, Told

_SCHEDULERS_SILENT_MIN = 3
_AT_MOST_MIN = 8 * 1440
"""No comparison looks further back: a weekly job has been due then."""
_GLANCE_S = 3600.0
"""So far back is looked where nobody has begun the move: `kirikae doctor` asks for readiness."""
_MOST_FIRINGS = 100_000


@dataclass(frozen=True, slots=True)
class _Tab:
    """The crontab and what it means."""

    table: Table
    jobs: Jobs
    zone: Zone


def _locked(timed: Timed) -> Iterator[tuple[str, str, str]]:
    """Two workers hold two lock files: only the ledger keeps two firings apart then."""
    locks = locks_of(timed.job.command)
    if locks and timed.job.policy.overlap is Overlap.ALLOW:
        names = ", ".join(sorted(locks))
        yield "JM06", timed.job.id, f"line {timed.entry.line} takes the lock file {names}"


class JobsThing:
    """One instance per process; nothing is remembered that the ledger does not know."""

    look_every_s = 15.0
    delay_s = 0.0

    def __init__(
        self,
        settings: JobsMove,
        ledger: Callable[[], Ledger],
        journal: Journal,
        clock: Callable[[], float],
        folder: Path,
    ) -> None:
        self._settings = settings
        self._open = ledger
        self._journal = journal
        self._clock = clock
        self._folder = folder

    # --- what there is

    @cached_property
    def ledger(self) -> Ledger:
        """Raises NoLedger, LedgerAway."""
        return self._open()

    @cached_property
    def tab(self) -> _Tab:
        """Raises NoCrontab, NoTable."""
        settings = self._settings
        zone = zone_of(settings.time_zone)
        text, table = without_guards(
            read_text(str(self._folder / settings.crontab)),
            settings.crontab,
            lambda text: read_table(text, settings.rules, settings.system),
        )
        if table.ignored:
            lines = ", ".join(str(fault.line) for fault in table.faults)
            raise NoCrontab(
                f"cron ignores {settings.crontab} as a whole because of line {lines}: "
                f"`kirikae jobs lint {settings.crontab}` says why"
            )
        users = perhaps_users(table) if settings.system is None else ()
        if users:
            raise NoCrontab(
                f"{settings.crontab}:{users[0]}: the command seems to begin with a user, as in a "
                "file of cron.d: write `system: true` below the move if it does, else "
                "`system: false`"
            )
        return _Tab(
            table,
            jobs_of(
                table,
                text,
                settings.named,
                zone,
                settings.crontab,
            ),
            zone,
        )

    @cached_property
    def moving(self) -> list[Timed]:
        """Without those that stay.  Raises NoTable where none is left."""
        stays = {each.job for each in self._settings.stays}
        found = [timed for timed in self.tab.jobs.timed if timed.job.id not in stays]
        if not found:
            raise NoTable(f"no job of {self._settings.crontab} moves")
        return found

    @cached_property
    def ladder(self) -> Ladder:
        """Groups in their order."""
        jobs = [timed.job for timed in self.moving]
        return ladder(
            jobs,
            self._settings.order,
            self._settings.groups,
        )

    @property
    def subject(self) -> str:
        return f"{self._settings.named}: cron -> {self._settings.ledger}"

    def plan(self) -> tuple[int, ...]:
        return self.ladder.plan(self._settings.plan)

    # --- acts

    def prepare(self, move: Move) -> None:
        """Every job has an owner: the old side, unless it has one.  Raises NotPrepared."""
        unknown = telling.unknown(self._settings, self.tab.jobs)
        if unknown:
            raise NotPrepared(
                f"{move.name}: there is no job {', '.join(unknown)} in {self._settings.crontab}; "
                "mend `stays`, `order` or `groups`"
            )
        self.ledger.own(
            self._ids(),
            Owner.OLD,
            only_new=True,
        )

    def start(self, move: Move) -> None:
        self.prepare(move)

    def shift(
        self,
        name: str,
        share: int,
        expected: tuple[int, ...] | None,
    ) -> None:
        """One call hands over, one takes back: at no moment has a job two owners."""
        found = self.found()
        assert_no_hand(found, expected)
        new = self.ladder.owned(share)
        old = [job for job in self._ids() if job not in set(new)]
        if old:
            self.ledger.own(old, Owner.OLD)
        if new:
            self.ledger.own(new, Owner.NEW)

    def found(self) -> int | None:
        return self.ladder.share_of(self._owned())

    def settle(self, move: Move) -> None:
        """Nothing is left to do: the ledger says who owns what."""

    def retire(self, move: Move) -> None:
        """The ledger is kept, and so are the owners; guards are taken away by hand, afterwards."""

    def discard(self, move: Move) -> None:
        self.shift(
            move.name,
            0,
            None,
        )

    def _ids(self) -> list[str]:
        return [timed.job.id for timed in self.moving]

    def _owned(self) -> list[str]:
        owners = self.ledger.owners()
        return [job for job in self._ids() if owners.get(job) is Owner.NEW]

    # --- comparison

    def compare(self, move: Move) -> Evidence:
        found = self.found()
        schedulers = self._schedulers()
        if schedulers is not None:
            return Evidence(
                Verdict.UNSURE,
                schedulers,
                found,
            )
        window = self._window(move)
        log = self._log()
        if isinstance(log, Said):
            return Evidence(
                Verdict.UNSURE,
                log,
                found,
            )
        count = self._count(window, log)
        verdict, reason = telling.judged(
            self._settings,
            move,
            count,
            self._left_s(move),
        )
        return Evidence(
            verdict,
            reason,
            found,
            count.figures(),
        )

    def _schedulers(self) -> Said | None:
        """Why nothing can be said yet: no scheduler admits the table's minutes."""
        try:
            mark = self.ledger.mark(self._settings.named)
        except LedgerAway as error:
            return said("jobs.judge.ledger_away", why=str(error))
        if mark is None:
            return said("jobs.judge.no_scheduler", table=self._settings.named)
        if mark.serial != self.tab.jobs.serial:
            return said(
                "jobs.judge.serial",
                found=mark.serial,
                wanted=self.tab.jobs.serial,
            )
        silent = self._minute() - mark.minute
        if silent > _SCHEDULERS_SILENT_MIN:
            return said("jobs.judge.scheduler_silent", seconds=silent * 60)
        return None

    def _minute(self) -> int:
        return int(self._clock() // 60)

    def _left_s(self, move: Move) -> float:
        """Of the bake."""
        if not move.stepped:
            return 0.0
        return self._journal.stepped_at(move) + self._settings.bake - self._clock()

    def _window(self, move: Move) -> Window:
        """From the first minute that began in this step to the last one that must be settled."""
        end = int((self._clock() - self._settings.settles_within) // 60) + 1
        stepped_at = self._clock() - _GLANCE_S
        if move.stepped:
            stepped_at = self._journal.stepped_at(move)
        begin = max(int(stepped_at // 60) + 1, end - _AT_MOST_MIN)
        return Window(begin, max(begin, end))

    def _count(
        self,
        window: Window,
        log: Sequence[Logged] | None,
    ) -> Count:
        seen = Seen(
            self._firings(window),
            frozenset(self._owned()),
            log,
        )
        return counted(
            self.moving,
            seen,
            window,
            self._settings.late,
        )

    def _firings(self, window: Window) -> list[Firing]:
        """And those before, by which a failure is told from an old one."""
        begin = window.begin - _AT_MOST_MIN
        return self.ledger.history(
            None,
            begin,
            window.end,
            _MOST_FIRINGS,
        )

    def _log(self) -> list[Logged] | Said | None:
        """None: the project file names none."""
        named = self._settings.log
        if named is None:
            return None
        try:
            text = self._log_text(named)
        except (HostSilent, CommandFailed, NoCrontab) as error:
            return said(
                "jobs.judge.no_log",
                log=named,
                why=str(error),
            )
        return list(
            read_log(
                text,
                self.tab.zone,
                self._minute(),
            )
        )

    def _log_text(self, named: str) -> str:
        if not named.startswith("ssh://"):
            return read_text(str(self._folder / named))
        host, slash, path = named.removeprefix("ssh://").partition("/")
        script = f"grep -a ' CMD (' {telling.quoted(slash + path)} || test $? = 1\n"
        return Host(f"ssh://{host}").run(script).decode("utf-8", "surrogateescape")

    # --- looks

    def obstacles(self) -> list[Finding]:
        try:
            tab = self.tab
        except (NoCrontab, NoTable) as error:
            return [
                self._finding(
                    "JM01",
                    self._settings.crontab,
                    str(error),
                )
            ]
        return [self._finding(*each) for each in self._in_the_way(tab)]

    def _in_the_way(self, tab: _Tab) -> Iterator[tuple[str, str, str]]:
        """(code, job, what is found)."""
        for job in telling.unknown(self._settings, tab.jobs):
            yield "JM02", job, f"there is no job {job}"
        today = datetime.fromtimestamp(self._clock(), UTC).date()
        for stays in self._settings.stays:
            if stays.until < today:
                says = f"{stays.job} was to stay until {stays.until}: {stays.reason}"
                yield "JM03", stays.job, says
        staying = {each.job for each in self._settings.stays}
        for timed in tab.jobs.timed:
            name = timed.job.id
            line = timed.entry.line
            if name in staying:
                continue
            if timed.entry.schedule is None:
                yield "JM04", name, f"{name}, @reboot in line {line}: {timed.job.command}"
            elif mailto := timed.entry.variables.get("MAILTO"):
                yield "JM05", name, f"{name} in line {line} tells {mailto} by mail"
            yield from _locked(timed)

    def _finding(
        self,
        code: str,
        where: str,
        says: str,
    ) -> Finding:
        return CATALOGUE[code].found(
            where,
            says,
            [
                Trace(
                    "",
                    self._settings.crontab,
                    says,
                )
            ],
        )

    def prospects(self) -> Prospects:
        return telling.prospects(
            self._settings,
            self.ladder,
            self.plan(),
            self._first_due,
        )

    def _first_due(self, job: str, after_s: float) -> telling.Soon | None:
        """The next one of a job, ``after_s`` from now; None where there is none soon."""
        timed = next(each for each in self.moving if each.job.id == job)
        begin = int((self._clock() + after_s) // 60) + 1
        window = (begin, begin + telling.SOON_MIN)
        dues = calendar([timed.entry], timed.zone, *window)
        if timed.expression is not None:
            dues = expressed([timed], *window)
        due = next(dues, None)
        if due is None:
            return None
        local = due.zone.wall(due.minute)
        wait_s = due.minute * 60 - self._clock() - after_s
        return telling.Soon(wait_s, f"{local:%Y-%m-%d %H:%M %z}")

    def facts(self, move: Move | None) -> list[Fact]:
        return telling.facts(
            self._settings,
            self.ladder,
            self.found(),
            self._owned(),
        )

    def recorded(self, move: Move) -> Evidence | None:
        """The ledger is the record."""
        above = move.phase is Phase.SETTLED or (move.phase is Phase.RUNNING and move.share)
        return self.compare(move) if above else None

    def told(self, evidence: Evidence) -> Told | None:
        return telling.told(evidence)

    def assert_may_retire(self, move: Move) -> None:
        """Raises StillRuns while cron's side runs a job that is no longer its own."""
        window = Window(self._minute() - _AT_MOST_MIN, self._minute() + 1)
        live = [
            firing.id
            for firing in self._firings(window)
            if firing.side is Owner.OLD and firing.state.live and firing.job in set(self._ids())
        ]
        if live:
            raise StillRuns(f"{', '.join(live[:5])} still runs on the old side: wait for its end")
        if self.found() != WHOLE:
            raise StillRuns("not all jobs that move are the new side's")

    def removal(self, move: Move) -> Said:
        return telling.removal(
            move,
            self._settings,
            self.moving,
        )


CATALOGUE = load("kirikae.jobs")
