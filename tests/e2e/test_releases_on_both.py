"""Releases, good and bad in turns, put onto hosts with a real sshd and onto an ECS service, while
both never stop being asked."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.conftest import Endpoint
from tests.e2e.test_command_line import SERVICE, TASK, User
from tests.pace import eventually
from tests.shop import Hammer, Shop
from tests.sshd_hosts import PORT, RELOAD, SshdHosts

pytestmark = [pytest.mark.engine, pytest.mark.prove]

RELEASES = int(os.environ.get("KIRIKAE_PROVE_RELEASES", "50"))
OLD, NEW = "old", "new"
ORDERS = ((OLD, NEW), (NEW, OLD))
# Without `drain`, a host asks users, not checks alone, whether its new release is any good.
DEPLOYER = {"root": "/srv/shop", "reload": RELOAD, "patience": "5s", "keep": 3, "drain": True}


@dataclass(frozen=True)
class Bad:
    """A release that must not be called done.

    ``side``: the fleet that does not take it; None: it is refused before anything is touched.
    ``container``, ``site``: what is other in the task definition and on the hosts; ``no_task``: the
    service is set to no task before.  ``says``: what the deploy tells of the reason.
    """

    side: str | None
    code: int
    outcome: str
    says: str
    container: dict[str, Any] = field(default_factory=dict)
    site: str | None = None
    page: bool = True
    no_task: bool = False


KINDS = {
    "does not start": Bad(
        NEW, 4, "rolled back", "exited with 3", {"command": ["sh", "-c", "exit 3"]}
    ),
    "no page on a host": Bad(OLD, 4, "rolled back", "answered 403", page=False),
    "image missing": Bad(NEW, 4, "rolled back", "nowhere", {"image": "kirikae-test-nowhere:1"}),
    "wrong configuration of a host": Bad(OLD, 4, "rolled back", "nonsense", site="nonsense on;"),
    "fails health": Bad(
        NEW,
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
    ),
    "wrong configuration": Bad(None, 2, "", "portMapings", {"portMapings": []}),
    "desired count 0": Bad(NEW, 3, "not finished", "desired count is 0", no_task=True),
    "asks for a port that the image does not serve": Bad(
        NEW, 4, "rolled back", "health", {"command": ["sh", "-c", "exec httpd -f -p 8001 -h /"]}
    ),
}


class Both:
    """A shop whose hosts and whose service get releases from one project folder."""

    def __init__(self, folder: Path, local: Endpoint) -> None:
        self.shop = Shop(local, "many")
        self.shop.elb.add_tags(
            ResourceArns=[self.shop.rule], Tags=[{"Key": "Name", "Value": "main"}]
        )
        for group in self.shop.groups.values():
            # Two hosts after each other wait for it in every release, and no request takes longer.
            self.shop.elb.modify_target_group_attributes(
                TargetGroupArn=group,
                Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "3"}],
            )
        self.user = User(folder, local, self.shop)
        self.hosts = SshdHosts(local, folder, self.shop.groups["a"], "web1", "web2")
        file = folder / "kirikae.yml"
        fleet = {
            "target_group": f"{self.shop.name}-a",
            "hosts": [f"ssh://{name}" for name in self.hosts.names],
            "port": PORT,
            "deployer": DEPLOYER,
        }
        written = f"  old: {{target_group: {self.shop.name}-a}}"
        text = file.read_text()
        assert written in text
        file.write_text(text.replace(written, f"  old: {json.dumps(fleet)}"))

    @contextmanager
    def without_draining(self) -> Iterator[None]:
        """Hosts that serve nothing yet: no other one could serve meanwhile."""
        file = self.user.folder / "kirikae.yml"
        text = file.read_text()
        assert '"drain": true' in text
        file.write_text(text.replace('"drain": true', '"drain": false'))
        yield
        file.write_text(text)

    def create(self, release: str, bad: Bad | None) -> None:
        """The definitions, and the files of the hosts."""
        [container] = TASK["containerDefinitions"]  # type: ignore[misc]
        changed = bad.container if bad else {}
        task = {**TASK, "containerDefinitions": [{**container, **changed}]}
        (self.user.folder / "ecs/ecs-task-def.json").write_text(json.dumps(task))
        (self.user.folder / "ecs/ecs-service-def.json").write_text(json.dumps(SERVICE))
        code = self.user.folder / "code" / release
        code.mkdir(parents=True)
        if bad is None or bad.page:
            (code / "index.html").write_text(f"shop {release}\n")
        site = bad.site if bad and bad.site else f"add_header X-Release {release} always;"
        (code / "site.conf").write_text(f"{site}\n")
        self.run("release", "create", release, "--from", str(code))

    def run(self, *words: str) -> tuple[int, str]:
        code, out, err = self.user.run(*words, KIRIKAE_SSH=self.hosts.command)
        return code, out + err

    def deploy(self, release: str, sides: tuple[str, ...]) -> tuple[int, str]:
        return self.run("release", "deploy", release, "--to", ",".join(sides))

    def want(self, tasks: int) -> None:
        """Without a task, nobody is sent there."""
        if not tasks:
            self.shop.weigh(1, 0)
        self.shop.ecs.update_service(cluster=self.shop.name, service="b", desiredCount=tasks)
        if tasks:
            self.shop.serving("b", tasks)
            self.shop.weigh(1, 1)

    def outcomes(self, release: str) -> dict[str, str]:
        _, said = self.run("release", "status", "--json")
        ledger = json.loads(said[said.index("{") :])["ledger"]
        return {row["fleet"]: row["outcome"] for row in ledger if row["release"] == release}

    def serves(self, side: str, release: str) -> bool:
        """Every member of it."""
        if side == OLD:
            said = {self.hosts.get(name) for name in self.hosts.names}
        else:
            said = {self._asked(address) for address in self._tasks()}
        return said == {f"shop {release}"}

    def _tasks(self) -> list[str]:
        found = self.shop.elb.describe_target_health(TargetGroupArn=self.shop.groups["b"])
        return [
            row["Target"]["Id"]
            for row in found["TargetHealthDescriptions"]
            if row["TargetHealth"]["State"] == "healthy"
        ]

    def _asked(self, address: str) -> str:
        with urlopen(f"http://{address}:{PORT}/", timeout=20) as answer:
            return str(answer.read().decode().strip())


@dataclass
class Clock:
    """Where the time of all releases went: seconds by what was done meanwhile."""

    seconds: Counter[str] = field(default_factory=Counter)
    began: float = field(default_factory=time.monotonic)

    @contextmanager
    def of(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[what] += time.monotonic() - began  # type: ignore[assignment]

    @property
    def parts(self) -> str:
        """The longest first."""
        return ", ".join(f"{what} {took:.0f} s" for what, took in self.seconds.most_common())


@pytest.mark.timeout(300 + 180 * RELEASES)
def test_every_bad_one_is_told_on_its_fleet_and_nothing_is_lost(tmp_path, local, capsys):
    """With outcome and cause, on the fleet that did not take it; what was good before serves on
    there, and every request is answered."""
    both = Both(tmp_path, local)
    both.create("r0", None)
    with both.without_draining():
        code, said = both.deploy("r0", (OLD, NEW))
    assert code == 0, said
    both.shop.serving("b", 1)
    eventually(lambda: both.shop.health("a") == ["healthy"] * 2, "both hosts are healthy")
    both.shop.weigh(1, 1)
    serving = {OLD: "r0", NEW: "r0"}
    told: Counter[str] = Counter()
    clock = Clock()
    with Hammer(both.shop.port, threads=2, pause_s=0.05) as load:
        for number in range(RELEASES):
            kind = "good" if number % 2 else list(KINDS)[number // 2 % len(KINDS)]
            told[kind] += 1
            order = ORDERS[number // 2 // len(KINDS) % 2]
            release = f"r{number + 1}"
            began = time.monotonic()
            _put(both, release, KINDS.get(kind), order, serving, clock)
            with clock.of("until what is good serves"):
                for side, now in serving.items():
                    eventually(
                        lambda side=side, now=now: both.serves(side, now),
                        f"{now} serves on {side}",
                    )
            with capsys.disabled():
                took = time.monotonic() - began
                print(
                    f"  {release} ({kind}): told after {took:.0f} s; {load.count:,} requests, "
                    f"{len(load.failures)} lost",
                    flush=True,
                )
    assert load.count > RELEASES
    assert load.failures == []
    with capsys.disabled():
        print(
            f"  {RELEASES} releases in {time.monotonic() - clock.began:.0f} s ({dict(told)}): "
            f"all told, {load.count:,} requests, 0 lost; {clock.parts}; load "
            f"{os.getloadavg()[0]:.0f} on {os.cpu_count()} cores"
        )


def _put(
    both: Both,
    release: str,
    bad: Bad | None,
    order: tuple[str, ...],
    serving: dict[str, str],
    clock: Clock,
) -> None:
    """``serving``: fleet -> release, changed to what has to serve afterwards."""
    with clock.of("create"):
        both.create(release, bad)
    if bad is not None and bad.no_task:
        both.want(0)
    with clock.of("deploy of a bad one" if bad else "deploy of a good one"):
        code, said = both.deploy(release, order)
    with clock.of("status"):
        ended = both.outcomes(release)
    if bad is None:
        assert code == 0 and ended == {OLD: "done", NEW: "done"}, said
        serving.update({OLD: release, NEW: release})
        return
    assert (code, bad.says in said) == (bad.code, True), said
    before = order[: order.index(bad.side)] if bad.side else ()
    ends = {bad.side: bad.outcome} if bad.side else {}
    assert ended == {**dict.fromkeys(before, "done"), **ends}, said
    serving.update(dict.fromkeys(before, release))
    if bad.no_task:
        # The service was set to it, and nothing proved it: once tasks are wanted, it serves.
        both.want(1)
        serving[NEW] = release
