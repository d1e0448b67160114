"""What a release can end in, besides done.

KirikaeError
├── UsageProblem
│   ├── DefinitionProblem  2  a definition file cannot be read or used
│   │   └── TemplateProblem 2  something in a template cannot be read or carried out
│   │       ├── UnknownFunction 2  a template calls a function that nobody offers
│   │       └── TooLong     2  a template that would not end
│   ├── NoDeployer         2  the project file does not say how releases get onto this fleet
│   └── NoImages           2  the images of this release have not been made yet
├── Unfinished
│   └── NotFinished        3  the fleet was changed, and whether it will get there is not known
│       ├── LockLost       3  another release has taken over; this one touches nothing more
│       └── NothingRuns    3  the release is registered, and the service's desired count is 0
├── BackedOut
│   └── RolledBack         4  the release was taken back; what serves is what served before
├── Waiting
│   └── UnderWay           5  another release of this service is going on
├── NoRelease              1  there is no release of this ID, or its archive is gone or another one
├── ReleaseTaken           1  a release of this ID exists already, with other content
├── NothingBefore          1  there is no former release to put back
├── InTheWay               1  something on a host would make the release fail; nothing was changed
├── SchemaInTheWay         1  a release could not read the database, or would take it from another
├── HookFailed             1  a hook of the user's refused, or is missing; nothing was changed
└── GateShut               1  the release is on the host and does not answer as it should
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kirikae.model.errors import BackedOut, KirikaeError, Unfinished, UsageProblem, Waiting

if TYPE_CHECKING:
    from kirikae.release.ending import Ending
    from kirikae.release.stopped import StoppedTask


class DefinitionProblem(UsageProblem):
    """A definition file cannot be read or used."""


class TemplateProblem(DefinitionProblem):
    """Something in a template cannot be read or carried out; ``at`` is its place, in characters
    (None: of the function that was called)."""

    def __init__(self, message: str, at: int | None = None) -> None:
        super().__init__(message)
        self.at = at


class UnknownFunction(TemplateProblem):
    """A template calls a function that nobody offers, by this ``name``."""

    def __init__(self, name: str, at: int) -> None:
        super().__init__(f'function "{name}" not defined', at)
        self.name = name


class TooLong(TemplateProblem):
    """A template that would not end."""


class NoDeployer(UsageProblem):
    """The project file does not say how releases get onto this fleet."""


class NoImages(UsageProblem):
    """The images of this release have not been made yet."""


class NotFinished(Unfinished):
    """The fleet was changed, and whether it will get there is not known; ``stopped`` says why
    tasks stopped, where they did, and ``ending`` how an ECS deployment ended."""

    def __init__(
        self,
        message: str,
        stopped: Sequence[StoppedTask] = (),
        ending: Ending | None = None,
    ) -> None:
        super().__init__(message)
        self.stopped = stopped
        self.ending = ending


class LockLost(NotFinished):
    """Another release of this service has taken over; this one touches nothing more."""


class NothingRuns(NotFinished):
    """The release is registered, and the service's desired count is 0."""


class RolledBack(BackedOut):
    """The release was taken back; what serves now is what served before.  ``stopped`` says why
    tasks stopped, where they did, and ``ending`` how an ECS deployment ended."""

    def __init__(
        self,
        message: str,
        stopped: Sequence[StoppedTask] = (),
        ending: Ending | None = None,
    ) -> None:
        super().__init__(message)
        self.stopped = stopped
        self.ending = ending


class UnderWay(Waiting):
    """Another release of this service is going on."""


class NoRelease(KirikaeError):
    """There is no release of this ID, or its archive is gone or another one."""


class ReleaseTaken(KirikaeError):
    """A release of this ID exists already, with other content."""


class NothingBefore(KirikaeError):
    """There is no former release to put back."""


class InTheWay(KirikaeError):
    """Something on a host would make the release fail; nothing was changed."""


class GateShut(KirikaeError):
    """The release is on the host and does not answer as it should."""


class SchemaInTheWay(KirikaeError):
    """A release could not read the database, or would take it from another one."""


class HookFailed(KirikaeError):
    """A hook of the user's refused, or is missing; nothing was changed."""


class LeftRange(Exception):
    """`break` or `continue` (``word``) of a template leaves its range: no error at all."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word
