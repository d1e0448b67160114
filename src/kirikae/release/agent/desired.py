"""What the hosts of a fleet shall run, as a list that a shell script can read: one thing a line,
and ``end`` at the end, so that half of it is never taken for all.

    kirikae-desired 1
    root /srv/shop                  folder of ``releases/ID`` and ``current``
    before|reload|after COMMAND     a line break as ``\\n``, a backslash doubled
    port 8000
    header X-Release-Id
    patience 30                     seconds
    keep 5                          releases
    check 200 /healthz ok           status, path, what the answer contains
    default ORDER ID SHA256         for a host that has no line of its own, such as a new one
    host NAME ORDER ID SHA256       ``-SHA256`` or ``-``: as it lies there, if it does
    end
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from kirikae.model.errors import StoreBroken
from kirikae.model.project import Check, OldDeployer

HEAD = "kirikae-desired 1"
END = "end"
LIES_THERE = "-"
"""In front of a checksum: a folder of this release that lies on the host is taken as it is."""
_PARTS = 3


@dataclass(frozen=True, slots=True)
class Order:
    """``id`` is new whenever a host shall act; ``sha256`` is the archive's."""

    id: str
    release: str
    sha256: str

    @property
    def line(self) -> str:
        return f"{self.id} {self.release} {self.sha256}"

    @classmethod
    def read(cls, line: str) -> Self:
        parts = line.split()
        if len(parts) != _PARTS:
            raise ValueError(f"{line!r} is no order")
        return cls(*parts)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a release is put onto a host, and when it is believed."""

    settings: OldDeployer
    port: int
    header: str | None
    checks: Sequence[Check]

    def lines(self) -> Iterator[str]:
        settings = self.settings
        yield f"root {(settings.root or '').rstrip('/')}"
        commands = {
            "before": settings.before,
            "reload": settings.reload,
            "after": settings.after,
        }
        yield from (f"{name} {in_a_line(text)}" for name, text in commands.items() if text)
        yield f"port {self.port}"
        if self.header is not None:
            yield f"header {self.header}"
        yield f"patience {settings.patience:.0f}"
        yield f"keep {settings.keep}"
        for check in self.checks or (Check(get="/"),):
            contains = f" {in_a_line(check.contains)}" if check.contains else ""
            yield f"check {check.expect} {check.get}{contains}"


@dataclass(frozen=True, slots=True)
class Desired:
    """``default`` None: a host that is not named does nothing."""

    default: Order | None = None
    hosts: Mapping[str, Order] = field(default_factory=dict)

    def with_host(self, name: str, order: Order) -> Self:
        return replace(self, hosts={**self.hosts, name: order})

    def text(self, recipe: Recipe) -> str:
        lines = [HEAD, *recipe.lines()]
        if self.default is not None:
            lines.append(f"default {self.default.line}")
        lines += [f"host {name} {order.line}" for name, order in sorted(self.hosts.items())]
        return "\n".join([*lines, END, ""])

    @classmethod
    def read(cls, text: str, where: str) -> Self:
        """Raises StoreBroken for what is none, or not a whole one."""
        lines = text.splitlines()
        if lines[:1] != [HEAD] or lines[-1:] != [END]:
            raise StoreBroken(
                f"{where} is no list of what hosts shall run, or not a whole one: move it away, "
                "and deploy again"
            )
        default = None
        hosts = {}
        try:
            for line in lines:
                key, _, value = line.partition(" ")
                if key == "default":
                    default = Order.read(value)
                elif key == "host":
                    name, _, order = value.partition(" ")
                    hosts[name] = Order.read(order)
        except ValueError as error:
            raise StoreBroken(f"{where}: {error}: move it away, and deploy again") from error
        return cls(default, hosts)


def in_a_line(text: str) -> str:
    """As ``printf '%b'`` reads it back (POSIX, printf)."""
    return text.replace("\\", "\\\\").replace("\n", "\\n")
