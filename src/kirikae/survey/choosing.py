"""Which services of a host are built, and under which names: the project file's answer, or the only
one that there is."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from kirikae.model.build_settings import BuildService, BuildSettings
from kirikae.model.bundle import Process, Unit
from kirikae.model.runtimes import ImageKind, Runtime, runtime_of
from kirikae.survey.errors import NoSurvey
from kirikae.survey.services import Service
from kirikae.survey.view import View

_MANAGERS = re.compile(r"(^|/)(supervisord|pm2)\b|PM2 v[\d.]+: God Daemon|/pm2/")
_MODULE = re.compile(r"\s*LoadModule\s+(?:php\w*|passenger|wsgi|perl)_module\s", re.IGNORECASE)
_SECTION = re.compile(r"\s*\[program:([^\]]+)\]")
_SETTING = re.compile(r"\s*(command|user|directory|environment)\s*=\s*(.*?)\s*$")
_ASSIGNED = re.compile(r"(\w+)=(\"[^\"]*\"|'[^']*'|[^,]*)")
_QUOTES = "\"'"
_NOT_A_NAME = re.compile(r"[^a-z0-9-]+")


@dataclass(frozen=True, slots=True)
class Chosen:
    """A service of the host and what the project file says of it."""

    name: str
    service: Service
    settings: BuildService
    runtime: Runtime


def chosen(view: View, settings: BuildSettings) -> list[Chosen]:
    """The first is the one in front.  Raises NoSurvey with the lines to write where it is not
    clear."""
    if settings.services:
        return list(_named(view, settings.services))
    candidates = [
        service
        for service in applications(view)
        if settings.unit is None or settings.unit in (service.unit.name, service.name)
    ]
    if len(candidates) == 1:
        unit = candidates[0].unit.name
        return [_chosen("app", candidates[0], BuildService(unit=unit))]
    raise NoSurvey(_which(view, settings))


def _named(view: View, wanted: Mapping[str, BuildService]) -> Iterator[Chosen]:
    known = {service.unit.name: service for service in [*applications(view), *view.services]}
    for name, settings in wanted.items():
        service = known.get(settings.unit) or known.get(f"{settings.unit}.service")
        if service is None:
            raise NoSurvey(
                f"`build.services.{name}` names {settings.unit}, which {view.bundle.host} does not "
                f"run; it runs {', '.join(known) or 'none'}",
            )
        yield _chosen(name, service, settings)


def _chosen(name: str, service: Service, settings: BuildService) -> Chosen:
    return Chosen(name, service, settings, runtime_of_service(service))


def runtime_of_service(service: Service) -> Runtime:
    """By the unit's command, else by what runs: a unit may begin with a script."""
    commands = [service.unit.command, *(process.command for process in service.processes)]
    known = [runtime_of(command) for command in commands]
    return next((runtime for runtime in known if runtime.programs), known[0])


def _which(view: View, settings: BuildSettings) -> str:
    """What runs there, and the lines that would settle it."""
    host = view.bundle.host
    services = list(applications(view))
    if settings.unit is not None and services:
        known = ", ".join(service.unit.name for service in services)
        return (
            f"{host} does not run {settings.unit}, which `build.unit` in kirikae.yml names; it "
            f"runs {known}"
        )
    if not services:
        known = ", ".join(service.unit.name for service in view.services) or "none"
        return (
            f"{host} runs not one service that could be built but: {known}; name it as `build."
            "unit` in kirikae.yml, or survey the hosts that serve (`fleets.old.hosts`)"
        )
    rows = [f"    {_name(service)}: {{unit: {service.unit.name}}}" for service in services]
    lines = "\n".join(["build:", "  services:", *rows])
    return (
        f"{host} runs not one service that could be built but {len(services)}; keep in kirikae.yml "
        f"those that move (or name one as `build.unit`):\n{lines}"
    )


def _name(service: Service) -> str:
    """As a name of a container."""
    return _NOT_A_NAME.sub("-", service.stem.lower()).strip("-") or "app"


# --- candidates


def applications(view: View) -> Iterator[Service]:
    """What serves or works for users: own units, servers of a language, Apache with a module of
    one; instead of a manager, its programs.  Where nothing of that runs, nginx with files alone."""
    found = list(_applications(view))
    yield from found or (service for service in view.web if service.name == "nginx")


def _applications(view: View) -> Iterator[Service]:
    own = [service for service in view.applications if service.unit.own]
    for service in view.services:
        if _manages(service):
            yield from _programs_of(view, service)
        elif service.web:
            if _runs_code(view, service):
                yield service
        elif service in own or _is_a_server(service) or (not own and service in view.applications):
            yield service


def _is_a_server(service: Service) -> bool:
    """A packaged unit that runs somebody's code, such as php-fpm."""
    runtime = runtime_of_service(service)
    packaged = (ImageKind.PHP_FPM,)
    return runtime.image in packaged or runtime.name in ("uwsgi", "tomcat", "passenger")


def _runs_code(view: View, service: Service) -> bool:
    """Apache with a module of a language switched on."""
    if runtime_of_service(service).image is not ImageKind.APACHE:
        return False
    lines = (line.text for text in view.web_texts for line in text.live())
    return any(_MODULE.match(line) for line in lines) or _links_a_module(view)


def _links_a_module(view: View) -> bool:
    """As Debian switches it on."""
    enabled = (link for link in view.bundle.links if link.startswith("/etc/apache2/mods-enabled/"))
    name = re.compile(r"/(php|passenger|wsgi|perl)[^/]*\.load$")
    return any(name.search(link) for link in enabled)


# --- programs of a manager


def _manages(service: Service) -> bool:
    commands = [service.unit.command, *(process.command for process in service.processes)]
    return any(_MANAGERS.search(command) for command in commands)


def _programs_of(view: View, manager: Service) -> Iterator[Service]:
    """Programs of supervisor's files, else whatever the manager's own process began (PM2)."""
    programs = list(_of_supervisor(view, manager))
    yield from programs or _begun_by(view, manager)


def _of_supervisor(view: View, manager: Service) -> Iterator[Service]:
    for text in view.bundle.texts:
        if not text.path.startswith("/etc/supervis"):
            continue
        name = ""
        said: dict[str, str] = {}
        for line in [*(each.text for each in text.live()), "[end]"]:
            section = _SECTION.match(line)
            if section or line.lstrip().startswith("["):
                if name and said.get("command"):
                    yield _service(manager, name, said, text.path)
                name = section[1] if section else ""
                said = {}
                continue
            setting = _SETTING.match(line)
            if setting:
                said[setting[1]] = setting[2]


def _service(manager: Service, name: str, said: Mapping[str, str], path: str) -> Service:
    """A program as a unit of its own, with systemd's words."""
    command = said["command"]
    unit = Unit(
        f"{name}.service",
        {
            "Id": f"{name}.service",
            "FragmentPath": path,
            "User": said.get("user", ""),
            "WorkingDirectory": said.get("directory", ""),
            "ExecStart": f"{{ path={command.split()[0]} ; argv[]={command} ; }}",
            "Environment": _assignments(said.get("environment", "")),
            "ActiveState": "active",
            "SubState": "running",
            "Own": "yes",
            **{key: manager.unit.get(key) for key in ("LimitNOFILE", "TimeoutStopUSec")},
        },
    )
    running = tuple(each for each in manager.processes if _runs(each, command))
    uids = frozenset(each.uid for each in running) or manager.uids
    return replace(manager, unit=unit, processes=running, uids=uids, package=None)


def _assignments(said: str) -> str:
    """``A="b c",D=e`` of supervisor, in systemd's words."""
    found = _ASSIGNED.findall(said)
    return " ".join(f'"{name}={value.strip(_QUOTES)}"' for name, value in found)


def _runs(process: Process, command: str) -> bool:
    """Is it this command, perhaps behind an interpreter?"""
    return command in process.command


def _begun_by(view: View, manager: Service) -> Iterator[Service]:
    """Children of the manager, each program once."""
    pids = {each.pid for each in manager.processes if _MANAGERS.search(each.command)}
    seen: set[str] = set()
    for process in manager.processes:
        command = process.command.strip()
        if process.parent not in pids or process.pid in pids or command in seen:
            continue
        seen.add(command)
        script = next((word for word in command.split()[1:] if "/" in word), command.split()[0])
        name = posixpath.basename(script).partition(".")[0]
        user = view.bundle.user_names.get(process.uid, "")
        said = {
            "command": command,
            "user": user,
            "directory": view.bundle.folders_of.get(process.pid, ""),
        }
        yield _service(manager, name, said, manager.unit.get("FragmentPath"))
