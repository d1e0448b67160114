"""Names and refusals that the parts of ECS share."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain

_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")


def short(arn: str) -> str:
    """The last part of an ARN, or the name itself."""
    return arn.rpartition("/")[2]


def is_arn(name: str) -> bool:
    """Does it say account and region, too?"""
    return name.startswith("arn:")


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


def check_name(what: str, name: str) -> None:
    """Raise AwsError for a name that ECS does not take: letters, numbers, hyphens and underscores,
    up to 255.  Names become part of ARNs and of the engine's names, too."""
    if not _NAME.fullmatch(name):
        raise refused(
            f"{what} '{name}' is not valid: up to 255 letters, numbers, underscores and hyphens."
        )
