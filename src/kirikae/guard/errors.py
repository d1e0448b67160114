"""What guard can end in, besides done.

KirikaeError
└── UsageProblem
    └── ObjectProblem  2  an object cannot be read, or is none that guard knows
"""

from __future__ import annotations

from kirikae.model.errors import UsageProblem


class ObjectProblem(UsageProblem):
    """An object cannot be read, or is none that guard knows."""
