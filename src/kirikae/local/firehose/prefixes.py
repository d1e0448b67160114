"""Where an object of Firehose is put: the expressions of its prefixes, and what of them AWS
refuses; pure.

Amazon Data Firehose developer guide, "Understand custom prefixes for Amazon S3 objects" and
"Configure Amazon S3 object name format".
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kirikae.local.errors import AwsError, PatternError
from kirikae.local.firehose.javatime import formatted

_EXPRESSION = re.compile(r"!\{([^:{}]*):([^}]*)\}")
_DEFAULT = "yyyy/MM/dd/HH/"
_LONGEST = 512
"""Of an evaluated prefix (developer guide)."""
_RANDOM = 11
_RANDOM_FROM = string.ascii_letters + string.digits
_WORDS = "The supplied prefix(es) do not satisfy the following constraint: "
PROCESSING_FAILED = "processing-failed"
"""Error output: what a processor could not take."""


@dataclass(frozen=True, slots=True)
class Prefixes:
    """``error``: None where the request names none."""

    prefix: str
    error: str | None
    zone: str = "UTC"

    def check(self, when: float) -> None:
        """Raises AwsError for what AWS refuses."""
        _assert_zone(self.zone)
        for problem in self._problems():
            raise refused(problem)
        for text in (self.of_data(when), self.of_errors(when, PROCESSING_FAILED)):
            if len(text) > _LONGEST:
                raise refused(f"the evaluated prefix is {len(text)} long, at most {_LONGEST}")

    def _problems(self) -> Iterator[str]:
        yield from _of_text("Prefix", self.prefix)
        if any(each == ("firehose", "error-output-type") for each in _found(self.prefix)):
            yield "Prefix cannot contain the expression !{firehose:error-output-type}"
        if not self.error:
            if _found(self.prefix):
                yield "ErrorOutputPrefix cannot be null or empty when Prefix contains expressions"
            return
        yield from _of_text("ErrorOutputPrefix", self.error)
        in_error = _found(self.error)
        if in_error and ("firehose", "error-output-type") not in in_error:
            yield "ErrorOutputPrefix must contain !{firehose:error-output-type}"

    def of_data(self, oldest: float) -> str:
        """``oldest``: when the oldest record of the object arrived."""
        return self._evaluated(_with_time(self.prefix), oldest, "")

    def of_errors(self, oldest: float, kind: str) -> str:
        """``kind``: such as ``processing-failed``."""
        if not self.error:
            return self._evaluated(f"{self.prefix}{kind}/{_expression(_DEFAULT)}", oldest, kind)
        return self._evaluated(_with_time(self.error), oldest, kind)

    def _evaluated(self, text: str, oldest: float, kind: str) -> str:
        """Every time in it is the same instant; every random string is another one."""
        when = _local(oldest, self.zone)
        return _EXPRESSION.sub(partial(_value, when=when, kind=kind), text)


def refused(constraint: str) -> AwsError:
    """The error (not raised yet), in AWS's words."""
    return AwsError("InvalidArgumentException", _WORDS + constraint)


def name_time(oldest: float, zone: str) -> str:
    """The time in an object's name."""
    return _local(oldest, zone).strftime("%Y-%m-%d-%H-%M-%S")


def _local(when: float, zone: str) -> datetime:
    return datetime.fromtimestamp(when, UTC).astimezone(ZoneInfo(zone or "UTC"))


def _assert_zone(zone: str) -> None:
    try:
        ZoneInfo(zone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise AwsError(
            "InvalidArgumentException", f"CustomTimeZone {zone!r} is not a supported time zone"
        ) from error


def _expression(pattern: str) -> str:
    return f"!{{timestamp:{pattern}}}"


def _with_time(prefix: str) -> str:
    """One without a time gets the default one behind it.  The guide puts no slash between."""
    if any(space == "timestamp" for space, _ in _found(prefix)):
        return prefix
    return prefix + _expression(_DEFAULT)


def _found(text: str) -> list[tuple[str, str]]:
    """Namespace and value of every expression."""
    return [(match[1], match[2]) for match in _EXPRESSION.finditer(text)]


def _of_text(name: str, text: str) -> Iterator[str]:
    """What is wrong with the expressions of one prefix."""
    if "!{" in _EXPRESSION.sub("", text):
        yield f"{name} contains !{{ outside of an expression of the form !{{namespace:value}}"
    for space, value in _found(text):
        if (assert_value := _SPACES.get(space)) is None:
            yield f"{name} contains the unknown namespace {space!r}"
        elif problem := assert_value(value):
            yield f"{name}: {problem}"


def _of_time(pattern: str) -> str:
    try:
        formatted(pattern, datetime(2026, 1, 1, tzinfo=UTC))
    except PatternError as error:
        return f"the timestamp pattern {pattern!r} is not valid: {error}"
    return ""


def _of_firehose(value: str) -> str:
    known = ("random-string", "error-output-type")
    return "" if value in known else f"firehose:{value} is none of {', '.join(known)}"


def _of_partitions(value: str) -> str:
    return f"kirikae local does not carry out dynamic partitioning ({value})"


_SPACES: Mapping[str, Callable[[str], str]] = {
    "timestamp": _of_time,
    "firehose": _of_firehose,
    "partitionKeyFromQuery": _of_partitions,
    "partitionKeyFromLambda": _of_partitions,
}
"""Namespace -> what is wrong with a value of it; empty where nothing is."""


def _value(match: re.Match[str], when: datetime, kind: str) -> str:
    if match[1] == "timestamp":
        return formatted(match[2], when)
    if match[2] == "error-output-type":
        return kind
    return "".join(secrets.choice(_RANDOM_FROM) for _ in range(_RANDOM))
