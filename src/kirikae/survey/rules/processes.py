"""What runs on the host: services, what else runs beside them, and what has failed."""

from __future__ import annotations

import re

from kirikae.survey.catalogue import Findings, configured, observed
from kirikae.survey.counted import counted
from kirikae.survey.known import debian
from kirikae.survey.rules.running import running
from kirikae.survey.services import ROOT, Service
from kirikae.survey.view import View

_STOP_AT_MOST_S = 120
"""Fargate's longest stopTimeout."""
_USUAL_NOFILE = (1024, 524288, 1048576)
"""What systemd gives by itself, old and new."""
_WORKERS = re.compile(r"(--workers|-w|--processes|--threads|-Xmx\S*|pm\.max_children)[ =]?(\d*)")
_HERE = "{unit} runs here"
_TUNED = re.compile(
    r"\s*(pm\.max_children|worker_(processes|connections)|MaxRequestWorkers|MaxClients"
    r"|innodb_buffer_pool_size|shared_buffers|maxmemory|max_connections)\b[\s=]+\d",
)
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|min|h|d)\b")
_SECONDS = {
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}


def seconds(text: str) -> float | None:
    """A span as systemd writes it, such as ``1min 30s``; None for one that has no end."""
    parts = _SPAN.findall(text)
    if not parts:
        return None
    return sum(float(many) * _SECONDS[unit] for many, unit in parts)


# --- services


def several_services(view: View) -> Findings:
    """Each becomes a container of its own."""
    services = view.services
    if len(services) > 1:
        names = ", ".join(service.name for service in services)
        yield observed(
            "PR01",
            where=view.bundle.host,
            says=f"{len(services)} services run here: {names}",
            evidence=(view.trace(service.unit.name, service.unit.command) for service in services),
        )


def runs_as_root(view: View) -> Findings:
    """A web server's master may: it gives its rights up for its workers."""
    for service in view.services:
        if service.uids == {ROOT} and not service.web:
            unit = service.unit
            yield observed(
                "PR05",
                where=unit.name,
                says=f"{service.name} runs as root",
                evidence=[view.trace(unit.name, unit.command)],
            )


def stops_slowly(view: View) -> Findings:
    """ECS kills what has not ended by then."""
    for service in view.services:
        unit = service.unit
        said = unit.get("TimeoutStopUSec")
        span = seconds(said)
        if span is not None and span > _STOP_AT_MOST_S:
            yield configured(
                "PR07",
                where=unit.name,
                says=f"stopping {service.name} may take {span:.0f} s",
                evidence=[view.trace(unit.name, f"TimeoutStopSec {said}")],
            )


def many_open_files(view: View) -> Findings:
    """A task has a limit of its own, and must be told a larger one."""
    for service in view.services:
        unit = service.unit
        said = unit.get("LimitNOFILE")
        if unit.changed and _is_above_the_default(said):
            yield configured(
                "PR14",
                where=unit.name,
                says=f"{service.name} may open {said} files",
                evidence=[view.trace(unit.get("FragmentPath"), f"LimitNOFILE={said}")],
            )


def _is_above_the_default(nofile: str) -> bool:
    """``infinity`` is none of anybody's numbers."""
    if not nofile.isdecimal():
        return False
    many = int(nofile)
    return many > min(_USUAL_NOFILE) and many not in _USUAL_NOFILE


def tuned_to_the_machine(view: View) -> Findings:
    """A task is smaller than the machine."""
    for service in view.services:
        unit = service.unit
        match = _WORKERS.search(unit.command)
        if match and unit.changed:
            yield configured(
                "CF21",
                where=unit.name,
                says=f"{service.name} is started with {match[0].strip()}",
                evidence=[view.trace(unit.get("FragmentPath"), unit.command)],
            )


def tuned_in_configuration(view: View) -> Findings:
    """Children of PHP, workers of a web server, buffers of a database: set for this machine."""
    for text in view.own_texts:
        for line in text.live():
            if _TUNED.match(line.text):
                yield configured(
                    "CF21",
                    where=line.at,
                    says=f"{text.path} sets {line.text.strip()}",
                    evidence=[view.quote(line)],
                )


def used(view: View) -> Findings:
    """CPU and memory; what could not be measured is said to be unknown."""
    for service in view.services:
        if service.processes:
            elapsed = view.elapsed_s(service.began)
            since = "" if elapsed is None else f" since {elapsed} s"
            yield observed(
                "SZ01",
                where=service.unit.name,
                says=f"{service.name} uses {_cpu(service, elapsed)} and {_memory(service)}",
                evidence=[view.trace("/proc", f"{len(service.processes)} processes{since}")],
            )


def _cpu(service: Service, elapsed_s: int | None) -> str:
    """Vcpus on average since it began, in words."""
    if elapsed_s is None:
        return "CPU not measured"
    spent = sum(process.cpu_s for process in service.processes)
    return f"{spent / max(1, elapsed_s):.2f} CPU"


def _memory(service: Service) -> str:
    """PSS of all its processes (what is shared is counted once, proc(5)), in words; unknown where
    one of them could not be read."""
    sizes = [process.pss_kib for process in service.processes]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        return "memory not measured"
    amount = f"{sum(known) // 1024} MiB" if sum(known) >= 1024 else "less than 1 MiB"
    return f"{amount} in {counted(len(known), 'process', 'processes')}"


# --- what else there is


def failed(view: View) -> Findings:
    """What is broken must not be moved as it is."""
    for unit in view.bundle.units:
        if unit.get("ActiveState") == "failed" and unit.enabled:
            yield observed(
                "PR04",
                where=unit.name,
                says=f"{unit.name} is enabled and has failed",
                evidence=[view.trace(unit.name, "systemctl show")],
            )


def container_engines(view: View) -> Findings:
    """What runs in it was not looked at."""
    yield from running(view, "PR11", debian().container_engines, _HERE)


def agents(view: View) -> Findings:
    """They watch a host, and a task has none."""
    yield from running(view, "PR17", debian().agents, _HERE)


def outside_any_service(view: View) -> Findings:
    """Somebody logged in, began it, and left."""
    for process in view.bundle.processes:
        if process.unit.startswith("session-") and process.parent == 1:
            yield observed(
                "PR03",
                where=process.command[:80],
                says="a process runs outside any service",
                evidence=[view.trace(f"/proc/{process.pid}", process.command)],
            )


RULES = (
    several_services,
    runs_as_root,
    stops_slowly,
    many_open_files,
    tuned_to_the_machine,
    tuned_in_configuration,
    used,
    failed,
    container_engines,
    agents,
    outside_any_service,
)
