"""What a survey can end in, besides done.

KirikaeError
├── HostSilent        1  a host could not be looked at (hosts/errors.py says why)
├── BundleProblem     1  a bundle is damaged, cut off, or of another version
└── NoSurvey          1  there is none yet
"""

from __future__ import annotations

from kirikae.model.errors import KirikaeError


class BundleProblem(KirikaeError):
    """A bundle cannot be read."""


class NoSurvey(KirikaeError):
    """Nothing has been collected yet."""
