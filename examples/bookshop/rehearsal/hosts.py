"""The bookshop's machines: base images by mmdebstrap, virtual machines as containers with systemd,
releases, SSH."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

SHOP = Path(__file__).resolve().parent.parent
VM_PACKAGES = (
    "systemd,systemd-sysv,dbus,openssh-server,nginx-light,postgresql,cron,rsyslog,python3-flask,gunicorn,python3-psycopg2,"
    "python3-boto3,locales,tzdata,curl,iproute2,procps,exim4-daemon-light,logrotate,ca-certificates"
)
CONTAINER_PACKAGES = "ca-certificates"
OVERLAYS = {"r1": ("r1",), "r2": ("r2",), "r3": ("r2", "r3")}
ROLES = {"web1": "web", "web2": "web", "batch1": "batch", "db1": "db"}
Tell = Callable[[str], None]


class Trouble(Exception):
    """The rehearsal cannot go on; the message says why."""


def run(*command: str | Path, given: bytes | None = None, quiet: bool = True) -> str:
    done = subprocess.run(
        [str(c) for c in command],
        input=given,
        capture_output=quiet,
        env={**os.environ, "DOCKER_BUILDKIT": "0"},
        check=False,
    )
    if done.returncode:
        said = (done.stderr or b"").decode(errors="replace").strip() or (done.stdout or b"").decode(
            errors="replace"
        ).strip()
        raise Trouble(f"`{' '.join(str(c) for c in command)}` failed: {said[-1500:]}")
    return (done.stdout or b"").decode(errors="replace")


def digest_of(*parts: str | Path) -> str:
    """A short hash of texts and of whole folders: what an image is made from names it."""
    sha = hashlib.sha256()
    for part in parts:
        files = (
            sorted(f for f in part.rglob("*") if f.is_file())
            if isinstance(part, Path) and part.is_dir()
            else [part]
        )
        for file in files:
            sha.update(
                str(file.relative_to(SHOP)).encode() + file.read_bytes()
                if isinstance(file, Path)
                else file.encode()
            )
    return sha.hexdigest()[:12]


def image_exists(name: str) -> bool:
    return (
        subprocess.run(
            ["docker", "image", "inspect", name], capture_output=True, check=False
        ).returncode
        == 0
    )


def debian(kind: str, packages: str, tell: Tell) -> str:
    """A Debian 12 root file system as an image; a minute the first time."""
    name = f"bookshop-debian-{kind}:{digest_of(packages)}"
    if not image_exists(name):
        tell(f"making a Debian 12 root file system for {kind} with mmdebstrap (a minute, once)")
        made = subprocess.Popen(
            [
                "mmdebstrap",
                "--quiet",
                "--variant=minbase",
                f"--include={packages}",
                "bookworm",
                "-",
            ],
            stdout=subprocess.PIPE,
        )
        run_import = subprocess.run(
            ["docker", "import", "-", name], stdin=made.stdout, capture_output=True, check=False
        )
        if made.wait() or run_import.returncode:
            raise Trouble(
                "mmdebstrap or docker import failed: "
                f"{run_import.stderr.decode(errors='replace').strip()}"
            )
    return name


def build(name: str, dockerfile: Path, context: Path, *arguments: str, target: str = "") -> str:
    if not image_exists(name):
        options = [o for a in arguments for o in ("--build-arg", a)] + (
            ["--target", target] if target else []
        )
        run("docker", "build", "-q", "-t", name, "-f", dockerfile, *options, context)
    return name


def vm_images(tell: Tell) -> dict[str, str]:
    base = debian("vm", VM_PACKAGES, tell)
    tag = digest_of(base, SHOP / "vm")
    images = {}
    for role in ("web", "batch", "db"):
        name = f"bookshop-{role}-vm:{tag}"
        if not image_exists(name):
            tell(f"building the {role} virtual machine")
        images[role] = build(
            name, SHOP / "vm" / "Dockerfile", SHOP / "vm", f"BASE={base}", target=role
        )
    return images


def release_files(release: str) -> bytes:
    """The release's artefact: the application, with what this release puts over it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        laid: dict[str, Path] = {}
        for source in (SHOP / "app", *(SHOP / "releases" / o for o in OVERLAYS[release])):
            laid |= {
                str(f.relative_to(source)): f
                for f in sorted(source.rglob("*"))
                if f.is_file() and "__pycache__" not in f.parts
            }
        for name, file in sorted(laid.items()):
            info = tarfile.TarInfo(name)
            info.size = file.stat().st_size
            info.mode = 0o644
            tar.addfile(info, io.BytesIO(file.read_bytes()))
    return out.getvalue()


def release_folder(release: str, folder: Path) -> Path:
    """The release's files, laid out as `kirikae release create --from` takes them."""
    place = folder / "releases" / release
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(release_files(release))) as tar:
        tar.extractall(place, filter="data")
    return place


class Machines:
    """The four virtual machines of one rehearsal, on the network of its kirikae local."""

    def __init__(self, prefix: str, network: str, folder: Path) -> None:
        self._prefix = prefix
        self._network = network
        self._key = folder / "id_ed25519"

    def container(self, host: str) -> str:
        return f"{self._prefix}-vm-{host}"

    def start(self, images: dict[str, str]) -> None:
        if not self._key.exists():
            self._key.parent.mkdir(parents=True, exist_ok=True)
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self._key)
        for host, role in ROLES.items():
            run(
                "docker",
                "run",
                "-d",
                "--name",
                self.container(host),
                "--hostname",
                host,
                "--network",
                self._network,
                "--network-alias",
                host,
                "--label",
                f"bookshop.rehearsal={self._prefix}",
                *systemd_options(),
                images[role],
            )
        for host in ROLES:
            self._authorise(host)
        (self._key.parent / "ssh_config").write_text(
            "".join(self._ssh_entry(host) for host in ROLES)
        )
        drift = (
            "sed -i s/client_max_body_size.*/client_max_body_size\\ 2m\\;/ "
            "/etc/nginx/sites-available/bookshop"
        )
        self.ssh("web1", drift)

    def _ssh_entry(self, host: str) -> str:
        """What the team has in its own ~/.ssh/config."""
        options = {
            "HostName": self.address(host),
            "User": "root",
            "IdentityFile": self._key,
            "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": "/dev/null",
            "LogLevel": "ERROR",
        }
        return f"Host {host}\n" + "".join(f"    {key} {value}\n" for key, value in options.items())

    @property
    def ssh_config(self) -> Path:
        return self._key.parent / "ssh_config"

    def _authorise(self, host: str) -> None:
        public = self._key.with_suffix(".pub").read_bytes()
        run(
            "docker",
            "exec",
            "-i",
            self.container(host),
            "sh",
            "-c",
            "cat >~/.ssh/authorized_keys",
            given=public,
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                self.ssh(host, "true")
                return
            except Trouble:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.3)

    def address(self, host: str) -> str:
        seen = json.loads(run("docker", "inspect", self.container(host)))[0]
        return str(seen["NetworkSettings"]["Networks"][self._network]["IPAddress"])

    def ssh(self, host: str, command: str, given: bytes | None = None) -> str:
        return run(
            "ssh",
            "-q",
            "-i",
            self._key,
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "BatchMode=yes",
            "-o",
            "ConnectTimeout=5",
            f"root@{self.address(host)}",
            command,
            given=given,
        )


def systemd_options() -> list[str]:
    """How systemd runs as PID 1 without --privileged (cgroup v1 tried; v2 by the documented
    recipe)."""
    unified = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    cgroup = (
        ["--cgroupns=host", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw"]
        if unified
        else ["-v", "/sys/fs/cgroup:/sys/fs/cgroup:ro"]
    )
    return [
        "--tmpfs",
        "/run",
        "--tmpfs",
        "/run/lock",
        "--tmpfs",
        "/tmp",
        "-e",
        "container=docker",
        *cgroup,
    ]


def alive(pid: str, argument: str) -> int | None:
    """The process ID if a process of this ID runs with this argument."""
    try:
        arguments = (
            Path(f"/proc/{int(pid)}/cmdline").read_bytes().decode(errors="replace").split("\0")
        )
    except (OSError, ValueError):
        return None
    return int(pid) if argument in arguments else None


def remove_containers(label: str) -> list[str]:
    found = run("docker", "ps", "-aq", "--filter", f"label={label}").split()
    if found:
        run("docker", "rm", "-f", "-v", *found)
    return found


def remove_images(prefixes: Iterable[str]) -> list[str]:
    listed = run("docker", "images", "--format", "{{.Repository}}:{{.Tag}}").split()
    ours = [name for name in listed if name.startswith(tuple(prefixes))]
    for name in ours:
        subprocess.run(["docker", "rmi", "-f", name], capture_output=True, check=False)
    return ours
