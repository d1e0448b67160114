"""The image that a base storey begins with: the hosts' distribution, or the supported one that
follows it."""

from __future__ import annotations

from kirikae.model.build_settings import BuildSettings
from kirikae.model.workload import Workload

DISTRIBUTIONS = {
    "debian 11": "debian:11-slim",
    "debian 12": "debian:12-slim",
    "debian 13": "debian:13-slim",
    "ubuntu 22.04": "ubuntu:22.04",
    "ubuntu 24.04": "ubuntu:24.04",
    "amzn 2023": "public.ecr.aws/amazonlinux/amazonlinux:2023",
}
SUCCESSORS = {
    "debian 8": "debian 12",
    "debian 9": "debian 12",
    "debian 10": "debian 12",
    "ubuntu 14.04": "ubuntu 22.04",
    "ubuntu 16.04": "ubuntu 22.04",
    "ubuntu 18.04": "ubuntu 22.04",
    "ubuntu 20.04": "ubuntu 24.04",
    "amzn 2": "amzn 2023",
    "amzn 2018.03": "amzn 2023",
    "centos 6": "amzn 2023",
    "centos 7": "amzn 2023",
}
"""Systems that nobody maintains any more (read 2026-11) -> the one of their family that takes its
packages by the same names, as far as there is one."""
_RPM = ("amzn", "centos", "rhel", "rocky", "almalinux", "fedora", "ol")


def distribution_of(workload: Workload, settings: BuildSettings) -> str:
    """As the project file says, else the hosts' own or what follows it."""
    if settings.distribution:
        return settings.distribution
    name = SUCCESSORS.get(workload.distribution, workload.distribution)
    return DISTRIBUTIONS.get(name, name.replace(" ", ":"))


def family_of(workload: Workload, settings: BuildSettings) -> str:
    """``rpm`` or ``deb``: how packages are installed."""
    name = workload.distribution.split(" ")[0]
    image = settings.distribution or ""
    if "amazonlinux" in image or image.startswith(("almalinux", "rockylinux", "fedora")):
        return "rpm"
    return "rpm" if name in _RPM and not image else "deb"


def notes_on(workload: Workload, settings: BuildSettings) -> list[str]:
    """What somebody should know of it."""
    image = distribution_of(workload, settings)
    notes = []
    if not settings.distribution and workload.distribution in SUCCESSORS:
        notes.append(
            f"nobody maintains {workload.distribution} any more: the base storey begins with "
            f"{image}; packages get the versions of that, and names that it does not have stop "
            "the build (strike them from base.packages, or name what replaces them)"
        )
    if "@sha256:" not in image:
        notes.append(
            f"the base storey begins with {image}, whose content changes: pin it in "
            "`build.distribution` (`docker pull` says its digest: NAME@sha256:...)"
        )
    return notes
