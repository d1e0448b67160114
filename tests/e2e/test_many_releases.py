"""Fifty releases, good and bad in turns, put onto a service that never stops being asked."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Endpoint
from tests.e2e.test_command_line import SERVICE, TASK, User
from tests.pace import eventually
from tests.shop import Hammer, Shop

pytestmark = [pytest.mark.engine, pytest.mark.prove]

RELEASES = int(os.environ.get("KIRIKAE_PROVE_RELEASES", "50"))
GOOD = "good"


@dataclass(frozen=True)
class Bad:
    """A release that must not be called done.  ``container``, ``service``: what is other in the
    definitions; ``says``: what the deploy tells of the reason."""

    code: int
    outcome: str | None
    says: str
    container: dict[str, object]
    service: dict[str, object]


KINDS = {
    "does not start": Bad(4, "rolled back", "exit", {"command": ["sh", "-c", "exit 3"]}, {}),
    "image missing": Bad(4, "rolled back", "nowhere", {"image": "kirikae-test-nowhere:1"}, {}),
    "fails health": Bad(
        4,
        "rolled back",
        "health",
        {
            "healthCheck": {
                "command": ["CMD", "false"],
                "interval": 5,
                "retries": 1,
                "timeout": 2,
            }
        },
        {},
    ),
    "wrong configuration": Bad(2, None, "portMapings", {"portMapings": []}, {}),
    "asks for a port that the image does not serve": Bad(
        4, "rolled back", "health", {"command": ["sh", "-c", "exec httpd -f -p 8001 -h /"]}, {}
    ),
}


class Service:
    """A shop whose one service gets releases from a project folder."""

    def __init__(self, folder: Path, local: Endpoint) -> None:
        self.shop = Shop(local, "many")
        self.shop.elb.add_tags(
            ResourceArns=[self.shop.rule], Tags=[{"Key": "Name", "Value": "main"}]
        )
        self.user = User(folder, local, self.shop)
        self.shop.weigh(0, 999)

    def define(self, bad: Bad | None) -> None:
        [container] = TASK["containerDefinitions"]  # type: ignore[misc]
        task = {**TASK, "containerDefinitions": [{**container, **(bad.container if bad else {})}]}
        service = {**SERVICE, **(bad.service if bad else {})}
        (self.user.folder / "ecs/ecs-task-def.json").write_text(json.dumps(task))
        (self.user.folder / "ecs/ecs-service-def.json").write_text(json.dumps(service))

    def deploy(self, release: str, bad: Bad | None) -> tuple[int, str]:
        self.define(bad)
        code, out, err = self.user.run("release", "deploy", release, "--to", "new")
        return code, out + err

    def outcomes(self) -> dict[str, str]:
        ledger = self.user.json("release", "status")["ledger"]
        return {entry["release"]: entry["outcome"] for entry in ledger}


def test_every_bad_one_is_told_and_nothing_is_lost(tmp_path, local):
    """With outcome and cause; what was good before serves on, and every request is answered."""
    service = Service(tmp_path, local)
    assert service.deploy("r0", None)[0] == 0
    service.shop.serving("b", 1)
    serving = "r0"
    told: dict[str, int] = {}
    with Hammer(service.shop.port, threads=2, pause_s=0.05) as load:
        for number in range(1, RELEASES + 1):
            kind = GOOD if number % 2 else list(KINDS)[number // 2 % len(KINDS)]
            bad = KINDS.get(kind)
            release = f"r{number}"
            code, said = service.deploy(release, bad)
            told[kind] = told.get(kind, 0) + 1
            if bad is None:
                assert code == 0 and f"{release} serves on the new fleet" in said, said
                serving = release
            else:
                if code != bad.code or bad.says not in said:
                    pytest.fail(f"{release} ({kind}) ended with {code}:\n{said}\n{load.failures}")
                assert service.outcomes().get(release) == bad.outcome
            eventually(lambda now=serving: service.shop.get() == f"shop {now}", "the good serves")
        assert load.count > RELEASES
    assert load.failures == []
    print(f"\n  {RELEASES} releases {told}, {load.count:,} requests, 0 lost")
