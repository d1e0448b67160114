"""From bundles to the one service that shall be built: what it runs, needs, writes and uses."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

from kirikae.model.bundle import MASKED, Bundle, Package, Text
from kirikae.model.project import Accepted, BuildSettings
from kirikae.model.workload import Measured, Variable, WebServer, Workload, Writable
from kirikae.survey.catalogue import debian, matches
from kirikae.survey.errors import NoSurvey
from kirikae.survey.state import _CODES, roots
from kirikae.survey.view import Service, View

_STOP_S = 90
"""systemd's own TimeoutStopSec."""


def workload(
    bundles: Sequence[Bundle], settings: BuildSettings, accepted: Iterable[Accepted]
) -> Workload:
    """Raises NoSurvey if there is nothing to build from, or not one service that it could be."""
    if not bundles:
        raise NoSurvey("nothing has been surveyed yet; run `kirikae survey collect` first")
    views = [View(b) for b in bundles]
    view = views[0]
    service = _service(view, settings)
    unit = service.unit
    user = unit.get("User") or "root"
    uid, gid, _, _ = view.bundle.users.get(user, (0, 0, "", ""))
    code = view.code_of(service)
    reads = set(view.reads(code)) if code else set()
    questions: list[str] = []
    web = _web(
        views,
        {a.where: a.use for a in accepted if a.finding == "CF05" and a.use},
        unit.get("WorkingDirectory"),
        questions,
    )
    environment = []
    for name, variable in view.environment(service).items():
        differing = {
            v.environment(s)[name].value
            for v in views
            for s in v.applications
            if s.unit.name == unit.name and name in v.environment(s)
        }
        if len(differing) > 1:
            questions.append(
                f"{name} has another value on each host: give one in "
                "`build.environment`, or make the hosts equal"
            )
        environment.append(Variable(name, variable.value, None if code is None else name in reads))
    packages, left_out = _packages(view, service, web)
    command = tuple(shlex.split(unit.command))
    locale = next((v.value for v in environment if v.name in ("LC_ALL", "LANG")), "")
    requirements = any(
        t.path.endswith("/requirements.txt") and code and t.path.startswith(code.root)
        for t in view.bundle.texts
    )
    meta = view.bundle.meta
    return Workload(
        unit=unit.name,
        distribution=f"{meta.get('os_ID', '')} {meta.get('os_VERSION_ID', '')}".strip(),
        command=command,
        folder=unit.get("WorkingDirectory").removeprefix("!").rstrip("/"),
        user=user,
        uid=uid,
        gid=gid,
        environment=tuple(environment),
        locale=locale,
        zone=meta.get("zone", ""),
        packages=packages,
        requirements=requirements,
        web=web,
        port=_port(view, service),
        writable=tuple(Writable(r.path, r.kind, _CODES[r.kind]) for r in roots(view)),
        stop_s=_stop_s(service),
        nofile=int(unit.get("LimitNOFILE")) if unit.get("LimitNOFILE").isdigit() else 0,
        measured=tuple(m for v in views for m in _measured(v, unit.name)),
        left_out=left_out,
        questions=tuple(questions),
    )


def _service(view: View, settings: BuildSettings) -> Service:
    candidates = [
        s
        for s in view.applications
        if settings.unit is None or s.unit.name in (settings.unit, f"{settings.unit}.service")
    ]
    if len(candidates) != 1:
        known = ", ".join(s.unit.name for s in view.services) or "none"
        raise NoSurvey(
            f"{view.bundle.host} runs not one service that could be built but: {known}; "
            "name it as `build.unit` in kirikae.yml"
        )
    if not candidates[0].unit.get("WorkingDirectory"):
        raise NoSurvey(
            f"{candidates[0].unit.name} names no WorkingDirectory, so where its code "
            "lies is not known; "
            "kirikae builds services of a unit of your own"
        )
    return candidates[0]


def _stop_s(service: Service) -> int:
    from kirikae.survey.rules import _seconds

    return round(_seconds(service.unit.get("TimeoutStopUSec")) or _STOP_S)


def _port(view: View, service: Service) -> int:
    pids = {p.pid for p in service.processes}
    for item in view.bundle.listeners:
        if item.pid in pids:
            return item.port
    match = re.search(r":(\d{2,5})\b", service.unit.command)
    return int(match[1]) if match else 0


def _packages(
    view: View, service: Service, web: WebServer | None
) -> tuple[tuple[tuple[str, str], ...], dict[str, str]]:
    """What somebody chose and the service needs: without the host's own tools, servers that do not
    run, and the web server in front."""
    by_name = {p.name: p for p in view.bundle.packages}
    left_out: dict[str, str] = {}
    chosen = []
    program = view.bundle.owner(
        view.bundle.resolve(service.unit.command.split(" ")[0])
    ) or view.bundle.owner(service.unit.command.split(" ")[0])
    for package in view.bundle.packages:
        if package.automatic and package.name != program:
            continue
        if (
            package.essential
            or package.priority in ("required", "important")
            or package.section in ("libs", "oldlibs")
        ):
            continue
        if matches(package.name, debian()["host_only"]) and package.name != program:
            left_out[package.name] = "PK05: of use on a host only"
        elif idle := _idle(view, package, by_name):
            left_out[package.name] = f"PK10: {idle} does not run"
        elif web is not None and package.name == web.package:
            left_out[package.name] = "in the image of the web server"
        else:
            chosen.append((package.name, package.version))
    return tuple(sorted(chosen)), left_out


def _idle(view: View, package: Package, by_name: Mapping[str, Package]) -> str:
    """The unit of a server that this package brings (itself or by packages named after it), if none
    of its units runs."""
    family = {package.name}
    stem = package.name.split("-")[0]
    todo = [package.name]
    while todo:
        found = by_name.get(todo.pop())
        for word in re.findall(
            r"(?:^|[,|]\s*)([a-z0-9][a-z0-9+.-]+)", found.depends if found else ""
        ):
            if word in by_name and word not in family and word.startswith(stem):
                family.add(word)
                todo.append(word)
    units = {
        p.rpartition("/")[2]
        for p, owner in view.bundle.owners.items()
        if owner in family and re.search(r"/systemd/system/[^/]+\.service$", p)
    }
    running = {u.name for u in view.bundle.units if u.running}
    templates = {u.partition("@")[0] for u in running}
    servers = {
        u
        for u in units
        if not matches(u, debian()["units"]) or u.partition("@")[0] in ("postgresql",)
    }
    if servers and not any(u in running or u.partition("@")[0] in templates for u in servers):
        return sorted(servers)[0]
    return ""


def _web(
    views: Sequence[View], use: Mapping[str, str | None], folder: str, questions: list[str]
) -> WebServer | None:
    """nginx in front of the service; where hosts differ, the version of the host that the project
    file names."""
    front = [s for s in views[0].web if s.name == "nginx"]
    if not front:
        if views[0].web:
            questions.append(
                f"{views[0].web[0].name} is in front; kirikae writes sidecars for nginx "
                "only: write its image by hand"
            )
        return None
    hosts = _virtual_hosts(views[0])
    if len(hosts) != 1:
        questions.append(
            f"nginx has {len(hosts)} virtual hosts enabled "
            f"({', '.join(t.path for t in hosts)}); kirikae carries over one"
        )
        return None
    chosen = hosts[0]
    others = [t for v in views[1:] for t in _virtual_hosts(v) if t.path == chosen.path]
    if any(t.fingerprint != chosen.fingerprint for t in others):
        name = use.get(chosen.path)
        right = next((t for v in views if v.bundle.host == name for t in _virtual_hosts(v)), None)
        if right is None:
            questions.append(
                f"{chosen.path} differs between the hosts: accept CF05 in kirikae.yml "
                "with `use: HOST`, the host that is right"
            )
        else:
            chosen = right
    if any(MASKED in line for line in chosen.lines):
        questions.append(f"{chosen.path} holds a secret; it cannot be carried into an image")
    package = views[0].bundle.owner("/usr/sbin/nginx") or "nginx"
    light = next(
        (
            p
            for p in views[0].bundle.packages
            if p.name in ("nginx-light", "nginx-core", "nginx-full", "nginx-extras", "nginx")
            and not p.automatic
        ),
        None,
    )
    version = (
        light.version
        if light
        else next((p.version for p in views[0].bundle.packages if p.name == package), "")
    )
    text = "\n".join(chosen.lines)
    port = next((int(m) for m in re.findall(r"^\s*listen\s+(?:\S+:)?(\d+)", text, re.M)), 80)
    static = []
    for location, served in re.findall(
        r"location\s+(?:\^~\s+)?(/\S*)\s*\{[^}]*?\broot\s+([^;]+);", text
    ):
        if served.strip().rstrip("/") == folder.rstrip("/"):
            static.append(location.strip("/"))
    return WebServer(
        light.name if light else package, version, chosen.path, chosen.lines, port, tuple(static)
    )


def _virtual_hosts(view: View) -> list[Text]:
    return [
        t
        for t in view.web_texts
        if any(re.match(r"\s*server\s*\{", line) for line in t.lines)
        and t.path != "/etc/nginx/nginx.conf"
    ]


def _measured(view: View, unit: str) -> Iterable[Measured]:
    for service in view.services:
        if service.unit.name == unit and service.processes:
            pss = [p.pss_kib for p in service.processes]
            whole = None if any(p is None for p in pss) else sum(p or 0 for p in pss)
            elapsed = max(1, view.bundle.at - service.began)
            yield Measured(
                view.bundle.host,
                round(sum(p.cpu_s for p in service.processes) / elapsed, 3),
                len(service.processes),
                whole,
            )
