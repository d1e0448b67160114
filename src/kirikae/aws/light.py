"""AWS's JSON services without boto3, for a worker that lives in a user's container.

boto3 takes a second to start and half of the memory that a worker may have, and its files would
have to be copied into the application's image.  What is needed of it is little: credentials of the
environment or of the task, a signature (AWS, "Signature Version 4 signing process"), one JSON
request.  Credentials of any other kind (a profile, an instance) are still asked of botocore, if it
is there.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import re
import threading
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kirikae.aws.clock import ServerClock
from kirikae.aws.errors import (
    EXPIRED,
    TRY_AGAIN,
    AwsRefused,
    CredentialsExpired,
    NotThere,
    ReadOnly,
)
from kirikae.model.errors import AwsUnreachable

Plain = dict[str, Any]
_CONNECT_S = 5.0
_ANSWER_S = 10.0
_RENEW_S = 300.0
_TASKS_HOST = "169.254.170.2"
_THROTTLED = 429
_READS = re.compile(r"^(Describe|List|Get|Query|Scan|Batch|Receive)")
_GONE = (OSError, http.client.HTTPException)


@dataclass(frozen=True, slots=True)
class Service:
    """``prefix`` and ``version``: of the JSON protocol.  Without a prefix it speaks forms and XML
    (the query protocol); ``version`` is the API's then."""

    name: str
    prefix: str
    version: str = "1.0"

    def body(self, operation: str, asked: Mapping[str, Any]) -> bytes:
        """As it is sent."""
        if self.prefix:
            return json.dumps(asked).encode()
        form = {
            "Action": operation,
            "Version": self.version,
            **asked,
        }
        return urllib.parse.urlencode(form).encode()

    def headers(self, operation: str) -> dict[str, str]:
        """Those that say what is asked."""
        if not self.prefix:
            return {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
        return {
            "content-type": f"application/x-amz-json-{self.version}",
            "x-amz-target": f"{self.prefix}.{operation}",
        }


SQS = Service("sqs", "AmazonSQS")
DYNAMODB = Service("dynamodb", "DynamoDB_20120810")
ECS = Service(
    "ecs",
    "AmazonEC2ContainerServiceV20141113",
    "1.1",
)
SSM = Service(
    "ssm",
    "AmazonSSM",
    "1.1",
)
LOGS = Service(
    "logs",
    "Logs_20140328",
    "1.1",
)
SNS = Service("sns", "", "2010-03-31")


@dataclass(frozen=True, slots=True)
class Credentials:
    """``until``: seconds since 1970; None: for ever."""

    key: str
    secret: str
    session: str = ""
    until: float | None = None


class LightAws:
    """Calls from any thread; each keeps its connections open."""

    def __init__(
        self,
        region: str,
        environment: Mapping[str, str] | None = None,
        read_only: bool = False,
    ) -> None:
        self._region = region
        self._environment = os.environ if environment is None else environment
        self._read_only = read_only
        self._kept = threading.local()
        self._guard = threading.Lock()
        self._credentials: Credentials | None = None
        self._clock = ServerClock()

    def now(self) -> float:
        """The time by AWS's own clock as far as it is known, else by this machine's."""
        return self._clock.now()

    def skew_s(self) -> float | None:
        """How far this machine's clock is ahead of AWS's; None: nothing was heard of AWS yet."""
        return self._clock.skew_s()

    def call(
        self,
        service: Service,
        operation: str,
        asked: Mapping[str, Any],
        wait_s: float = 0,
    ) -> Plain:
        """``wait_s``: how long AWS itself may hold the answer back.  Raises AwsRefused, NotThere,
        AwsUnreachable."""
        if self._read_only and not _READS.match(operation):
            raise ReadOnly(f"--read-only: {service.name} {operation} was not sent")
        body = service.body(operation, asked)
        request = _Request(
            service,
            operation,
            body,
            self._endpoint(service),
        )
        try:
            status, headers, raw = self._sent(request, wait_s)
        except _GONE as error:
            raise AwsUnreachable(
                f"AWS does not answer {service.name} {operation}: {type(error).__name__}: {error}"
            ) from error
        self._clock.hear(headers)
        if not service.prefix:
            raw = _as_json(status, raw)
        return self._read(operation, status, raw)

    def _endpoint(self, service: Service) -> urllib.parse.SplitResult:
        own = self._environment.get(f"AWS_ENDPOINT_URL_{service.name.upper()}")
        every = self._environment.get("AWS_ENDPOINT_URL")
        suffix = ".cn" if self._region.startswith("cn-") else ""
        url = own or every or f"https://{service.name}.{self._region}.amazonaws.com{suffix}"
        return urllib.parse.urlsplit(url)

    def _sent(self, request: _Request, wait_s: float) -> tuple[int, Mapping[str, str], bytes]:
        """A connection that fell asleep is opened anew, once: the request did not go out."""
        headers = request.signed(
            self._region,
            self.credentials(),
            self.now(),
        )
        connection = self._connection(request.endpoint)
        fresh = connection.sock is None
        try:
            return _exchanged(
                connection,
                request,
                headers,
                wait_s,
            )
        except _GONE:
            connection.close()
            if fresh:
                raise
        try:
            return _exchanged(
                connection,
                request,
                headers,
                wait_s,
            )
        except _GONE:
            connection.close()
            raise

    def _connection(self, endpoint: urllib.parse.SplitResult) -> http.client.HTTPConnection:
        """Of this thread."""
        kept: dict[str, http.client.HTTPConnection] = self._kept.__dict__.setdefault("open", {})
        if endpoint.netloc not in kept:
            secure = endpoint.scheme == "https"
            kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
            host = endpoint.hostname or ""
            kept[endpoint.netloc] = kind(
                host,
                endpoint.port,
                timeout=_CONNECT_S,
            )
        return kept[endpoint.netloc]

    def _read(self, operation: str, status: int, raw: bytes) -> Plain:
        try:
            answer = json.loads(raw or b"{}")
        except ValueError as error:
            raise _no_answer(operation) from error
        if not isinstance(answer, dict):
            raise _no_answer(operation)
        if status == 200:
            return answer
        code = str(answer.get("__type", status)).rpartition("#")[2]
        message = str(answer.get("message") or answer.get("Message") or "")
        if code in EXPIRED:
            with self._guard:
                self._credentials = None
            raise CredentialsExpired(f"{code}: {message}")
        if status >= 500 or status == _THROTTLED or code in TRY_AGAIN:
            raise AwsUnreachable(f"AWS could not answer {operation}: {code}: {message}")
        refused = _refused(
            operation,
            code,
            message,
        )
        refused.told = answer
        raise refused

    def credentials(self) -> Credentials:
        """Renewed before they run out.  Raises AwsRefused, AwsUnreachable."""
        with self._guard:
            found = self._credentials
            if found is None or (found.until or 1e18) - time.time() < _RENEW_S:
                found = self._credentials = credentials_of(self._environment)
            return found


_CODE = re.compile(rb"<Code>([^<]{1,100})</Code>")
_MESSAGE = re.compile(rb"<Message>([^<]{0,1000})</Message>")


def _as_json(status: int, raw: bytes) -> bytes:
    """What is needed of an answer in XML: that it is one, or which error."""
    if status == 200:
        return b"{}" if raw.lstrip().startswith((b"<?xml", b"<Publish")) else raw
    code = _CODE.search(raw)
    message = _MESSAGE.search(raw)
    if code is None:
        return raw
    told = {"__type": code[1].decode("utf-8", "replace")}
    if message is not None:
        told["message"] = message[1].decode("utf-8", "replace")
    return json.dumps(told).encode()


def _no_answer(operation: str) -> AwsUnreachable:
    return AwsUnreachable(
        f"what came back of {operation} is no answer of AWS; is a proxy in between?"
    )


def _refused(operation: str, code: str, message: str) -> AwsRefused:
    missing = "NotFound" in code or "NonExistent" in code or "DoesNotExist" in code
    return (NotThere if missing else AwsRefused)(
        operation,
        code,
        message,
    )


def _exchanged(
    connection: http.client.HTTPConnection,
    request: _Request,
    headers: Mapping[str, str],
    wait_s: float,
) -> tuple[int, Mapping[str, str], bytes]:
    if connection.sock is None:
        connection.connect()
    connection.sock.settimeout(_ANSWER_S + wait_s)
    connection.request(
        "POST",
        request.path,
        request.body,
        dict(headers),
    )
    answer = connection.getresponse()
    found = {name.lower(): value for name, value in answer.getheaders()}
    return answer.status, found, answer.read()


@dataclass(frozen=True, slots=True)
class _Request:
    service: Service
    operation: str
    body: bytes
    endpoint: urllib.parse.SplitResult

    @property
    def path(self) -> str:
        return self.endpoint.path or "/"

    def signed(self, region: str, credentials: Credentials, now: float) -> dict[str, str]:
        """All headers, the signature among them."""
        at = datetime.fromtimestamp(now, UTC)
        headers = {
            **self.service.headers(self.operation),
            "host": self.endpoint.netloc,
            "x-amz-date": f"{at:%Y%m%dT%H%M%SZ}",
        }
        if credentials.session:
            headers["x-amz-security-token"] = credentials.session
        names = ";".join(sorted(headers))
        scope = f"{at:%Y%m%d}/{region}/{self.service.name}/aws4_request"
        signature = _signature(
            self._canonical(headers, names),
            headers,
            scope,
            credentials.secret,
        )
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credentials.key}/{scope}, "
            f"SignedHeaders={names}, Signature={signature}"
        )
        return headers

    def _canonical(self, headers: Mapping[str, str], names: str) -> str:
        lines = [f"{name}:{headers[name]}" for name in sorted(headers)]
        digest = hashlib.sha256(self.body).hexdigest()
        return "\n".join(["POST", self.path, "", *lines, "", names, digest])


def _signature(canonical: str, headers: Mapping[str, str], scope: str, secret: str) -> str:
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{digest}"
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(
            key,
            part.encode(),
            hashlib.sha256,
        ).digest()
    return hmac.new(
        key,
        to_sign.encode(),
        hashlib.sha256,
    ).hexdigest()


# --- credentials


def credentials_of(environment: Mapping[str, str]) -> Credentials:
    """Of the environment, of the ECS task, or whatever botocore finds.  Raises AwsRefused,
    AwsUnreachable."""
    key = environment.get("AWS_ACCESS_KEY_ID")
    secret = environment.get("AWS_SECRET_ACCESS_KEY")
    if key and secret:
        return Credentials(
            key,
            secret,
            environment.get("AWS_SESSION_TOKEN", ""),
        )
    url = _task_url(environment)
    if url is not None:
        return _of_task(url, environment)
    return _of_botocore()


def _task_url(environment: Mapping[str, str]) -> str | None:
    """Where the ECS agent answers (Amazon ECS, "Task IAM role")."""
    relative = environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    if relative:
        return f"http://{_TASKS_HOST}{relative}"
    return environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")


def _of_task(url: str, environment: Mapping[str, str]) -> Credentials:
    parts = urllib.parse.urlsplit(url)
    secure = parts.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(
        parts.hostname or "",
        parts.port,
        timeout=_CONNECT_S,
    )
    try:
        query = f"?{parts.query}" if parts.query else ""
        connection.request(
            "GET",
            parts.path + query,
            headers=_task_headers(environment),
        )
        answer = connection.getresponse()
        told = json.loads(answer.read())
        until = datetime.fromisoformat(told["Expiration"].replace("Z", "+00:00"))
        return Credentials(
            told["AccessKeyId"],
            told["SecretAccessKey"],
            told.get("Token", ""),
            until.timestamp(),
        )
    except (*_GONE, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AwsUnreachable(
            f"the task's credentials at {url} cannot be had: {type(error).__name__}: {error}"
        ) from error
    finally:
        connection.close()


def _task_headers(environment: Mapping[str, str]) -> dict[str, str]:
    token = environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
    file = environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    if file:
        token = Path(file).read_text("utf-8").strip()
    return {"Authorization": token} if token else {}


def _of_botocore() -> Credentials:
    try:
        from botocore.session import Session
    except ModuleNotFoundError as error:
        raise _no_credentials() from error
    from kirikae.aws.session import told

    with told():
        found = Session().get_credentials()
        if found is None:
            raise _no_credentials()
        frozen = found.get_frozen_credentials()
    # Whatever renews them there is asked again soon.
    return Credentials(
        frozen.access_key,
        frozen.secret_key,
        frozen.token or "",
        time.time() + 2 * _RENEW_S,
    )


def _no_credentials() -> AwsRefused:
    return AwsRefused(
        "the call",
        "NoCredentials",
        "no AWS credentials; give the task a role, set AWS_PROFILE, or `eval $(kirikae local env)`",
    )


def region_of(environment: Mapping[str, str] | None = None) -> str | None:
    """As the environment says."""
    known = os.environ if environment is None else environment
    return known.get("AWS_REGION") or known.get("AWS_DEFAULT_REGION")
