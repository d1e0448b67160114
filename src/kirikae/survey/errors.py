"""What a survey can end in, besides done.

KirikaeError
├── BundleProblem     1  a bundle is damaged, cut off, or of another version
├── KeyProblem        1  the project's key for fingerprints cannot be used
├── NoMasking         1  secrets cannot be told on this machine
├── TreeProblem       1  a root directory or an archive cannot be looked at
└── NoSurvey          1  there is none yet, or not one that says what is asked

A host that cannot be looked at is a HostSilent or a CommandFailed (hosts/).
"""

from __future__ import annotations

from kirikae.model.errors import KirikaeError


class BundleProblem(KirikaeError):
    """A bundle is damaged, cut off, or of another version."""


class KeyProblem(KirikaeError):
    """The project's key for fingerprints cannot be used."""


class NoMasking(KirikaeError):
    """Secrets cannot be told on this machine: nothing may be kept."""


class TreeProblem(KirikaeError):
    """A root directory or an archive cannot be looked at."""


class NoSurvey(KirikaeError):
    """Nothing has been collected yet, or what was collected does not say what is asked."""
