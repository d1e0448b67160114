"""What the logs can end in, besides done.

KirikaeError
├── UsageProblem
│   ├── NoLayout      2  what was named is no layout of a tree of logs, or none can be inferred
│   └── NotInstalled  2  a library of the extra `logs` is missing
├── BrokenObject     1  an object cannot be read to its end: nothing of it is moved
├── Conflict         1  something else lies where a part belongs
├── ManifestOwned    1  another process owns the manifest
├── NoManifest       1  nothing was classified or moved yet
├── LogsNotReady     1  what must stand before logs may be moved does not stand
├── OldTreeNeeded    1  the old tree is still needed
└── Unfinished
    └── TreeTrouble   3  the folder or the bucket cannot be read or written
"""

from __future__ import annotations

from kirikae.model.errors import KirikaeError, Unfinished, UsageProblem


class NoLayout(UsageProblem):
    """What was named is no layout of a tree of logs, or none can be inferred."""


class NotInstalled(UsageProblem):
    """A library of the extra ``logs`` is missing."""


class BrokenObject(KirikaeError):
    """An object cannot be read to its end: nothing of it is moved."""


class Conflict(KirikaeError):
    """Something else lies where a part belongs."""


class ManifestOwned(KirikaeError):
    """Another process owns the manifest."""


class NoManifest(KirikaeError):
    """Nothing was classified or moved yet."""


class LogsNotReady(KirikaeError):
    """What must stand before logs may be moved does not stand."""


class OldTreeNeeded(KirikaeError):
    """The old tree is still needed."""


class TreeTrouble(Unfinished):
    """The folder or the bucket cannot be read or written."""
