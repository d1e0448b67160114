"""What a drill refuses to break unless it is meant."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from kirikae.console.drill_ground import Scene, assert_lawful
from kirikae.console.here import Here
from kirikae.console.kinds import read_project
from kirikae.drill.acts import Ground
from kirikae.drill.errors import TooDangerous
from kirikae.drill.faults import Asked, prepare
from kirikae.drill.fleet import _has_failed
from tests.command import run
from tests.unit.test_drill_faults import FLEET

PROJECT = """\
service: shop
environment: {environment}
account: "123456789012"
fleets:
  old: {{target_group: a, hosts: ["ssh://web1"]}}
  new: {{cluster: c, ecs_service: b, target_group: b}}
"""


@dataclass
class Endpoint:
    """Where calls would go; none is made."""

    endpoint: str
    region: str = "ap-northeast-1"


def scene(tmp_path, environment=None, endpoint="http://127.0.0.1:4566"):
    project = None
    if environment is not None:
        project = read_project(PROJECT.format(environment=environment), "kirikae.yml")
    here = Here(str(tmp_path / "kirikae.yml"), environment={})
    return Scene(here, project, Ground(Endpoint(endpoint), None), "c", "b", "me")


KILL = prepare("kill-task", FLEET, Asked("m1"))
ALL = prepare("fis", FLEET, Asked("m1", template="EXT"))


@pytest.mark.parametrize(
    ("environment", "endpoint"),
    [
        ("production", "http://127.0.0.1:4566"),
        ("prod-jp", ""),
        ("shop-prod", ""),
        ("prd", ""),
        ("prd2", ""),
        ("live", "http://127.0.0.1:4566"),
        ("main", ""),
        ("latest", ""),
        ("dev-prod", ""),
        (None, ""),
    ],
)
def test_production_is_broken_only_if_it_is_meant(tmp_path, environment, endpoint):
    """What is not known is production, but for an endpoint of this machine; `latest` is no test,
    and `main` says nothing."""
    found = scene(tmp_path, environment, endpoint)
    with pytest.raises(TooDangerous, match="--i-mean-production"):
        assert_lawful(found, FLEET, KILL, False, False)
    assert_lawful(found, FLEET, KILL, True, False)


@pytest.mark.parametrize("name", ["staging", "stg", "jp-staging-2", "preprod", "pre-prod", "qa1"])
def test_staging_and_this_machine_may_be_broken(tmp_path, name):
    """Wherever the environment's name says that it is one for trials."""
    assert_lawful(scene(tmp_path, name, ""), FLEET, KILL, False, False)
    assert_lawful(scene(tmp_path, "main"), FLEET, KILL, False, False)
    assert_lawful(scene(tmp_path), FLEET, KILL, False, False)


def test_an_outage_must_be_meant(tmp_path):
    """A fault that hits all tasks."""
    with pytest.raises(TooDangerous, match="--i-mean-an-outage"):
        assert_lawful(scene(tmp_path), FLEET, ALL, False, False)
    assert_lawful(scene(tmp_path), FLEET, ALL, False, True)


def test_a_service_whose_deployment_has_failed_is_not_broken_further(tmp_path):
    """ECS would start no task in place of the one that was killed."""
    failed = replace(FLEET, has_failed=True)
    with pytest.raises(TooDangerous, match="--force-new-deployment"):
        assert_lawful(scene(tmp_path), failed, KILL, False, True)


@pytest.mark.parametrize(
    ("states", "failed"),
    [
        ([("PRIMARY", "FAILED")], True),
        ([("PRIMARY", "COMPLETED"), ("ACTIVE", "FAILED")], False),
        ([], False),
    ],
)
def test_only_the_newest_deployment_counts(states, failed):
    deployments = [{"status": status, "rolloutState": state} for status, state in states]
    assert _has_failed({"deployments": deployments}) is failed


class Sent(Exception):
    """The load began."""


def sent(*_):
    raise Sent


@pytest.mark.parametrize("verb", [("overload", "1", "2"), ("ceiling", "1")])
def test_too_much_load_is_not_sent_to_what_may_be_production(tmp_path, monkeypatch, verb):
    """Without a project file nobody says that it is for trials; nothing is sent."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kirikae.console.drill_long.attack", sent)
    asked = ("drill", *verb, "--target", "http://shop.example/")
    told = run(*asked)
    assert told.exit_code == 1 and "shop.example: the environment is 'not known'" in told.stderr
    (tmp_path / "kirikae.yml").write_text(PROJECT.format(environment="production"))
    assert "'production'" in run(*asked).stderr
    with pytest.raises(Sent):
        run(*asked, "--i-mean-production")
    (tmp_path / "kirikae.yml").write_text(PROJECT.format(environment="staging"))
    with pytest.raises(Sent):
        run(*asked)
