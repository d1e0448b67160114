"""Whether what a host runs fits into a task: children by their memory, processors by their kind."""

from __future__ import annotations

import re
from statistics import median

from kirikae.model.bundle import Line
from kirikae.survey.catalogue import Findings, observed, present
from kirikae.survey.paths import under
from kirikae.survey.sections import number
from kirikae.survey.services import Service
from kirikae.survey.view import View

_CHILDREN = re.compile(
    r"^\s*(pm\.max_children|MaxRequestWorkers|MaxClients)\s*[=\s]\s*(\d+)|(?:--workers|-w)[ =](\d+)"
)
_BURSTABLE = re.compile(r"t[1-4][a-z]*\.\w+")
_WITHOUT_MASTER = 2


def children_exceed_memory(view: View) -> Findings:
    """At the peak the kernel would end some of them; a task is smaller still."""
    total = number(view.bundle.meta.get("memory_kib", ""))
    for service in view.services:
        line = _most_children(view, service)
        sizes = _children(service)
        if line is None or not sizes or not total:
            continue
        many = _number_in(line.text)
        each = int(median(sizes))
        if many * each > total:
            yield observed(
                "SZ02",
                where=service.unit.name,
                says=(
                    f"{many} children of {each // 1024} MiB need {many * each // 1024} MiB; this "
                    f"host has {total // 1024}"
                ),
                evidence=[view.quote(line), view.trace("/proc", f"{len(sizes)} were measured")],
            )


def _number_in(text: str) -> int:
    """The number of children that a line asks for."""
    match = _CHILDREN.search(text)
    return int(match[2] or match[3]) if match else 0


def _most_children(view: View, service: Service) -> Line | None:
    """Where the service is told how many it may start; of several pools, the largest."""
    lines = [Line(service.unit.name, 0, service.unit.command)]
    for text in view.bundle.texts:
        stem = "/php" if "php" in service.name else f"/etc/{service.stem}"
        if stem in text.path and not under(text.path, view.former_releases):
            lines += text.live()
    told = [line for line in lines if _number_in(line.text)]
    return max(told, key=lambda line: _number_in(line.text), default=None)


def _children(service: Service) -> list[int]:
    """Their memory; the master, whose child each is, is left out."""
    parents = {process.parent for process in service.processes}
    sizes = [each.pss_kib for each in service.processes if each.pid not in parents]
    return [size for size in sizes if size]


def borrowed_speed(view: View) -> Findings:
    """It is faster for a while than it may be for long: a task has no such credit."""
    kind = view.bundle.meta.get("product", "")
    if _BURSTABLE.fullmatch(kind):
        yield present(
            "SZ05",
            where=kind,
            says=f"the machine is a {kind}, which is faster for a while than for long",
            evidence=[view.trace("/sys/devices/virtual/dmi/id/product_name", kind)],
        )


RULES = (
    children_exceed_memory,
    borrowed_speed,
)
