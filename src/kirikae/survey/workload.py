"""From bundles to the services that shall be built: what they run, need, write and use."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from kirikae.model.build_settings import BuildService, BuildSettings
from kirikae.model.bundle import MASKED, Bundle, Unit, User
from kirikae.model.project import Accepted
from kirikae.model.runtimes import ImageKind
from kirikae.model.workload import Measured, Runs, Variable, Workload, Writable
from kirikae.survey.choosing import Chosen, chosen
from kirikae.survey.configured import Configured, configured_of
from kirikae.survey.errors import NoSurvey
from kirikae.survey.front import Front, front_of
from kirikae.survey.languages import locks_of, mails, unpackaged_of, virtual_environment_of
from kirikae.survey.needs import needed
from kirikae.survey.paths import below, name_of, under
from kirikae.survey.roots import roots
from kirikae.survey.rules.processes import seconds
from kirikae.survey.services import ROOT, Service, uid_of
from kirikae.survey.view import View, view_of

_STOP_S = 90
"""systemd's own TimeoutStopSec."""
_PORT = re.compile(r":(\d{2,5})\b")
_PORT_OPTION = re.compile(r"(?:--port|-p|--http-port)[ =](\d{2,5})\b")
_SOCKET = re.compile(r"(?:unix:/{0,2}|--(?:bind|path|socket|listen)[ =])(/[^\s:?]+)")
_START_SCRIPTS = ("/etc/init.d/", "/etc/rc.d/init.d/")
_PROGRAM_FOLDERS = ("/srv/", "/opt/", "/home/", "/var/www/", "/data/", "/app/", "/usr/local/")
_BINARIES = ("bin", "sbin", "script", "scripts", "exe")


def workload(
    bundles: Sequence[Bundle],
    settings: BuildSettings,
    accepted: Iterable[Accepted],
) -> Workload:
    """The service in front, with the others of its hosts.  Raises NoSurvey if there is nothing to
    build from, or it is not clear what."""
    if not bundles:
        raise NoSurvey("nothing has been surveyed yet; run `kirikae survey collect` first")
    views = [view_of(bundle) for bundle in bundles]
    services = chosen(views[0], settings)
    first, *others = [_one(views, each, settings, accepted) for each in services]
    front = replace(first, runs=Runs.IN_THE_TASK)
    return replace(front, others=tuple(_with_images(front, others)))


def _with_images(first: Workload, others: Sequence[Workload]) -> Iterator[Workload]:
    """A service of the same code and user runs the image that is made already."""
    made = [first]
    for other in others:
        same = [each for each in made if _same_image(each, other)]
        if same:
            yield replace(other, image_of=same[0].image)
        else:
            made.append(other)
            yield other


def _same_image(one: Workload, other: Workload) -> bool:
    """Only the command differs."""
    alike = one.folder == other.folder and one.release == other.release
    program = one.runtime.image is other.runtime.image is ImageKind.PROGRAM
    return alike and program and one.uid == other.uid


def _one(
    views: Sequence[View],
    one: Chosen,
    settings: BuildSettings,
    accepted: Iterable[Accepted],
) -> Workload:
    view = views[0]
    service = one.service
    unit = service.unit
    _no_start_script(view, unit)
    configured = configured_of(view, one)
    folder = _folder(view, one, configured)
    identity = _identity(view, service, configured)
    in_apache = one.runtime.image is ImageKind.APACHE
    front = Front() if in_apache else front_of(views, _right_hosts(accepted), folder)
    environment = _environment(views, service, configured)
    packages = needed(view, service, front.web, _built(view, settings))
    port = one.settings.port or _port(view, service)
    return Workload(
        name=one.name,
        unit=unit.name,
        runtime=one.runtime,
        runs=_runs(one.settings, port, configured),
        release=one.settings.release.strip("/") + "/" if one.settings.release.strip("/") else "",
        distribution=view.bundle.distribution,
        command=one.runtime.in_the_foreground(_words(unit)),
        folder=folder,
        user=identity.name,
        uid=identity.uid,
        gid=identity.gid,
        environment=environment.variables,
        locale=environment.locale,
        zone=view.bundle.zone,
        packages=packages.chosen,
        requirements=_has_requirements(view, service),
        web=front.web,
        port=port,
        writable=tuple(_writable(view)),
        stop_s=round(seconds(unit.get("TimeoutStopUSec")) or _STOP_S),
        nofile=_nofile(unit),
        measured=tuple(found for each in views for found in _measured(each, unit.name)),
        left_out=packages.left_out,
        carried=configured.carried,
        links=configured.links,
        sockets=configured.sockets or tuple(_SOCKET.findall(unit.command)),
        locks=tuple(locks_of(view, folder)),
        virtual_environment=virtual_environment_of(unit.command),
        unpackaged=tuple(unpackaged_of(view, service, folder)),
        mails=mails(view),
        questions=(*_spoken(unit), *front.questions, *environment.questions),
        notes=front.notes,
        own=tuple(text.path for text in view.own_texts),
    )


def _built(view: View, settings: BuildSettings) -> set[str]:
    """Packages of all services that are built."""
    found = set()
    for each in chosen(view, settings):
        program = view.bundle.resolve(each.service.unit.program)
        found |= {each.service.package, view.bundle.owner(program)}
    return {package for package in found if package}


def _words(unit: Unit) -> tuple[str, ...]:
    """A line that no shell could read is taken by its blanks."""
    try:
        return tuple(shlex.split(unit.command))
    except ValueError:
        return tuple(unit.command.split())


def _runs(settings: BuildService, port: int, configured: Configured) -> Runs:
    """What listens is asked by somebody."""
    if settings.runs is not None:
        return Runs(settings.runs)
    return Runs.IN_THE_TASK if port or configured.carried else Runs.ALONE


def _writable(view: View) -> Iterator[Writable]:
    for root in roots(view):
        files = _logs_in(view, root.path) if root.kind == "log" else ()
        yield Writable(root.path, root.kind, root.code, tuple(files), root.services)


_ROTATED = re.compile(r"\.(gz|xz|bz2|zst|old|\d+)$|-\d{8}$")


def _logs_in(view: View, path: str) -> Iterator[str]:
    """Files of a tree of logs that somebody writes now."""
    names = {log.path for log in view.bundle.logs} | {each.path for each in view.bundle.opened}
    names |= {file.path for file in view.files_under(path)}
    for name in sorted(names):
        if under(name, [path]) and name != path and not _ROTATED.search(name):
            yield name


def _right_hosts(accepted: Iterable[Accepted]) -> dict[str, str]:
    """File -> the host whose version is the right one, as somebody answered for it."""
    return {
        answer.where: answer.use for answer in accepted if answer.finding == "CF05" and answer.use
    }


def _no_start_script(view: View, unit: Unit) -> None:
    """Raises NoSurvey for an own script of /etc/init.d: it goes to the background, and a container
    ends with its first process; user and variables stand in its shell code."""
    if unit.program.startswith(_START_SCRIPTS) and view.bundle.owner(unit.program) is None:
        raise NoSurvey(
            f"{unit.name} is the start script {unit.program}, which does not say what stays in the "
            "foreground, as whom, and with which variables; give the service a unit of its own on "
            "a host (ExecStart=, User=, WorkingDirectory=, EnvironmentFile=), start that one, and "
            "survey again",
        )


def _folder(view: View, one: Chosen, configured: Configured) -> str:
    """Raises NoSurvey where nothing tells where the code lies."""
    unit = one.service.unit
    folder = one.settings.folder or unit.folder or configured.folder or _seen(view, one.service)
    if folder:
        return folder
    raise NoSurvey(
        f"{unit.name} names no WorkingDirectory, so where its code lies is not known; say it as "
        f"`build.services.{one.name}: {{unit: {unit.name}, folder: /srv/...}}` in kirikae.yml",
    )


def _seen(view: View, service: Service) -> str:
    """Where its processes work, else where its program or script lies; empty: in no folder for
    somebody's own."""
    works = (view.bundle.folders_of.get(process.pid, "") for process in service.processes)
    for folder in works:
        if folder.startswith(_PROGRAM_FOLDERS):
            return folder
    for word in service.unit.command.split():
        if word.startswith(_PROGRAM_FOLDERS) and view.bundle.owner(word) is None:
            if view.bundle.resolve(word) in view.bundle.folder_at:
                return word
            folder = posixpath.dirname(word)
            inside = posixpath.basename(folder) in _BINARIES and folder.count("/") > 2
            return posixpath.dirname(folder) if inside else folder
    return ""


@dataclass(frozen=True, slots=True)
class _Identity:
    """As whom the service runs."""

    name: str
    uid: int
    gid: int


def _identity(view: View, service: Service, configured: Configured) -> _Identity:
    """Raises NoSurvey for a user whose numbers the host's own lists do not know: it would become
    root in a container."""
    unit = service.unit
    name = configured.user or unit.get("User") or "root"
    user = _user(view.bundle, name)
    if user is None:
        raise NoSurvey(
            f"{unit.name} runs as {name}, whom /etc/passwd of {view.bundle.host} does not have; "
            "give it a user of its own there (`User=`), and survey again",
        )
    given_up = sorted(service.uids - {ROOT})
    if user.uid == ROOT and len(given_up) == 1 and len(service.uids) == 2:
        # Its master is root's own, and its workers gave that up.
        other = _user(view.bundle, str(given_up[0]))
        if other is not None:
            return _Identity(view.bundle.user_names[other.uid], other.uid, other.gid)
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


def _environment(
    views: Sequence[View],
    service: Service,
    configured: Configured,
) -> _Environment:
    """The first host's; where another host has another value, somebody has to choose."""
    view = views[0]
    code = view.code_of(service)
    # Code that asks for none by any way that we know (Perl, a binary) says nothing of them.
    known = code is not None and not view.reads_somehow(code)
    reads = (view.reads(code) or None) if code is not None and known else None
    declared = view.environment(service)
    variables = {variable.name: variable for variable in configured.variables}
    variables |= {
        name: Variable(name, variable.value, None if reads is None else name in reads)
        for name, variable in declared.items()
    }
    questions = (
        f"{name} has another value on each host: give one in `build.environment`, or make the "
        "hosts equal"
        for name in declared
        if len(_values(views, service.unit.name, name)) > 1
    )
    return _Environment(tuple(variables.values()), tuple(questions))


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
    command = service.unit.command
    match = _PORT.search(command) or _PORT_OPTION.search(command)
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
