"""What a release can end in, besides done.

KirikaeError
├── DefinitionProblem      2  a definition file cannot be used
├── DeployFailed           1  AWS refused before anything was changed (aws/errors.py says why)
├── RolledBack             4  the service deployment failed and ECS went back
└── NotFinished            3  changed, not known to be done: time is up, or another one took over
"""

from __future__ import annotations

from kirikae.model.errors import BackedOut, Unfinished, UsageProblem


class DefinitionProblem(UsageProblem):
    """A definition file cannot be read or used."""


class RolledBack(BackedOut):
    """The service deployment failed; what serves now is what served before."""


class NotFinished(Unfinished):
    """The service was changed, and whether it will get there is not known."""
