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
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import hosts
from click import __file__ as CLICK
from hosts import Machines
from story import Story
from team import CLUSTER
from tool import Kirikae, Running
from trouble import Trouble
from waiting import until

from kirikae import __file__ as KIRIKAE

HERE = hosts.SHOP / "batch"
JOBS = ("stock", "ranking", "digest", "feed")
TABLE = "bookshop-jobs"
QUEUE = "bookshop-jobs.fifo"
LEDGER = f"dynamodb://{TABLE}"
MOVE = "batch"
ZONE = "Asia/Tokyo"
SERVICES = {"scheduler": "bookshop-scheduler", "worker": "bookshop-worker"}
DATABASE = "create table if not exists ran (job text, due timestamptz, host text, given text)"
PASSWORD = "/bookshop/database-password"
LEASE_S = 15
SETTLED_S = 20
WAITING = 5
BACKED_OUT = 4
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
        self._settled_s = SETTLED_S * max(1.0, slowness)
        self._still_s = 4 * still_s
        self._trouble: Trouble | None = None
        self._moving = threading.Thread(target=self._move, daemon=True, name="batch")
        self._first = 0

    # --- what there must be

    def begin(self, image: str, environment: dict[str, str], gateway: str) -> None:
        """``image``: the application's own, of a release; ``environment``: what its containers
        have; ``gateway``: where the hosts reach this machine."""
        self._crontab_of_old(environment)
        self._aws()
        self._serve(self._image(image), environment)
        self._guard(gateway)
        self._first = int(time.time() // 60) + 2
        self._write_move()
        self._story.tell(
            f"{len(JOBS)} jobs of every minute on batch1 have a guard; two schedulers and two "
            "workers stand ready on ECS"
        )
        self._moving.start()

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
        """A file on batch1, whole or not at all."""
        fresh = f"{path}.fresh" if "/cron.d/" not in path else "/etc/fresh-crontab"
        command = (
            f"mkdir -p $(dirname {path}) && cat >{fresh} && chmod {mode} {fresh} && "
            f"chown {owner} {fresh} && mv {fresh} {path}"
        )
        self._machines.ssh("batch1", command, given=content)

    def _aws(self) -> None:
        """A table for the ledger, a queue, and one for what cannot be read."""
        from kirikae.aws.light import LightAws
        from kirikae.jobs.dynamo_rows import make_table

        make_table(LightAws(str(boto3.session.Session().region_name)), TABLE)
        sqs = boto3.client("sqs")
        dead = sqs.create_queue(QueueName=f"dead-{QUEUE}", Attributes={"FifoQueue": "true"})
        arn = sqs.get_queue_attributes(QueueUrl=dead["QueueUrl"], AttributeNames=["QueueArn"])
        redrive = {
            "deadLetterTargetArn": arn["Attributes"]["QueueArn"],
            "maxReceiveCount": "3",
        }
        sqs.create_queue(
            QueueName=QUEUE,
            Attributes={"FifoQueue": "true", "RedrivePolicy": json.dumps(redrive)},
        )

    def _image(self, application: str) -> str:
        """The application's image, with its jobs, the crontab and kirikae in it.  kirikae's
        schedulers and workers need nothing but Python and click."""
        place = self._folder / "batch-image"
        shutil.rmtree(place, ignore_errors=True)
        ignored = shutil.ignore_patterns("__pycache__")
        for package in (KIRIKAE, CLICK):
            source = Path(package).parent
            shutil.copytree(source, place / "kirikae" / source.name, ignore=ignored)
        shutil.copytree(HERE, place / "batch")
        lines = [
            f"FROM {application}",
            "COPY kirikae /opt/kirikae",
            "COPY batch /opt/batch",
            "ENV PYTHONPATH=/opt/kirikae",
        ]
        (place / "Dockerfile").write_text("\n".join(lines) + "\n")
        name = f"bookshop-jobs:{self._folder.name}"
        hosts.run("docker", "build", "-q", "-t", name, place)
        return name

    def _serve(self, image: str, environment: dict[str, str]) -> None:
        common = ("--queue", QUEUE, "--ledger", LEDGER)
        zone = ("--zone", ZONE, "--system")
        commands = {
            "scheduler": ("scheduler", "/opt/batch/minutes", *zone, *common),
            "worker": ("worker", *common, "--lease", str(LEASE_S), "--pass", "DATABASE_*"),
        }
        for name, command in commands.items():
            self._service(name, image, list(command), environment)
        until(
            "schedulers and workers run",
            lambda: [self._running(name) for name in SERVICES],
            lambda counts: counts == [2, 2],
            self._still_s,
        )

    def _service(
        self, name: str, image: str, command: list[str], environment: dict[str, str]
    ) -> None:
        """Two tasks of it."""
        ecs = boto3.client("ecs")
        container: dict[str, Any] = {
            "name": name,
            "image": image,
            "command": ["/usr/bin/python3", "-m", "kirikae", "jobs", *command],
            "stopTimeout": 30,
        }
        if name == "worker":
            host = environment["DATABASE_HOST"]
            container["environment"] = [{"name": "DATABASE_HOST", "value": host}]
            container["secrets"] = [{"name": "DATABASE_PASSWORD", "valueFrom": PASSWORD}]
        family = SERVICES[name]
        ecs.register_task_definition(
            family=family,
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu="256",
            memory="512",
            taskRoleArn="arn:aws:iam::123456789012:role/bookshop-jobs",
            executionRoleArn="arn:aws:iam::123456789012:role/bookshop-execution",
            containerDefinitions=[container],
        )
        subnet = boto3.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
        ecs.create_service(
            cluster=CLUSTER,
            serviceName=family,
            taskDefinition=family,
            desiredCount=2,
            launchType="FARGATE",
            networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet]}},
        )

    def _running(self, name: str) -> int:
        found = boto3.client("ecs").describe_services(cluster=CLUSTER, services=[SERVICES[name]])
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
        project = self._folder / "project"
        (project / "crontab").mkdir(exist_ok=True)
        shutil.copy(HERE / "minutes", project / "crontab" / "minutes")
        copy = project / "host-minutes"
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
        }
        file = self._folder / "project" / "kirikae.yml"
        text = file.read_text()
        head, found, rest = text.partition("\nmoves:\n")
        if not found:
            raise Trouble("the project file has no `moves`")
        file.write_text(f"{head}{found}  {MOVE}: {json.dumps(move)}\n{rest}")

    # --- the move, beside everything else

    def _move(self) -> None:
        try:
            self._drive_through()
        except Trouble as trouble:
            self._trouble = trouble

    def _drive_through(self) -> None:
        driver = self._reach(250, self._drive())
        self._kill_one("scheduler")
        driver = self._reach(500, driver)
        self._kill_one("worker")
        driver.kill()
        self._story.mark("kill", "the driver of the jobs' move was killed with SIGKILL at 50%")
        driver = self._drive()
        while (code := driver.end(self._still_s)) != 0:
            self._go_on_after(driver, code)
            driver = self._drive()
        self._story.mark("jobs", "all jobs of the crontab run on ECS")

    def _drive(self) -> Running:
        return self._kirikae.begin("move", "start", MOVE, show=False)

    def _reach(self, share: int, driver: Running) -> Running:
        def look() -> tuple[int, int]:
            return self._share(), len(driver.lines)

        def there(seen: tuple[int, int]) -> bool:
            return driver.over or seen[0] >= share

        while True:
            until(f"the jobs' move reaches {share // 10}%", look, there, self._still_s)
            if not driver.over:
                self._story.mark("jobs", f"{share // 10}% of the jobs run on ECS")
                return driver
            self._go_on_after(driver, driver.end(self._still_s))
            driver = self._drive()

    def _go_on_after(self, driver: Running, code: int) -> None:
        """Nothing but what this machine's slowness explains is gone on after."""
        late = "start" in driver.text and "late" in driver.text
        if code != BACKED_OUT or not late:
            raise Trouble(f"the jobs' move ended with exit code {code}: {driver.text[-1500:]}")
        self._story.mark("turn", "the jobs' move was backed out: this machine starts jobs late")
        self._kirikae("move", "resume", MOVE)

    def _share(self) -> int:
        """0 before it has begun: such a look is wrong usage."""
        look = self._kirikae("move", "status", MOVE, "--json", expect=(0, 2, 6), show=False)
        told = json.loads(look.text.strip().splitlines()[-1])
        return round(10 * float(str(told.get("share", "0%")).rstrip("%")))

    def _kill_one(self, name: str) -> None:
        """One task's container, as when a machine dies; a worker in the middle of a job."""
        if name == "worker":
            time.sleep(65 - time.time() % 60)
        filters = (
            f"label=com.amazonaws.ecs.container-name={name}",
            f"label=com.amazonaws.ecs.task-definition-family={SERVICES[name]}",
        )
        words = [word for each in filters for word in ("--filter", each)]
        victims = hosts.run("docker", "ps", "-q", *words).split()
        if not victims:
            raise Trouble(f"no {name} runs that could be killed")
        hosts.run("docker", "kill", "-s", "KILL", victims[0])
        self._story.mark("kill", f"one {name} of the jobs was killed with SIGKILL")

    # --- afterwards

    def end(self) -> dict[str, Any]:
        """What became of every firing, by the rows that the jobs wrote."""
        self._story.tell("the jobs' move goes to its end")
        while self._moving.is_alive():
            self._moving.join(timeout=1)
            self._story.live()
        if self._trouble is not None:
            raise self._trouble
        last = int(time.time() // 60)
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
        sql = f"select job, {_MINUTE}, host from ran"
        said = self._machines.ssh(
            "db1", f'su postgres -c "psql -qAt -F , -d bookshop -c \\"{sql}\\""'
        )
        rows = [line.split(",") for line in said.splitlines() if line.count(",") == 2]
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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])
