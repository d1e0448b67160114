"""A container of a task definition as words for a container engine, and which of its changes nobody
declared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

_OF_THE_ENGINE = (
    "/dev",
    "/proc",
    "/sys",
    "/etc/hosts",
    "/etc/hostname",
    "/etc/resolv.conf",
    "/.dockerenv",
)
_STAND_IN = "smoke"


@dataclass(frozen=True, slots=True)
class Writes:
    """A path that a container wrote, and that no mount of it covers."""

    container: str
    path: str

    def to_plain(self) -> dict[str, str]:
        """Plain data for ``--json``."""
        return asdict(self)


def container_words(
    container: Mapping[str, Any],
    given: Mapping[str, str],
    network: str | None,
    volumes: Mapping[str, str],
) -> list[str]:
    """Options, image and command.  The root can be written on purpose: what is written there is
    what would fail in a task.  A secret that is not given stands in for itself."""
    words = ["--network", network] if network else []
    environment = {row["name"]: row["value"] for row in container.get("environment", ())}
    environment |= {row["name"]: _STAND_IN for row in container.get("secrets", ())}
    environment |= given
    for name, value in environment.items():
        words += ["-e", f"{name}={value}"]
    for row in container.get("linuxParameters", {}).get("tmpfs", ()):
        options = ",".join([f"size={row['size']}m", *row.get("mountOptions", ())])
        words += ["--tmpfs", f"{row['containerPath']}:{options}"]
    for point in container.get("mountPoints", ()):
        words += ["-v", f"{volumes[point['sourceVolume']]}:{point['containerPath']}"]
    return [*words, container["image"], *container.get("command", ())]


def declared(container: Mapping[str, Any]) -> list[str]:
    """Folders that it may write."""
    tmpfs = container.get("linuxParameters", {}).get("tmpfs", ())
    found = [row["containerPath"] for row in tmpfs]
    return [*found, *(point["containerPath"] for point in container.get("mountPoints", ()))]


def undeclared(container: Mapping[str, Any], changed: Iterable[str]) -> Iterator[Writes]:
    """Of the paths that differ from the image, those that no mount covers, without the folders
    around them."""
    may = [*declared(container), *_OF_THE_ENGINE]
    paths = sorted(changed)
    for path in paths:
        covers = any(path == each or path.startswith(f"{each}/") for each in may)
        around = any(other.startswith(f"{path}/") for other in (*paths, *may))
        if not covers and not around:
            yield Writes(container["name"], path)
