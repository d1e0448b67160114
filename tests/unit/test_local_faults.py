"""The ECS agent's fault endpoints: what a request means, and what is refused."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from kirikae.local.ecs.faultplans import BLACKHOLE, LATENCY, LOSS, fault_of
from kirikae.local.ecs.faults import Faults
from kirikae.local.errors import FaultRefused

HOLE = {"Port": 8000, "Protocol": "tcp", "TrafficType": "ingress"}
SOME_LOSS = {"LossPercent": 20, "Sources": ["10.0.0.0/8"]}
LATE = {"DelayMilliseconds": 100, "JitterMilliseconds": 10, "Sources": ["10.1.2.3"]}


def lines(commands: Any) -> list[str]:
    return [" ".join(each) for each in commands]


def test_a_black_hole_is_a_chain_of_its_own():
    """Spared sources first, the agent's address among them; packets go there last."""
    fault = fault_of(BLACKHOLE, "start", {**HOLE, "SourcesToFilter": ["10.9.0.1"]})
    chain = "fault-ingress-tcp-8000"
    assert lines(fault.begin) == [
        f"iptables -w 4 -N {chain}",
        f"iptables -w 4 -A {chain} -s 10.9.0.1/32 -j RETURN",
        f"iptables -w 4 -A {chain} -s 169.254.170.2/32 -j RETURN",
        f"iptables -w 4 -A {chain} -p tcp --dport 8000 -j DROP",
        f"iptables -w 4 -I INPUT -j {chain}",
    ]
    out = fault_of(BLACKHOLE, "start", {**HOLE, "TrafficType": "egress", "Protocol": "udp"})
    assert lines(out.begin)[-1] == "iptables -w 4 -I OUTPUT -j fault-egress-udp-8000"


def test_loss_and_latency_are_matched_by_destination():
    """Only what leaves for these addresses suffers, and never what leaves for spared ones."""
    loss = lines(fault_of(LOSS, "start", {**SOME_LOSS, "SourcesToFilter": ["10.0.0.9"]}).begin)
    assert loss[1].endswith("-d 10.0.0.9/32 -j RETURN")
    assert loss[-2].endswith("-d 10.0.0.0/8 -m statistic --mode random --probability 0.20 -j DROP")
    late = lines(fault_of(LATENCY, "start", LATE).begin)
    assert late[1] == "tc qdisc add dev eth0 parent 1:1 handle 10: netem delay 100ms 10ms"
    assert "match ip dst 10.1.2.3/32 flowid 1:1" in late[-1]
    assert fault_of(LATENCY, "stop", {}).end == fault_of(LATENCY, "start", LATE).end


@pytest.mark.parametrize(
    ("kind", "change", "why"),
    [
        (BLACKHOLE, {"Port": None}, "required parameter Port is missing"),
        (BLACKHOLE, {"Port": 0}, "invalid value 0"),
        (BLACKHOLE, {"Port": True}, "invalid value True"),
        (BLACKHOLE, {"Protocol": "icmp"}, "invalid value icmp"),
        (BLACKHOLE, {"TrafficType": ["ingress"]}, "invalid value"),
        (BLACKHOLE, {"SourcesToFilter": ["10.0.0.300"]}, "invalid value 10.0.0.300"),
        (BLACKHOLE, {"SourcesToFilter": ["-j ACCEPT"]}, "invalid value"),
        (LOSS, {"LossPercent": 101}, "invalid value 101"),
        (LOSS, {"Sources": []}, "Sources is missing"),
        (LOSS, {"Sources": ["::1"]}, "IPv4 only"),
        (LOSS, {"FlowsPercent": 50}, "does not carry out FlowsPercent"),
        (LATENCY, {"DelayMilliseconds": 0, "JitterMilliseconds": 0}, "must not both be 0"),
        (LATENCY, {"DelayMilliseconds": "1"}, "invalid value 1"),
    ],
)
def test_what_the_agent_would_not_take_is_refused(kind, change, why):
    """With its status 400 and the parameter's name."""
    whole: Any = {BLACKHOLE: HOLE, LOSS: SOME_LOSS, LATENCY: LATE}[kind]
    with pytest.raises(FaultRefused, match=why) as refused:
        fault_of(kind, "start", {**whole, **change})
    assert refused.value.status == 400
    with pytest.raises(FaultRefused, match="body is missing"):
        fault_of(kind, "start", [])


def asked(definition: Any, *requests: tuple[str, Any]) -> list[tuple[int, Any]]:
    """Answers of the endpoints for a task of this definition."""

    async def all_of_them() -> list[tuple[int, Any]]:
        app = web.Application()
        engine: Any = None
        task: Any = {"id": "t", "taskArn": "arn:t"}
        faults = Faults(engine, lambda task: definition, lambda: 0.0)
        faults.routes(app, lambda request: (task, task))
        answers = []
        async with TestClient(TestServer(app)) as client:
            for path, body in requests:
                answer = await client.post(f"/api/t-a/fault/v1/{path}", data=body)
                answers.append((answer.status, await answer.json()))
        return answers

    return asyncio.run(all_of_them())


def test_faults_must_be_allowed():
    """By the definition, in a network of its own; and not more often than the agent takes them."""
    start = ("network-blackhole-port/start", "{}")
    assert asked({}, start) == [
        (400, {"Error": "enableFaultInjection is not enabled for task: arn:t"})
    ]
    bridge = {"enableFaultInjection": True, "networkMode": "bridge"}
    assert "bridge mode is not supported" in asked(bridge, start)[0][1]["Error"]
    allowed = {"enableFaultInjection": True, "networkMode": "awsvpc"}
    first, second, other = asked(allowed, start, start, ("network-latency/status", "no json"))
    assert (first[0], second[0], other[0]) == (400, 429, 400)
    assert "failed to decode" in other[1]["Error"]


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs a network of its own to try")
@pytest.mark.parametrize(
    ("kind", "body"), [(BLACKHOLE, HOLE), (LOSS, SOME_LOSS)], ids=["hole", "loss"]
)
def test_the_commands_are_taken_by_the_kernel(kind, body, tmp_path: Path):
    """In a network namespace of their own: made, seen, ended, and nothing is left."""
    fault = fault_of(kind, "start", body)
    script = [f"{each} || exit 9" for each in lines(fault.begin)]
    script += [f"{' '.join(fault.look)} || exit 8", *lines(fault.end)]
    script += [f"! {' '.join(fault.look)} || exit 7", "iptables -S | grep -q fault && exit 6"]
    made = subprocess.run(
        ["unshare", "--net", "--map-root-user", "sh", "-c", "\n".join([*script, "exit 0"])],
        capture_output=True,
        text=True,
        check=False,
    )
    if "Operation not permitted" in made.stderr or "Permission denied" in made.stderr:
        pytest.skip(f"no namespaces for us here: {made.stderr}")
    assert made.returncode == 0, (made.returncode, made.stdout, made.stderr)
