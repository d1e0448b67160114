"""One way to AWS: clients with short time-outs, request IDs kept, --read-only enforced before
anything is sent."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from botocore.parsers import ResponseParserError

from kirikae.aws.clock import ServerClock
from kirikae.aws.errors import (
    EXPIRED,
    TRY_AGAIN,
    AwsRefused,
    CredentialsExpired,
    NotThere,
    ReadOnly,
    WrongAccount,
)
from kirikae.model.errors import AwsUnreachable, KirikaeError

_CONNECT_S = 2
_READ_S = 6
"""Together shorter than what a driver's lease has left before an act, so no call outlives the
lease; no retries."""
_READS = re.compile(r"^(Describe|List|Get|BatchGet|Head|Lookup|Simulate)")

_TO_BE_RENEWED = (
    CredentialRetrievalError,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
_NO_ANSWER = (
    ResponseParserError,
    LookupError,
    AttributeError,
    TypeError,
    ValueError,
    RecursionError,
)
"""botocore follows a 301 of S3 without a region round and round."""
_THROTTLED = 429


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose credentials these are."""

    account: str
    arn: str


def configured_region() -> str | None:
    """As the environment or the profile says (AWS_REGION is botocore's AWS_DEFAULT_REGION)."""
    from botocore.session import Session

    return os.environ.get("AWS_REGION") or Session().get_config_variable("region")


class Aws:
    """Lends clients.  Thread-safe: one session per instance, clients are shared."""

    def __init__(self, region: str, read_only: bool = False) -> None:
        self._region = region
        self._session = self._fresh_session()
        self._read_only = read_only
        self._clients: dict[str, Any] = {}
        self._seen: list[str] = []
        self._guard = threading.Lock()
        self._clock = ServerClock()

    def _fresh_session(self) -> Any:
        from botocore.session import Session  # a quarter of the start-up time

        session = Session()
        session.set_config_variable("region", self._region)
        return session

    def now(self) -> float:
        """The time by AWS's own clock as far as it is known, else by this machine's."""
        return self._clock.now()

    @property
    def endpoint(self) -> str:
        """Where calls go: an own endpoint (kirikae local), or empty for AWS itself."""
        return os.environ.get("AWS_ENDPOINT_URL", "")

    @property
    def region(self) -> str:
        return self._region

    @property
    def read_only(self) -> bool:
        return self._read_only

    def credentials(self) -> Any:
        """The session's own, renewed where they run out: ``access_key``, ``secret_key``, ``token``;
        None where there are none."""
        found = self._session.get_credentials()
        return None if found is None else found.get_frozen_credentials()

    def client(self, service: str) -> Any:
        from botocore.config import Config

        with self._guard:
            if service not in self._clients:
                config = Config(
                    connect_timeout=_CONNECT_S,
                    read_timeout=_READ_S,
                    retries={"mode": "standard", "total_max_attempts": 1},
                )
                client = self._session.create_client(service, config=config)
                client.meta.events.register("before-call", self._before)
                client.meta.events.register("after-call", self._after)
                self._clients[service] = client
            return self._clients[service]

    def _before(self, model: Any, **_: Any) -> None:
        if self._read_only and not _READS.match(model.name):
            raise ReadOnly(
                f"--read-only: {model.service_model.service_name} {model.name} was not sent"
            )

    def _after(self, http_response: Any, parsed: Any, model: Any, **_: Any) -> None:
        about = parsed.get("ResponseMetadata", {})
        headers = about.get("HTTPHeaders", {})
        # S3's bodies are the users' own, and may be read but once.
        if model.service_model.service_name != "s3" and "Error" not in parsed:
            _assert_no_page(http_response.content)
        self._clock.hear(headers)
        request_id = about.get("RequestId")
        with self._guard:
            if request_id and not _READS.match(model.name):
                self._seen.append(f"{model.name}:{request_id}")
            if parsed.get("Error", {}).get("Code") in EXPIRED:
                # Whoever renews them writes a file; only a fresh session reads it.
                self._session = self._fresh_session()
                self._clients = {}

    def take_request_ids(self) -> tuple[str, ...]:
        """IDs of the changing calls since the last time this was asked."""
        with self._guard:
            seen = tuple(self._seen)
            self._seen = []
            return seen

    def caller(self) -> Caller:
        """Who AWS says we are, in whatever account."""
        with told():
            answer = self.client("sts").get_caller_identity()
        return Caller(str(answer["Account"]), str(answer["Arn"]))

    def identity(self, expected_account: str) -> str:
        """Who we are, as an ARN.  Raises WrongAccount."""
        caller = self.caller()
        if caller.account != expected_account:
            raise WrongAccount(
                f"these credentials are of account {caller.account}, the project file "
                f"says {expected_account}; "
                "choose another profile (AWS_PROFILE) or correct `account`"
            )
        return caller.arn


@contextmanager
def told() -> Iterator[None]:
    """Map every botocore error to ours, and what is no answer of AWS at all."""
    try:
        yield
    except KirikaeError:
        raise
    except ClientError as error:
        raise _mapped(error) from error
    except NoCredentialsError as error:
        raise AwsRefused(
            "the call",
            "NoCredentials",
            "no AWS credentials; set AWS_PROFILE, or `eval $(kirikae local env)`",
        ) from error
    except _TO_BE_RENEWED as error:
        raise CredentialsExpired(str(error)) from error
    except (ConnectionError, HTTPClientError, IncompleteReadError) as error:
        raise AwsUnreachable(f"AWS does not answer: {error}") from error
    except BotoCoreError as error:
        raise AwsRefused("the call", type(error).__name__, str(error)) from error
    except _NO_ANSWER as error:
        raise AwsUnreachable(
            "what came back is no answer of AWS; is a proxy in between? "
            f"({type(error).__name__}: {_first_line(error)})"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:120]


def _assert_no_page(body: bytes) -> None:
    """Of JSON that is none, botocore makes an answer without anything in it.  Raises
    ResponseParserError."""
    if body[:64].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise ResponseParserError("a page of HTML")


def _says_not_there(code: str) -> bool:
    """SQS has words of its own: one in its model, one for clients of its former protocol."""
    says = ("NotFound", "NonExistentQueue", "QueueDoesNotExist")
    return code.startswith("NoSuch") or any(each in code for each in says)


def _mapped(error: ClientError) -> KirikaeError:
    code = error.response["Error"].get("Code", "")
    message = error.response["Error"].get("Message", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in EXPIRED:
        return CredentialsExpired(f"{code}: {message}")
    if status >= 500 or status == _THROTTLED or code in TRY_AGAIN:
        return AwsUnreachable(f"AWS could not answer {error.operation_name}: {code}: {message}")
    if code == str(status) and not error.operation_name.startswith("Head"):
        # botocore's word for an error without a code; AWS leaves it out where no body may be.
        return AwsUnreachable(
            f"what came back to {error.operation_name} is no answer of AWS (status {status}); is a "
            f"proxy in between? ({message[:120]})"
        )
    kind = NotThere if _says_not_there(code) else AwsRefused
    return kind(error.operation_name, code, message)
