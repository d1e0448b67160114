"""``kirikae doctor``: where am I, which account, what could be changed, what is missing; the answer
stands in the first three lines."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import click

from kirikae import __version__
from kirikae.aws import ecs, elbv2
from kirikae.aws.session import Aws
from kirikae.console import kinds
from kirikae.console.acceptances import doubting, doubts
from kirikae.console.context import load_project, open_desk
from kirikae.console.here import Answer, Here
from kirikae.console.options import JSON, LANG
from kirikae.console.speech import Speech
from kirikae.console.surveyed import hosts_of, shelf_of, survey_findings, today
from kirikae.hosts.errors import CommandFailed, HostSilent
from kirikae.model.errors import AwsUnreachable, Exit, KirikaeError
from kirikae.model.project import Project
from kirikae.model.said import Said, said
from kirikae.release.definitions import TASK_FILE

_HOST_S = 15


@dataclass(frozen=True, slots=True)
class Missing:
    """One thing that is not there.  ``kind``: a word of ``console.missing``."""

    kind: str
    what: str = ""
    why: str = ""

    @property
    def says(self) -> Said:
        """A sentence of ``console.missing``."""
        return said(f"console.missing.{self.kind}", what=self.what, why=self.why)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who AWS says we are; ``trouble`` where it says nothing."""

    who: str = ""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Checkup:
    """What a look around found."""

    here: Here
    project: Project
    endpoint: str
    identity: Identity
    missing: Sequence[Missing]

    def to_plain(self) -> dict[str, Any]:
        """Plain data for ``--json``: kinds of what is missing, no sentences."""
        project = self.project
        return {
            "version": __version__,
            "service": project.service,
            "environment": project.environment,
            "region": project.region,
            "endpoint": self.endpoint,
            "account": project.account,
            "who": self.identity.who,
            "read_only": self.here.read_only,
            "missing": [{"kind": each.kind, "what": each.what} for each in self.missing],
        }

    def lines(self, speech: Speech) -> list[str]:
        """Three lines; everything that somebody in a hurry needs stands in them."""
        return [speech.say(each) for each in (self._where(), self._who(), self._missing())]

    def _where(self) -> Said:
        """Service, environment and project file, and whether this is AWS or kirikae local."""
        project = self.project
        at = said("console.doctor.aws", region=project.region)
        if self.endpoint:
            at = said("console.doctor.local", url=self.endpoint)
        return said(
            "console.doctor.where",
            service=project.service,
            environment=project.environment,
            file=self.here.project_file,
            at=at,
        )

    def _who(self) -> Said:
        """Who AWS says we are, and what could be changed."""
        who: Said | str = self.identity.who
        if not who:
            who = said("console.doctor.nobody", why=self.identity.trouble)
        return said("console.doctor.who", who=who, could=self._could())

    def _could(self) -> Said:
        """What could be changed from here."""
        if self.here.read_only:
            return said("console.doctor.nothing")
        project = self.project
        turns = [turned.name for turned in kinds.turned(project)]
        names = [host.name for host in hosts_of(project).fleet]
        hosts = said("console.doctor.no_hosts")
        if project.fleets.old.deployer is not None and names:
            hosts = said("console.doctor.hosts", names=names)
        new = project.fleets.new
        service = f"{new.cluster}/{new.ecs_service}"
        return said("console.doctor.could", turns=turns or "-", service=service, hosts=hosts)

    def _missing(self) -> Said:
        """All that is missing, in one sentence."""
        if not self.missing:
            return said("console.doctor.all")
        return said("console.doctor.missing", missing=[each.says for each in self.missing])


def checkup(here: Here) -> Checkup:
    """Raises UsageProblem, ProjectProblem."""
    project = load_project(here)
    aws = Aws(project.region, read_only=True)
    identity = _identity(aws, project)
    missing = [*_missing_tools(), *_missing_in_file(project)]
    missing += [Missing("aws")] if identity.trouble else list(_missing_on_aws(aws, here, project))
    missing += [*_missing_hosts(project), *_missing_survey(here, project)]
    missing += _missing_definitions(here, project)
    endpoint = here.environment.get("AWS_ENDPOINT_URL", "")
    return Checkup(here, project, endpoint, identity, missing)


def _identity(aws: Aws, project: Project) -> Identity:
    """Another account, or none, is no error here: the doctor says so."""
    try:
        return Identity(aws.identity(project.account))
    except KirikaeError as error:
        return Identity(trouble=str(error))


def _missing_tools() -> Iterator[Missing]:
    """Programs that some verbs call."""
    if shutil.which("ssh") is None:
        yield Missing("ssh")
    if shutil.which(os.environ.get("KIRIKAE_ENGINE", "docker")) is None:
        yield Missing("engine")


def _missing_in_file(project: Project) -> Iterator[Missing]:
    """What may be left out of the project file, and is needed before a move starts."""
    if not project.checks:
        yield Missing("checks")
    if not project.fleets.old.hosts:
        yield Missing("hosts")


def _missing_on_aws(aws: Aws, here: Here, project: Project) -> Iterator[Missing]:
    """Asked by reading calls only."""
    fleets = project.fleets
    for group in (fleets.old.target_group, fleets.new.target_group):
        if not _is_there(partial(elbv2.target_group, aws, group)):
            yield Missing("target_group", group)
    if not _is_there(partial(ecs.cluster_exists, aws, fleets.new.cluster)):
        yield Missing("cluster", fleets.new.cluster)
    for name in project.moves:
        trouble = _trouble_of_move(here, name)
        if trouble:
            yield Missing("rule", name, trouble)


def _is_there(look: Callable[[], object]) -> bool:
    """False also where AWS does not let us see: the doctor names it either way."""
    try:
        look()
    except KirikaeError:
        return False
    return True


def _trouble_of_move(here: Here, name: str) -> str:
    """Why what this move turns cannot be read; empty: it can."""
    try:
        desk = open_desk(here, name)
        desk.thing.facts(None)
    except (KirikaeError, AwsUnreachable) as error:
        return str(error)
    return ""


def _missing_hosts(project: Project) -> Iterator[Missing]:
    """The old fleet's hosts that do not answer within 15 seconds."""
    for host in hosts_of(project).fleet:
        try:
            host.run("true", timeout_s=_HOST_S)
        except (HostSilent, CommandFailed):
            yield Missing("silent", host.name)


def _missing_survey(here: Here, project: Project) -> Iterator[Missing]:
    """Missing or too old; or else what it found in the way."""
    fleet = hosts_of(project).fleet
    shelf = shelf_of(here, project)
    now = time.time()
    ages = [shelf.age_s(host.name, now) for host in fleet]
    if any(age is None or age > project.survey.max_age for age in ages):
        yield Missing("survey")
        return
    wanted = {settings.kind for settings in project.moves.values()} or {"traffic"}
    found = survey_findings(here, project) if fleet else []
    in_the_way = [finding for finding in found if any(map(finding.stops, wanted))]
    if in_the_way:
        yield Missing("blocking", str(len(in_the_way)))


def _missing_definitions(here: Here, project: Project) -> Iterator[Missing]:
    """What ``build write`` writes."""
    folder = project.fleets.new.definitions
    if not (here.folder / folder / TASK_FILE).exists():
        yield Missing("definitions", folder)


@click.command()
@LANG
@JSON
@click.pass_obj
def doctor(here: Here, lang: str | None) -> Answer:
    """Say where I am, which account this is, what could be changed, and what is missing (exit code
    6: something is)."""
    found = checkup(here)
    speech = Speech(here.language(lang))
    ends = Exit.FOUND if found.missing else Exit.DONE
    answer = Answer(found.to_plain(), found.lines(speech), ends)
    return doubting(answer, doubts(found.project, today()), speech)
