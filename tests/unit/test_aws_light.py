"""AWS without boto3: the same signature, the same errors, credentials of a task."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as TheirCredentials

from kirikae.aws import light
from kirikae.aws.errors import AwsRefused, CredentialsExpired, NotThere, ReadOnly
from kirikae.aws.light import DYNAMODB, SNS, SQS, Credentials, LightAws, credentials_of
from kirikae.model.errors import AwsUnreachable

NOW = 1772953200.0
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}


class Answering:
    """``answers``: (status, body), one after another; the last for ever."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = [(200, {})]
        self.asked: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", "0")))
                outer.asked.append({key.lower(): value for key, value in self.headers.items()})
                answers = outer.answers
                status, body = answers.pop(0) if len(answers) > 1 else answers[0]
                raw = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def answering() -> Iterator[Answering]:
    found = Answering()
    yield found
    found.close()


def aws(answering: Answering, **more: str) -> LightAws:
    return LightAws("eu-west-1", {**KEYS, "AWS_ENDPOINT_URL": answering.url, **more})


@pytest.mark.parametrize("session", ["", "token=="])
@pytest.mark.parametrize("service", [SQS, DYNAMODB, SNS])
def test_the_signature_is_botocores(service, session, monkeypatch):
    """Of the same request at the same second."""
    url = f"https://{service.name}.eu-west-1.amazonaws.com"
    body = service.body("Receive", {"QueueUrl": "切り替え"})
    request = light._Request(service, "Receive", body, urlsplit(url))
    own = request.signed("eu-west-1", Credentials("AKIDEXAMPLE", "secret", session), NOW)
    names = [name for name in own if name not in ("authorization", "x-amz-security-token")]
    theirs = AWSRequest("POST", f"{url}/", {name: own[name] for name in names}, body)
    theirs.context["timestamp"] = own["x-amz-date"]
    credentials = TheirCredentials("AKIDEXAMPLE", "secret", session)
    signer = SigV4Auth(credentials, service.name, "eu-west-1")
    if session:
        theirs.headers["x-amz-security-token"] = session
    canonical = signer.canonical_request(theirs)
    to_sign = signer.string_to_sign(theirs, canonical)
    signature = signer.signature(to_sign, theirs)
    assert own["authorization"].endswith(f"Signature={signature}")


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, {"__type": "com.amazonaws#ValidationException", "message": "no"}, AwsRefused),
        (400, {"__type": "QueueDoesNotExist"}, NotThere),
        (400, {"__type": "ResourceNotFoundException"}, NotThere),
        (400, {"__type": "ThrottlingException"}, AwsUnreachable),
        (400, {"__type": "ExpiredTokenException"}, CredentialsExpired),
        (500, {}, AwsUnreachable),
        (503, b"<html>sorry</html>", AwsUnreachable),
        (200, b"<html>a proxy</html>", AwsUnreachable),
        (200, [], AwsUnreachable),
    ],
)
def test_every_answer_becomes_an_error_of_ours(answering, status, body, error):
    """Tried again, refused, or not there."""
    answering.answers = [(status, body)]
    with pytest.raises(error):
        aws(answering).call(SQS, "GetQueueUrl", {})


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (404, b"<E><Error><Code>NotFound</Code><Message>no</Message></Error></E>", NotThere),
        (403, b"<E><Error><Code>AuthorizationError</Code></Error></E>", AwsRefused),
        (400, b"<E><Error><Code>ExpiredToken</Code></Error></E>", CredentialsExpired),
        (400, b"<E><Error><Code>Throttling</Code></Error></E>", AwsUnreachable),
        (500, b"", AwsUnreachable),
        (200, b"<html>a proxy</html>", AwsUnreachable),
    ],
)
def test_a_service_of_forms_and_xml_has_the_same_errors(answering, status, body, error):
    answering.answers = [(status, body)]
    with pytest.raises(error):
        aws(answering).call(SNS, "Publish", {"TopicArn": "arn", "Message": "x"})
    answering.answers = [(200, b"<PublishResponse><MessageId>1</MessageId></PublishResponse>")]
    assert aws(answering).call(SNS, "Publish", {"TopicArn": "arn", "Message": "x"}) == {}


def test_nobody_there_is_unreachable():
    """Not a fault of ours."""
    with pytest.raises(AwsUnreachable):
        LightAws("r", {**KEYS, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}).call(SQS, "X", {})


def test_read_only_sends_nothing_that_changes(answering):
    """Looking is allowed."""
    reads = LightAws("r", {**KEYS, "AWS_ENDPOINT_URL": answering.url}, read_only=True)
    reads.call(DYNAMODB, "GetItem", {})
    with pytest.raises(ReadOnly):
        reads.call(DYNAMODB, "PutItem", {})
    assert len(answering.asked) == 1


def test_a_tasks_role_gives_credentials(answering, tmp_path):
    """With the token of the agent, from a file or a variable; renewed before they run out."""
    told = {
        "AccessKeyId": "A",
        "SecretAccessKey": "S",
        "Token": "T",
        "Expiration": "2099-01-01T00:00:00Z",
    }
    answering.answers = [(200, told)]
    file = tmp_path / "token"
    file.write_text("secret\n")
    environment = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{answering.url}/role?x=1",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(file),
    }
    found = credentials_of(environment)
    assert (found.key, found.secret, found.session) == ("A", "S", "T") and found.until
    assert answering.asked[0]["authorization"] == "secret"
    answering.answers = [(200, {"nothing": 1})]
    with pytest.raises(AwsUnreachable):
        credentials_of(environment)


def test_a_worker_starts_without_boto3_and_the_projects_models():
    """It lives in a user's container."""
    script = """
import sys
import kirikae.console.main, kirikae.console.jobs_verbs, kirikae.console.jobs_work
import kirikae.aws.sqs, kirikae.jobs.worker, kirikae.jobs.opening, kirikae.jobs.stats
import kirikae.jobs.dynamo_rows, kirikae.jobs.own_task, kirikae.jobs.notices
heavy = {"boto3", "botocore", "pydantic", "ruamel", "jinja2", "moto", "aiohttp"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""
    command = [sys.executable, "-c", script]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
