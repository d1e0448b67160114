"""Real Celery workers move: systemd units on a host with sshd, tasks of an ECS service, one SQS
queue between them, and somebody who never stops sending."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.waits import at_this_pace, until_share
from tests.pace import ended, eventually
from tests.tidy import gone

pytestmark = pytest.mark.engine
ROOT = Path(__file__).parents[2]
IMAGE = "kirikae-test-celery:1"
HOST = "celery1"
DOCKERFILE = """\
ARG BASE
FROM ${BASE}
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \\
      --no-install-recommends python3-celery python3-pycurl >/dev/null
RUN systemctl disable nginx postgresql exim4 cron >/dev/null 2>&1; \\
    systemctl mask systemd-udevd.service systemd-modules-load.service getty.target \\
      sys-kernel-config.mount sys-kernel-debug.mount console-getty.service \\
      systemd-networkd.service systemd-timesyncd.service >/dev/null 2>&1; \\
    mkdir -p ~/.ssh /srv/mail && chmod 700 ~/.ssh
COPY mail.py /srv/mail/
COPY celery@.service /etc/systemd/system/
STOPSIGNAL SIGRTMIN+3
CMD ["/sbin/init"]
"""
MAIL = """\
import os, sys, time
from celery import Celery

at = os.environ["QUEUE"]
host, _, rest = at.removeprefix("http://").partition("/")
app = Celery("mail", broker=f"sqs://test:test@{host}//")
app.conf.update(
    task_default_queue="mail",
    worker_prefetch_multiplier=1,
    worker_enable_remote_control=False,
    broker_transport_options={
        "region": "ap-northeast-1",
        "is_secure": False,
        "wait_time_seconds": 1,
        "visibility_timeout": 20,
        "predefined_queues": {
            "mail": {"url": at, "access_key_id": "test", "secret_access_key": "test"}
        },
    },
)


@app.task(name="mail.send", acks_late=True)
def send(number):
    if os.environ.get("BROKEN"):
        raise ValueError(f"no relay for {number}")
    return number


if __name__ == "__main__":
    number = int(sys.argv[1])
    while True:
        send.delay(number)
        number += 1
        time.sleep(0.2)
"""
WORKER = (
    "/usr/bin/python3 -m celery -A mail worker -P solo -l INFO "
    "--without-gossip --without-mingle --without-heartbeat"
)
UNIT = f"""\
[Service]
WorkingDirectory=/srv/mail
EnvironmentFile=/etc/mail.env
ExecStart={WORKER} -n %i@%H
TimeoutStopSec=90
"""
PROJECT = """\
service: shop
environment: test
account: "123456789012"
fleets:
  old: {target_group: web-a, hosts: ["ssh://celery1"]}
  new: {cluster: mails, ecs_service: unused, target_group: web-b}
moves:
  web:
    kind: workers
    queue: mail
    advance: auto
    old: {units: [celery@1.service, celery@2.service]}
    new: {ecs_service: mail, tasks: 2}
    judge: {worse_messages_at_most: "20%", bake: 4s}
    figures: {period: 2s, lateness: 2s}
accepted:
  - {finding: SV01, where: celery1, why: "a container of this test", by: "test", until: 2099-12-31}
  - {finding: WK05, where: mail, why: "a queue of this test", by: "test", until: 2099-12-31}
"""
FAILED = re.compile(r"ValueError: no relay for ([0-9]+)")
DONE = re.compile(r"Task mail\.send\[(\S+)\] succeeded in \S+s: ([0-9]+)")


@pytest.fixture(scope="module")
def hosts() -> Any:
    """How the rehearsal makes its virtual machines."""
    sys.path.insert(0, str(ROOT / "examples/bookshop/rehearsal"))
    import hosts

    return hosts


class Mails:
    """The queue, the old host, the new service."""

    def __init__(self, local: Any, hosts: Any, folder: Path) -> None:
        self.local = local
        self.folder = folder
        self._run = hosts.run
        self.container = f"kirikae-test-celery-of-{os.getpid()}"
        network = json.loads(hosts.run("docker", "network", "inspect", local.status["network"]))[0]
        gateway = network["IPAM"]["Config"][0]["Gateway"]
        sqs = local.client("sqs")
        url = sqs.create_queue(QueueName="mail", Attributes={"VisibilityTimeout": "20"})["QueueUrl"]
        local.scope.add(lambda: gone(sqs.delete_queue, QueueUrl=url))
        port = local.status["endpoint"].rpartition(":")[2]
        self.queue = f"http://{gateway}:{port}/{url.split('/', 3)[3]}"
        self._image(hosts)
        self._boot(hosts)
        self.ecs = local.client("ecs")
        local.scope.owns |= {"service mails/", "task mails/"}
        self.ecs.create_cluster(clusterName="mails")
        logs = local.client("logs")
        logs.create_log_group(logGroupName="/ecs/mail")
        local.scope.add(lambda: gone(logs.delete_log_group, logGroupName="/ecs/mail"))
        subnet = local.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
        self.ecs.create_service(
            cluster="mails",
            serviceName="mail",
            taskDefinition=self.define({}),
            desiredCount=0,
            launchType="FARGATE",
            networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet]}},
        )
        local.scope.add(
            lambda: gone(self.ecs.delete_service, cluster="mails", service="mail", force=True)
        )
        (folder / "kirikae.yml").write_text(at_this_pace(PROJECT))

    def _image(self, hosts: Any) -> None:
        base = hosts.debian("vm", hosts.VM_PACKAGES, print)
        context = io.BytesIO()
        files = {"Dockerfile": DOCKERFILE, "mail.py": MAIL, "celery@.service": UNIT}
        with tarfile.open(fileobj=context, mode="w") as tar:
            for name, text in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(text.encode())
                tar.addfile(info, io.BytesIO(text.encode()))
        build = ("docker", "build", "-q", "-t", IMAGE, "--build-arg", f"BASE={base}", "-")
        hosts.run(*build, given=context.getvalue())

    def _boot(self, hosts: Any) -> None:
        hosts.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / "key")
        network = self.local.status["network"]
        options = ("--name", self.container, "--hostname", HOST, "--network", network)
        hosts.run("docker", "run", "-d", *options, *hosts.systemd_options(), IMAGE)
        self.local.scope.add(self.remove)
        for path, text in (
            ("~/.ssh/authorized_keys", (self.folder / "key.pub").read_text()),
            ("/etc/mail.env", f"QUEUE={self.queue}\n"),
        ):
            self.sh(f"cat >{path}", text.encode())
        address = json.loads(hosts.run("docker", "inspect", self.container))[0]
        address = address["NetworkSettings"]["Networks"][network]["IPAddress"]
        (self.folder / "config").write_text(
            f"Host {HOST}\n HostName {address}\n User root\n IdentityFile {self.folder}/key\n"
            "IdentitiesOnly yes\nStrictHostKeyChecking no\nUserKnownHostsFile /dev/null\n"
            "LogLevel ERROR\n"
        )
        eventually(
            lambda: self.run_ok("systemctl start celery@1 celery@2") and self.both_run(),
            "the old workers are up",
            90,
            watch=lambda: self.sh("systemctl status 'celery@*' 2>&1 | tail -5; true"),
            poll_s=1.0,
        )

    def remove(self) -> None:
        subprocess.run(
            ["docker", "rm", "-f", "-v", self.container], capture_output=True, check=False
        )

    def define(self, environment: dict[str, str]) -> str:
        """A revision of the worker's task definition."""
        told = {"QUEUE": self.queue, **environment}
        container = {
            "name": "worker",
            "image": IMAGE,
            "command": ["sh", "-c", f"cd /srv/mail && exec {WORKER}"],
            "environment": [{"name": name, "value": value} for name, value in told.items()],
            "stopTimeout": 60,
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": "/ecs/mail",
                    "awslogs-region": self.local.status["region"],
                    "awslogs-stream-prefix": "mail",
                },
            },
        }
        return str(
            self.ecs.register_task_definition(
                family="mail",
                networkMode="awsvpc",
                requiresCompatibilities=["FARGATE"],
                cpu="256",
                memory="512",
                executionRoleArn="arn:aws:iam::123456789012:role/run",
                containerDefinitions=[container],
            )["taskDefinition"]["taskDefinitionArn"]
        )

    def sh(self, script: str, given: bytes | None = None) -> str:
        return str(
            self._run("docker", "exec", "-i", self.container, "sh", "-c", script, given=given)
        )

    def run_ok(self, script: str) -> bool:
        done = subprocess.run(
            ["docker", "exec", self.container, "sh", "-c", script],
            capture_output=True,
            check=False,
        )
        return done.returncode == 0

    def units(self) -> list[str]:
        return self.sh("systemctl is-active celery@1 celery@2 || true").split()

    def both_run(self) -> bool:
        return self.units() == ["active", "active"]

    def desired(self) -> int:
        found = self.ecs.describe_services(cluster="mails", services=["mail"])["services"][0]
        return int(found["desiredCount"])

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "kirikae", *arguments],
            cwd=self.folder,
            env={
                **os.environ,
                **self.local.environment,
                "KIRIKAE_SSH": f"ssh -F {self.folder}/config",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        process = self.begin(*arguments)
        out, err = process.communicate()
        return process.returncode, out, err

    def finished(self) -> tuple[Counter[int], set[int]]:
        """The numbers that both sides' logs call done, and how often; those that failed."""
        old = self.sh("journalctl -q --no-pager -o cat -u 'celery@*' || true")
        logs = self.local.client("logs")
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName="/ecs/mail")
        new = "\n".join(event["message"] for page in pages for event in page["events"])
        done = Counter(int(number) for _, number in DONE.findall(old) + DONE.findall(new))
        return done, {int(number) for number in FAILED.findall(new)}

    def left(self) -> int:
        """Messages that nobody has, and that somebody had who is gone: those come back."""
        code, out, _ = self.run("move", "status", "web", "--json")
        told = json.loads(out)["messages"] if code == 0 else {"waiting": 1, "in_hand": 0}
        return int(told["waiting"] + told["in_hand"])


@pytest.fixture(scope="module")
def mails(local: Any, hosts: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mails]:
    yield Mails(local, hosts, tmp_path_factory.mktemp("mails"))


@pytest.mark.prove
def test_celery_workers_move_and_a_bad_release_of_theirs_is_backed_out(mails: Mails) -> None:
    """Under a steady load: the first new worker fails every message and is backed out; mended, all
    move; no message is lost, and none is done twice where nobody was killed."""
    send = "QUEUE=$(cut -d= -f2 /etc/mail.env) setsid python3 mail.py 1 >/dev/null 2>&1 &"
    mails.sh(f"cd /srv/mail && {send}")
    broken = mails.define({"BROKEN": "1"})
    mails.ecs.update_service(cluster="mails", service="mail", taskDefinition=broken)
    code, out, err = mails.run("move", "start", "web")
    assert code == 4 and "messages failed, against" in out, (code, out, err)
    assert mails.desired() == 0 and mails.both_run()

    mails.ecs.update_service(cluster="mails", service="mail", taskDefinition=mails.define({}))
    assert mails.run("move", "resume", "web")[0] == 0
    driver = mails.begin("move", "start", "web")
    until_share(mails, "50%")
    eventually(lambda: sorted(mails.units()) == ["active", "inactive"], "one unit has stopped")
    assert ended(driver) == 0, driver.communicate()
    assert mails.desired() == 2
    eventually(lambda: mails.units() == ["inactive", "inactive"], "both units have stopped")

    mails.sh("pkill -f '[m]ail.py 1'")
    eventually(lambda: mails.left() == 0, "the queue is empty", 90, mails.left, 1.0)
    done, failed = mails.finished()
    assert set(done.values()) == {1}, "a message was worked through twice"
    assert set(range(1, max(done) + 1)) == set(done) | failed, "a message was lost"
    code, out, err = mails.run("move", "retire", "web")
    assert code == 0, err
    removal = (mails.folder / "removal-web.md").read_text()
    assert "celery1: `systemctl disable celery@1.service`" in removal


@pytest.mark.prove
def test_the_red_button_starts_the_old_workers_again(mails: Mails) -> None:
    """After the end too: what is set on AWS says where the consumers are."""
    code, _, err = mails.run("back-out", "web", "--reason", "smoke")
    assert code == 3 and "share 0 was set" in err, err
    assert mails.desired() == 0
    eventually(lambda: mails.both_run(), "the old workers run again")
