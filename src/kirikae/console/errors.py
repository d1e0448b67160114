"""What a verb can end in, besides what its room says.

KirikaeError
├── SurveySaysNo        1  the survey is missing, too old, or found something in the way
├── NothingToApprove    1  no step waits for this person's approval
├── NotFromSlack        1  a request that Slack did not sign, or that came before
├── NotAsked            1  a button that asks for nothing any more, or of somebody else
└── NotSent             1  a message could not be delivered; the move goes on
"""

from __future__ import annotations

from kirikae.model.errors import KirikaeError


class SurveySaysNo(KirikaeError):
    """The survey is missing, too old, or found something that stands in the way."""


class NothingToApprove(KirikaeError):
    """No step waits for this person's approval."""


class NotFromSlack(KirikaeError):
    """A request that Slack did not sign, or that came before."""


class NotAsked(KirikaeError):
    """A button that asks for nothing any more, or of somebody else.  Its text is a word of
    ``console.chat.not_asked``."""


class NotSent(KirikaeError):
    """A message could not be delivered; the move goes on."""
