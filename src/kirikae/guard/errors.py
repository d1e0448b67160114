"""What guard can end in, besides done.

KirikaeError
└── UsageProblem
    └── ObjectProblem  2  an object cannot be read, or is none that guard knows
        ├── BrokenTar  2  an archive is broken, or would trick its reader
        └── NoZstd     2  a layer is packed by zstd, and the library for that is not installed
"""

from __future__ import annotations

from kirikae.model.errors import UsageProblem


class ObjectProblem(UsageProblem):
    """An object cannot be read, or is none that guard knows."""


class BrokenTar(ObjectProblem):
    """An archive is broken, or would trick its reader; whoever opened it names the file."""


class NoZstd(ObjectProblem):
    """A layer is packed by zstd, and the library for that is not installed."""
