"""The red button as a person presses it, over the wire: a load balancer (moto's), a faulty proxy in
front of it, and a store that may be anything."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.faulty.proxy import FaultyProxy

REGION = "eu-west-1"
KEYS = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": REGION}
PROJECT = """\
service: shop
environment: test
account: "123456789012"
region: eu-west-1
store: STORE
fleets:
  old: {target_group: wire-old}
  new: {cluster: c, ecs_service: new, target_group: wire-new}
moves:
  web:
    kind: traffic
    router: {listener_rule: "wire/front"}
"""


@dataclass
class Balancer:
    """A rule with two target groups."""

    url: str
    rule: str
    groups: dict[str, str]

    def client(self, service: str = "elbv2"):
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
        return boto3.client(service, endpoint_url=self.url, region_name=REGION, **keys)

    def weigh(self, old: int, new: int) -> None:
        groups = [
            {"TargetGroupArn": self.groups["old"], "Weight": old},
            {"TargetGroupArn": self.groups["new"], "Weight": new},
        ]
        action = {"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}
        self.client().modify_rule(RuleArn=self.rule, Actions=[action])

    def weights(self) -> list[int]:
        [rule] = self.client().describe_rules(RuleArns=[self.rule])["Rules"]
        found = rule["Actions"][-1]["ForwardConfig"]["TargetGroups"]
        by = {group["TargetGroupArn"]: int(group["Weight"]) for group in found}
        return [by[self.groups["old"]], by[self.groups["new"]]]


@pytest.fixture(scope="module")
def balancer() -> Iterator[Balancer]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    made = Balancer(f"http://{host}:{port}", "", {})
    ec2 = made.client("ec2")
    subnets = ec2.describe_subnets()["Subnets"][:2]
    elb = made.client()
    for side in ("old", "new"):
        group = elb.create_target_group(
            Name=f"wire-{side}", Protocol="HTTP", Port=80, VpcId=subnets[0]["VpcId"]
        )["TargetGroups"][0]
        made.groups[side] = group["TargetGroupArn"]
    load = elb.create_load_balancer(Name="wire", Subnets=[s["SubnetId"] for s in subnets])
    old = {"Type": "forward", "TargetGroupArn": made.groups["old"]}
    listener = elb.create_listener(
        LoadBalancerArn=load["LoadBalancers"][0]["LoadBalancerArn"],
        Port=80,
        Protocol="HTTP",
        DefaultActions=[old],
    )["Listeners"][0]["ListenerArn"]
    made.rule = elb.create_rule(
        ListenerArn=listener,
        Priority=1,
        Conditions=[{"Field": "path-pattern", "Values": ["/*"]}],
        Actions=[old],
        Tags=[{"Key": "Name", "Value": "front"}],
    )["Rules"][0]["RuleArn"]
    yield made
    server.stop()


def press(
    folder: Path, url: str, store: str = ".kirikae/state.db", account: str = "123456789012"
) -> subprocess.CompletedProcess[str]:
    text = PROJECT.replace("STORE", store).replace("123456789012", account)
    (folder / "kirikae.yml").write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "kirikae", "back-out", "web"],
        cwd=folder,
        env={**os.environ, **KEYS, "AWS_ENDPOINT_URL": url, "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_it_sets_0_by_few_calls(balancer, tmp_path):
    """Nothing is looked up that is not needed: the rule by its name, the groups, and who we are."""
    balancer.weigh(900, 100)
    with FaultyProxy(balancer.url, 0, 0.0) as proxy:
        ran = press(tmp_path, proxy.url)
    assert ran.returncode == 3 and balancer.weights() == [999, 0]
    assert ran.stderr.splitlines()[-1] == "web: share is 0"
    until_set = proxy.asked[: proxy.asked.index("ModifyRule") + 1]
    print(f"{len(until_set)} calls until share 0, {proxy.took('ModifyRule'):.2f} s after the first")
    assert len(until_set) <= 10, until_set


@pytest.mark.parametrize("seed", range(4))
def test_it_sets_0_through_every_stumble(balancer, tmp_path, seed):
    """Four calls in ten go wrong."""
    balancer.weigh(900, 100)
    with FaultyProxy(balancer.url, seed, 0.4) as proxy:
        ran = press(tmp_path, proxy.url)
    assert ran.returncode == 3 and balancer.weights() == [999, 0], ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.stderr.splitlines()[-1] == "web: share is 0"


@pytest.mark.parametrize("often", [0.0, 0.3])
def test_a_bucket_that_is_not_there_stops_nothing(balancer, tmp_path, often):
    """The store is a bucket that nobody made."""
    balancer.weigh(500, 500)
    with FaultyProxy(balancer.url, 5, often) as proxy:
        ran = press(tmp_path, proxy.url, store="s3://no-such-journal/x")
    assert ran.returncode == 3 and balancer.weights() == [999, 0], ran.stderr
    assert "share 0 was set, but the journal does not say so yet" in ran.stderr


def test_the_wrong_account_is_not_touched_even_where_nobody_says_who_we_are(balancer, tmp_path):
    """The target groups' ARNs tell whose they are."""
    balancer.weigh(900, 100)
    with FaultyProxy(balancer.url, 0, 0.0) as proxy:
        proxy.deaf = ("GetCallerIdentity",)
        ran = press(tmp_path, proxy.url, account="999999999999")
    assert ran.returncode == 3 and balancer.weights() == [900, 100]
    assert "correct `account`" in ran.stderr
    assert ran.stderr.splitlines()[-1].startswith("web: share is STILL")


def test_an_identity_that_is_never_answered_costs_a_second(balancer, tmp_path):
    """STS hangs: 0 all the same, and soon."""
    balancer.weigh(900, 100)
    with FaultyProxy(balancer.url, 0, 0.0) as proxy:
        proxy.deaf = ("GetCallerIdentity",)
        ran = press(tmp_path, proxy.url)
        took = proxy.took("ModifyRule")
    assert ran.returncode == 3 and balancer.weights() == [999, 0]
    print(f"share 0 {took:.2f} s after the first call")
