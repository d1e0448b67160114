"""The batch machine's crontab moves to schedulers and workers on ECS while its own cron goes on.

It goes on beside the acts of the web tier, in a thread of its own; what the jobs did is counted
from the rows that they wrote into the shop's database.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import socket
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import beside
import boto3
import hosts
import images
from beside import Beside, Figures
from click import __file__ as CLICK
from hosts import Machines
from story import Story
from team import CLUSTER, PASSWORD
from tool import Kirikae
from trouble import Trouble
from waiting import until

from kirikae import __file__ as KIRIKAE

HERE = hosts.SHOP / "batch"
JOBS = ("stock", "ranking", "digest", "feed")
LEDGER = "dynamodb://bookshop-jobs"
MOVE = "batch"
ZONE = "Asia/Tokyo"
SCHEDULER_IMAGE = "bookshop-scheduler:1"
WORKER_IMAGE = "bookshop-worker:1"
SCHEDULERS = ("bookshop-batch-scheduler-1", "bookshop-batch-scheduler-2")
WORKERS = "bookshop-batch-worker"
SERVICES = {**dict.fromkeys(SCHEDULERS, 1), WORKERS: 2}
"""How many tasks of each run."""
CALLS = (
    ("dead-queue.json", "sqs", "create_queue"),
    ("queue.json", "sqs", "create_queue"),
    ("table.json", "dynamodb", "create_table"),
    ("table-expiry.json", "dynamodb", "update_time_to_live"),
    ("log-group.json", "logs", "create_log_group"),
    ("scheduler-role.json", "iam", "create_role"),
    ("scheduler-policy.json", "iam", "put_role_policy"),
    ("worker-role.json", "iam", "create_role"),
    ("worker-policy.json", "iam", "put_role_policy"),
    ("scheduler-1-task-def.json", "ecs", "register_task_definition"),
    ("scheduler-2-task-def.json", "ecs", "register_task_definition"),
    ("worker-task-def.json", "ecs", "register_task_definition"),
    ("scheduler-1-service-def.json", "ecs", "create_service"),
    ("scheduler-2-service-def.json", "ecs", "create_service"),
    ("worker-service-def.json", "ecs", "create_service"),
)
DATABASE = "create table if not exists ran (job text, due timestamptz, host text, given text)"
LEASE_S = 15
"""So soon another worker takes over from one that died."""
SETTLED_S = 20
WAITING = 5
_MINUTE = "to_char(due at time zone 'UTC', 'YYYY-MM-DD HH24:MI')"


@dataclass(frozen=True, slots=True)
class Ran:
    """What the database says of all whole minutes between two.  ``once``: firings that were run
    once; ``by_new``: how many of them in containers."""

    due: int
    once: int
    by_new: int
    doubled: tuple[str, ...]
    missing: tuple[str, ...]

    def told(self) -> str:
        return (
            f"{self.due} firings were due: {self.once} run once ({self.by_new} of them on ECS), "
            f"{len(self.doubled)} doubled, {len(self.missing)} missing"
        )


class Batch:
    """``begin`` and ``end`` are acts; in between it moves."""

    def __init__(
        self,
        kirikae: Kirikae,
        story: Story,
        machines: Machines,
        folder: Path,
        slowness: float,
        still_s: float,
    ) -> None:
        """``slowness``: how many times longer things take than on an idle machine.  ``still_s``:
        how long nothing may move."""
        self._kirikae = kirikae
        self._story = story
        self._machines = machines
        self._folder = folder
        self._project = folder / "project"
        self._written = self._project / "ecs" / f"jobs-{MOVE}"
        self._settled_s = SETTLED_S * (1 + max(0.0, slowness - 1) / 2)
        self._still_s = 4 * still_s
        self._beside = Beside(kirikae, story, MOVE, "jobs", self._still_s, _only_late)
        self._first = 0

    # --- what there must be

    def begin(self, image: str, environment: dict[str, str], gateway: str) -> None:
        """``image``: the application's own, of a release; ``environment``: what its containers
        have; ``gateway``: where the hosts reach this machine."""
        self._crontab_of_old(environment)
        self._write_move()
        self._kirikae("jobs", "write", MOVE, show=False)
        self._images(image)
        self._make(environment["DATABASE_HOST"])
        self._guard(gateway)
        self._first = int(time.time() // 60) + 1
        self._story.tell(
            f"{len(JOBS)} jobs of every minute on batch1 have a guard; two schedulers and two "
            "workers stand ready on ECS"
        )
        self._beside.begin(self._move)

    def _crontab_of_old(self, environment: dict[str, str]) -> None:
        """As it has been for years."""
        sql = f"set role bookshop; {DATABASE}"
        self._machines.ssh("db1", f"su postgres -c \"psql -q -d bookshop -c '{sql}'\"")
        known = "".join(
            f"{name}={environment[name]}\n" for name in ("DATABASE_HOST", "DATABASE_PASSWORD")
        )
        self._lay("/etc/bookshop-batch", known.encode(), "640", "root:bookshop")
        self._lay("/opt/batch/minute", (HERE / "minute").read_bytes(), "755")
        self._lay("/etc/cron.d/minutes", (HERE / "minutes").read_bytes(), "644")

    def _lay(self, path: str, content: bytes, mode: str, owner: str = "root:root") -> None:
        beside.lay(self._machines.ssh, "batch1", path, content, mode, owner)

    def _images(self, application: str) -> None:
        """kirikae's own, from this checkout: it needs nothing but Python and click; then the
        schedulers' and the workers', by the Dockerfiles that `jobs write` wrote."""
        place = self._folder / "batch-image"
        shutil.rmtree(place, ignore_errors=True)
        ignored = shutil.ignore_patterns("__pycache__")
        for package in (KIRIKAE, CLICK):
            source = Path(package).parent
            shutil.copytree(source, place / "site" / source.name, ignore=ignored)
        start = '#!/bin/sh\nexec /opt/kirikae/bin/python3 -m kirikae "$@"\n'
        (place / "kirikae").write_text(start)
        lines = [
            f"FROM {application}",
            "USER root",
            "COPY site /opt/kirikae/site",
            "COPY kirikae /opt/kirikae/bin/kirikae",
            "RUN chmod 755 /opt/kirikae/bin/kirikae && ln -s /usr/bin/python3 /opt/kirikae/bin/",
            "ENV PYTHONPATH=/opt/kirikae/site",
        ]
        (place / "Dockerfile").write_text("\n".join(lines) + "\n")
        _build("bookshop-kirikae:1", place / "Dockerfile", place)
        own = "KIRIKAE=bookshop-kirikae:1"
        written = self._written
        _build(SCHEDULER_IMAGE, written / "scheduler.Dockerfile", self._project, own)
        _build(
            f"{WORKER_IMAGE}-bare",
            written / "worker.Dockerfile",
            written,
            own,
            f"APPLICATION={application}",
        )
        (place / "Dockerfile").write_text(f"FROM {WORKER_IMAGE}-bare\nCOPY batch /opt/batch\n")
        shutil.copytree(HERE, place / "batch")
        _build(WORKER_IMAGE, place / "Dockerfile", place)

    def _make(self, database_host: str) -> None:
        """What create.sh makes, in its order; alarms are not for kirikae local.  The worker gets
        what its jobs need."""
        for file, service, call in CALLS:
            body = json.loads((self._written / file).read_text())
            if file == "worker-task-def.json":
                _give_to_jobs(body["containerDefinitions"][0], database_host)
            getattr(boto3.client(service), call)(**body)
        until(
            "schedulers and workers run",
            lambda: [self._running(name) for name in SERVICES],
            lambda counts: counts == list(SERVICES.values()),
            self._still_s,
        )

    def _running(self, name: str) -> int:
        found = boto3.client("ecs").describe_services(cluster=CLUSTER, services=[name])
        return int(found["services"][0]["runningCount"])

    def _guard(self, gateway: str) -> None:
        """The hosts' guards ask over HTTP; the ledger's front keeps nothing itself."""
        token = secrets.token_hex(16)
        port = _free_port()
        self._kirikae.environment["KIRIKAE_JOBS_TOKEN"] = token
        listen = f"{gateway}:{port}"
        self._front = self._kirikae.begin(
            "jobs", "serve", "--ledger", LEDGER, "--listen", listen, show=False
        )
        conf = f"ledger=http://{listen}\ntoken_file=/etc/kirikae/token\n"
        self._lay("/etc/kirikae/token", token.encode(), "640", "root:bookshop")
        self._lay("/etc/kirikae/guard.conf", conf.encode(), "644")
        script = self._kirikae("jobs", "guard", show=False).text
        self._lay("/usr/local/bin/kirikae-guard", script.encode(), "755")
        self._lay("/etc/cron.d/minutes", self._wrapped(), "644")

    def _wrapped(self) -> bytes:
        """The crontab with a guard before each line: looked at, then written."""
        copy = self._project / "host-minutes"
        shutil.copy(HERE / "minutes", copy)
        words = ("jobs", "wrap", str(copy), "--zone", ZONE, "--system", "--name", "minutes")
        shown = self._kirikae(*words, expect=(WAITING,))
        found = re.search(r"--reviewed (\w+)", shown.text)
        if found is None:
            raise Trouble(f"`kirikae jobs wrap` names no digest: {shown.text}")
        self._kirikae(*words, "--reviewed", found.group(1), show=False)
        return copy.read_bytes()

    def _write_move(self) -> None:
        """Three groups, a minute each."""
        move = {
            "kind": "jobs",
            "crontab": "crontab/minutes",
            "system": True,
            "time_zone": ZONE,
            "ledger": LEDGER,
            "plan": ["25%", "50%", "100%"],
            "advance": "auto",
            "bake": "30s",
            "late": "180s",
            "settles_within": f"{self._settled_s:.0f}s",
            "new": {"image": SCHEDULER_IMAGE, "worker_image": WORKER_IMAGE},
        }
        (self._project / "crontab").mkdir(exist_ok=True)
        shutil.copy(HERE / "minutes", self._project / "crontab" / "minutes")
        beside.write_move(self._project, MOVE, move)

    # --- the move, beside everything else

    def _move(self) -> None:
        driver = self._beside.reach(250, self._beside.drive())
        self._kill_one(SCHEDULERS[0])
        driver = self._beside.reach(500, driver)
        self._kill_one(WORKERS)
        self._beside.settle(self._beside.kill(driver))
        self._story.mark("jobs", "all jobs of the crontab run on ECS")

    def _kill_one(self, service: str) -> None:
        """A container of one of its tasks, as when a machine dies; a worker in the middle of a
        job."""
        if service == WORKERS:
            time.sleep(65 - time.time() % 60)
        family = f"label=com.amazonaws.ecs.task-definition-family={service}"
        victims = hosts.run("docker", "ps", "-q", "--filter", family).split()
        if not victims:
            raise Trouble(f"no task of {service} runs that could be killed")
        hosts.run("docker", "kill", "-s", "KILL", victims[0])
        self._story.mark("kill", f"a task of {service} was killed with SIGKILL")

    # --- afterwards

    def end(self) -> dict[str, Any]:
        """What became of every firing, by the rows that the jobs wrote."""
        self._beside.end()
        last = int(time.time() // 60) - 1
        whole = (last + 1) * 60 + self._settled_s + LEASE_S
        until("the last minute is settled", time.time, lambda now: now > whole, self._still_s)
        ran = self._ran(last)
        self._story.tell(f"the crontab: {ran.told()}")
        if ran.doubled or ran.missing:
            raise Trouble(f"the crontab: {ran.told()}: {(*ran.doubled, *ran.missing)[:10]}")
        if not ran.by_new:
            raise Trouble("no job of the crontab was run on ECS")
        self._front.kill()
        return {"due": ran.due, "once": ran.once, "on_ecs": ran.by_new, "doubled": 0, "missing": 0}

    def _ran(self, last: int) -> Ran:
        """Of minutes [first, last]."""
        rows = beside.rows(self._machines.ssh, f"select job, {_MINUTE}, host from ran")
        seen = Counter((job, minute) for job, minute, _ in rows)
        on_ecs = {(job, minute) for job, minute, host in rows if host != "batch1"}
        due = [
            (job, time.strftime("%Y-%m-%d %H:%M", time.gmtime(60 * minute)))
            for minute in range(self._first, last + 1)
            for job in JOBS
        ]
        once = [each for each in due if seen[each] == 1]
        return Ran(
            len(due),
            len(once),
            len(on_ecs & set(once)),
            tuple(f"{job} at {minute}" for job, minute in due if seen[job, minute] > 1),
            tuple(f"{job} at {minute}" for job, minute in due if not seen[job, minute]),
        )


def _build(name: str, dockerfile: Path, context: Path, *arguments: str) -> None:
    """Anew each time: layers that did not change are there."""
    given = [word for argument in arguments for word in ("--build-arg", argument)]
    with images.made(name):
        hosts.run("docker", "build", "-q", "-t", name, "-f", dockerfile, *given, context)


def _only_late(figures: Figures) -> bool:
    """Were firings late, and nothing worse?"""
    worse = ("missing", "extra", "lost", "failed")
    return figures["late"] > 0 and not any(map(figures.get, worse))


def _give_to_jobs(worker: dict[str, Any], database_host: str) -> None:
    """What a team writes into the worker's definition by hand: what its jobs need."""
    worker["command"] += ["--lease", str(LEASE_S), "--pass", "DATABASE_*"]
    worker["environment"].append({"name": "DATABASE_HOST", "value": database_host})
    secret = {"name": "DATABASE_PASSWORD", "valueFrom": PASSWORD}
    worker["secrets"] = [*worker.get("secrets", ()), secret]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])
