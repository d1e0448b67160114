"""Limits of users and settings of the kernel."""

from __future__ import annotations

from collections.abc import Iterator

from kirikae.model.bundle import Line
from kirikae.survey.catalogue import Findings, configured
from kirikae.survey.view import View

_OF_A_CONTAINER = frozenset(
    (
        *("audit_write", "chown", "dac_override", "fowner", "fsetid", "kill", "mknod"),
        *("net_bind_service", "net_raw", "setfcap", "setgid", "setpcap", "setuid"),
        *("sys_chroot", "sys_ptrace"),
    )
)
"""Those that an engine gives by default, and the one that Fargate adds."""


def _own_lines(view: View, beginning: str) -> Iterator[Line]:
    """Of files that somebody wrote or changed, by how their path begins."""
    for text in view.own_texts:
        if text.path.startswith(beginning):
            yield from text.live()


def limits_of_users(view: View) -> Findings:
    """A task definition has `ulimits` for them."""
    for line in _own_lines(view, "/etc/security/limits"):
        if not line.path.endswith(".conf"):
            continue
        yield configured(
            "PR14",
            where=line.path,
            says=f"limits are set in {line.path}",
            evidence=[view.quote(line)],
        )


def settings_of_the_kernel(view: View) -> Findings:
    """On Fargate none of vm.* and fs.* can be set."""
    for line in _own_lines(view, "/etc/sysctl"):
        if not line.path.endswith(".conf") or "=" not in line.text:
            continue
        yield configured(
            "PR15",
            where=line.at,
            says=f"the kernel is set: {line.text.strip()}",
            evidence=[view.quote(line)],
        )


def capabilities(view: View) -> Findings:
    """Beyond what a container has by itself, Fargate adds SYS_PTRACE alone (ECS API,
    KernelCapabilities)."""
    for service in view.services:
        asked = service.unit.get("AmbientCapabilities").lower().split()
        more = sorted(name for name in asked if name.removeprefix("cap_") not in _OF_A_CONTAINER)
        if more:
            place = service.unit.get("FragmentPath") or service.unit.name
            line = f"AmbientCapabilities={' '.join(asked)}"
            yield configured(
                "PR10",
                where=service.unit.name,
                says=f"{service.name} needs {', '.join(more)}",
                evidence=[view.trace(place, line)],
            )


RULES = (
    capabilities,
    limits_of_users,
    settings_of_the_kernel,
)
