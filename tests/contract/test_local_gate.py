"""The gate of kirikae local on a real HAProxy and a real engine: who comes in, and that nothing
which a client sends becomes more than data."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kirikae.local import control
from kirikae.local.files import free_port
from kirikae.local.state import State
from tests.conftest import Endpoint, web_image
from tests.pace import eventually
from tests.shop import Shop
from tests.unit.test_local_limits import Balancer, header, pair, plain, source

pytestmark = pytest.mark.engine

NASTY = "a \"b\" 'c' $HOME ${HOME} \\ #x %[src] %% "


def test_a_web_page_is_turned_away_at_the_endpoint(local: Endpoint):
    """Over HAProxy, to our own services and to moto's; programs get in."""
    port = int(local.status["endpoint"].rpartition(":")[2])
    for path in ("/", "/_kirikae/status", "/bucket/key"):
        for bad in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Host": "evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
        ):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("OPTIONS" if path == "/" else "GET", path, headers=bad)
            told = connection.getresponse()
            assert (told.status, told.getheader("Access-Control-Allow-Origin")) == (403, None)
            connection.close()
    assert "clusterArns" in local.client("ecs").list_clusters()
    assert "Buckets" in local.client("s3").list_buckets()


def test_a_container_of_another_network_does_not_come_in(local: Endpoint):
    """It reaches the gateway of our bridge, and gets no answer there; our own network does."""
    instance = local.status["instance"]
    port = local.status["endpoint"].rpartition(":")[2]
    shown = ["docker", "network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", instance]
    gateway = subprocess.run(shown, check=True, capture_output=True, text=True).stdout.strip()
    url = f"http://{gateway}:{port}/_kirikae/status"
    asked = ["busybox", "timeout", "10", "wget", "-q", "-O", "-", url]

    def from_network(name: str) -> subprocess.CompletedProcess[str]:
        command = ["docker", "run", "--rm", "--network", name, web_image(), *asked]
        return subprocess.run(command, check=False, capture_output=True, text=True)

    inside, outside = from_network(instance), from_network("bridge")
    assert inside.returncode == 0 and instance in inside.stdout, inside.stderr
    assert outside.returncode != 0 and instance not in outside.stdout


@pytest.fixture
def written(tmp_path: Path) -> Any:
    """A load balancer of which only the file is written."""
    elb = Balancer(tmp_path)
    yield elb
    elb.plane.close()


def test_the_strangest_texts_that_alb_takes_are_data_for_haproxy(written, tmp_path):
    """Its own parser takes the file, with as many lines as without them."""
    body = NASTY.replace("%[src]", "\r\n\tuse_backend evil")
    fixed = {
        "Type": "fixed-response",
        "FixedResponseConfig": {"StatusCode": "418", "MessageBody": body * 10},
    }
    redirect = {
        "Type": "redirect",
        "RedirectConfig": {
            "StatusCode": "HTTP_301",
            "Host": "#{host}.x",
            "Path": f"/{NASTY}/#{{path}}",
            "Query": f"q=#{{query}}&{NASTY}",
        },
    }
    expression = {
        "Field": "host-header",
        "HostHeaderConfig": {"RegexValues": ["a'b \"#$\\\\(x|y)"]},
    }
    for number, (condition, action) in enumerate(
        [
            (header("X!#$%&*+.^_`|~-", NASTY), fixed),
            (pair(Key="k'#", Value=NASTY), redirect),
            (plain("path-pattern", "/y/\"'@:+&$~"), redirect),
            (expression, fixed),
            (source("2001:db8::/32"), fixed),
        ],
        1,
    ):
        written.ask(
            "CreateRule",
            ListenerArn=written.listener,
            Priority=number,
            Conditions=[condition],
            Actions=[action],
        )
    text = written.plane.configuration.rendered().text
    (tmp_path / "weights.map").write_text("")
    config = tmp_path / "trial.cfg"
    config.write_text(text)
    done = subprocess.run(
        ["haproxy", "-c", "-f", str(config)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not [line for line in text.splitlines() if line.strip().startswith("use_backend evil")]


def test_a_fixed_answer_and_a_redirect_come_out_as_they_were_asked(local: Endpoint):
    """Quotes, dollars, line breaks and all."""
    shop = Shop(local, "gate")
    body = 'say "$HOME"\r\n\t#1 100% \\'
    answer = {
        "Type": "fixed-response",
        "FixedResponseConfig": {"StatusCode": "404", "MessageBody": body},
    }
    away = {"StatusCode": "HTTP_302", "Path": "/a'b\"c#d$e/#{path}", "Query": "x=$1&#{query}"}
    for number, (path, action) in enumerate(
        [("/fixed", answer), ("/away", {"Type": "redirect", "RedirectConfig": away})], 1
    ):
        shop.elb.create_rule(
            ListenerArn=shop.listener,
            Priority=number,
            Conditions=[plain("path-pattern", path)],
            Actions=[action],
        )
    connection = http.client.HTTPConnection("127.0.0.1", shop.port, timeout=60)
    connection.request("GET", "/fixed")
    told = connection.getresponse()
    assert (told.status, told.read().decode()) == (404, body)
    connection.request("GET", "/away?q=2")
    told = connection.getresponse()
    place = f"http://127.0.0.1:{shop.port}/a'b\"c#d$e/away?x=$1&q=2"
    assert (told.status, told.getheader("Location")) == (302, place)
    connection.close()


def test_what_haproxy_cannot_be_told_does_not_keep_up_from_coming_back(tmp_path):
    """A store of before the checks: the API answers, status says why, and a delete mends it."""
    directory = tmp_path / "l"
    try:
        local = Endpoint(directory, control.up(directory, None, "ap-northeast-1"))
        elb = local.client("elbv2")
        subnets = [each["SubnetId"] for each in local.client("ec2").describe_subnets()["Subnets"]]
        balancer = elb.create_load_balancer(Name="a", Subnets=subnets[:2])["LoadBalancers"][0]
        fixed = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}
        listener = elb.create_listener(
            LoadBalancerArn=balancer["LoadBalancerArn"],
            Protocol="HTTP",
            Port=free_port(),
            DefaultActions=[fixed],
        )["Listeners"][0]["ListenerArn"]
        _kill(directory)
        _poison(directory)
        found = control.up(directory, None, "ap-northeast-1")
        assert "cannot be told to HAProxy" in control.status(directory)["trouble"], found
        elb.delete_listener(ListenerArn=listener)
        asked = {"LoadBalancerArn": balancer["LoadBalancerArn"]}
        assert elb.describe_listeners(**asked)["Listeners"] == []
    finally:
        control.down(directory)


def _kill(directory: Path) -> None:
    """The control plane and HAProxy, as a machine that was switched off."""
    for name in ("control.pid", "haproxy.pid"):
        os.killpg(int((directory / name).read_text()), signal.SIGKILL)


def _poison(directory: Path) -> None:
    """A listener without an action, as a former version kept it."""
    state = State(directory / "state.db")
    for rule in state.rules.all():
        state.rules.put(rule["arn"], {**rule, "actions": []})
    state.close()


def test_targets_are_told_who_asked(local: Endpoint):
    """ALB appends the client's address to X-Forwarded-For, and keeps a trace's root."""
    shop = Shop(local, "told")
    heard = _Heard()
    address, port = heard.begin()
    try:
        shop.elb.register_targets(
            TargetGroupArn=shop.groups["a"], Targets=[{"Id": address, "Port": port}]
        )
        eventually(lambda: shop.health("a") == ["healthy"], "the target is healthy", 60)
        eventually(lambda: _answers(shop), "HAProxy has heard of it", 60)
        for sent in (
            {},
            {"X-Forwarded-For": "203.0.113.7", "X-Amzn-Trace-Id": "Root=1-2-3;Self=x"},
        ):
            asked = urllib.request.Request(f"http://127.0.0.1:{shop.port}/seen", headers=sent)
            urllib.request.urlopen(asked, timeout=60).read()
        plainly, through = heard.requests[-2:]
    finally:
        heard.end()
    assert plainly["x-forwarded-for"] == "127.0.0.1"
    assert plainly["x-forwarded-port"] == str(shop.port)
    assert plainly["x-amzn-trace-id"].startswith("Root=1-")
    assert through["x-forwarded-for"] == "203.0.113.7, 127.0.0.1"
    own, root = through["x-amzn-trace-id"].split(";", 1)
    assert own.startswith("Self=1-") and root.strip(";") == "Root=1-2-3"


def _answers(shop: Shop) -> bool:
    try:
        shop.get("/ready")
    except urllib.error.HTTPError:
        return False
    return True


class _Heard:
    """A target on this machine that keeps the headers of each request."""

    def __init__(self) -> None:
        self.requests: list[dict[str, str]] = []

    def begin(self) -> tuple[str, int]:
        heard = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/seen":
                    heard.requests.append({key.lower(): text for key, text in self.headers.items()})
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing is told."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return "127.0.0.1", int(self._server.server_address[1])

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()
