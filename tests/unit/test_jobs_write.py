"""`kirikae jobs write`: the same settings give the same bytes, edits are kept, roles allow what is
called and nothing else."""

from __future__ import annotations

import json
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from kirikae.aws.light import LightAws, Service
from kirikae.aws.sqs import queue_named
from kirikae.console.here import Here
from kirikae.console.jobs_write import stack_of
from kirikae.jobs.by_hand import by_hand
from kirikae.jobs.dynamo_rows import dynamo_ledger, make_table
from kirikae.jobs.job import Owner, State
from kirikae.jobs.ledger import Claim, Ending, Hold, Wanted
from kirikae.jobs.levels import Levels
from kirikae.jobs.making import roles
from kirikae.jobs.making.files import calls
from kirikae.jobs.messages import outgoing
from kirikae.model.said import Language, Words
from tests.command import run
from tests.keeper import KeeperProcess
from tests.queue_server import QueueServer

PROJECT = """\
service: shop
environment: test
account: "123456789012"
region: eu-west-1
fleets:
  old: {target_group: a, hosts: ["ssh://batch1"]}
  new: {cluster: shop, ecs_service: web, target_group: b}
build: {subnets: [subnet-1], secrets: {DB_PASSWORD: /shop/db-password}}
moves:
  batch:
    kind: jobs
    crontab: crontab/batch
    time_zone: Asia/Tokyo
    ledger: dynamodb://shop-jobs
    new: {image: shop/jobs:1, worker_image: shop/worker:1, MORE}
"""
CRONTAB = "# kirikae: id=report overlap=skip\n0 7 * * * /app/bin/report\n"
APART = "# kirikae: id=apart runs-in=own-task\n5 * * * * /app/bin/big\n"
_TASKS = "task_definition: shop-job, task_roles: ['arn:aws:iam::123456789012:role/job']"
HERE = "ecs/jobs-batch"


def place(folder: Path, crontab: str = CRONTAB, more: str = "workers: 3") -> Path:
    (folder / "crontab").mkdir(exist_ok=True)
    (folder / "crontab/batch").write_text(crontab)
    (folder / "kirikae.yml").write_text(PROJECT.replace("MORE", more))
    return folder


def write(folder: Path, *more: str, exit_code: int = 0) -> dict[str, Any]:
    ran = run("--project", str(folder / "kirikae.yml"), "jobs", "write", "batch", "--json", *more)
    assert ran.exit_code == exit_code, ran.output
    return ran.json


def made(folder: Path) -> dict[str, Any]:
    stack = stack_of(Here(str(folder / "kirikae.yml")), "batch")
    return {call.file: call.definition for call in calls(stack)}


def test_a_dry_run_writes_nothing_and_the_second_run_changes_nothing(tmp_path):
    place(tmp_path)
    told = write(tmp_path, "--dry-run")
    assert told["outcome"] == "dry run" and not (tmp_path / "ecs").exists()
    assert set(told["files"].values()) == {"new"}
    write(tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / "ecs").rglob("*") if path.is_file()}
    again = write(tmp_path)
    assert again["outcome"] == "nothing to do" and set(again["files"].values()) == {"same"}
    assert before == {path: path.read_bytes() for path in before}


def test_what_somebody_edited_is_kept_and_its_new_text_lies_beside_it(tmp_path):
    place(tmp_path)
    write(tmp_path)
    edited = tmp_path / HERE / "worker-service-def.json"
    edited.write_text(edited.read_text().replace('"desiredCount": 3', '"desiredCount": 7'))
    assert write(tmp_path)["outcome"] == "nothing to do"
    place(tmp_path, more="workers: 5")
    told = write(tmp_path, exit_code=6)
    assert told["beside"] == [f"{HERE}/worker-service-def.json"]
    assert '"desiredCount": 7' in edited.read_text()
    assert '"desiredCount": 5' in edited.with_name(edited.name + ".new").read_text()
    write(tmp_path, "--force")
    assert '"desiredCount": 5' in edited.read_text()


def test_schedulers_are_redundant_and_the_queue_has_a_dead_letter_queue(tmp_path):
    found = made(place(tmp_path))
    offsets = []
    for at in (1, 2):
        [container] = found[f"scheduler-{at}-task-def.json"]["containerDefinitions"]
        words = container["command"]
        assert words[:3] == ["jobs", "scheduler", "/kirikae/crontab/batch"]
        assert words[words.index("--zone") + 1] == "Asia/Tokyo"
        offsets.append(words[words.index("--offset") + 1])
        assert found[f"scheduler-{at}-service-def.json"]["desiredCount"] == 1
    assert offsets == ["0", "1"]
    attributes = found["queue.json"]["Attributes"]
    redrive = json.loads(attributes["RedrivePolicy"])
    dead = found["dead-queue.json"]
    assert redrive["deadLetterTargetArn"].endswith(f":{dead['QueueName']}")
    assert (attributes["FifoQueue"], redrive["maxReceiveCount"]) == ("true", "3")
    worker = found["worker-task-def.json"]["containerDefinitions"][0]
    assert worker["stopTimeout"] == 120 and worker["entryPoint"][0].startswith(
        "/opt/kirikae-worker"
    )
    assert {"name": "DB_PASSWORD", "valueFrom": "/shop/db-password"} in worker["secrets"]


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_red_button_names_the_services_that_were_written(tmp_path, language: Language):
    """For who must hand the jobs back while neither kirikae nor the ledger answers: every service
    that could run one is stopped, by commands that can be typed as they stand."""
    stack = stack_of(Here(str(place(tmp_path) / "kirikae.yml")), "batch")
    words = Words.of("kirikae.jobs")
    told = words.say(by_hand(stack.settings, stack.project), language)
    commands = [shlex.split(line) for line in told.splitlines() if line.startswith("aws ")]
    named = [command[command.index("--service") + 1] for command in commands]
    services = {name for name in made(tmp_path) if name.endswith("-service-def.json")}
    assert sorted(named) == sorted(made(tmp_path)[each]["serviceName"] for each in services)
    assert all(command[command.index("--desired-count") + 1] == "0" for command in commands)
    assert "unreachable=open" in told and ".kirikae/crontabs" in told
    elsewhere = stack.settings.model_copy(update={"new": None})
    assert "aws " not in words.say(by_hand(elsewhere, stack.project))


@pytest.mark.parametrize(
    ("crontab", "more", "says"),
    [
        (CRONTAB, "worker_image: null", "report"),
        (APART, "workers: 1", "new.task_definition"),
        ("MAILTO=sre@example.jp\n" + CRONTAB, "workers: 1", "new.relay"),
        ("0 1 * * * true | mail -s x ops\n", "workers: 1", "new.relay"),
    ],
)
def test_nothing_is_written_while_a_question_is_open(tmp_path, crontab, more, says):
    place(tmp_path, crontab, more)
    if more.startswith("worker_image"):
        text = (tmp_path / "kirikae.yml").read_text()
        (tmp_path / "kirikae.yml").write_text(text.replace("worker_image: shop/worker:1, ", ""))
    told = write(tmp_path, exit_code=1)
    assert says in told["message"] and not (tmp_path / "ecs").exists()


def test_jobs_that_mail_get_the_relay_beside_the_worker(tmp_path):
    relay = "{to: 'smtp.example.jp:587', login: /shop/smtp, image: 'shop/relay:1'}"
    place(tmp_path, "MAILTO=sre@example.jp\n" + CRONTAB, f"relay: {relay}")
    found = made(tmp_path)
    worker, relayed = found["worker-task-def.json"]["containerDefinitions"]
    assert "--mail-output" in worker["command"]
    assert relayed["secrets"] == [{"name": "RELAY_LOGIN", "valueFrom": "/shop/smtp"}]
    told = write(tmp_path)
    assert f"{HERE}/relay.Dockerfile" in told["files"] and f"{HERE}/relay.sh" in told["files"]
    policy = json.loads(found["execution-policy.json"]["PolicyDocument"])
    granted = json.dumps(policy)
    assert "parameter/shop/smtp" in granted and "parameter/shop/db-password" in granted


def test_guards_find_a_door_before_a_table_and_a_ledger_over_http_has_none(tmp_path):
    place(tmp_path, more="token_secret: /shop/token")
    [door] = made(tmp_path)["ledger-task-def.json"]["containerDefinitions"]
    assert door["command"][:4] == ["jobs", "serve", "--ledger", "dynamodb://shop-jobs"]
    assert door["secrets"] == [{"name": "KIRIKAE_JOBS_TOKEN", "valueFrom": "/shop/token"}]
    text = (tmp_path / "kirikae.yml").read_text()
    other = text.replace("dynamodb://shop-jobs", "http://10.0.0.5:8062")
    (tmp_path / "kirikae.yml").write_text(other)
    found = made(tmp_path)
    assert not {"table.json", "ledger-task-def.json"} & set(found)
    assert "dynamodb" not in json.dumps(found)


@pytest.mark.parametrize("name", ["create.sh", "collect.sh", "relay.sh"])
def test_scripts_are_posix_sh(tmp_path, name):
    relay = "relay: {to: 'smtp.example.jp:587', login: /shop/smtp, image: 'shop/relay:1'}"
    write(place(tmp_path, more=relay))
    subprocess.run(["sh", "-n", str(tmp_path / HERE / name)], check=True)


class Recording(LightAws):
    """Which actions of IAM the calls of one part need."""

    def __init__(self, inner: LightAws, heard: set[str]) -> None:
        self.inner = inner
        self.heard = heard

    def call(self, service: Service, operation: str, asked: Any, wait_s: float = 0) -> Any:
        self.heard.add(f"{service.name}:{_ACTION.get(operation, operation)}")
        return self.inner.call(service, operation, asked, wait_s)

    def now(self) -> float:
        return self.inner.now()


_ACTION = {
    "SendMessageBatch": "SendMessage",
    "DeleteMessageBatch": "DeleteMessage",
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
    "TransactWriteItems": "PutItem",
}
"""Service Authorization Reference: batches and transactions ask for the right of their parts."""


def granted(folder: Path, part: str) -> set[str]:
    stack = stack_of(Here(str(folder / "kirikae.yml")), "batch")
    return {action for statement in roles.parts(stack)[part] for action in statement["Action"]}


def test_a_role_allows_what_its_part_calls_and_nothing_else(tmp_path):
    """One firing from its admission to its end, by the port's calls that schedulers and workers
    make; every one of them is allowed, and every allowed one was made."""
    place(tmp_path)
    server = QueueServer(tmp_path / "queues.db")
    (tmp_path / "keeper").mkdir()
    keeper = KeeperProcess(tmp_path / "keeper")
    try:
        make_table(keeper.aws, "jobs")
        server.queue(dead="dead.fifo")
        send, take = set[str](), set[str]()
        ledger = dynamo_ledger(Recording(keeper.aws, send), "jobs")
        queue = queue_named(Recording(server.aws, send), "jobs.fifo")
        ledger.own(["report"], Owner.NEW)
        ledger.admit([Wanted("report", int(ledger.now() // 60), "digest")])
        waiting = ledger.unsent()
        queue.send([outgoing(firing) for firing in waiting])
        ledger.sent(waiting)
        ledger.sweep()
        assert set(Levels(ledger, queue).figures()) == {
            "queue_depth",
            "dead_letters",
            "oldest_age_s",
        }
        theirs = dynamo_ledger(Recording(keeper.aws, take), "jobs")
        queue = queue_named(Recording(server.aws, take), "jobs.fifo")
        [message] = queue.receive(1, 0, 30)
        queue.hold(message.receipt, 60)
        firing = waiting[0]
        claim = Claim(firing.job, firing.due, Owner.NEW, "w", attempt=1, start=True)
        fence = theirs.claim(claim).fence
        theirs.finish(Hold(firing.job, firing.due, fence), Ending(State.SUCCEEDED, 0))
        theirs.history("report")
        queue.delete(message.receipt)
    finally:
        keeper.kill()
        server.close()
    assert send == granted(tmp_path, "scheduler")
    assert take == granted(tmp_path, "worker")


def test_a_worker_that_starts_tasks_may_start_only_its_own(tmp_path):
    place(tmp_path, CRONTAB + APART, _TASKS)
    stack = stack_of(Here(str(tmp_path / "kirikae.yml")), "batch")
    by_sid = {each["Sid"]: each for each in roles.parts(stack)["worker"]}
    [family] = by_sid["Run"]["Resource"]
    assert family.endswith("task-definition/shop-job:*")
    assert by_sid["Run"]["Condition"]["ArnEquals"]["ecs:cluster"].endswith("cluster/shop")
    assert by_sid["Pass"]["Resource"] == ["arn:aws:iam::123456789012:role/job"]
    assert by_sid["Watch"]["Action"] == ["ecs:DescribeTasks", "ecs:StopTask"]


def worker_dockerfile() -> str:
    """What `jobs write` writes for a worker in the application's image."""
    with tempfile.TemporaryDirectory() as folder:
        place(Path(folder))
        write(Path(folder))
        return (Path(folder) / HERE / "worker.Dockerfile").read_text()


def test_the_application_s_image_keeps_its_entry_point_and_gets_one_folder_more(tmp_path):
    lines = worker_dockerfile().splitlines()
    orders = [line.split()[0] for line in lines if line and not line.startswith(("#", " "))]
    assert orders == ["ARG", "ARG", "FROM", "USER", "COPY", "RUN", "FROM", "COPY", "RUN"]


_AWS = """\
#!/bin/sh
echo "$@" >>"$CALLS"
case "$1 $2" in
    "ecs describe-services") echo "$SERVICES"; exit ;;
    "$FAILS") echo "An error occurred ($CODE) when calling it" >&2; exit 254 ;;
esac
"""


def create(folder: Path, services: str = "None", fails: str = "none", code: str = "") -> Any:
    """create.sh with an AWS command line that writes down what it is asked."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    (tools / "aws").write_text(_AWS)
    (tools / "aws").chmod(0o755)
    calls_made = folder / "calls"
    calls_made.write_text("")
    told = {"CALLS": str(calls_made), "SERVICES": services, "FAILS": fails, "CODE": code}
    ran = subprocess.run(
        ["sh", str(folder / HERE / "create.sh")],
        env={"PATH": f"{tools}:/usr/bin:/bin", **told},
        capture_output=True,
        text=True,
    )
    return ran, calls_made.read_text().splitlines()


def test_the_script_makes_every_file_once_in_its_order(tmp_path):
    write(place(tmp_path))
    ran, made_by_it = create(tmp_path)
    assert ran.returncode == 0, ran.stderr
    files = [word.removeprefix("file://") for line in made_by_it for word in line.split()]
    assert [each for each in files if each.endswith(".json")] == list(made(tmp_path))
    first = made_by_it[0].split()
    assert first[:2] == ["sqs", "create-queue"] and first[-1] == "file://dead-queue.json"


def test_the_script_may_be_run_again(tmp_path):
    """A table that is there stays; services that are there take the new definition."""
    write(place(tmp_path))
    fails = {"fails": "dynamodb create-table", "code": "ResourceInUseException"}
    ran, made_by_it = create(tmp_path, "ACTIVE", **fails)
    assert ran.returncode == 0 and "table.json: there already" in ran.stdout
    assert not [line for line in made_by_it if "create-service" in line]
    assert len([line for line in made_by_it if "update-service" in line]) == 3


def test_the_script_stops_at_what_it_does_not_expect(tmp_path):
    write(place(tmp_path))
    ran, made_by_it = create(tmp_path, fails="iam create-role", code="AccessDenied")
    assert ran.returncode != 0 and "AccessDenied" in ran.stderr
    assert not [line for line in made_by_it if "register-task-definition" in line]
