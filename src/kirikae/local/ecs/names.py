"""Names and refusals that the parts of ECS share."""

from __future__ import annotations

from kirikae.local.errors import AwsError
from kirikae.local.state import Row


def short(arn: str) -> str:
    """The last part of an ARN, or the name itself."""
    return arn.rpartition("/")[2]


def invalid(message: str) -> AwsError:
    return AwsError("InvalidParameterException", message)


def refused(message: str) -> AwsError:
    return AwsError("ClientException", message)


def unsupported(message: str) -> AwsError:
    return AwsError("UnsupportedFeatureException", message)


def is_live(task: Row) -> bool:
    """Does it count in a deployment's arithmetic?  PENDING or RUNNING and not asked to stop."""
    return bool(task["desiredStatus"] == "RUNNING" and task["lastStatus"] != "STOPPED")
