"""What runs on the host: services, what else runs beside them, and what has failed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kirikae.model.finding import Finding
from kirikae.survey.catalogue import configured, observed
from kirikae.survey.known import debian, matches
from kirikae.survey.services import ROOT, Service
from kirikae.survey.view import View

_STOP_AT_MOST_S = 120
"""Fargate's longest stopTimeout."""
_USUAL_NOFILE = (1024, 524288, 1048576)
"""What systemd gives by itself, old and new."""
_WORKERS = re.compile(r"(--workers|-w|--processes|--threads|-Xmx\S*|pm\.max_children)[ =]?(\d*)")
_SPAN = re.compile(r"([\d.]+)(us|ms|s|min|h|d)\b")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(text: str) -> float | None:
    """A span as systemd writes it, such as ``1min 30s``; None for one that has no end."""
    try:
        parts = [float(many) * _SECONDS[unit] for many, unit in _SPAN.findall(text)]
    except ValueError:
        return None
    return sum(parts) if parts else None


# --- services


def several_services(view: View) -> Iterator[Finding]:
    services = view.services
    if len(services) > 1:
        names = ", ".join(service.name for service in services)
        says = f"{len(services)} services run here: {names}"
        traces = (view.trace(service.unit.name, service.unit.command) for service in services)
        yield observed("PR01", view.bundle.host, says, *traces)


def runs_as_root(view: View) -> Iterator[Finding]:
    """A web server's master may: it gives its rights up for its workers."""
    for service in view.services:
        if service.uids == {ROOT} and not service.web:
            unit = service.unit
            says = f"{service.name} runs as root"
            yield observed("PR05", unit.name, says, view.trace(unit.name, unit.command))


def stops_slowly(view: View) -> Iterator[Finding]:
    for service in view.services:
        unit = service.unit
        said = unit.get("TimeoutStopUSec")
        span = seconds(said)
        if span is not None and span > _STOP_AT_MOST_S:
            says = f"stopping {service.name} may take {span:.0f} s"
            trace = view.trace(unit.name, f"TimeoutStopSec {said}")
            yield configured("PR07", unit.name, says, trace)


def many_open_files(view: View) -> Iterator[Finding]:
    for service in view.services:
        unit = service.unit
        said = unit.get("LimitNOFILE")
        if unit.own and _is_above_the_default(said):
            says = f"{service.name} may open {said} files"
            trace = view.trace(unit.get("FragmentPath"), f"LimitNOFILE={said}")
            yield configured("PR14", unit.name, says, trace)


def _is_above_the_default(nofile: str) -> bool:
    """``infinity`` is none of anybody's numbers."""
    if not nofile.isdecimal():
        return False
    many = int(nofile)
    return many > min(_USUAL_NOFILE) and many not in _USUAL_NOFILE


def tuned_to_the_machine(view: View) -> Iterator[Finding]:
    for service in view.services:
        unit = service.unit
        match = _WORKERS.search(unit.command)
        if match and unit.own:
            says = f"{service.name} is started with {match[0].strip()}"
            trace = view.trace(unit.get("FragmentPath"), unit.command)
            yield configured("CF21", unit.name, says, trace)


def used(view: View) -> Iterator[Finding]:
    """CPU and memory; what could not be measured is said to be unknown."""
    for service in view.services:
        if service.processes:
            elapsed = view.elapsed_s(service.began)
            since = "" if elapsed is None else f" since {elapsed} s"
            says = f"{service.name} uses {_cpu(service, elapsed)} and {_memory(service)}"
            trace = view.trace("/proc", f"{len(service.processes)} processes{since}")
            yield observed("SZ01", service.unit.name, says, trace)


def _cpu(service: Service, elapsed_s: int | None) -> str:
    if elapsed_s is None:
        return "CPU not measured"
    spent = sum(process.cpu_s for process in service.processes)
    return f"{spent / max(1, elapsed_s):.2f} CPU"


def _memory(service: Service) -> str:
    sizes = [process.pss_kib for process in service.processes]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        return "memory not measured"
    return f"{sum(known) // 1024} MiB in {len(known)} processes"


# --- what else there is


def failed(view: View) -> Iterator[Finding]:
    for unit in view.bundle.units:
        if unit.get("ActiveState") == "failed" and unit.enabled:
            says = f"{unit.name} is enabled and has failed"
            yield observed("PR04", unit.name, says, view.trace(unit.name, "systemctl show"))


def container_engines(view: View) -> Iterator[Finding]:
    yield from _running(view, "PR11", debian().container_engines)


def agents(view: View) -> Iterator[Finding]:
    yield from _running(view, "PR17", debian().agents)


def _running(view: View, code: str, patterns: tuple[str, ...]) -> Iterator[Finding]:
    for unit in view.bundle.units:
        if unit.running and matches(unit.name, patterns):
            trace = view.trace(unit.name, unit.command)
            yield observed(code, unit.name, f"{unit.name} runs here", trace)


def outside_any_service(view: View) -> Iterator[Finding]:
    """Somebody logged in, began it, and left."""
    for process in view.bundle.processes:
        if process.unit.startswith("session-") and process.parent == 1:
            says = "a process runs outside any service"
            trace = view.trace(f"/proc/{process.pid}", process.command)
            yield observed("PR03", process.command[:80], says, trace)


RULES = (
    several_services,
    runs_as_root,
    stops_slowly,
    many_open_files,
    tuned_to_the_machine,
    used,
    failed,
    container_engines,
    agents,
    outside_any_service,
)
