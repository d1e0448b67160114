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
from collections.abc import Callable
from pathlib import Path

import images
from trouble import Trouble
from waiting import until

SHOP = Path(__file__).resolve().parent.parent
VM_PACKAGES = (
    "systemd,systemd-sysv,dbus,openssh-server,nginx-light,postgresql,cron,rsyslog,python3-flask,"
    "gunicorn,python3-psycopg2,python3-boto3,locales,tzdata,curl,iproute2,procps,exim4-daemon-light,logrotate,ca-certificates"
)
CONTAINER_PACKAGES = "ca-certificates"
OVERLAYS = {"r1": ("r1",), "r2": ("r2",), "r3": ("r2", "r3")}
LABEL = "bookshop.rehearsal"
ROLES = {"web1": "web", "web2": "web", "batch1": "batch", "db1": "db"}
Tell = Callable[[str], None]


def run(*command: str | Path, given: bytes | None = None) -> str:
    """What it says.  Raises Trouble with the end of what it said when it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        input=given,
        capture_output=True,
        env={**os.environ, "DOCKER_BUILDKIT": "0"},
        check=False,
    )
    said = done.stdout.decode(errors="replace")
    if done.returncode:
        complaint = done.stderr.decode(errors="replace").strip() or said.strip()
        raise Trouble(f"`{' '.join(words)}` failed: {complaint[-1500:]}")
    return said


def digest_of(*parts: str | Path) -> str:
    """A short hash of texts and of whole folders: what an image is made from names it."""
    sha = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            sha.update(part.encode())
            continue
        for file in sorted(f for f in part.rglob("*") if f.is_file()):
            sha.update(str(file.relative_to(SHOP)).encode() + file.read_bytes())
    return sha.hexdigest()[:12]


def image_exists(name: str) -> bool:
    command = ["docker", "image", "inspect", name]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def debian(kind: str, packages: str, tell: Tell) -> str:
    """A Debian 12 root file system as an image; a minute the first time."""
    name = f"bookshop-debian-{kind}:{digest_of(packages)}"
    if image_exists(name):
        return name
    tell(f"making a Debian 12 root file system for {kind} with mmdebstrap (a minute, once)")
    make = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}", "bookworm", "-"]
    load = ["docker", "import", "-", name]
    made = subprocess.Popen(make, stdout=subprocess.PIPE)
    try:
        with images.made(name):
            imported = subprocess.run(load, stdin=made.stdout, capture_output=True, check=False)
    except BaseException:
        made.terminate()  # it removes what it has unpacked so far
        made.wait()
        raise
    if made.wait() or imported.returncode:
        said = imported.stderr.decode(errors="replace").strip()
        raise Trouble(f"mmdebstrap or docker import failed: {said}")
    return name


def build(name: str, dockerfile: Path, context: Path, *arguments: str, target: str = "") -> str:
    if not image_exists(name):
        options = [word for argument in arguments for word in ("--build-arg", argument)]
        options += ["--target", target] if target else []
        with images.made(name):
            run("docker", "build", "-q", "-t", name, "-f", dockerfile, *options, context)
    return name


def vm_images(tell: Tell) -> dict[str, str]:
    base = debian("vm", VM_PACKAGES, tell)
    tag = digest_of(base, SHOP / "vm")
    found = {}
    for role in ("web", "batch", "db"):
        name = f"bookshop-{role}-vm:{tag}"
        if not image_exists(name):
            tell(f"building the {role} virtual machine")
        found[role] = build(
            name, SHOP / "vm" / "Dockerfile", SHOP / "vm", f"BASE={base}", target=role
        )
    return found


def release_files(release: str) -> bytes:
    """The release's artefact: the application, with what this release puts over it."""
    laid: dict[str, Path] = {}
    for source in (SHOP / "app", *(SHOP / "releases" / over for over in OVERLAYS[release])):
        laid |= _files_of(source)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, file in sorted(laid.items()):
            info = tarfile.TarInfo(name)
            info.size = file.stat().st_size
            info.mode = 0o644
            tar.addfile(info, io.BytesIO(file.read_bytes()))
    return out.getvalue()


def _files_of(source: Path) -> dict[str, Path]:
    return {
        str(file.relative_to(source)): file
        for file in sorted(source.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    }


def release_folder(release: str, folder: Path) -> Path:
    """The release's files, laid out as `kirikae release create --from` takes them."""
    place = folder / "releases" / release
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(release_files(release))) as tar:
        tar.extractall(place, filter="data")
    return place


class Machines:
    """The four virtual machines of one rehearsal, on the network of its kirikae local.

    ``still_s``: how long nothing may move while one boots.
    """

    def __init__(self, prefix: str, network: str, folder: Path, still_s: float) -> None:
        self._prefix = prefix
        self._network = network
        self._key = folder / "id_ed25519"
        self.still_s = still_s

    def container(self, host: str) -> str:
        return f"{self._prefix}-vm-{host}"

    def start(self, images: dict[str, str]) -> None:
        if not self._key.exists():
            self._key.parent.mkdir(parents=True, exist_ok=True)
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self._key)
        for host, role in ROLES.items():
            self._boot(host, images[role])
        for host in ROLES:
            self._authorise(host)
        self.ssh_config.write_text("".join(self._ssh_entry(host) for host in ROLES))
        drift = (
            "sed -i s/client_max_body_size.*/client_max_body_size\\ 2m\\;/ "
            "/etc/nginx/sites-available/bookshop"
        )
        self.ssh("web1", drift)

    def _boot(self, host: str, image: str) -> None:
        options = {
            "--name": self.container(host),
            "--hostname": host,
            "--network": self._network,
            "--network-alias": host,
            "--label": f"{LABEL}={self._prefix}",
        }
        words = [word for option in options.items() for word in option]
        run("docker", "run", "-d", *words, *systemd_options(), image)

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
        """Lay our key there, and wait until sshd lets us in."""
        public = self._key.with_suffix(".pub").read_bytes()
        lay = ("sh", "-c", "cat >~/.ssh/authorized_keys")
        run("docker", "exec", "-i", self.container(host), *lay, given=public)
        until(
            f"{host} lets us in",
            lambda: self._booted(host),
            lambda seen: seen[0],
            self.still_s,
        )

    def _booted(self, host: str) -> tuple[bool, str]:
        """(does it let us in, what runs there so far)."""
        try:
            self.ssh(host, "true")
        except Trouble:
            return False, run("docker", "top", self.container(host), "-eo", "pid,comm")
        return True, ""

    def address(self, host: str) -> str:
        seen = json.loads(run("docker", "inspect", self.container(host)))[0]
        return str(seen["NetworkSettings"]["Networks"][self._network]["IPAddress"])

    def ssh(self, host: str, command: str, given: bytes | None = None) -> str:
        settings = (
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "BatchMode=yes",
            "ConnectTimeout=5",
        )
        options = [word for setting in settings for word in ("-o", setting)]
        where = f"root@{self.address(host)}"
        return run("ssh", "-q", "-i", self._key, *options, where, command, given=given)


def systemd_options() -> list[str]:
    """How systemd runs as PID 1 without --privileged (cgroup v1 tried; v2 by the documented
    recipe)."""
    unified = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    cgroup = ["-v", "/sys/fs/cgroup:/sys/fs/cgroup:ro"]
    if unified:
        cgroup = ["--cgroupns=host", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw"]
    temporary = [word for place in ("/run", "/run/lock", "/tmp") for word in ("--tmpfs", place)]
    return [*temporary, "-e", "container=docker", *cgroup]


def remove_containers(label: str) -> list[str]:
    found = run("docker", "ps", "-aq", "--filter", f"label={label}").split()
    if found:
        run("docker", "rm", "-f", "-v", *found)
    return found
