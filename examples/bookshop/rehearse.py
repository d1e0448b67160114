"""Rehearse the whole move: a seven-year-old bookshop goes from virtual machines to containers while
it is under load.

Uses kirikae as anybody would, through its command line.  Everything runs on this machine's loopback
address and one docker bridge.  ``--keep`` leaves it all running; ``--clean`` removes every
container, process and file."""

from __future__ import annotations

import argparse
import datetime
import fcntl
import gzip
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3

sys.path.insert(0, str(Path(__file__).resolve().parent / "rehearsal"))

import hosts
import old_deploy
import report
from hosts import Machines, Trouble, alive

SHOP = Path(__file__).resolve().parent
ROOT = SHOP.parent.parent
FOLDER = ROOT / ".kirikae" / "rehearsal"
OUT = ROOT / "rehearsal"
PORT = int(os.environ.get("REHEARSAL_PORT", "18080"))
RATE = float(os.environ.get("REHEARSAL_RATE", "220"))
URL = f"http://127.0.0.1:{PORT}"
REGULARS = 20
DATABASE_PASSWORD = "kx7-Tanuki-2019"  # the sample's planted secret, of no worth anywhere
PROJECT = FOLDER / "project"
KIRIKAE = [sys.executable, "-m", "kirikae", "--project", str(PROJECT / "kirikae.yml")]
ACT_TITLES = {
    "old": "Act 0 · the old side: two web VMs, one batch VM, a database, r1",
    "load": "Act 1 · virtual users come and never leave",
    "survey": "Act 2 · the survey, and a refusal",
    "prepare": "Act 3 · r2 to the old side under load, and a second survey",
    "new": "Act 4 · images and definitions are made; r2 comes up on ECS",
    "fault": "Act 5 · the move begins, and a fault shows",
    "repair": "Act 6 · r3 to both sides",
    "move": "Act 7 · the move goes on, and everything is tried",
    "end": "Act 8 · settle and retire",
}


class Story:
    """Tells what happens, keeps when each act began, and remembers what must not be forgotten."""

    def __init__(self, load_file: Path) -> None:
        self._live = sys.stdout.isatty()
        self._load_file = load_file
        self.acts: list[dict[str, Any]] = []
        self.marks: list[dict[str, Any]] = []
        self.began = time.time()

    @contextmanager
    def act(self, name: str) -> Iterator[None]:
        print(
            f"\n\x1b[1m{ACT_TITLES[name]}\x1b[0m" if self._live else f"\n{ACT_TITLES[name]}",
            flush=True,
        )
        act = {"name": name, "title": ACT_TITLES[name], "began": time.time(), "ended": 0.0}
        self.acts.append(act)
        try:
            yield
        finally:
            act["ended"] = time.time()
            print(
                f"  ({act['ended'] - act['began']:.0f} s) "
                f"{report.load_line(self._load_file, act['began'], act['ended'])}",
                flush=True,
            )

    def tell(self, text: str) -> None:
        clear = "\r\x1b[K" if self._live else ""
        print(f"{clear}  {time.time() - self.began:5.0f} s  {text}", flush=True)

    def mark(self, kind: str, text: str) -> None:
        """Something done to the system on purpose: told, and drawn in the report."""
        self.marks.append({"t": time.time(), "kind": kind, "text": text})
        self.tell(f"* {text}")

    def live(self) -> None:
        """One running line of figures, on a terminal only."""
        if self._live:
            print(
                "\r\x1b[K          "
                f"{report.load_line(self._load_file, time.time() - 4, time.time())}",
                end="\r",
                flush=True,
            )


class Driver:
    """A `kirikae move start` that runs beside the story."""

    def __init__(self, process: subprocess.Popen[str], story: Story) -> None:
        self.process = process
        self._story = story
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._story.tell(f"| {line.rstrip()}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def ends_with(self, code: int) -> None:
        self.process.wait(timeout=180)
        self._reader.join(timeout=10)
        if self.process.returncode != code:
            raise Trouble(
                f"kirikae ended with exit code {self.process.returncode}, expected {code}"
            )


class Rehearsal:
    def __init__(self, story: Story) -> None:
        self.story = story
        self.users: subprocess.Popen[bytes] | None = None
        self.facts: dict[str, Any] = {}
        self.leaks: list[str] = []
        self._environment: dict[str, str] = {}

    # --- using kirikae

    def kirikae(self, *arguments: str, expect: tuple[int, ...] = (0,), show: bool = True) -> str:
        """Run kirikae as a user would; its lines become part of the story."""
        process = self.kirikae_begin(*arguments)
        lines = []
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if show:
                self.story.tell(f"| {line.rstrip()}")
        code = process.wait()
        if code not in expect:
            raise Trouble(
                f"`kirikae {' '.join(arguments)}` ended with exit code {code}, expected "
                f"{expect}: {''.join(lines)[-1500:]}"
            )
        self.facts["last_exit"] = code
        return "".join(lines)

    def kirikae_begin(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*KIRIKAE, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **self._environment},
        )

    def drive(self) -> Driver:
        """`kirikae move start web` in the background; its lines are told as they come."""
        return Driver(self.kirikae_begin("move", "start", "web"), self.story)

    def local(self, *arguments: str) -> str:
        return self.kirikae("local", "--dir", str(FOLDER / "local"), *arguments, show=False)

    def status(self) -> dict[str, Any]:
        return json.loads(self.kirikae("move", "status", "web", "--json", show=False))  # type: ignore[no-any-return]

    def until(self, what: str, condition: Callable[[], bool], timeout_s: float = 120) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise Trouble(f"waited {timeout_s:.0f} s in vain: {what}")
            self.story.live()
            time.sleep(0.3)

    def until_share(self, share: str, driver: Driver) -> None:
        def there() -> bool:
            if driver.process.poll() is not None:
                raise Trouble(
                    f"kirikae ended (exit code {driver.process.returncode}) before {share}"
                )
            seen = self.status()
            return bool(
                seen["share"] == share and seen["found_share"] == share and seen["intent"] is None
            )

        self.until(f"the move reaches {share}", there)

    # --- acts

    def old_side(self) -> None:
        story = self.story
        vm_images = hosts.vm_images(story.tell)
        self.distribution = hosts.debian("container", hosts.CONTAINER_PACKAGES, story.tell)
        PROJECT.mkdir()
        shutil.copy(SHOP / "kirikae.yml", PROJECT)
        up = json.loads(self.local("up", "--figures", "now", "--json"))
        self._environment = {
            "AWS_ENDPOINT_URL": up["endpoint"],
            "AWS_REGION": up["region"],
            "AWS_DEFAULT_REGION": up["region"],
            "AWS_ACCESS_KEY_ID": "kirikae",
            "AWS_SECRET_ACCESS_KEY": "kirikae",
        }
        os.environ.update(self._environment)
        story.tell(f"kirikae local answers at {up['endpoint']}")
        self.machines = Machines(up["instance"], up["network"], FOLDER)
        self.machines.start(vm_images)
        story.tell("web1, web2, batch1 and db1 are up: systemd, sshd, nginx, cron, PostgreSQL")
        self._aws_side(up)
        self._environment["KIRIKAE_SSH"] = f"ssh -F {self.machines.ssh_config}"
        old_deploy.deploy(
            self.machines, "r1", ["web1", "web2"], self.elb, self.old_group, self.host_environment
        )
        self.until("the old side is healthy", lambda: self._healthy(self.old_group) == 2)
        story.tell(
            "r1 serves, put there by the old script: logins and pictures in local files, "
            "the environment told by the host's name"
        )
        self._users(
            "--log-in-regulars", str(REGULARS), "--out", str(FOLDER / "regulars.json")
        ).wait()

    def _aws_side(self, up: dict[str, Any]) -> None:
        """What the team has on AWS already: a load balancer, target groups, a bucket, a parameter,
        a cluster."""
        self.elb = boto3.client("elbv2")
        self.ecs = boto3.client("ecs")
        network = json.loads(hosts.run("docker", "network", "inspect", up["network"]))[0]
        gateway = network["IPAM"]["Config"][0]["Gateway"]
        endpoint = f"http://{gateway}:{up['endpoint'].rpartition(':')[2]}"
        self.host_environment = {
            "DATABASE_HOST": "db1",
            "DATABASE_PASSWORD": DATABASE_PASSWORD,
            "PICTURE_BUCKET": "bookshop-pictures",
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_DEFAULT_REGION": up["region"],
            "AWS_ACCESS_KEY_ID": "bookshop",
            "AWS_SECRET_ACCESS_KEY": "bookshop",
        }
        boto3.client("s3").create_bucket(
            Bucket="bookshop-pictures",
            CreateBucketConfiguration={"LocationConstraint": up["region"]},
        )
        boto3.client("ssm").put_parameter(
            Name="/bookshop/database-password", Value=DATABASE_PASSWORD, Type="SecureString"
        )
        ec2 = boto3.client("ec2")
        subnet = ec2.describe_subnets()["Subnets"][0]
        balancer = self.elb.create_load_balancer(Name="bookshop", Subnets=[subnet["SubnetId"]])[
            "LoadBalancers"
        ][0]["LoadBalancerArn"]
        self.old_group = self._group(
            "bookshop-ec2", 80, subnet["VpcId"], {"stickiness.enabled": "true"}
        )
        self.new_group = self._group("bookshop-ecs", 8080, subnet["VpcId"], {})
        gone = {
            "Type": "fixed-response",
            "FixedResponseConfig": {
                "StatusCode": "404",
                "ContentType": "text/plain",
                "MessageBody": "no such shop",
            },
        }
        listener = self.elb.create_listener(
            LoadBalancerArn=balancer, Protocol="HTTP", Port=PORT, DefaultActions=[gone]
        )["Listeners"][0]["ListenerArn"]
        self.rule = self.elb.create_rule(
            ListenerArn=listener,
            Priority=10,
            Conditions=[{"Field": "path-pattern", "Values": ["/*"]}],
            Actions=self._forward(999, 0),
            Tags=[{"Key": "Name", "Value": "main"}],
        )["Rules"][0]["RuleArn"]
        self.ecs.create_cluster(clusterName="bookshop")

    def _group(self, name: str, port: int, vpc: str, attributes: dict[str, str]) -> str:
        arn: str = self.elb.create_target_group(
            Name=name,
            Protocol="HTTP",
            Port=port,
            VpcId=vpc,
            TargetType="ip",
            HealthCheckPath="/health",
            HealthCheckIntervalSeconds=5,
            HealthCheckTimeoutSeconds=4,
            HealthyThresholdCount=2,
            UnhealthyThresholdCount=3,
        )["TargetGroups"][0]["TargetGroupArn"]
        wanted = {"deregistration_delay.timeout_seconds": "30", **attributes}
        self.elb.modify_target_group_attributes(
            TargetGroupArn=arn, Attributes=[{"Key": k, "Value": v} for k, v in wanted.items()]
        )
        return arn

    def _forward(self, old: int, new: int) -> list[dict[str, Any]]:
        groups = [
            {"TargetGroupArn": self.old_group, "Weight": old},
            {"TargetGroupArn": self.new_group, "Weight": new},
        ]
        return [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]

    def _healthy(self, group: str) -> int:
        found = self.elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        return sum(t["TargetHealth"]["State"] == "healthy" for t in found)

    def _users(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, str(SHOP / "rehearsal" / "users.py"), "--url", URL, *arguments]
        )

    def load(self) -> None:
        out = FOLDER / "load.jsonl"
        self.users = self._users(
            "--out", str(out), "--regulars", str(FOLDER / "regulars.json"), "--rate", str(RATE)
        )
        (FOLDER / "users.pid").write_text(str(self.users.pid))
        self.until(
            "the load is there", lambda: out.exists() and len(out.read_text().splitlines()) >= 8
        )
        self.story.tell(
            f"{RATE:.0f} requests a second at {URL}; point a load generator of your own "
            "at it if you like"
        )

    def survey(self) -> None:
        self.kirikae("doctor", expect=(0, 6))
        self.kirikae("survey", "collect")
        self.kirikae("survey", "aws", show=False)
        self.kirikae("survey", "show", expect=(6,))
        said = self.kirikae("move", "start", "web", expect=(1,))
        self.facts["refused_over"] = sorted(
            {line.split()[0] for line in said.splitlines() if re.match(r"[A-Z]{2}\d\d ", line)}
        )
        self.story.tell(
            "kirikae refuses: what lies on one host only would be lost to everybody who "
            "is sent elsewhere"
        )
        OUT.mkdir(exist_ok=True)
        for language in ("ja", "en"):
            self.kirikae(
                "report", "--lang", language, "--out", str(OUT / f"decision-{language}.html")
            )

    def prepare(self) -> None:
        self._create("r2")
        self.kirikae("release", "deploy", "r2", "--to", "old")
        self.story.mark("release", "r2 serves on the old side; nobody was logged out")
        self.kirikae("survey", "collect")
        still = self.kirikae("survey", "ask", show=False)
        self.story.tell(f"the second survey still asks: {still.splitlines()[-1]}")
        until = (datetime.date.today() + datetime.timedelta(days=90)).isoformat()
        with (PROJECT / "kirikae.yml").open("a") as file:
            file.write((SHOP / "accepted.yml").read_text().replace("UNTIL", until))
        self.kirikae("survey", "show", show=False)
        self.story.tell(
            "the team answers for what is left, in kirikae.yml; nothing stands in the way any more"
        )

    def _create(self, release: str) -> None:
        self.kirikae(
            "release", "create", release, "--from", str(hosts.release_folder(release, FOLDER))
        )

    def _build_images(self, release: str) -> None:
        self.kirikae("build", "image", release, "--distribution", self.distribution)

    def new_side(self) -> None:
        self.kirikae("build", "write")
        self._build_images("r2")
        self.kirikae("build", "verify", "r2")
        self.kirikae("release", "deploy", "r2", "--to", "new")

    def fault(self) -> None:
        self.kirikae("move", "plan", "web")
        said = self.kirikae("move", "start", "web", expect=(4,))
        self.facts["fail"] = next(line.strip() for line in said.splitlines() if "fail:" in line)
        self.story.tell("kirikae backed out by itself; nobody was called")

    def repair(self) -> None:
        self._create("r3")
        self._build_images("r3")
        self.kirikae("release", "deploy", "r3", "--to", "old,new")
        self.kirikae("release", "status")

    def go_on(self) -> None:
        story = self.story
        self.kirikae("move", "resume", "web")
        driver = self.drive()
        self.until_share("10%", driver)
        driver.kill()
        story.mark("kill", "kirikae itself was killed with SIGKILL at 10%")
        driver = self.drive()
        self._kill_a_task()
        self._kill_the_control_plane()
        self.until_share("50%", driver)
        began = time.monotonic()
        self.kirikae("back-out", "web", "--reason", "somebody was nervous", expect=(4,))
        self.facts["red_button_s"] = round(time.monotonic() - began, 2)
        story.mark(
            "button",
            f"the red button was pressed at 50%: share 0 after {self.facts['red_button_s']} s",
        )
        driver.ends_with(4)
        self.kirikae("move", "resume", "web")
        driver = self.drive()
        self.until_share("50%", driver)
        self.elb.modify_rule(RuleArn=self.rule, Actions=self._forward(700, 300))
        story.mark("hand", "somebody turned the weights by hand, to 30%")
        driver.ends_with(5)
        weights = self.elb.describe_rules(RuleArns=[self.rule])["Rules"][0]["Actions"][0][
            "ForwardConfig"
        ]["TargetGroups"]
        if [g["Weight"] for g in weights] != [700, 300]:
            raise Trouble(f"kirikae overwrote the hand on the knob: {weights}")
        story.tell("kirikae held, said so, and left the hand-made weights as they were")
        self.kirikae("move", "resume", "web")
        self.drive().ends_with(0)

    def _kill_a_task(self) -> None:
        """Every container of one task at once, as when a machine dies."""
        task = self.ecs.list_tasks(cluster="bookshop", serviceName="bookshop-web")["taskArns"][0]
        label = f"label=com.amazonaws.ecs.task-arn={task}"
        victims = hosts.run(
            "docker",
            "ps",
            "-q",
            "--filter",
            label,
            "--filter",
            "label=com.amazonaws.ecs.container-name",
        ).split()
        self.facts["task_killed_at"] = time.time()
        hosts.run("docker", "kill", "-s", "KILL", *victims)
        self.story.mark(
            "kill", f"one task was killed with SIGKILL, all {len(victims)} containers of it"
        )

    def _kill_the_control_plane(self) -> None:
        pid = json.loads(self.local("status", "--json"))["pid"]
        os.kill(pid, signal.SIGKILL)
        self.story.mark("kill", "kirikae local's control plane was killed with SIGKILL")
        time.sleep(2)
        self.local("up")
        self.story.tell("kirikae local is back; the load balancer never noticed")
        self.until("two tasks serve again", lambda: self._healthy(self.new_group) == 2)

    def end(self) -> None:
        self.kirikae("move", "retire", "web")
        self.until("ten quiet seconds", lambda: time.time() - self.story.acts[-1]["began"] > 10)

    # --- afterwards

    def stop_load(self) -> None:
        if self.users is not None and self.users.poll() is None:
            self.users.send_signal(signal.SIGTERM)
            self.users.wait(timeout=30)

    def write_report(self) -> dict[str, Any]:
        history = [
            json.loads(line)
            for line in self.kirikae("move", "history", "web", "--json", show=False).splitlines()
        ]
        plan = json.loads(self.kirikae("move", "plan", "web", "--json", show=False))
        OUT.mkdir(exist_ok=True)
        shutil.copy(PROJECT / "removal-web.md", OUT)
        shutil.copytree(PROJECT / "image", OUT / "image", dirs_exist_ok=True)
        shutil.copytree(PROJECT / "ecs", OUT / "ecs", dirs_exist_ok=True)
        self._no_secret_anywhere()
        self.facts["secrets_found_in"] = self.leaks
        return report.write(
            OUT,
            FOLDER / "load.jsonl",
            self.story.acts,
            self.story.marks,
            self.facts,
            history,
            plan,
            RATE,
        )

    def _no_secret_anywhere(self) -> None:
        """The planted secret must be in no bundle, log, record or report that kirikae wrote; SSM's
        own store is where it belongs."""
        for place in (PROJECT, OUT, FOLDER / "local"):
            for file in place.rglob("*"):
                if file.is_file() and not file.name.startswith("stores.db"):
                    raw = file.read_bytes()
                    if DATABASE_PASSWORD.encode() in (
                        gzip.decompress(raw)
                        if file.suffix == ".gz" and raw[:2] == b"\x1f\x8b"
                        else raw
                    ):
                        self.leaks.append(str(file.relative_to(ROOT)))


def clean(images: bool) -> None:
    """Remove what a rehearsal made; what is not there is no trouble."""
    users = FOLDER / "users.pid"
    if (
        users.exists()
        and (pid := alive(users.read_text(), str(SHOP / "rehearsal" / "users.py"))) is not None
    ):
        os.kill(pid, signal.SIGTERM)
    if (FOLDER / "local" / "settings.json").exists():
        instance = json.loads((FOLDER / "local" / "settings.json").read_text())["instance"]
        hosts.remove_containers(f"bookshop.rehearsal={instance}")
        subprocess.run(
            [*KIRIKAE, "local", "--dir", str(FOLDER / "local"), "down"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    shutil.rmtree(FOLDER, ignore_errors=True)
    if images:
        hosts.remove_images(("bookshop-", "kirikae-pause:"))
        shutil.rmtree(OUT, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything running afterwards")
    parser.add_argument("--clean", action="store_true", help="only remove what rehearsals made")
    asked = parser.parse_args()
    (ROOT / ".kirikae").mkdir(exist_ok=True)
    with (ROOT / ".kirikae" / "rehearsal.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print(
                "another rehearsal runs in this folder; wait for its end, or stop it",
                file=sys.stderr,
            )
            return 1
        if asked.clean:
            clean(images=True)
            return 0
        return rehearse(asked.keep)


def rehearse(keep: bool) -> int:
    """Play all acts; 0 if every promise was kept."""
    clean(images=False)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            print(
                f"port {PORT} of 127.0.0.1 is taken; set REHEARSAL_PORT to another one",
                file=sys.stderr,
            )
            return 1
    FOLDER.mkdir(parents=True)
    story = Story(FOLDER / "load.jsonl")
    rehearsal = Rehearsal(story)
    failed = ""
    try:
        acts: tuple[tuple[str, Callable[[], None]], ...] = (
            ("old", rehearsal.old_side),
            ("load", rehearsal.load),
            ("survey", rehearsal.survey),
            ("prepare", rehearsal.prepare),
            ("new", rehearsal.new_side),
            ("fault", rehearsal.fault),
            ("repair", rehearsal.repair),
            ("move", rehearsal.go_on),
            ("end", rehearsal.end),
        )
        for name, play in acts:
            with story.act(name):
                play()
        if not keep:
            rehearsal.stop_load()
        summary = rehearsal.write_report()
        print(report.in_words(summary))
        failed = "; ".join(summary["broken"])
    except Trouble as error:
        failed = str(error)
    except KeyboardInterrupt:
        failed = "stopped by hand"
    finally:
        if not keep:
            rehearsal.stop_load()
        if not keep and not (failed and os.environ.get("REHEARSAL_KEEP_FAILED")):
            clean(images=False)
    if failed:
        print(f"\nthe rehearsal failed: {failed}", file=sys.stderr)
        return 1
    print(f"\nreport: {OUT / 'report.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
