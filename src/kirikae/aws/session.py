"""One way to AWS: clients with short time-outs, request IDs kept, --read-only enforced before
anything is sent."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    NoCredentialsError,
)

from kirikae.aws.errors import AwsRefused, NotThere, ReadOnly, WrongAccount
from kirikae.model.errors import AwsUnreachable, KirikaeError

_CONNECT_S = 2
_READ_S = 6
"""Together shorter than what a driver's lease has left before an act, so no call outlives the
lease; no retries."""
_READS = re.compile(r"^(Describe|List|Get|Head|Lookup|Simulate)")


class Aws:
    """Lends clients.  Thread-safe: one session per instance, clients are shared."""

    def __init__(self, region: str, read_only: bool = False) -> None:
        import boto3  # half of the start-up time; `--help` needs none of it

        self._session = boto3.session.Session(region_name=region)
        self._read_only = read_only
        self._clients: dict[str, Any] = {}
        self._seen: list[str] = []
        self._guard = threading.Lock()

    @property
    def endpoint(self) -> str:
        """Where calls go: an own endpoint (kirikae local), or empty for AWS itself."""
        return os.environ.get("AWS_ENDPOINT_URL", "")

    def client(self, service: str) -> Any:
        from botocore.config import Config

        with self._guard:
            if service not in self._clients:
                config = Config(
                    connect_timeout=_CONNECT_S,
                    read_timeout=_READ_S,
                    retries={"mode": "standard", "total_max_attempts": 1},
                )
                client = self._session.client(service, config=config)
                client.meta.events.register("before-call", self._before)
                client.meta.events.register("after-call", self._after)
                self._clients[service] = client
            return self._clients[service]

    def _before(self, model: Any, **_: Any) -> None:
        if self._read_only and not _READS.match(model.name):
            raise ReadOnly(
                f"--read-only: {model.service_model.service_name} {model.name} was not sent"
            )

    def _after(self, parsed: Any, model: Any, **_: Any) -> None:
        request_id = parsed.get("ResponseMetadata", {}).get("RequestId")
        if request_id and not _READS.match(model.name):
            with self._guard:
                self._seen.append(f"{model.name}:{request_id}")

    def take_request_ids(self) -> tuple[str, ...]:
        """IDs of the changing calls since the last time this was asked."""
        with self._guard:
            seen = tuple(self._seen)
            self._seen = []
            return seen

    def identity(self, expected_account: str) -> str:
        """Who we are, as an ARN.  Raises WrongAccount."""
        with told():
            answer = self.client("sts").get_caller_identity()
        if answer["Account"] != expected_account:
            raise WrongAccount(
                f"these credentials are of account {answer['Account']}, the project file "
                f"says {expected_account}; "
                "choose another profile (AWS_PROFILE) or correct `account`"
            )
        return str(answer["Arn"])


@contextmanager
def told() -> Iterator[None]:
    """Map every botocore error to ours."""
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
    except (ConnectionError, HTTPClientError) as error:
        raise AwsUnreachable(f"AWS does not answer: {error}") from error
    except BotoCoreError as error:
        raise AwsRefused("the call", type(error).__name__, str(error)) from error


def _mapped(error: ClientError) -> KirikaeError:
    code = error.response["Error"].get("Code", "")
    message = error.response["Error"].get("Message", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status >= 500 or code in ("Throttling", "ThrottlingException", "RequestLimitExceeded"):
        return AwsUnreachable(f"AWS could not answer {error.operation_name}: {code}: {message}")
    kind = NotThere if "NotFound" in code or code.startswith("NoSuch") else AwsRefused
    return kind(error.operation_name, code, message)
