"""Every botocore error, mapped to what the operator should do next.

KirikaeError
├── AwsRefused       1  AWS said no (its code and message are kept)
│   ├── NotThere     1  the named thing does not exist
│   └── ItemChanged  1  an item of DynamoDB is not the one any more that was read
├── WrongAccount     1  the credentials belong to another account than the project file says
├── ReadOnly         1  --read-only: the call would change something and was not sent
└── AwsUnreachable   3  no answer (model/errors.py)
    ├── CredentialsExpired   3  the credentials ran out; whoever renews them lets us go on
    └── FiguresIncomplete    3  CloudWatch did not tell all figures; missing is not zero
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kirikae.model.errors import AwsUnreachable, KirikaeError

TRY_AGAIN = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottledException",
        "TooManyRequestsException",
        "ProvisionedThroughputExceededException",
        "TransactionInProgressException",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "LimitExceededException",
        "RequestThrottled",
        "SlowDown",
        "PriorRequestNotComplete",
        "EC2ThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "ServiceUnavailable",
    }
)
"""The same call may succeed later: botocore's own table (a test compares them), and what AWS says
of itself."""
EXPIRED = frozenset(
    ["ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"]
)
"""Credentials that somebody may renew beside us, such as by `aws sso login`."""


class AwsRefused(KirikaeError):
    """AWS said no; the message names the operation, and AWS's own code and words."""

    def __init__(self, operation: str, code: str, message: str) -> None:
        """``code`` and ``message`` are AWS's own."""
        super().__init__(f"AWS refused {operation}: {code}: {message}")
        self.operation = operation
        self.code = code
        self.told: Mapping[str, Any] = {}
        """The rest of what AWS answered, where it was kept."""

    @property
    def denied(self) -> bool:
        """The caller may not ask this; a HEAD of S3 has only its status to say so."""
        return "AccessDenied" in self.code or "Unauthorized" in self.code or self.code == "403"


class NotThere(AwsRefused):
    """The thing that was named does not exist."""


class ItemChanged(AwsRefused):
    """An item of DynamoDB is not the one any more that was read: read again."""


class WrongAccount(KirikaeError):
    """The credentials do not belong to the account of the project file."""


class ReadOnly(KirikaeError):
    """Refused before it was sent: the call would have changed something."""


class CredentialsExpired(AwsUnreachable):
    """The credentials ran out."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"the AWS credentials have run out ({why}); renew them (`aws sso login`): "
            "it goes on by itself as soon as they are valid"
        )


class FiguresIncomplete(AwsUnreachable):
    """CloudWatch did not tell all figures of a time: missing is not zero.

    ``metric``: whose figures; ``status``: what CloudWatch says of them.
    """

    def __init__(self, metric: str, status: str, message: str = "") -> None:
        because = f" ({message})" if message else ""
        super().__init__(f"CloudWatch did not tell {metric} completely: {status}{because}")
        self.metric = metric
        self.status = status
