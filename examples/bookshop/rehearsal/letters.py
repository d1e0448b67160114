"""The shop's Celery workers move from units on batch1 to tasks on ECS, both sides at one SQS queue,
while letters never stop being asked for.

It goes on beside the acts of the web tier; what became of each letter is counted from the rows that
the workers wrote into the shop's database.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import beside
import boto3
import hosts
from beside import Beside, Figures
from hosts import Machines
from machine import Pace
from story import Story
from team import CLUSTER, PASSWORD
from tool import Kirikae
from trouble import Trouble
from waiting import until

HERE = hosts.SHOP / "letters"
MOVE = "letters"
QUEUE = "letters"
SERVICE = "bookshop-letters"
LOGS = f"/ecs/{SERVICE}"
UNITS = ("letters@1.service", "letters@2.service")
HOST = "batch1"
VISIBLE_AGAIN_S = 20
"""So soon a letter that a killed worker had in hand is given to another one."""
TABLES = (
    "create table if not exists letters_asked (number int)",
    "create table if not exists letters_begun (number int, host text)",
    "create table if not exists letters (number int, host text)",
    "create index if not exists letters_by_number on letters (number)",
)
IN_HAND = (
    "select host from letters_begun b where number % 10 = 0 and host <> 'batch1' "
    "and not exists (select 1 from letters l where l.number = b.number)"
)
COUNT = (
    "select a.number, count(l.host), coalesce(max(l.host), ''), "
    "(select count(*) from letters_begun b where b.number = a.number) "
    "from letters_asked a left join letters l on l.number = a.number group by a.number"
)


def image(distribution: str) -> str:
    """Of the workers in containers; once."""
    name = f"{SERVICE}:{hosts.digest_of(distribution, HERE)}"
    return hosts.build(name, HERE / "Dockerfile", HERE, f"BASE={distribution}")


@dataclass(frozen=True, slots=True)
class Written:
    """What the database says.  ``again``: letters that were begun once more, because whoever had
    them in hand was killed."""

    asked: int
    once: int
    on_ecs: int
    doubled: int
    missing: int
    again: int

    def told(self) -> str:
        return (
            f"{self.asked} letters were asked for: {self.once} written once ({self.on_ecs} of them "
            f"on ECS), {self.doubled} doubled, {self.missing} missing; {self.again} begun again "
            "after a kill"
        )


def written_of(rows: list[list[str]]) -> Written:
    """``rows``: number, times written, by whom, times begun."""
    times = Counter(min(2, int(row[1])) for row in rows)
    return Written(
        asked=len(rows),
        once=times[1],
        on_ecs=sum(row[1] == "1" and row[2] != HOST for row in rows),
        doubled=times[2],
        missing=times[0],
        again=sum(int(row[3]) > 1 for row in rows),
    )


class Letters:
    """``begin`` and ``end`` are acts; in between it moves."""

    def __init__(
        self,
        kirikae: Kirikae,
        story: Story,
        machines: Machines,
        project: Path,
        pace: Pace,
        still_s: float,
    ) -> None:
        """``still_s``: how long nothing may move."""
        self._kirikae = kirikae
        self._story = story
        self._machines = machines
        self._project = project
        self._pace = pace
        self._still_s = 4 * still_s
        self._beside = Beside(kirikae, story, MOVE, "letters", self._still_s, _none_failed)
        self._written: Written | None = None

    def begin(self, name: str, environment: dict[str, str]) -> None:
        """``name``: the workers' image; ``environment``: what the shop's containers have."""
        self._machines.ssh("db1", _psql("; ".join(("set role bookshop", *TABLES))))
        known = {
            "QUEUE": _queue(environment["AWS_ENDPOINT_URL"]),
            **{key: environment[key] for key in ("AWS_DEFAULT_REGION", "DATABASE_HOST")},
        }
        self._units({**known, "DATABASE_PASSWORD": environment["DATABASE_PASSWORD"]})
        _service(name, known)
        beside.write_move(self._project, MOVE, self._move_of_workers())
        until("letters are written", self._counted, lambda n: n.once > 2, self._still_s)
        self._story.tell(
            f"two Celery workers on {HOST} write letters, as units of systemd; on ECS their "
            "service stands ready with no task"
        )
        self._beside.begin(self._move)

    def _units(self, environment: dict[str, str]) -> None:
        """As it has been for years."""
        lines = "".join(f"{key}={value}\n" for key, value in environment.items())
        self._lay("/etc/bookshop-letters", lines.encode(), "640")
        self._lay("/opt/letters/letters.py", (HERE / "letters.py").read_bytes(), "644")
        for unit in ("letters@.service", "letters-asked.service"):
            self._lay(f"/etc/systemd/system/{unit}", (HERE / unit).read_bytes(), "644")
        names = " ".join((*UNITS, "letters-asked"))
        self._machines.ssh(HOST, f"systemctl daemon-reload && systemctl enable --now -q {names}")

    def _lay(self, path: str, content: bytes, mode: str) -> None:
        beside.lay(self._machines.ssh, HOST, path, content, mode)

    def _move_of_workers(self) -> dict[str, Any]:
        """Two tasks: first one of them and one unit, then both tasks."""
        pace = self._pace
        period_s = max(2, pace.period_s)
        return {
            "kind": "workers",
            "queue": QUEUE,
            "advance": "auto",
            "old": {"units": list(UNITS), "hosts": [f"ssh://{HOST}"]},
            "new": {"ecs_service": SERVICE, "tasks": 2},
            "judge": {"worse_messages_at_most": "20%", "bake": f"{2 * period_s}s"},
            "figures": {"period": f"{period_s}s", "lateness": f"{pace.lateness_s}s"},
        }

    # --- the move, beside everything else

    def _move(self) -> None:
        driver = self._beside.reach(500, self._beside.drive())
        driver = self._beside.kill(driver)
        driver = self._beside.reach(1000, driver)
        self._kill_a_worker()
        self._beside.settle(driver)
        self._machines.ssh(HOST, "systemctl stop letters-asked")
        self._written = until(
            "no letter is missing", self._counted, lambda n: not n.missing, self._still_s
        )
        self._story.mark("workers", f"all workers run on ECS: {self._written.told()}")

    def _kill_a_worker(self) -> None:
        """The container of a task that has a thick letter in hand, as when a machine dies."""
        family = f"label=com.amazonaws.ecs.task-definition-family={SERVICE}"
        workers = hosts.run("docker", "ps", "-q", "--filter", family).split()
        named = {hosts.run("docker", "exec", each, "hostname").strip(): each for each in workers}

        def busy() -> list[str]:
            found = beside.rows(self._machines.ssh, IN_HAND)
            return [named[row[0]] for row in found if row[0] in named]

        victims = until("a worker has a thick letter in hand", busy, bool, self._still_s)
        hosts.run("docker", "kill", "-s", "KILL", victims[0])
        self._story.mark("kill", f"a task of {SERVICE} was killed with SIGKILL, a letter in hand")

    def _counted(self) -> Written:
        return written_of(beside.rows(self._machines.ssh, COUNT))

    # --- afterwards

    def end(self) -> dict[str, Any]:
        """What became of every letter."""
        self._beside.end()
        written = self._written
        assert written is not None
        self._story.tell(f"the letters: {written.told()}")
        if written.doubled or written.missing:
            raise Trouble(f"the letters: {written.told()}")
        if not written.on_ecs:
            raise Trouble("no letter was written on ECS")
        self._kirikae("move", "retire", MOVE)
        return asdict(written)


def _none_failed(figures: Figures) -> bool:
    """Did the new side only finish too little, or begin too late?"""
    return not figures.get("new_failed")


def _queue(endpoint: str) -> str:
    """Where hosts and containers reach it.  With a queue for what nobody can work on."""
    sqs = boto3.client("sqs")
    dead = sqs.create_queue(QueueName=f"{QUEUE}-dead")["QueueUrl"]
    asked = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])
    redrive = {"deadLetterTargetArn": asked["Attributes"]["QueueArn"], "maxReceiveCount": 10}
    url = sqs.create_queue(
        QueueName=QUEUE,
        Attributes={
            "VisibilityTimeout": str(VISIBLE_AGAIN_S),
            "RedrivePolicy": json.dumps(redrive),
        },
    )["QueueUrl"]
    return f"{endpoint}/{url.split('/', 3)[3]}"


def _service(name: str, environment: dict[str, str]) -> None:
    """What the team wrote for it: a definition, a service with no task."""
    boto3.client("logs").create_log_group(logGroupName=LOGS)
    options = {
        "awslogs-group": LOGS,
        "awslogs-region": environment["AWS_DEFAULT_REGION"],
        "awslogs-stream-prefix": QUEUE,
    }
    container = {
        "name": "worker",
        "image": name,
        "environment": [{"name": key, "value": value} for key, value in environment.items()],
        "secrets": [{"name": "DATABASE_PASSWORD", "valueFrom": PASSWORD}],
        "stopTimeout": 60,
        "logConfiguration": {"logDriver": "awslogs", "options": options},
    }
    ecs = boto3.client("ecs")
    definition = ecs.register_task_definition(
        family=SERVICE,
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        executionRoleArn="arn:aws:iam::123456789012:role/bookshop-execution",
        containerDefinitions=[container],
    )["taskDefinition"]
    subnet = boto3.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    ecs.create_service(
        cluster=CLUSTER,
        serviceName=SERVICE,
        taskDefinition=definition["taskDefinitionArn"],
        desiredCount=0,
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet]}},
    )


def _psql(sql: str) -> str:
    return f"su postgres -c \"psql -q -d bookshop -c '{sql}'\""
