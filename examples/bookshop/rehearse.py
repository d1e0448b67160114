"""Rehearse the whole move: a seven-year-old bookshop goes from virtual machines to containers while
it is under load.

Uses kirikae as anybody would, through its command line.  Everything runs on this machine's loopback
address and one docker bridge.  ``--keep`` leaves it all running; ``--clean`` removes every
container, process and file.  ``ACTS=web``, ``ACTS=jobs``, ``ACTS=workers`` or ``ACTS=logs`` in the
environment plays one of the moves.
"""

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
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

sys.path.insert(0, str(Path(__file__).resolve().parent / "rehearsal"))

import archive
import batch
import hosts
import letters
import machine
import old_deploy
import report
from crowd import Crowd
from images import LEDGER, remove_made
from images import made as images_made
from machine import Machine, Pace
from story import Story
from team import BUCKET, Amazon
from tool import Kirikae, Running, end_processes, processes_of
from trouble import Stopped, Trouble
from waiting import until

import logs

SHOP = Path(__file__).resolve().parent
ROOT = SHOP.parent.parent
FOLDER = ROOT / ".kirikae" / "rehearsal"
OUT = ROOT / "rehearsal"
PORT = int(os.environ.get("REHEARSAL_PORT", "18080"))
URL = f"http://127.0.0.1:{PORT}"
DATABASE_PASSWORD = "kx7-Tanuki-2019"  # the sample's planted secret, of no worth anywhere
PROJECT = FOLDER / "project"
MEASURED = f"{FOLDER.name}-{zlib.crc32(str(FOLDER).encode()):x}"
"""Marks the containers by which this machine is measured, of this folder's rehearsal alone."""
TURNS = 4
"""So many verdicts that are true because this machine is slow are turns of the story."""
AFTER_THE_KILL_S = 120
"""Errors found this soon after a task was killed may be the requests that it had in hand; whether
they are, the report says."""
TOO_MANY_SLOW = 0.05
BACKED_OUT = 4
WAITING = 5
DEPLOY_S = 1800
"""A release is given up after so long: long enough for any machine that still moves."""


def asked_rate() -> float | None:
    """Requests a second that somebody insists on."""
    asked = os.environ.get("REHEARSAL_RATE", "")
    return float(asked) if asked else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why kirikae backed out by itself.  ``metric``: errors, latency or probes."""

    at: float
    metric: str
    reason: str


def verdict_of(entry: dict[str, Any]) -> Verdict | None:
    """None: this entry of the journal was no verdict against the new side."""
    evidence = entry["evidence"] or {}
    if evidence.get("verdict") != "fail":
        return None
    figures = evidence["figures"]
    metric = "probes"
    if figures["log_harm"] >= figures["bar_harm"]:
        metric = max(("errors", "latency"), key=lambda each: figures[f"log_harm_{each}"])
    return Verdict(entry["at"], metric, evidence["reason"])


class Rehearsal:
    """Its methods that stand in ``ACTS`` are the story, in their order."""

    machine: Machine
    pace: Pace
    machines: hosts.Machines
    amazon: Amazon
    host_environment: dict[str, str]
    gateway: str
    batch: batch.Batch
    letters: letters.Letters
    logs: logs.Logs
    tails: archive.Tails

    def __init__(self) -> None:
        self.crowd = Crowd(URL, FOLDER)
        self.story = Story(self.crowd.load)
        self.kirikae = Kirikae(FOLDER, self.story)
        self.facts: dict[str, Any] = {"turns": []}

    # --- act 0: what there was

    def old_side(self) -> None:
        of_vms = hosts.vm_images(self.story.tell)
        self.distribution = hosts.debian("container", hosts.CONTAINER_PACKAGES, self.story.tell)
        label = f"{hosts.LABEL}={MEASURED}"
        self.machine = machine.measure(self.distribution, label)
        self.kirikae.slowness = self.machine.slowness
        PROJECT.mkdir()
        up = json.loads(self.kirikae.local("up", "--figures", "now", "--json"))
        self._be_on_aws(up)
        self.story.tell(f"kirikae local answers at {up['endpoint']}")
        self.machines = hosts.Machines(up["instance"], up["network"], FOLDER, self.machine.still_s)
        self.machines.start(of_vms)
        archive.log_every_request(self.machines)
        self.story.tell("web1, web2, batch1 and db1 are up: systemd, sshd, nginx, cron, PostgreSQL")
        self.amazon = Amazon(up["region"], PORT, DATABASE_PASSWORD)
        self.gateway = _gateway(up["network"])
        self.host_environment = _environment_of_hosts(up, self.gateway)
        self.kirikae.environment["KIRIKAE_SSH"] = f"ssh -F {self.machines.ssh_config}"
        self._deploy_r1()
        self.crowd.log_in_regulars()
        self._choose_the_pace()

    def _be_on_aws(self, up: dict[str, Any]) -> None:
        """As a shell after ``eval "$(kirikae local env)"``."""
        told = {
            "AWS_ENDPOINT_URL": up["endpoint"],
            "AWS_REGION": up["region"],
            "AWS_DEFAULT_REGION": up["region"],
            "AWS_ACCESS_KEY_ID": "kirikae",
            "AWS_SECRET_ACCESS_KEY": "kirikae",
        }
        self.kirikae.environment.update(told)
        os.environ.update(told)

    def _deploy_r1(self) -> None:
        group = self.amazon.old_group
        old_deploy.deploy(
            self.machines, "r1", ["web1", "web2"], self.amazon.elb, group, self.host_environment
        )
        self._until_healthy("the old side", group)
        self.story.tell(
            "r1 serves, put there by the old script: logins and pictures in local files, "
            "the environment told by the host's name"
        )

    def _choose_the_pace(self) -> None:
        """What the machine can carry decides how much is asked of it."""
        most = self.crowd.most()
        self.pace = machine.pace_of(self.machine, most, asked_rate())
        self.facts["most_per_s"] = round(most.per_s, 1)
        self.story.tell(self.machine.told(most))
        self.story.tell(self.pace.told())
        _write_project(self.pace, self.machine)

    # --- beside all acts: the access log

    def shipper(self) -> None:
        self.tails = archive.Tails(self.machines)
        self.logs = logs.Logs(self.kirikae, self.story, PROJECT, self._still_s)
        self.logs.ship(os.environ["AWS_REGION"], self.tails.take)

    def logs_begin(self) -> None:
        self.logs.begin()

    def logs_have_moved(self) -> None:
        self.facts["logs"] = self.logs.end()
        self.tails.close()

    # --- act 1: people

    def load(self) -> None:
        self.crowd.come(self.pace)
        until("the load is there", self.crowd.seconds_told, lambda n: n >= 4, self._still_s)
        self.story.tell(f"the shop is at {URL}; point a load generator of your own at it")

    # --- acts 2 to 4: look, repair, build

    def survey(self) -> None:
        self.kirikae("doctor", expect=(0, 6))
        self.kirikae("survey", "collect")
        self.kirikae("survey", "aws", show=False)
        self.kirikae("survey", "show", expect=(6,))
        refusal = self.kirikae("move", "start", "web", expect=(1,))
        codes = (line.split()[0] for line in refusal.lines if re.match(r"[A-Z]{2}\d\d ", line))
        self.facts["refused_over"] = sorted(set(codes))
        self.story.tell(
            "kirikae refuses: what lies on one host only would be lost to everybody who "
            "is sent elsewhere"
        )
        OUT.mkdir(exist_ok=True)
        for language in ("ja", "en"):
            page = OUT / f"decision-{language}.html"
            self.kirikae("report", "--lang", language, "--out", str(page))

    def prepare(self) -> None:
        self._create("r2")
        self._deploy("r2", "old")
        self.story.mark("release", "r2 serves on the old side; nobody was logged out")
        self.kirikae("survey", "collect")
        still = self.kirikae("survey", "ask", show=False)
        self.story.tell(f"the second survey still asks: {still.text.splitlines()[-1]}")
        until_day = datetime.date.today() + datetime.timedelta(days=90)
        accepted = (SHOP / "accepted.yml").read_text().replace("UNTIL", until_day.isoformat())
        with (PROJECT / "kirikae.yml").open("a") as file:
            file.write(accepted)
        self.kirikae("survey", "show", show=False)
        self.story.tell(
            "the team answers for what is left, in kirikae.yml; nothing stands in the way any more"
        )

    def new_side(self) -> None:
        self.kirikae("build", "write")
        self._build_images("r2")
        self.kirikae("build", "verify", "r2")
        self._deploy("r2", "new")

    def _create(self, release: str) -> None:
        folder = hosts.release_folder(release, FOLDER)
        self.kirikae("release", "create", release, "--from", str(folder))

    def _build_images(self, release: str) -> None:
        with images_made(f"bookshop-app:{release}", f"bookshop-web:{release}", "bookshop-base:"):
            self.kirikae("build", "image", release, "--distribution", self.distribution)

    def _deploy(self, release: str, fleets: str) -> None:
        timeout = ("--timeout", str(DEPLOY_S))
        self.kirikae("release", "deploy", release, "--to", fleets, *timeout)

    # --- beside the acts that follow: the Celery workers, and the crontab

    def workers(self) -> None:
        self.letters = letters.Letters(
            self.kirikae,
            self.story,
            self.machines,
            PROJECT,
            self.pace,
            self._still_s,
        )
        self.letters.begin(letters.image(self.distribution), self.host_environment)

    def workers_have_moved(self) -> None:
        self.facts["letters"] = self.letters.end()

    def crontab(self) -> None:
        self.batch = batch.Batch(
            self.kirikae,
            self.story,
            self.machines,
            FOLDER,
            self.machine.slowness,
            self._still_s,
        )
        self.batch.begin("bookshop-app:r2", self.host_environment, self.gateway)

    def crontab_has_moved(self) -> None:
        self.facts["crontab"] = self.batch.end()
        self.kirikae("move", "retire", batch.MOVE)

    # --- acts 5 and 6: a fault shows, and is repaired

    def fault(self) -> None:
        self.kirikae("move", "plan", "web")
        while True:
            self.kirikae("move", "start", "web", expect=(BACKED_OUT,))
            verdict = self._last_verdict()
            if verdict.metric == "errors":
                break
            self._turn(verdict)
        self.facts["fail"] = f"fail: {verdict.reason}"
        self.story.tell("kirikae backed out by itself; nobody was called")

    def repair(self) -> None:
        self._create("r3")
        self._build_images("r3")
        self._deploy("r3", "old,new")
        self.kirikae("release", "status")

    # --- act 7: the move goes on, and everything is tried

    def go_on(self) -> None:
        self.kirikae("move", "resume", "web")
        driver = self._reach(100)
        driver.kill()
        self.story.mark("kill", "kirikae itself was killed with SIGKILL at 10%")
        driver = self._drive()
        self._kill_a_task()
        self._kill_the_control_plane()
        self._press_the_button(driver)
        self.kirikae("move", "resume", "web")
        self._turn_the_weights_by_hand()
        self.kirikae("move", "resume", "web")
        self._settle()

    def _drive(self) -> Running:
        """`kirikae move start web` in the background; its lines are told as they come."""
        return self.kirikae.begin("move", "start", "web")

    def _reach(self, share: int, driver: Running | None = None) -> Running:
        """A driver that has brought the move to this share (permille).

        A back-out because this machine is slow is a turn: with fewer users it goes on.
        """
        driver = driver or self._drive()
        while not self._arrived(driver, share):
            self._turn(self._last_verdict())
            self.kirikae("move", "resume", "web")
            driver = self._drive()
        return driver

    def _arrived(self, driver: Running, share: int) -> bool:
        """False: kirikae backed out before."""

        def look() -> tuple[bool, int, int]:
            return driver.over, self.amazon.weights()[1], len(driver.lines)

        def there(seen: tuple[bool, int, int]) -> bool:
            over, weight, _ = seen
            return over or weight >= share

        what = f"the move reaches {share // 10}%"
        until(what, look, there, 4 * self._still_s, self.story.live)
        if not driver.over:
            return True
        code = driver.end(self._still_s)
        if code != BACKED_OUT:
            raise Trouble(f"kirikae ended with exit code {code} before it was at {share // 10}%")
        return False

    def _last_verdict(self) -> Verdict:
        """Why kirikae backed out by itself.  Raises Trouble where it did not."""
        verdicts = [
            verdict
            for entry in self.kirikae.history()
            if (verdict := verdict_of(entry)) is not None
        ]
        if not verdicts:
            raise Trouble("kirikae backed out without a verdict in its journal")
        return verdicts[-1]

    def _turn(self, verdict: Verdict) -> None:
        """Fewer users from here on.  Raises Trouble where the verdict is no fault of the machine,
        and where there were too many of them."""
        killed_before_s = verdict.at - self.facts.get("task_killed_at", 0.0)
        if verdict.metric == "errors" and killed_before_s > AFTER_THE_KILL_S:
            raise Trouble(f"a release that works is found to do harm: {verdict.reason}")
        turns = self.facts["turns"]
        if len(turns) == TURNS:
            raise Trouble(
                f"kirikae has backed out {TURNS} times because this machine is slow: "
                f"{verdict.reason}",
                "stop what else runs on this machine, or run `make rehearse REHEARSAL_RATE="
                f"{self.pace.slower().rate:.0f}`",
            )
        turns.append(f"backed out, true because this machine is slow: {verdict.reason}")
        self.story.mark("turn", f"kirikae {turns[-1]}")
        self._slow_down()
        self._until_healthy("the old side", self.amazon.old_group)
        self._until_healthy("the new side", self.amazon.new_group)

    def _slow_down(self) -> None:
        self.pace = self.pace.slower()
        self.crowd.at(self.pace.rate)
        self.story.tell(f"from here on {self.pace.rate:.0f} requests/s")

    def _kill_a_task(self) -> None:
        """Every container of one task at once, as when a machine dies."""
        task = self.amazon.tasks()[0]
        filters = (
            f"label=com.amazonaws.ecs.task-arn={task}",
            "label=com.amazonaws.ecs.container-name",
        )
        words = [word for each in filters for word in ("--filter", each)]
        victims = hosts.run("docker", "ps", "-q", *words).split()
        self.facts["task_killed_at"] = time.time()
        hosts.run("docker", "kill", "-s", "KILL", *victims)
        self.story.mark(
            "kill", f"one task was killed with SIGKILL, all {len(victims)} containers of it"
        )

    def _kill_the_control_plane(self) -> None:
        pid = json.loads(self.kirikae.local("status", "--json"))["pid"]
        os.kill(pid, signal.SIGKILL)
        self.story.mark("kill", "kirikae local's control plane was killed with SIGKILL")
        time.sleep(2)
        self.kirikae.local("up")
        self.story.tell("kirikae local is back; the load balancer never noticed")
        self._until_healthy("the new side", self.amazon.new_group)

    def _press_the_button(self, driver: Running) -> None:
        """At 50%, as somebody who is nervous does."""
        began = time.monotonic()
        self.kirikae("move", "status", "web", show=False)
        self.facts["status_s"] = round(time.monotonic() - began, 2)
        driver = self._reach(500, driver)
        began = time.monotonic()
        reason = ("--reason", "somebody was nervous")
        self.kirikae("back-out", "web", *reason, expect=(BACKED_OUT,))
        took_s = round(time.monotonic() - began, 2)
        self.facts["red_button_s"] = took_s
        self.story.mark("button", f"the red button was pressed at 50%: share 0 after {took_s} s")
        self._ends(driver, BACKED_OUT)

    def _turn_the_weights_by_hand(self) -> None:
        driver = self._reach(500)
        self.amazon.turn_the_weights(700, 300)
        self.story.mark("hand", "somebody turned the weights by hand, to 30%")
        self._ends(driver, WAITING)
        if (weights := self.amazon.weights()) != (700, 300):
            raise Trouble(f"kirikae overwrote the hand on the knob: {weights}")
        self.story.tell("kirikae held, said so, and left the hand-made weights as they were")

    def _settle(self) -> None:
        while (code := self._drive().end(self._still_s * 4)) == BACKED_OUT:
            self._turn(self._last_verdict())
            self.kirikae("move", "resume", "web")
        if code:
            raise Trouble(f"kirikae ended with exit code {code} before the move was settled")

    def _ends(self, driver: Running, code: int) -> None:
        if (found := driver.end(self._still_s)) != code:
            raise Trouble(f"kirikae ended with exit code {found}, expected {code}")

    # --- act 8

    def end(self) -> None:
        self.kirikae("move", "retire", "web")
        seen = self.crowd.seconds_told()
        until("five quiet seconds", self.crowd.seconds_told, lambda n: n > seen + 5, self._still_s)

    # --- what several acts need

    @property
    def _still_s(self) -> float:
        return self.machine.still_s

    def _until_healthy(self, what: str, group: str) -> None:
        """Both targets of this side."""
        until(
            f"{what} is healthy",
            lambda: self.amazon.states(group),
            lambda states: states.count("healthy") == 2,
            self._still_s,
            self.story.live,
        )

    def look_back(self) -> None:
        """After an act: where too many answers were slow, this machine carries less than was
        measured."""
        act = self.story.acts[-1]
        slow = self.crowd.slow_part(act["began"])
        if slow > TOO_MANY_SLOW and self.pace.rate > machine.LEAST_PER_S:
            self.story.tell(f"{slow:.0%} of the answers were slow: this machine carries less now")
            self._slow_down()

    # --- afterwards

    def write_report(self) -> dict[str, Any]:
        plan = self.kirikae.json("move", "plan", "web")
        OUT.mkdir(exist_ok=True)
        shutil.copy(PROJECT / "removal-web.md", OUT)
        for folder in ("image", "ecs"):
            shutil.copytree(PROJECT / folder, OUT / folder, dirs_exist_ok=True)
        self.facts["secrets_found_in"] = [str(file) for file in _files_with_the_secret()]
        measured = {
            "machine": asdict(self.machine),
            "pace": asdict(self.pace),
            "rate_asked": self.pace.rate,
        }
        rehearsed = report.Rehearsed(
            self.story.acts, self.story.marks, self.facts, measured, self.kirikae.history(), plan
        )
        return report.write(OUT, self.crowd.load, rehearsed)


def _gateway(network: str) -> str:
    """Where containers of this network reach this machine."""
    seen = json.loads(hosts.run("docker", "network", "inspect", network))[0]
    return str(seen["IPAM"]["Config"][0]["Gateway"])


def _environment_of_hosts(up: dict[str, Any], gateway: str) -> dict[str, str]:
    """What the old deploy script writes on each host."""
    return {
        "DATABASE_HOST": "db1",
        "DATABASE_PASSWORD": DATABASE_PASSWORD,
        "PICTURE_BUCKET": BUCKET,
        "AWS_ENDPOINT_URL": f"http://{gateway}:{up['endpoint'].rpartition(':')[2]}",
        "AWS_DEFAULT_REGION": up["region"],
        "AWS_ACCESS_KEY_ID": "bookshop",
        "AWS_SECRET_ACCESS_KEY": "bookshop",
    }


def _write_project(pace: Pace, measured: Machine) -> None:
    """The sample's project file, with what this machine can prove and carry."""
    yaml = YAML()
    project = yaml.load(SHOP / "kirikae.yml")
    project["fleets"]["old"]["deployer"]["patience"] = f"{measured.still_s:.0f}s"
    judge = project["moves"]["web"]["judge"]
    judge["worse_requests_at_most"] = f"{100 * pace.worse_requests:g}%"
    judge["fast_enough"] = f"{1000 * pace.fast_enough_s:.0f}ms"
    judge["warm_up"] = f"{pace.warm_up_s}s"
    figures = project["moves"]["web"]["figures"]
    figures["period"] = f"{pace.period_s}s"
    figures["lateness"] = f"{pace.lateness_s}s"
    yaml.dump(project, PROJECT / "kirikae.yml")


def _files_with_the_secret() -> Iterator[Path]:
    """The planted secret must be in no bundle, log, record or report that kirikae wrote; SSM's own
    store is where it belongs."""
    for place in (PROJECT, OUT, FOLDER / "local"):
        for file in place.rglob("*"):
            if not file.is_file() or file.name.startswith("stores.db"):
                continue
            if DATABASE_PASSWORD.encode() in _content(file):
                yield file.relative_to(ROOT)


def _content(file: Path) -> bytes:
    raw = file.read_bytes()
    zipped = file.suffix == ".gz" and raw[:2] == b"\x1f\x8b"
    return gzip.decompress(raw) if zipped else raw


@dataclass(frozen=True, slots=True)
class Scene:
    """One act.  ``moves``: for which of them it is played."""

    name: str
    title: str
    play: Callable[[Rehearsal], None]
    moves: frozenset[str] = frozenset({"web", "jobs", "workers", "logs"})


WEB = frozenset({"web"})
JOBS = frozenset({"jobs"})
WORKERS = frozenset({"workers"})
LOGS = frozenset({"logs"})
ACTS = (
    Scene("old", "the old side: two web VMs, one batch VM, a database, r1", Rehearsal.old_side),
    Scene("load", "virtual users come and never leave", Rehearsal.load),
    Scene("shipper", "years of logs; a shipper writes both trees", Rehearsal.shipper, LOGS),
    Scene("survey", "the survey, and a refusal", Rehearsal.survey),
    Scene("prepare", "r2 to the old side under load, and a second survey", Rehearsal.prepare),
    Scene("workers", "Celery's move begins, beside all that follows", Rehearsal.workers, WORKERS),
    Scene("logs", "the logs' move begins, beside all that follows", Rehearsal.logs_begin, LOGS),
    Scene("new", "images and definitions are made; r2 comes up", Rehearsal.new_side, WEB | JOBS),
    Scene("crontab", "the crontab's move begins, beside all that follows", Rehearsal.crontab, JOBS),
    Scene("fault", "the move begins, and a fault shows", Rehearsal.fault, WEB),
    Scene("repair", "r3 to both sides", Rehearsal.repair, WEB),
    Scene("move", "the move goes on, and everything is tried", Rehearsal.go_on, WEB),
    Scene("end", "settle and retire", Rehearsal.end, WEB),
    Scene("jobs", "the crontab has moved", Rehearsal.crontab_has_moved, JOBS),
    Scene("letters", "Celery has moved", Rehearsal.workers_have_moved, WORKERS),
    Scene("archive", "the logs have moved", Rehearsal.logs_have_moved, LOGS),
)


def moves_asked() -> frozenset[str]:
    """ACTS of the environment: which moves are played, by default all.  Raises Trouble."""
    known = WEB | JOBS | WORKERS | LOGS
    asked = frozenset(filter(None, re.split(r"[|, ]+", os.environ.get("ACTS", ""))))
    if unknown := asked - known:
        raise Trouble(
            f"ACTS names {', '.join(sorted(unknown))}", f"choose of {', '.join(sorted(known))}"
        )
    return asked or known


# --- begin, end, and leave nothing behind


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything running afterwards")
    parser.add_argument("--clean", action="store_true", help="only remove what rehearsals made")
    asked = parser.parse_args()
    (ROOT / ".kirikae").mkdir(exist_ok=True)
    stop_at_signals()
    try:
        with one_at_a_time():
            if asked.clean:
                clean(images=True)
                return 0
            return rehearse(asked.keep)
    except Trouble as trouble:
        return complain(trouble)
    except Stopped as stopped:
        print(f"\n{stopped}; what was made is removed", file=sys.stderr, flush=True)
        return 128 + stopped.signal_number


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Raises Trouble where another rehearsal runs in this folder."""
    with (ROOT / ".kirikae" / "rehearsal.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Trouble(
                "another rehearsal runs in this folder", "wait for its end, or stop it"
            ) from error
        yield


def rehearse(keep: bool) -> int:
    """Play all acts; 0 if every promise was kept."""
    moves = moves_asked()
    clean(images=False)
    assert_port_is_free()
    FOLDER.mkdir(parents=True)
    rehearsal = Rehearsal()
    kept = False
    try:
        play(rehearsal, moves)
        if not keep:
            rehearsal.crowd.go()
        if moves >= WEB:
            conclude(rehearsal)
        kept = keep
    except Trouble:
        kept = keep or bool(os.environ.get("REHEARSAL_KEEP_FAILED"))
        raise
    finally:
        ignore_signals()
        if not kept:
            rehearsal.crowd.go()
            clean(images=False)
    if moves >= WEB:
        print(f"\nreport: {OUT / 'report.html'}")
    return 0


def play(rehearsal: Rehearsal, moves: frozenset[str]) -> None:
    scenes = [scene for scene in ACTS if scene.moves & moves]
    for number, scene in enumerate(scenes):
        with rehearsal.story.act(scene.name, f"Act {number} · {scene.title}"):
            scene.play(rehearsal)
        rehearsal.look_back()


def conclude(rehearsal: Rehearsal) -> None:
    """Write the report.  Raises Trouble where a promise was not kept."""
    summary = rehearsal.write_report()
    print(report.in_words(summary), flush=True)
    if summary["broken"]:
        raise Trouble(
            "; ".join(summary["broken"]),
            f"look at {OUT / 'report.html'}, where each of these requests stands",
        )


def complain(trouble: Trouble) -> int:
    print(
        f"\nthe rehearsal failed: {trouble}\nwhat to do: {trouble.what_to_do}",
        file=sys.stderr,
        flush=True,
    )
    return 1


def assert_port_is_free() -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError as error:
            raise Trouble(
                f"port {PORT} of 127.0.0.1 is taken", "set REHEARSAL_PORT to another one"
            ) from error


def stop_at_signals() -> None:
    def stop(number: int, _: object) -> None:
        ignore_signals()
        raise Stopped(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)


def ignore_signals() -> None:
    """While everything is removed, nothing may come in between."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def clean(images: bool) -> None:
    """Remove what a rehearsal of this checkout made; what is not there is no trouble."""
    settings = FOLDER / "local" / "settings.json"
    if settings.exists():
        instance = json.loads(settings.read_text())["instance"]
        for label in (f"{hosts.LABEL}={instance}", f"{hosts.LABEL}={MEASURED}"):
            hosts.remove_containers(label)
        take_down()
    end_processes(FOLDER)
    if left := processes_of(FOLDER):
        raise Trouble(f"processes {left} do not end", "end them by hand")
    shutil.rmtree(FOLDER, ignore_errors=True)
    if images:
        remove_made(LEDGER)
        shutil.rmtree(OUT, ignore_errors=True)


def take_down() -> None:
    """Raises Trouble where kirikae local cannot be taken down, after a second try."""
    command = [sys.executable, "-m", "kirikae", "local", "--dir", str(FOLDER / "local"), "down"]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
    raise Trouble(
        f"kirikae local cannot be taken down: {done.stderr.strip()[-500:]}",
        "look whether the container engine answers, then run `make clean-rehearsal`",
    )


if __name__ == "__main__":
    sys.exit(main())
