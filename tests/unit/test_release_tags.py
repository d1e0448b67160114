"""A deploy gives the service the tags that its file says, as a user of ecspresso expects."""

from __future__ import annotations

import json

import pytest

from kirikae.move.sqlite_store import SqliteStore
from kirikae.release import deploy as deploying
from kirikae.release.ecs_fleet import EcsFleet
from kirikae.release.errors import DefinitionProblem
from kirikae.release.fleet import ServicePlace
from kirikae.release.ledger import Ledger
from kirikae.release.lock import Lock
from kirikae.release.manifest import Releases
from kirikae.release.tags import tagging
from tests.answering import AnsweringAws, Refusal

ARN = "arn:aws:ecs:eu-west-1:123456789012"
SERVICE = f"{ARN}:service/c/shop"
NEW = f"{ARN}:task-definition/web:2"
CONFIG = """\
cluster: c
service: shop
service_definition: ecs-service-def.json
task_definition: ecs-task-def.json
ignore: {tags: [Owner]}
"""
THERE = {"Owner": "terraform", "Env": "old", "Gone": "1", "aws:cloudformation:stack-name": "s"}


def rows(tags):
    return [{"key": key, "value": value} for key, value in tags.items()]


@pytest.mark.parametrize(
    ("there", "wanted", "ignored", "sets", "removes"),
    [
        ({}, None, (), {}, ()),
        ({"a": "1"}, None, (), {}, ()),
        ({"a": "1"}, {}, (), {}, ("a",)),
        ({"a": "1"}, {"a": "1"}, (), {}, ()),
        ({"a": "1"}, {"a": "2", "b": ""}, (), {"a": "2", "b": ""}, ()),
        ({"a": "1"}, {"b": "2"}, ("a", "b"), {}, ()),
        ({"aws:x": "1", "AWS:y": "1"}, {}, (), {}, ()),
    ],
)
def test_what_is_set_and_what_is_taken_away(there, wanted, ignored, sets, removes):
    """Only what differs; nothing that is ignored, or AWS's own."""
    asked = None if wanted is None else rows(wanted)
    found = tagging({"serviceArn": SERVICE, "tags": rows(there)}, asked, ignored)
    assert (found.sets, found.removes) == (sets, removes)


class Shop:
    def __init__(self, folder, service, configured=True):
        task = {
            "family": "web",
            "containerDefinitions": [{"name": "app", "image": "x"}],
            "tags": rows({"Team": "books"}),
        }
        (folder / "ecs-task-def.json").write_text(json.dumps(task))
        (folder / "ecs-service-def.json").write_text(json.dumps(service))
        if configured:
            (folder / "ecspresso.yml").write_text(CONFIG)
        self.exists = True
        self.aws = AnsweringAws(
            {
                "DescribeServices": self.described,
                "DescribeClusters": {"clusters": [{"status": "ACTIVE"}]},
                "RegisterTaskDefinition": {"taskDefinition": {"taskDefinitionArn": NEW}},
                "TagResource": {},
                "UntagResource": {},
                "UpdateService": lambda _: {"service": self.row()},
                "CreateService": lambda _: {"service": self.row()},
            }
        )
        store = SqliteStore(folder / "s.db")
        self.ledger = Ledger(store, "test", "shop", "me")
        self.lock = Lock(store, "test", "shop")
        place = ServicePlace("c", "shop", None)
        releases = Releases(store, "test", "shop", folder / "releases")
        self.fleet = EcsFleet(self.aws, place, releases, folder, {}, 5, lambda _: None)

    def described(self, asked):
        row = self.row()
        if "TAGS" not in asked.get("include", []):
            del row["tags"]
        return {"services": [row] if self.exists else []}

    def row(self):
        own = {
            "id": "ecs-svc/1",
            "status": "PRIMARY",
            "rolloutState": "COMPLETED",
            "desiredCount": 1,
            "runningCount": 1,
            "pendingCount": 0,
            "taskDefinition": NEW,
            "createdAt": 5,
        }
        return {
            "serviceArn": SERVICE,
            "status": "ACTIVE",
            "taskDefinition": NEW,
            "desiredCount": 1,
            "deployments": [own],
            "events": [],
            "tags": rows(THERE),
        }

    def deploy(self):
        return deploying.deploy("r2", [self.fleet], self.ledger, self.lock)

    def changed(self):
        return [
            (name, asked)
            for name, asked in self.aws.asked
            if not name.startswith(("Describe", "List"))
        ]


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")


def test_tags_are_set_before_the_service_is_updated(tmp_path):
    """Tasks may inherit them; the dry run says the same calls; those of the task definition go
    along as it is registered."""
    wanted = {"tags": rows({"Env": "new", "Owner": "me"}), "propagateTags": "SERVICE"}
    shop = Shop(tmp_path, wanted)
    steps = shop.fleet.steps("r2")
    assert shop.deploy().trouble is None
    changed = shop.changed()
    assert [step.operation for step in steps] == [name for name, _ in changed]
    assert [name for name, _ in changed] == [
        "RegisterTaskDefinition",
        "TagResource",
        "UntagResource",
        "UpdateService",
    ]
    asked = dict(changed)
    assert asked["RegisterTaskDefinition"]["tags"] == rows({"Team": "books"})
    assert asked["TagResource"] == {"resourceArn": SERVICE, "tags": rows({"Env": "new"})}
    assert asked["UntagResource"] == {"resourceArn": SERVICE, "tagKeys": ["Gone"]}
    assert asked["UpdateService"]["propagateTags"] == "SERVICE"
    assert "`tags`" not in " ".join(step.says for step in steps)


def test_a_file_without_tags_takes_them_away_by_ecspresso_s_rule_alone(tmp_path):
    """With its configuration they are none, as its diff shows; without one nothing is said."""
    (tmp_path / "with").mkdir()
    (tmp_path / "without").mkdir()
    operations = [
        step.operation
        for name in ("with", "without")
        for step in Shop(tmp_path / name, {}, configured=name == "with").fleet.steps("r2")
    ]
    assert operations == [
        "RegisterTaskDefinition",
        "UntagResource",
        "UpdateService",
        "RegisterTaskDefinition",
        "UpdateService",
    ]


def test_a_service_that_is_not_there_is_created_with_its_tags(tmp_path):
    """In the call that makes it."""
    shop = Shop(tmp_path, {"tags": rows({"Env": "new"}), "desiredCount": 1})
    shop.exists = False
    [_, create] = shop.fleet.steps("r2")
    assert create.operation == "CreateService"
    assert create.parameters["tags"] == rows({"Env": "new"})


def test_tags_that_are_none_are_told_before_anything_is_registered(tmp_path):
    """With the file's name."""
    shop = Shop(tmp_path, {"tags": [{"name": "Env"}]})
    with pytest.raises(DefinitionProblem, match=r"ecs-service-def\.json: .*tags"):
        shop.fleet.steps("r2")
    assert shop.changed() == []


def test_who_may_not_tag_leaves_the_service_as_it_is(tmp_path):
    """The revision is registered, and nothing runs it."""
    shop = Shop(tmp_path, {"tags": rows({"Env": "new"})})
    shop.aws.answers["TagResource"] = Refusal("AccessDeniedException", "not ecs:TagResource")
    ended = shop.deploy()
    assert "ecs:TagResource" in str(ended.trouble)
    assert "UpdateService" not in dict(shop.changed())
