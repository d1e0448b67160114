"""What can go wrong on a host.

KirikaeError
├── HostSilent        1  the host could not be reached or let nobody in; nothing was done there
│   └── HostBusy      1  the host did not finish within the time it was given
└── CommandFailed     1  a command ran on the host and said no
"""

from __future__ import annotations

from kirikae.model.errors import KirikaeError


class HostSilent(KirikaeError):
    """The host could not be reached or let nobody in; nothing was done there."""


class HostBusy(HostSilent):
    """The host did not finish within the time it was given."""


class CommandFailed(KirikaeError):
    """A command ran on the host and said no; ``code`` is its exit status, ``said`` what it wrote to
    its error stream."""

    def __init__(self, message: str, code: int, said: str) -> None:
        super().__init__(message)
        self.code = code
        self.said = said
