"""Why nothing was built.

KirikaeError
├── CannotBuild       1  something must be answered or made before files or images can be made
└── EngineProblem     1  the container engine is not there, or said no
"""

from __future__ import annotations

from kirikae.model.errors import KirikaeError


class CannotBuild(KirikaeError):
    """Something must be answered or made before files can be written or images built."""


class EngineProblem(KirikaeError):
    """The container engine is not there, or said no."""
