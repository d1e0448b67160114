"""From bundles to the one service that shall be built: what it runs, needs, writes and uses."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from kirikae.model.bundle import MASKED, Bundle, Unit, User
from kirikae.model.project import Accepted, BuildSettings
from kirikae.model.workload import Measured, Variable, Workload, Writable
from kirikae.survey.errors import NoSurvey
from kirikae.survey.front import front_of
from kirikae.survey.needs import needed
from kirikae.survey.paths import below, name_of
from kirikae.survey.roots import roots
from kirikae.survey.rules.processes import seconds
from kirikae.survey.services import Service, uid_of
from kirikae.survey.view import View

_STOP_S = 90
"""systemd's own TimeoutStopSec."""
_PORT = re.compile(r":(\d{2,5})\b")


def workload(
    bundles: Sequence[Bundle],
    settings: BuildSettings,
    accepted: Iterable[Accepted],
) -> Workload:
    """Raises NoSurvey if there is nothing to build from, or not one service that it could be."""
    if not bundles:
        raise NoSurvey("nothing has been surveyed yet; run `kirikae survey collect` first")
    views = [View(bundle) for bundle in bundles]
    view = views[0]
    service = _service(view, settings)
    unit = service.unit
    front = front_of(views, _right_hosts(accepted), unit.folder)
    environment = _environment(views, service)
    packages = needed(view, service, front.web)
    identity = _identity(view, unit)
    return Workload(
        unit=unit.name,
        distribution=view.bundle.distribution,
        command=tuple(shlex.split(unit.command)),
        folder=unit.folder,
        user=identity.name,
        uid=identity.uid,
        gid=identity.gid,
        environment=environment.variables,
        locale=environment.locale,
        zone=view.bundle.zone,
        packages=packages.chosen,
        requirements=_has_requirements(view, service),
        web=front.web,
        port=_port(view, service),
        writable=tuple(Writable(root.path, root.kind, root.code) for root in roots(view)),
        stop_s=round(seconds(unit.get("TimeoutStopUSec")) or _STOP_S),
        nofile=_nofile(unit),
        measured=tuple(one for each in views for one in _measured(each, unit.name)),
        left_out=packages.left_out,
        questions=(*_spoken(unit), *front.questions, *environment.questions),
    )


def _right_hosts(accepted: Iterable[Accepted]) -> dict[str, str]:
    """File -> the host whose version is the right one, as somebody answered for it."""
    return {
        answer.where: answer.use for answer in accepted if answer.finding == "CF05" and answer.use
    }


def _service(view: View, settings: BuildSettings) -> Service:
    """The one service that is built.

    Raises NoSurvey where there is none, or more than one and nobody says which, or where it is not
    known where its code lies.
    """
    wanted = settings.unit
    candidates = [
        service
        for service in view.applications
        if wanted is None or wanted in (service.unit.name, service.name)
    ]
    if len(candidates) != 1:
        known = ", ".join(service.unit.name for service in view.services) or "none"
        raise NoSurvey(
            f"{view.bundle.host} runs not one service that could be built but: {known}; "
            "name it as `build.unit` in kirikae.yml",
        )
    service = candidates[0]
    if not service.unit.folder:
        raise NoSurvey(
            f"{service.unit.name} names no WorkingDirectory, so where its code lies is not known; "
            "kirikae builds services of a unit of your own",
        )
    return service


@dataclass(frozen=True, slots=True)
class _Identity:
    """As whom the service runs."""

    name: str
    uid: int
    gid: int


def _identity(view: View, unit: Unit) -> _Identity:
    """Raises NoSurvey for a user whose numbers the host's own lists do not know: it would become
    root in a container."""
    name = unit.get("User") or "root"
    user = _user(view.bundle, name)
    if user is None:
        raise NoSurvey(
            f"{unit.name} runs as {name}, whom /etc/passwd of {view.bundle.host} does not have; "
            "give it a user of its own there (`User=`), and survey again",
        )
    return _Identity(name, user.uid, user.gid)


def _user(bundle: Bundle, name: str) -> User | None:
    """By name, or by number."""
    uid = uid_of(bundle, name)
    for user in bundle.users.values():
        if user.uid == uid:
            return user
    return None


def _spoken(unit: Unit) -> Iterator[str]:
    """A secret among the arguments would stand in the image, and in every list of processes."""
    if MASKED in unit.command:
        yield (
            f"the command of {unit.name} holds a secret: let the service read it from a variable "
            "or a file (`EnvironmentFile=`), and survey again"
        )


# --- environment


@dataclass(frozen=True, slots=True)
class _Environment:
    """Variables of the service, and what a person has to decide about them."""

    variables: tuple[Variable, ...]
    questions: tuple[str, ...]

    @property
    def locale(self) -> str:
        """LC_ALL or LANG, whichever stands first; empty where neither is set."""
        for variable in self.variables:
            if variable.name in ("LC_ALL", "LANG"):
                return variable.value
        return ""


def _environment(views: Sequence[View], service: Service) -> _Environment:
    """The first host's; where another host has another value, somebody has to choose."""
    view = views[0]
    code = view.code_of(service)
    reads = view.reads(code) if code else None
    declared = view.environment(service)
    variables = (
        Variable(name, variable.value, None if reads is None else name in reads)
        for name, variable in declared.items()
    )
    questions = (
        f"{name} has another value on each host: give one in `build.environment`, or make the "
        "hosts equal"
        for name in declared
        if len(_values(views, service.unit.name, name)) > 1
    )
    return _Environment(tuple(variables), tuple(questions))


def _values(
    views: Iterable[View],
    unit: str,
    name: str,
) -> set[str]:
    """Of a variable, on all hosts that run this unit."""
    found = set()
    for view in views:
        for service in view.applications:
            variable = view.environment(service).get(name)
            if service.unit.name == unit and variable is not None:
                found.add(variable.value)
    return found


# --- what it needs and uses


def _has_requirements(view: View, service: Service) -> bool:
    """Does a ``requirements.txt`` lie in the tree of its code?"""
    code = view.code_of(service)
    if code is None:
        return False
    for text in view.bundle.texts:
        if name_of(text.path) == "requirements.txt" and below(text.path, code.root):
            return True
    return False


def _port(view: View, service: Service) -> int:
    """Where it listens, or where its command says that it does."""
    pids = {process.pid for process in service.processes}
    for listener in view.bundle.listeners:
        if listener.pid in pids:
            return listener.port
    match = _PORT.search(service.unit.command)
    return int(match[1]) if match else 0


def _nofile(unit: Unit) -> int:
    """0 where no number is set (``infinity`` is none)."""
    said = unit.get("LimitNOFILE")
    return int(said) if said.isdecimal() else 0


def _measured(view: View, unit: str) -> Iterator[Measured]:
    """Nothing where it is not known for how long it has been running."""
    for service in view.services:
        elapsed_s = view.elapsed_s(service.began)
        if service.unit.name != unit or elapsed_s is None:
            continue
        sizes = [process.pss_kib for process in service.processes]
        known = [size for size in sizes if size is not None]
        spent = sum(process.cpu_s for process in service.processes)
        yield Measured(
            host=view.bundle.host,
            cpus=round(spent / max(1, elapsed_s), 3),
            processes=len(sizes),
            pss_kib=sum(known) if len(known) == len(sizes) else None,
        )
