"""Answers that say no, in AWS's own words and codes, and what keeps kirikae local from going on.

KirikaeError
├── LocalError               1  kirikae local itself cannot start or go on
├── AwsError                 1  an API call is answered with AWS's error code
├── EngineError              1  the container engine refused, or does not answer
├── StartFailed              1  a task cannot be started; becomes its stoppedReason
├── QueryFailed              1  a query of Athena cannot be carried out; its StateChangeReason
├── StoreRefused             1  a store said no to the process that carries queries out
├── PatternError             1  no pattern of dates, or one with a letter that is not read here
├── ProcessingError          1  a processor of Firehose cannot take a record
├── FaultRefused             1  a fault endpoint says no, in the ECS agent's form
├── RuleError                1  it is no rule of a composite alarm
└── ForwardError             1  bytes that are no message of the Forward protocol
"""

from __future__ import annotations

from kirikae.model.errors import KirikaeError


class LocalError(KirikaeError):
    """kirikae local cannot start or go on; the message says what to do."""


class AwsError(KirikaeError):
    """An API call is answered with this code and message, as AWS would."""

    def __init__(
        self,
        code: str,
        message: str,
        status: int = 400,
    ) -> None:
        """``status`` is HTTP's; on 500 and the like, AWS's SDKs try again by themselves."""
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


class EngineError(KirikaeError):
    """The container engine answered with this HTTP status (0: it did not answer)."""

    def __init__(self, status: int, message: str) -> None:
        """``message`` is the engine's own, for the operator."""
        super().__init__(message)
        self.status = status
        self.message = message


class StartFailed(KirikaeError):
    """The task cannot be started; the text is its stoppedReason, with the prefix that the ECS agent
    gives."""


class RuleError(KirikaeError):
    """It is no rule of a composite alarm; says why."""


class QueryFailed(KirikaeError):
    """A query cannot be carried out; the text is its StateChangeReason."""


class StoreRefused(KirikaeError):
    """A store said no, with this code."""

    def __init__(self, code: str, message: str) -> None:
        """Both as the store answers."""
        super().__init__(f"{code}: {message}")
        self.code = code


class PatternError(KirikaeError):
    """A pattern of dates is none, or holds a letter that is not read here."""


class ProcessingError(KirikaeError):
    """A processor cannot take this record."""

    def __init__(self, code: str, message: str) -> None:
        """``code`` says why in Firehose's way."""
        super().__init__(message)
        self.code = code


class FaultRefused(KirikaeError):
    """A fault is not made, ended or looked at."""

    def __init__(self, why: str, status: int = 400) -> None:
        """``status``: with which HTTP status the agent answers it."""
        super().__init__(why)
        self.status = status


class ForwardError(KirikaeError):
    """These bytes are no message of the Forward protocol."""
