"""What a check sees at one place, and what became of a check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from kirikae.guard.limits import Limits
from kirikae.guard.objects import Container, Dockerfile, Image, Resource, Scanned, Task
from kirikae.model.finding import Finding, Severity
from kirikae.model.said import Said


class Outcome(StrEnum):
    """Nothing is green that was not looked at."""

    PASS = "pass"
    FAIL = "fail"
    NOT_APPLICABLE = "not-applicable"
    NOT_CHECKED = "not-checked"


@dataclass(frozen=True, slots=True)
class Fault:
    """``at``: the place within the object, the same as long as the object is the same thing.
    ``severity`` None: the catalogue's."""

    at: str
    says: str
    line: int = 0
    severity: Severity | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value that is decided later, or a thing that another object decides."""

    why: Said


Seen = Fault | Unknown
TaskCheck = Callable[[Task, Limits], Iterator[Seen]]
ContainerCheck = Callable[[Container, Limits], Iterator[Seen]]
FileCheck = Callable[[Dockerfile], Iterator[Seen]]
ImageCheck = Callable[[Image], Iterator[Seen]]
ResourceCheck = Callable[[Resource], Iterator[Seen]]
ScanCheck = Callable[[Scanned, Limits], Iterator[Seen]]
_Check = TypeVar("_Check")


@dataclass(frozen=True, slots=True)
class Looked:
    """One check of one object.  ``why``: of what did not pass and is no fault.  ``by``: scanners
    whose results it goes by."""

    code: str
    where: str
    outcome: Outcome
    findings: tuple[Finding, ...] = ()
    why: tuple[Said, ...] = ()
    by: tuple[str, ...] = ()
