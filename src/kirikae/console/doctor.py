"""``kirikae doctor``: where am I, which account, what could be changed, what is missing, and what
could not be proven."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import click

from kirikae import __version__
from kirikae.aws.errors import WrongAccount
from kirikae.aws.session import Aws
from kirikae.console import kinds, policy
from kirikae.console.acceptances import doubting, doubts
from kirikae.console.context import load_project
from kirikae.console.here import Answer, Here
from kirikae.console.options import JSON, LANG
from kirikae.console.permitted import permissions
from kirikae.console.progress import Progress
from kirikae.console.proofs import Proof, Sight, State, looked, missing, on_aws, proven, unproven
from kirikae.console.speech import Speech
from kirikae.console.surveyed import hosts_of, shelf_of, survey_findings, today
from kirikae.hosts.errors import CommandFailed, HostSilent
from kirikae.hosts.ssh import Host
from kirikae.model.errors import Exit, KirikaeError
from kirikae.model.project import Project
from kirikae.model.said import Said, said
from kirikae.release.definitions import are_in

_HOST_S = 15
_AT_ONCE = 8
_POLICIES = ("look", "move")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who AWS says we are; ``trouble`` where it says nothing, or where it is the wrong account
    (``wrong``)."""

    who: str = ""
    wrong: str = ""
    trouble: str = ""

    @property
    def may_look(self) -> bool:
        return not self.trouble and not self.wrong


@dataclass(frozen=True, slots=True)
class Checkup:
    """What a look around found."""

    here: Here
    project: Project
    endpoint: str
    identity: Identity
    proofs: Sequence[Proof]

    def of(self, state: State) -> list[Proof]:
        return [proof for proof in self.proofs if proof.state is state]

    @property
    def exit(self) -> Exit:
        """Only where everything is proven may somebody begin without a look at this page."""
        alright = len(self.of(State.PROVEN)) == len(self.proofs)
        return Exit.DONE if alright else Exit.FOUND

    def to_plain(self) -> dict[str, Any]:
        """Plain data for ``--json``: kinds of what is needed; ``why`` in English."""
        project = self.project
        english = Speech()
        told = {
            state: [
                {"kind": each.kind, "what": each.what, "why": english.say(each.why)}
                for each in self.of(state)
            ]
            for state in State
        }
        return {
            "version": __version__,
            "service": project.service,
            "environment": project.environment,
            "region": project.region,
            "endpoint": self.endpoint,
            "account": project.account,
            "who": self.identity.who,
            "read_only": self.here.read_only,
            "missing": told[State.MISSING],
            "not_proven": told[State.UNPROVEN],
            "proven": told[State.PROVEN],
        }

    def lines(self, speech: Speech, everything: bool = False) -> list[str]:
        """Where and who in the first two, then what is missing, each in a line."""
        told = [self._where(), self._who(), *self._missing()]
        told += [
            said("console.doctor.unproven", what=each.says) for each in self.of(State.UNPROVEN)
        ]
        held = self.of(State.PROVEN)
        if everything:
            told += [said("console.doctor.proven", what=each.says) for each in held]
        else:
            told.append(said("console.doctor.proven_count", n=len(held)))
        return [speech.say(each) for each in told]

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
        identity = self.identity
        if identity.wrong:
            account = self.project.account
            return said(
                "console.doctor.wrong", who=identity.who, has=identity.wrong, wanted=account
            )
        who: Said | str = identity.who
        if not who:
            who = said("console.doctor.nobody", why=identity.trouble)
        return said("console.doctor.who", who=who, could=self._could())

    def _could(self) -> Said:
        """What could be changed from here."""
        if self.here.read_only:
            return said("console.doctor.nothing")
        project = self.project
        turned = [each.name for each in kinds.turned(project)]
        names = [host.name for host in hosts_of(project).fleet]
        hosts = said("console.doctor.no_hosts")
        if project.fleets.old.deployer is not None and names:
            hosts = said("console.doctor.hosts", names=names)
        new = project.fleets.new
        service = f"{new.cluster}/{new.ecs_service}"
        return said("console.doctor.could", turns=turned or "-", service=service, hosts=hosts)

    def _missing(self) -> list[Said]:
        """Each thing in a line; that nothing is missing, only where all was looked at."""
        lacking = self.of(State.MISSING)
        if lacking:
            return [said("console.doctor.missing", missing=each.says) for each in lacking]
        if self.of(State.UNPROVEN):
            return [said("console.doctor.nothing_seen")]
        return [said("console.doctor.all")]


def checkup(here: Here, progress: Progress) -> Checkup:
    """Raises UsageProblem, ProjectProblem."""
    project = load_project(here)
    aws = Aws(project.region, read_only=True)
    identity = _identity(aws, project)
    found = [*_tools(), *_in_file(project)]
    if identity.may_look:
        sight = Sight(here, project, aws, identity.who, progress)
        found += [*on_aws(sight), *permissions(sight)]
    else:
        found += _unseen(project, identity)
    found += _hosts(project, progress)
    found += looked("survey", "", lambda: _survey(here, project))
    found += _definitions(here, project)
    endpoint = here.environment.get("AWS_ENDPOINT_URL", "")
    return Checkup(here, project, endpoint, identity, found)


def _identity(aws: Aws, project: Project) -> Identity:
    """Another account, or none, is no error here: the doctor says so."""
    try:
        return Identity(aws.identity(project.account))
    except WrongAccount as error:
        return _stranger(aws, error)
    except KirikaeError as error:
        return Identity(trouble=str(error))


def _stranger(aws: Aws, error: WrongAccount) -> Identity:
    try:
        caller = aws.caller()
    except KirikaeError:
        return Identity(trouble=str(error))
    return Identity(caller.arn, caller.account)


def _unseen(project: Project, identity: Identity) -> list[Proof]:
    """Nothing on AWS was looked at."""
    first = missing("aws")
    if identity.wrong:
        first = missing("credentials", project.account)
    return [first, unproven("on_aws")]


def _tools() -> Iterator[Proof]:
    """Programs that some verbs call."""
    engine = os.environ.get("KIRIKAE_ENGINE", "docker")
    for kind, program in (("ssh", "ssh"), ("engine", engine)):
        yield missing(kind) if shutil.which(program) is None else proven(kind)


def _in_file(project: Project) -> Iterator[Proof]:
    """What may be left out of the project file, and is needed before a move starts."""
    needed = {
        "checks": bool(project.checks),
        "hosts": bool(project.fleets.old.hosts),
        "moves": bool(project.moves),
    }
    for kind, there in needed.items():
        yield proven(kind) if there else missing(kind)


def _hosts(project: Project, progress: Progress) -> list[Proof]:
    """The old fleet's hosts, side by side; those that do not answer within 15 seconds."""

    def ask(host: Host) -> Proof:
        progress.step(f"host {host.name}")
        try:
            host.run("true", timeout_s=_HOST_S)
        except (HostSilent, CommandFailed) as error:
            return missing("silent", host.name, str(error).removeprefix(f"{host.name}: "))
        return proven("silent", host.name)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(ask, hosts_of(project).fleet))


def _survey(here: Here, project: Project) -> Iterator[Proof]:
    """Missing or too old; or else what it found in the way."""
    fleet = hosts_of(project).fleet
    shelf = shelf_of(here, project)
    now = time.time()
    ages = [shelf.age_s(host.name, now) for host in fleet]
    if not fleet or any(age is None or age > project.survey.max_age for age in ages):
        yield missing("survey")
        return
    yield proven("survey")
    wanted = {settings.kind for settings in project.moves.values()} or {"traffic"}
    in_the_way = [
        finding for finding in survey_findings(here, project) if any(map(finding.stops, wanted))
    ]
    yield missing("blocking", str(len(in_the_way))) if in_the_way else proven("blocking", "0")


def _definitions(here: Here, project: Project) -> Iterator[Proof]:
    """What ``build write`` writes."""
    folder = project.fleets.new.definitions
    there = are_in(here.folder / folder)
    yield proven("definitions", folder) if there else missing("definitions", folder)


def _policy(here: Here, which: str) -> Answer:
    """The IAM policy as it can be pasted."""
    statements = policy.to_look()
    if which == "move":
        project = load_project(here)
        aws = Aws(project.region, read_only=True)
        sight = Sight(here, project, aws, "", Progress(live=False))
        statements = policy.to_move(project, sight.desks())
    made = policy.document(statements)
    return Answer({"policy": made}, json.dumps(made, indent=2).split("\n"))


@click.command()
@click.option("--all", "everything", is_flag=True, help="Also what is proven, each in a line.")
@click.option(
    "--policy",
    "which",
    type=click.Choice(_POLICIES),
    help="Instead: print the IAM policy to look, or to move.",
)
@LANG
@JSON
@click.pass_obj
def doctor(here: Here, everything: bool, which: str | None, lang: str | None) -> Answer:
    """Say where I am, which account this is, what could be changed, and what is missing.

    Every need of a move is looked at by reading calls, and every permission is asked of IAM's
    policy simulator. Exit code 6: something is missing, or could not be proven.
    """
    if which is not None:
        return _policy(here, which)
    found = checkup(here, Progress())
    speech = Speech(here.language(lang))
    answer = Answer(found.to_plain(), found.lines(speech, everything), found.exit)
    return doubting(answer, doubts(found.project, today()), speech)
