"""The client of the ECS agent's fault endpoints, against one that answers as the guide says."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kirikae.drill import agent
from kirikae.drill.errors import CannotBeDone
from kirikae.drill.faults import net_body
from tests.unit.test_drill_faults import FLEET


@contextmanager
def answering(*answers):
    """In turn; the last one again and again.  What was asked is kept."""
    asked = []

    class Agent(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.path, json.loads(body)))
            status, answer = answers[min(len(asked), len(answers)) - 1]
            raw = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Agent) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/api/task", asked
        server.shutdown()


def test_a_fault_is_asked_for_as_the_guide_says(monkeypatch):
    """Path, body and word; too many requests are asked again."""
    monkeypatch.setattr(agent, "_AGAIN_S", 0.01)
    body = net_body("network-latency", FLEET, {"delay_ms": 300, "sources": ("10.0.0.0/8",)})
    with answering((429, {"Error": "slow down"}), (200, {"Status": "running"})) as (uri, asked):
        assert agent.ask(uri, "network-latency", "start", body) == "running"
    wanted = {"DelayMilliseconds": 300, "JitterMilliseconds": 0, "Sources": ["10.0.0.0/8"]}
    assert asked == [("/api/task/fault/v1/network-latency/start", wanted)] * 2


def test_the_port_of_a_black_hole_is_that_of_the_targets():
    """Unless another one is named."""
    assert net_body("network-blackhole-port", FLEET, {})["Port"] == 8000
    assert net_body("network-blackhole-port", FLEET, {"port": 5432})["Port"] == 5432


@pytest.mark.parametrize(
    ("status", "answer", "says"),
    [
        (404, {}, "no fault endpoint"),
        (400, {"Error": "fault injection is not enabled"}, "is not enabled"),
        (409, {"Error": "there is already one"}, "already one"),
    ],
)
def test_what_the_agent_refuses_is_told_with_what_it_needs(status, answer, says):
    with answering((status, answer)) as (uri, _), pytest.raises(CannotBeDone, match=says) as told:
        agent.ask(uri, "network-latency", "start", {})
    assert "enableFaultInjection" in str(told.value)


def test_to_stop_what_is_gone_does_no_harm():
    """A fault ends with its task, and the endpoint does."""
    with answering((404, {})) as (uri, _):
        assert agent.ask(uri, "network-latency", "stop", {}) == "stopped"
    assert agent.ask(uri, "network-latency", "stop", {}) == "stopped"
    with pytest.raises(CannotBeDone, match="does not answer"):
        agent.ask(uri, "network-latency", "start", {})
