"""What the newest survey says: the data that the verbs of other rooms ask of it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

from kirikae.console.catalogue import catalogue
from kirikae.console.here import Here
from kirikae.console.speech import Speech
from kirikae.console.state import state_folder
from kirikae.hosts.files import read_privately
from kirikae.hosts.ssh import Host
from kirikae.model.bundle import Bundle
from kirikae.model.errors import UsageProblem
from kirikae.model.finding import Acceptance, Finding, Trace, with_accepted
from kirikae.model.project import Project
from kirikae.model.said import said
from kirikae.survey import amazon
from kirikae.survey.errors import BundleProblem, NoSurvey
from kirikae.survey.evidence import traces_of
from kirikae.survey.fleet import drift
from kirikae.survey.paths import below, under
from kirikae.survey.shelf import Shelf
from kirikae.survey.survey import ages, findings, merged
from kirikae.survey.view import view_of
from kirikae.survey.watch import Watch, watch_from

NO_HOSTS = "the old fleet"
"""Where SV01 stands for a fleet that names none."""


class Hosts(NamedTuple):
    """The old fleet's own hosts, and what else shall be looked at."""

    fleet: list[Host]
    others: list[Host]

    @property
    def every(self) -> list[Host]:
        """The fleet's first."""
        return [*self.fleet, *self.others]


class Bundles(NamedTuple):
    """The newest look at each host, of those that were looked at."""

    fleet: list[Bundle]
    others: list[Bundle]

    @property
    def every(self) -> list[Bundle]:
        """The fleet's first."""
        return [*self.fleet, *self.others]


def today() -> date:
    """In UTC: the same day for every person and machine of a team."""
    return datetime.now(UTC).date()


def shelf_of(here: Here, project: Project) -> Shelf:
    """Bundles of this project, kept beside its journal."""
    return Shelf(state_folder(here, project) / "bundles")


def amazon_file(here: Here, project: Project) -> Path:
    """The newest look at the AWS side."""
    return state_folder(here, project) / "bundles" / "amazon.json"


def hosts_of(project: Project) -> Hosts:
    """As the project file names them; no host is called."""
    fleet = [Host(url) for url in project.fleets.old.hosts]
    others = [Host(url) for url in project.survey.also]
    return Hosts(fleet, others)


def bundles_of(here: Here, project: Project) -> Bundles:
    """Raises BundleProblem for one that cannot be read."""
    shelf = shelf_of(here, project)
    kept = set(shelf.hosts())
    hosts = hosts_of(project)

    def newest(part: Sequence[Host]) -> list[Bundle]:
        """Of these hosts, without those that were never looked at."""
        names = [host.name for host in part if host.name in kept]
        return [_with_watch(here, project, shelf.load(name)) for name in names]

    return Bundles(newest(hosts.fleet), newest(hosts.others))


def watch_file(
    here: Here,
    project: Project,
    host: str,
) -> Path:
    """What was seen being written on a host (`survey watch`)."""
    return state_folder(here, project) / "watches" / f"{host}.json"


def watch_of(
    here: Here,
    project: Project,
    host: str,
) -> Watch | None:
    """None for a host that was never watched.  Raises BundleProblem."""
    file = watch_file(here, project, host)
    if not file.exists():
        return None
    try:
        text = read_privately(file).decode("utf-8", "surrogateescape")
    except OSError as error:
        raise BundleProblem(f"{file}: {error.strerror}") from error
    return watch_from(text, str(file))


def _with_watch(
    here: Here,
    project: Project,
    bundle: Bundle,
) -> Bundle:
    """What was seen there while it was watched is evidence as well."""
    watch = watch_of(here, project, bundle.host)
    if watch is None:
        return bundle
    return replace(bundle, watched=tuple(watch.written.values()))


def survey_findings(here: Here, project: Project) -> list[Finding]:
    """All findings of the newest survey, with SV01 and SV02 where it is missing or too old, and
    with what was accepted."""
    bundles = bundles_of(here, project)
    day = today()
    seen = findings(bundles.fleet, bundles.others, day)
    seen += _amazon(here, project)
    found = _ages(here, project)
    found += merged(seen)
    found = told_of_answers(found, project.accepted, day)
    return with_accepted(found, project.accepted, day)


def _ages(here: Here, project: Project) -> list[Finding]:
    """SV01 and SV02 of the fleet's hosts; a fleet without hosts was never looked at."""
    shelf = shelf_of(here, project)
    fleet = hosts_of(project).fleet
    if not fleet:
        return ages({NO_HOSTS: None}, 0)
    now = time.time()
    looks = {}
    for host in fleet:
        looks[host.name] = shelf.age_s(host.name, now)
    return ages(looks, project.survey.max_age)


def _amazon(here: Here, project: Project) -> list[Finding]:
    """Nothing where the AWS side was never looked at.

    Raises BundleProblem for a file that cannot be read.
    """
    file = amazon_file(here, project)
    if not file.exists():
        return []
    text = file.read_text(encoding="utf-8")
    return amazon.from_plain(text)


def about_code(found: Sequence[Finding], code: str) -> list[Finding]:
    """Findings of this code."""
    return [finding for finding in found if finding.code == code]


def about_path(found: Sequence[Finding], path: str) -> list[Finding]:
    """Findings that stand there or have evidence there; then those of a folder around it."""
    there = []
    around = []
    for finding in found:
        if _speaks_of(finding, path):
            there.append(finding)
        elif finding.where.startswith("/") and below(path, finding.where):
            around.append(finding)
    return [*there, *around]


def _speaks_of(finding: Finding, path: str) -> bool:
    """``where`` may end with a line's number."""
    if finding.where == path or finding.where.startswith(f"{path}:"):
        return True
    return any(under(trace.at, [path]) for trace in finding.evidence)


def evidence_of(
    here: Here,
    project: Project,
    path: str,
) -> list[Trace]:
    """What all hosts know of a path."""
    found: list[Trace] = []
    for bundle in bundles_of(here, project).every:
        found += traces_of(view_of(bundle), path)
    return found


def differences(
    here: Here,
    project: Project,
    first: str,
    second: str,
) -> list[Finding]:
    """Raises UsageProblem, BundleProblem."""
    if first == second:
        raise UsageProblem(f"{first} does not differ from itself; name two hosts")
    shelf = shelf_of(here, project)
    bundles = [shelf.load(first), shelf.load(second)]
    return drift([view_of(bundle) for bundle in bundles])


def open_questions(here: Here, project: Project) -> list[Finding]:
    """What blocks, and what only a person knows though it blocks nothing; without what a new survey
    would settle.  Raises NoSurvey."""
    found = survey_findings(here, project)
    asked = [each for each in found if _is_asked(each) and not _is_settled_by_a_look(each)]
    if not asked and not bundles_of(here, project).every:
        raise NoSurvey("nothing has been surveyed yet; run `kirikae survey collect` first")
    return asked


def _is_asked(finding: Finding) -> bool:
    """Of what blocks nothing, codes that are a question by themselves, until somebody answers.

    What a move mends is no question: nobody has to answer for it.
    """
    if finding.accepted or finding.mends:
        return bool(finding.blocks)
    entry = catalogue().get(finding.code)
    question = entry is not None and entry.ask and not entry.blocks
    return bool(finding.blocks or question)


def _is_settled_by_a_look(finding: Finding) -> bool:
    """A fleet that names no hosts cannot be looked at: only a person can answer for it."""
    return is_about_survey(finding) and finding.where != NO_HOSTS


def told_of_answers(
    found: Sequence[Finding],
    accepted: Sequence[Acceptance],
    day: date,
) -> list[Finding]:
    """Whoever reads that something blocks reads there that his answer to it is over."""
    over = {(a.finding, a.where): a for a in accepted if a.until < day}
    told = []
    for finding in found:
        answer = over.get((finding.code, finding.where))
        if answer is not None:
            says = f"{finding.says} (the answer of {answer.by} held until {answer.until})"
            finding = replace(finding, says=says)
        told.append(finding)
    return told


def is_about_survey(finding: Finding) -> bool:
    """That there is none, or that it is too old."""
    return finding.code in ("SV01", "SV02")


def year_after(day: date) -> date:
    """So long may an answer hold; the 29th of February has no next year."""
    return day.replace(year=day.year + 1, day=min(day.day, 28))


def refusal(
    found: Sequence[Finding],
    name: str,
    speech: Speech,
) -> str:
    """Why a move does not start, and what to do next, in the reader's language."""
    says = [speech.say(said("console.refusal.lead", name=name, n=len(found), kind=speech.kind))]
    for each in found:
        seen, remedy = speech.seen_and_remedy(each)
        says.append(f"{each.code} {seen}")
        says.append(speech.say(said("console.refusal.remedy", remedy=remedy)))
        if is_about_survey(each):
            where = json.dumps(each.where, ensure_ascii=False)
            line = f"{{finding: {each.code}, where: {where}, ...}}"
            says.append(speech.say(said("console.refusal.accept", line=line)))
    says.append(speech.say(said("console.refusal.next")))
    return "\n".join(says)
