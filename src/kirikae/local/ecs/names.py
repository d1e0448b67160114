"""Names and refusals that the parts of ECS share."""

from __future__ import annotations

from collections.abc import Iterable

from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain


def short(arn: str) -> str:
    """The last part of an ARN, or the name itself."""
    return arn.rpartition("/")[2]


def invalid(message: str) -> AwsError:
    """The error (not raised yet) for a parameter that has no sense."""
    return AwsError("InvalidParameterException", message)


def refused(message: str) -> AwsError:
    """The error (not raised yet) for a request that AWS's API would not carry out."""
    return AwsError("ClientException", message)


def unsupported(message: str) -> AwsError:
    """The error (not raised yet) for what AWS can do and kirikae local does not: refused by name,
    so that no rehearsal passes on something that was silently dropped."""
    return AwsError("UnsupportedFeatureException", message)


def refuse(params: Plain, keys: Iterable[str], where: str) -> None:
    """Raise AwsError for a parameter that is given and is not carried out."""
    for key in keys:
        if params.get(key):
            raise unsupported(f"{where}: kirikae local does not carry out {key} yet")


def missing(arn: str) -> Plain:
    """An entry of ``failures``."""
    return {
        "arn": arn,
        "reason": "MISSING",
    }
