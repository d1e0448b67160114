"""Watching hosts for a while: look after look, kept after each, so that a watch that was stopped
goes on where it was."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from kirikae.console.here import Answer, Here, would
from kirikae.console.speech import Speech
from kirikae.console.surveyed import survey_findings, watch_file, watch_of
from kirikae.hosts.errors import CommandFailed, HostSilent
from kirikae.hosts.files import write_privately
from kirikae.hosts.ssh import Host
from kirikae.model.errors import Exit
from kirikae.model.finding import Finding
from kirikae.model.project import Project
from kirikae.model.said import Said, said
from kirikae.survey.errors import BundleProblem
from kirikae.survey.paths import below
from kirikae.survey.watch import Watch, look_at

_AT_ONCE = 8
_GRACE_S = 60
"""Clocks differ a little."""
_WATCHED = "written while watched"


@dataclass(frozen=True, slots=True)
class Seen:
    """One host after a look.  ``trouble``: why this look saw nothing; empty: it did."""

    host: str
    watch: Watch | None
    new: int = 0
    trouble: str = ""

    def to_plain(self) -> dict[str, Any]:
        """Plain data for ``--json``; ``None`` for what was never looked at."""
        watch = self.watch
        return {
            "host": self.host,
            "watched_s": None if watch is None else watch.watched_s,
            "looks": None if watch is None else watch.looks,
            "written": None if watch is None else len(watch.written),
            "new": self.new,
            "trouble": self.trouble,
        }

    def in_words(self, for_s: float) -> Said:
        """How far it is."""
        if self.trouble or self.watch is None:
            return said("console.watch.silent", host=self.host, why=self.trouble)
        return said(
            "console.watch.looked",
            host=self.host,
            watched=self.watch.watched_s,
            of=for_s,
            n=len(self.watch.written),
            new=self.new,
        )


Tell = Callable[[Seen], None]


def would_watch(
    hosts: Sequence[Host],
    for_s: float,
    every_s: float,
) -> Answer:
    """What ``--dry-run`` answers; no host is called."""
    lines = [f"would watch {host.url} for {for_s:.0f} s, each {every_s:.0f} s" for host in hosts]
    return would(lines, {"hosts": [host.url for host in hosts], "for": for_s, "every": every_s})


@dataclass(frozen=True, slots=True)
class Watching:
    """Hosts that are watched, and how long and how often."""

    here: Here
    project: Project
    hosts: Sequence[Host]
    for_s: float
    every_s: float
    tell: Tell
    timeout_s: float = 600.0
    clock: Callable[[], float] = field(default=time.monotonic)
    sleep: Callable[[float], None] = field(default=time.sleep)

    def run(self) -> list[Seen]:
        """Until all were watched for as long as was asked, or the time is over and some hosts did
        not answer; at once where none ever answered.

        Raises BundleProblem for a watch that cannot be read."""
        begun = self.clock()
        watches = {host.name: self._begun(host) for host in self.hosts}
        while True:
            seen = self._round(watches)
            for each in seen:
                self.tell(each)
            left = self._left_s(seen, self.clock() - begun)
            if left <= 0 or all(each.watch is None for each in seen):
                return seen
            self.sleep(min(self.every_s, left))

    def _begun(self, host: Host) -> Watch | None:
        """One that was stopped goes on; one that is over begins one more period."""
        watch = watch_of(self.here, self.project, host.name)
        if watch is not None and watch.watched_s >= self.for_s:
            return watch.anew()
        return watch

    def _left_s(self, seen: Sequence[Seen], gone_s: float) -> float:
        """Of the host that was watched least, by its own clock; a host that does not answer, or
        whose clock does not go on, does not keep us for ever."""
        left = []
        for each in seen:
            watched = each.watch.watched_s if each.watch else 0
            grace = 0 if each.trouble else _GRACE_S
            left.append(min(self.for_s - watched, self.for_s + grace - gone_s))
        return max(left)

    def _round(self, watches: dict[str, Watch | None]) -> list[Seen]:
        """One look at each, side by side."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            seen = list(pool.map(lambda host: self._look(host, watches[host.name]), self.hosts))
        for each in seen:
            watches[each.host] = each.watch
        return seen

    def _look(self, host: Host, before: Watch | None) -> Seen:
        """Kept at once: whoever stops us loses nothing."""
        since = None if before is None else before.looked
        try:
            look = look_at(host, since, self.timeout_s)
            after = Watch(host.name, look.at, look.at) if before is None else before.after(look)
            self._keep(after)
        except (HostSilent, CommandFailed, BundleProblem) as error:
            return Seen(host.name, before, trouble=str(error).removeprefix(f"{host.name}: "))
        except OSError as error:
            return Seen(host.name, before, trouble=f"the watch could not be kept: {error}")
        known = 0 if before is None else len(before.written)
        return Seen(host.name, after, len(after.written) - known)

    def _keep(self, watch: Watch) -> None:
        """Raises OSError."""
        text = json.dumps(watch.to_plain(), ensure_ascii=False)
        file = watch_file(self.here, self.project, watch.host)
        write_privately(file, text.encode("utf-8", "surrogateescape"))


# --- what it found


@dataclass(frozen=True, slots=True)
class Watched:
    """How the watch ended, and the findings that rest on it."""

    seen: Sequence[Seen]
    findings: Sequence[Finding]
    for_s: float

    @property
    def exit(self) -> Exit:
        """Unfinished where some hosts were not watched to the end; refused where none was."""
        if all(each.watch is None for each in self.seen):
            return Exit.REFUSED
        whole = all(
            each.watch is not None and each.watch.watched_s >= self.for_s for each in self.seen
        )
        return Exit.DONE if whole else Exit.UNFINISHED

    def to_plain(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "hosts": [each.to_plain() for each in self.seen],
            "findings": [finding.to_plain() for finding in self.findings],
        }

    def lines(self, speech: Speech) -> list[str]:
        """Each place with the finding that speaks of it."""
        lines = []
        for finding in self.findings:
            line = said(
                "console.watch.place",
                code=finding.code,
                where=finding.where,
                hosts=list(finding.hosts),
            )
            lines.append(speech.say(line))
        new = sum(finding.code == "ST22" for finding in self.findings)
        lines.append(speech.say(said("console.watch.counted", n=len(self.findings), new=new)))
        return lines

    def answer(self, speech: Speech) -> Answer:
        """Hosts that said nothing are notes on the error stream."""
        notes = []
        for each in self.seen:
            if each.trouble:
                notes.append(speech.say(each.in_words(self.for_s)))
        return Answer(self.to_plain(), self.lines(speech), self.exit, notes=notes)


def findings_of_watch(here: Here, project: Project) -> list[Finding]:
    """Those whose evidence was written while a host was watched."""
    found = survey_findings(here, project)
    return [each for each in found if _rests_on_it(each)]


def _rests_on_it(finding: Finding) -> bool:
    """Only what stands at the place itself or in it."""
    return any(
        trace.says.startswith(_WATCHED)
        and (trace.at == finding.where or below(trace.at, finding.where))
        for trace in finding.evidence
    )
