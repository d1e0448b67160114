"""Signed in on one side, known on the other: the cookie's secret and its format must be the
same."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest

from kirikae.model.project import Check, SignIn
from kirikae.model.said import Words
from kirikae.traffic.probes import Target, sign_in_trouble

SIGN_IN = SignIn(
    post="/login",
    form={"user": "probe", "password": "env:PROBE"},
    then=Check(get="/me", contains="probe"),
)


class Side(http.server.ThreadingHTTPServer):
    """A service whose cookies hold a secret of its own."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        super().__init__(("127.0.0.1", 0), _Answers)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def target(self) -> Target:
        return Target("127.0.0.1", self.server_address[1])


class _Answers(http.server.BaseHTTPRequestHandler):
    server: Side

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        right = asked == b"user=probe&password=pass+word" and self.path == "/login"
        self.send_response(302 if right else 403)
        if right:
            self.send_header("Set-Cookie", f"session=probe.{self.server.secret}; Path=/; HttpOnly")
            self.send_header("Set-Cookie", "theme=dark")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        known = (
            f"session=probe.{self.server.secret}" in self.headers.get("Cookie", "")
            and "theme=dark" in self.headers["Cookie"]
        )
        body = b"hello probe" if known else b"who are you?"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def sides(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Side]]:
    monkeypatch.setenv("PROBE", "pass word")
    found = {
        name: Side(secret) for name, secret in (("old", "k1"), ("same", "k1"), ("other", "k2"))
    }
    yield found
    for side in found.values():
        side.shutdown()


def told(there: Target, here: Target) -> str:
    return Words.of("kirikae.traffic").say(sign_in_trouble(there, here, SIGN_IN))


def test_a_cookie_of_one_side_is_known_on_the_other(sides):
    """And a secret that differs is told before anybody is moved."""
    assert sign_in_trouble(sides["old"].target, sides["same"].target, SIGN_IN) is None
    assert "did not contain 'probe'" in told(sides["old"].target, sides["other"].target)


def test_a_login_that_fails_is_told(sides, monkeypatch):
    """A wrong password, a page that is not there, a target that is not there."""
    monkeypatch.setenv("PROBE", "wrong")
    assert "answered 403" in told(sides["old"].target, sides["same"].target)
    monkeypatch.setenv("PROBE", "pass word")
    sides["same"].shutdown()
    sides["same"].server_close()
    assert "not answered" in told(sides["old"].target, sides["same"].target)


def test_a_group_whose_errors_are_edited_away_is_known():
    """kirikae local refuses anomaly mitigation, so AWS's answer is given here."""
    from botocore.stub import Stubber

    from kirikae.aws import elbv2
    from kirikae.aws.session import Aws

    aws = Aws("ap-northeast-1")
    client = aws._session.create_client("elbv2", aws_access_key_id="x", aws_secret_access_key="x")
    aws._clients["elbv2"] = client
    arn = "arn:aws:elasticloadbalancing:ap-northeast-1:123456789012:targetgroup/shop/1"
    with Stubber(client) as stub:
        stub.add_response("describe_target_groups", {"TargetGroups": [{"TargetGroupArn": arn}]})
        attributes = {
            "load_balancing.algorithm.anomaly_mitigation": "on",
            "deregistration_delay.timeout_seconds": "7",
        }
        stub.add_response(
            "describe_target_group_attributes",
            {"Attributes": [{"Key": key, "Value": value} for key, value in attributes.items()]},
        )
        found = elbv2.target_group(aws, "shop")
    assert found.anomaly_mitigation and found.deregistration_delay_s == 7
