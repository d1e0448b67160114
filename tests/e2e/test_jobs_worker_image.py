"""The worker in images that have no Python: Debian with Perl, and busybox alone (no C library at
all).  It runs a job there, small, and the job sees nothing of it."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kirikae.aws.light import LightAws
from kirikae.jobs.dynamo_rows import dynamo_ledger
from kirikae.jobs.job import Firing, Owner, State
from kirikae.jobs.ledger import Wanted
from kirikae.jobs.making import images
from kirikae.jobs.messages import outgoing
from kirikae.jobs.sqlite_rows import sqlite_ledger
from kirikae.jobs.tables import jobs_of
from kirikae.model.crontab.table import read_table
from kirikae.model.crontab.zones import Zone
from kirikae.model.mail import RELAY_WRITES
from tests.conftest import Endpoint
from tests.contract.test_jobs_written import make, planned
from tests.contract.test_ledger import TOKEN, served
from tests.pace import eventually
from tests.queue_server import QueueServer

pytestmark = [pytest.mark.engine, pytest.mark.prove]
ROOT = Path(__file__).parents[2]
KIRIKAE = "kirikae-test-worker:kirikae"
MOST_KB = 60_000
_TOOLS = ("sh", "readlink", "cat", "env", "echo", "sort")


def docker(*words: str, stdin: bytes = b"") -> str:
    # The classic builder needs no plug-in.
    env = {**os.environ, "DOCKER_BUILDKIT": "0"}
    done = subprocess.run(["docker", *words], input=stdin, env=env, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def debian() -> str:
    """As the rehearsal makes it: no registry of images need be reached."""
    made = docker("images", "-q", "bookshop-debian-container").split()
    if made:
        return made[0]
    make = ["mmdebstrap", "--quiet", "--variant=minbase", "--include=ca-certificates"]
    packed = subprocess.run([*make, "bookworm", "-"], check=True, capture_output=True).stdout
    return docker("import", "-", "kirikae-test-debian:12", stdin=packed)


@pytest.fixture(scope="module")
def kirikae(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """kirikae's own image, of this checkout."""
    folder = tmp_path_factory.mktemp("kirikae")
    shutil.copy(ROOT / "Dockerfile", folder)
    wheels = ["-m", "pip", "wheel", "-q", "--wheel-dir", str(folder / "wheels"), str(ROOT)]
    subprocess.run([sys.executable, *wheels], check=True)
    docker("build", "-q", "--build-arg", f"BASE={debian()}", "-t", KIRIKAE, str(folder))
    yield KIRIKAE
    docker("rmi", "-f", KIRIKAE)


def perl(folder: Path) -> str:
    """Debian's essential packages have Perl; whatever there is of Python goes."""
    text = f"FROM {debian()}\nRUN rm -rf /usr/bin/python3* /usr/lib/python3* && perl -v\n"
    (folder / "perl.Dockerfile").write_text(text)
    return docker("build", "-q", "-f", str(folder / "perl.Dockerfile"), str(folder))


def busybox(folder: Path) -> str:
    """One static file and links to it; Alpine is this with musl."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(shutil.which("busybox") or "/bin/busybox", "bin/busybox")
        for name in _TOOLS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for name in ("tmp", "etc"):
            made = tarfile.TarInfo(name)
            made.type, made.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(made)
    return docker("import", "-c", "ENV PATH=/bin", "-", stdin=packed.getvalue())


class Place:
    """A queue and a ledger on this machine; the worker in its container, in this network."""

    def __init__(self, folder: Path, url: str) -> None:
        self.server = QueueServer(folder / "queues.db")
        self.queue = self.server.queue(dead="dead.fifo")
        self.url = url
        self.container = ""

    def start(self, image: str) -> None:
        variables = {**self.server.environment, "KIRIKAE_JOBS_TOKEN": TOKEN}
        given = [word for name, value in variables.items() for word in ("-e", f"{name}={value}")]
        entry = "/opt/kirikae-worker/bin/kirikae"
        words = ["jobs", "worker", "--queue", "jobs.fifo", "--ledger", self.url]
        options = ["--rm", "-d", "--network", "host", "--entrypoint", entry, *given]
        self.container = docker("run", *options, image, *words)

    def close(self) -> None:
        if self.container:
            docker("rm", "-f", self.container)
        self.server.close()

    def memory_kb(self) -> int:
        """Of the worker, which is the container's first process."""
        pid = docker("inspect", "-f", "{{.State.Pid}}", self.container)
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])


COMMANDS = {
    "perl": "perl -e 'print \"perl $]\\n\"'; env | sort",
    "busybox": "echo busybox; env | sort",
}


@pytest.mark.parametrize("kind", [perl, busybox], ids=["perl", "busybox"])
def test_a_worker_runs_a_job_where_there_is_no_python(tmp_path, kirikae, kind):
    name = kind.__name__
    application = kind(tmp_path)
    (tmp_path / images.COLLECT).write_text(images.packaged(images.COLLECT))
    (tmp_path / "Dockerfile").write_text(_dockerfile())
    given = ["--build-arg", f"KIRIKAE={kirikae}", "--build-arg", f"APPLICATION={application}"]
    image = docker("build", "-q", *given, str(tmp_path))
    ledger = sqlite_ledger(tmp_path / "jobs.db")
    try:
        with served(ledger) as url:
            place = Place(tmp_path, url)
            try:
                place.start(image)
                firing = _one_run(place, ledger, COMMANDS[name])
                assert place.memory_kb() < MOST_KB
            finally:
                place.close()
    finally:
        ledger.close()
        docker("rmi", "-f", image, application)
    assert firing.state is State.SUCCEEDED, firing
    told = firing.runs[-1].tail.splitlines()
    assert told[0].startswith(name)
    variables = {line.partition("=")[0] for line in told[1:]}
    ours = {"KIRIKAE_FIRING", "KIRIKAE_ATTEMPT", "KIRIKAE_FENCE"}
    roles = {each for each in variables if each.startswith("AWS_")}
    shell = {"PWD", "SHLVL", "_", "OLDPWD"}
    assert variables - ours - roles - shell == {"HOME", "LOGNAME", "PATH", "SHELL"}


def test_the_written_services_run_a_job_in_the_application_s_image(
    tmp_path: Path, kirikae: str, local: Endpoint
) -> None:
    """All of `jobs write` on kirikae local: its images, its definitions, its services; two
    schedulers and a worker as ECS tasks, the ledger in DynamoDB, Perl without Python."""
    crontab = "# kirikae: id=every\n* * * * * perl -e 'print \"perl runs\\n\"'\n"
    stack = planned(local, tmp_path, crontab, "written")
    built = tmp_path / stack.folder
    base = ["--build-arg", f"KIRIKAE={kirikae}"]
    scheduler = ["-t", stack.new.image, "-f", str(built / "scheduler.Dockerfile")]
    docker("build", "-q", *base, *scheduler, str(tmp_path))
    assert stack.new.worker_image is not None
    worker = ["-t", stack.new.worker_image, "-f", str(built / "worker.Dockerfile")]
    application = ["--build-arg", f"APPLICATION={perl(tmp_path)}"]
    docker("build", "-q", *base, *application, *worker, str(built))
    ledger = dynamo_ledger(LightAws(local.status["region"], local.environment), "shop-jobs")
    try:
        make(local, tmp_path, stack)
        ledger.own(["every"], Owner.NEW)

        def succeeded() -> list[Firing]:
            found = ledger.history("every")
            return [each for each in found if each.state is State.SUCCEEDED]

        firing = eventually(succeeded, lambda: str(ledger.history("every")), 180)[0]
        assert firing.runs[-1].tail == "perl runs"
    finally:
        ledger.close()
        local.scope.add(lambda: docker("rmi", "-f", stack.new.image, stack.new.worker_image))


def test_the_relay_takes_a_job_s_mail_and_keeps_it_while_the_other_end_is_away(
    tmp_path: Path, kirikae: str
) -> None:
    """Beside it, in its network, as in one task, with a read-only root: kirikae's sendmail gives a
    mail to it."""
    (tmp_path / "Dockerfile").write_text(images.RELAY)
    (tmp_path / images.RELAY_START).write_text(images.packaged(images.RELAY_START))
    base = ["--build-arg", f"DISTRIBUTION={debian()}"]
    image = docker("build", "-q", *base, str(tmp_path))
    told = ["-e", "RELAY_TO=smtp.invalid:587", "-e", "RELAY_LOGIN=name:password"]
    writes = [word for path in ("/tmp", *RELAY_WRITES) for word in ("--tmpfs", path)]
    relay = docker("run", "-d", "--read-only", *writes, *told, image)
    try:
        program = "import sys; from kirikae.jobs.sendmail import main; sys.exit(main(['c@d.jp']))"
        beside = ["--network", f"container:{relay}", "--entrypoint", "/opt/kirikae/bin/python3"]

        def taken() -> bool:
            words = ["docker", "run", "--rm", "-i", *beside, kirikae, "-c", program]
            return subprocess.run(words, input=b"Subject: x\n\nhi\n").returncode == 0

        eventually(taken, lambda: docker("logs", relay))
        eventually(lambda: "c@d.jp" in docker("exec", relay, "postqueue", "-p"), "it is kept")
    finally:
        docker("rm", "-f", relay)
        docker("rmi", "-f", image)


def _dockerfile() -> str:
    """As `jobs write` writes it."""
    from tests.unit.test_jobs_write import worker_dockerfile

    return worker_dockerfile()


def _one_run(place: Place, ledger, command: str) -> Firing:
    text = f"# kirikae: id=a\n* * * * * {command}\n"
    [timed] = jobs_of(read_table(text), text, "batch", Zone("UTC")).timed
    ledger.define([timed.job])
    ledger.own(["a"], Owner.NEW)
    due = int(time.time() // 60)
    ledger.admit([Wanted("a", due, timed.digest)])
    waiting = ledger.unsent()
    place.queue.send([outgoing(firing) for firing in waiting])
    ledger.sent(waiting)

    def over() -> Firing | None:
        found = ledger.firing("a", due)
        return found if found is not None and found.state.over else None

    return eventually(over, lambda: docker("logs", place.container), 120)  # type: ignore[no-any-return]
