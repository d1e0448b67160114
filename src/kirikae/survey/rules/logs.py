"""Where logs are written, and who sends them on."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kirikae.model.bundle import Folder, Line, Text
from kirikae.survey.catalogue import Findings, configured, present
from kirikae.survey.paths import below
from kirikae.survey.view import View

_LOGS = "/var/log"
_SHIPPER = re.compile(r"/(td-agent|fluentd?|fluent-bit|filebeat|awslogs)(/|\.)")
_BUFFER = re.compile(r"pos_file|buffer|^\s*path\s|registry|state_file|queue")
_TIME_IN_A_PATH = re.compile(r"timekey_zone|time_slice|localtime|timezone|%Y")
_LOCAL_TIME = re.compile(r"zone\s+(\+(?!00)|-|Asia|local)|localtime")
_UTC = ("UTC", "Etc/UTC")


def _shippers(view: View) -> Iterator[Text]:
    """Configuration of programs that send logs on, by their path."""
    for text in view.bundle.texts:
        if _SHIPPER.search(text.path):
            yield text


def _lines(text: Text, pattern: re.Pattern[str]) -> list[Line]:
    """Live lines that fit."""
    return [line for line in text.live() if pattern.search(line.text)]


def shippers(view: View) -> Findings:
    """Lines in their buffers are lost with the host."""
    for text in _shippers(view):
        lines = _lines(text, _BUFFER)
        if lines:
            yield configured(
                "LG03",
                where=text.path,
                says=f"a log shipper is configured in {text.path}",
                evidence=view.quotes(lines),
            )


def local_time(view: View) -> Findings:
    """The shipper says so, or the machine's own zone does."""
    zone = view.bundle.zone or "UTC"
    for text in _shippers(view):
        lines = _lines(text, _TIME_IN_A_PATH)
        told = any(_LOCAL_TIME.search(line.text) for line in lines)
        if told or (lines and zone not in _UTC):
            yield configured(
                "LG04",
                where=text.path,
                says="log paths are made from local time",
                evidence=view.quotes(lines),
            )


def folders_of_logs(view: View) -> Findings:
    """Of services that run here."""
    for folder in view.bundle.folders:
        own = below(folder.path, _LOGS) and not view.of_the_system(folder.path)
        if own and folder.files and _of_a_service(view, folder):
            yield present(
                "LG01",
                where=folder.path,
                says=f"logs are written in {folder.path}",
                evidence=[view.trace(folder.path, f"{folder.files} files")],
            )


def _of_a_service(view: View, folder: Folder) -> bool:
    """By the name of its folder in /var/log, or by the package that brought that folder."""
    stem = folder.path.split("/")[3]
    owner = view.bundle.owner(f"{_LOGS}/{stem}")
    return any(
        service.name.startswith(stem) or (owner and service.package == owner)
        for service in view.services
    )


RULES = (
    shippers,
    local_time,
    folders_of_logs,
)
