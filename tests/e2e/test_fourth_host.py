"""A host that the rules were not written for: Apache with PHP and an MQTT broker, surveyed over a real sshd."""

# ruff: noqa: E501
from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import time
from datetime import date
from pathlib import Path

import pytest

from kirikae.hosts.ssh import Host
from kirikae.survey.bundles import read
from kirikae.survey.collect import collect
from kirikae.survey.survey import findings
from tests.pace import eventually

pytestmark = pytest.mark.engine
ROOT = Path(__file__).parents[2]
SECRET = "zu9-Kappa-77aa"
DOCKERFILE = f"""
ARG BASE
FROM ${{BASE}}
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      apache2 libapache2-mod-php php-sqlite3 mosquitto mosquitto-clients >/dev/null 2>&1 \
 && systemctl disable nginx postgresql exim4 >/dev/null 2>&1; systemctl enable apache2 mosquitto >/dev/null 2>&1; \
    systemctl mask systemd-udevd.service systemd-modules-load.service sys-kernel-config.mount sys-kernel-debug.mount getty.target \
      console-getty.service systemd-networkd.service systemd-timesyncd.service >/dev/null 2>&1; mkdir -p ~/.ssh && chmod 700 ~/.ssh \
 && printf 'echo "=== authorised users only ==="\\nset -e\\n' >~/.bashrc \
 && mkdir -p /srv/guestbook/public /var/lib/guestbook/uploads && chown -R www-data: /var/lib/guestbook \
 && sed -i 's#/var/www/html#/srv/guestbook/public#' /etc/apache2/sites-available/000-default.conf \
 && printf '<Directory /srv/guestbook/public>\\nRequire all granted\\n</Directory>\\nSetEnv GUESTBOOK_API_KEY {SECRET}\\n' >/etc/apache2/conf-enabled/guestbook.conf \
 && printf '0 4 * * * www-data curl -s -H "Authorization: Bearer {SECRET}" http://backup.example/\\n' >/etc/cron.d/guestbook \
 && printf 'persistence true\\nautosave_interval 1\\npersistence_location /var/lib/mosquitto/\\nlistener 1883\\nallow_anonymous true\\n' >/etc/mosquitto/conf.d/shop.conf \
 && sed -i 's/^persistence.*//' /etc/mosquitto/mosquitto.conf
COPY index.php /srv/guestbook/public/
STOPSIGNAL SIGRTMIN+3
CMD ["/sbin/init"]
"""
PAGE = f"""<?php
session_start(); $_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1;
$db = new PDO('sqlite:/var/lib/guestbook/entries.sqlite', null, '{SECRET}');
$db->exec('create table if not exists e (t text)');
$db->exec("insert into e values ('x')");
file_put_contents('/var/lib/guestbook/uploads/' . uniqid(), 'x');
echo 'ok';
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    sys.path.insert(0, str(ROOT / "examples/bookshop/rehearsal"))
    import hosts

    folder = tmp_path_factory.mktemp("fourth")
    base = hosts.debian("vm", hosts.VM_PACKAGES, print)
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for name, text in (("Dockerfile", DOCKERFILE), ("index.php", PAGE)):
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    hosts.run(
        "docker",
        "build",
        "-q",
        "-t",
        "kirikae-test-fourth:1",
        "--build-arg",
        f"BASE={base}",
        "-",
        given=context.getvalue(),
    )
    hosts.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key")
    name = f"kirikae-test-fourth-of-{os.getpid()}"
    hosts.run(
        "docker",
        "run",
        "-d",
        "--name",
        name,
        "--hostname",
        "fourth",
        *hosts.systemd_options(),
        "kirikae-test-fourth:1",
    )
    try:
        hosts.run(
            "docker",
            "exec",
            "-i",
            name,
            "sh",
            "-c",
            "cat >~/.ssh/authorized_keys",
            given=(folder / "key.pub").read_bytes(),
        )
        address = json.loads(hosts.run("docker", "inspect", name))[0]["NetworkSettings"][
            "IPAddress"
        ]
        (folder / "config").write_text(
            f"Host fourth\n HostName {address}\n User root\n IdentityFile {folder}/key\n IdentitiesOnly yes\n"
            "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n"
        )
        yield Machine(name, folder, hosts.run)
    finally:
        subprocess.run(["docker", "rm", "-f", "-v", name], capture_output=True, check=False)


class Machine:
    def __init__(self, name, folder, run):
        self.name = name
        self.ssh = f"ssh -F {folder}/config"
        self._run = run

    def sh(self, script: str) -> str:
        return str(self._run("docker", "exec", self.name, "sh", "-c", script))

    def serves(self) -> bool:
        """Its web server answers, and its sshd: others may begin now."""
        web = "curl -fsS -o /dev/null http://127.0.0.1/"
        asked = self.sh(f"{web} && systemctl is-active ssh && echo up || true")
        if not asked.strip().endswith("up"):
            return False
        return subprocess.run([*self.ssh.split(), "fourth", "true"], check=False).returncode == 0

    def metadata(self) -> str:
        """Everything that a collector could have changed; what sshd itself and the running services write aside."""
        return self.sh(
            "find /etc /srv /opt /usr /root /home /boot /var/cache /var/backups -xdev -printf '%p %s %m %U %T@ %C@\\n' | sort"
        )


def test_a_host_of_other_packages_is_surveyed_completely_and_without_false_state(host, monkeypatch):
    """Every file that its services wrote is covered by a finding; no state is claimed where nothing is; no secret leaves; nothing is written."""
    monkeypatch.setenv("KIRIKAE_SSH", host.ssh)
    drive = """for n in 1 2 3 4 5 6; do curl -fsS -c /tmp/c -b /tmp/c http://127.0.0.1/ >/dev/null;  mosquitto_pub -t shop/$n -m x -r; sleep 1; done; rm -f /tmp/c"""
    for _ in range(60):
        if (
            host.sh(
                "curl -fsS -o /dev/null http://127.0.0.1/ && mosquitto_pub -t up -m x && echo up || true"
            )
            .strip()
            .endswith("up")
        ):
            break
        time.sleep(0.5)
    host.sh("touch /tmp/marker; sleep 1.1")
    host.sh(drive)
    host.sh("sleep 2")
    system = "-path /proc -o -path /sys -o -path /dev -o -path /run/systemd -o -path /var/log/journal -o -path /tmp/marker -o -path /run/log"
    written = host.sh(
        f"find / \\( {system} \\) -prune -o -type f -newer /tmp/marker -print"
    ).splitlines()
    written = [
        w
        for w in written
        if not w.startswith(
            (
                "/var/log/auth",
                "/var/log/syslog",
                "/var/log/wtmp",
                "/var/log/btmp",
                "/var/log/lastlog",
                "/run/utmp",
            )
        )
    ]
    before = host.metadata()
    keys = ("a" * 64, "b" * 64)
    text = collect(Host("ssh://fourth"), keys)
    assert host.metadata() == before, "the collector wrote something"
    assert SECRET not in text and "<masked:" in text
    found = findings([read(text, "fourth")], [], date(2026, 11, 21))
    plain = json.dumps([f.to_plain() for f in found])
    assert SECRET not in plain
    covering = [f.where for f in found if f.where.startswith("/")] + [
        t.at for f in found for t in f.evidence if t.at.startswith("/")
    ]
    missed = [
        w
        for w in written
        if not any(
            w == c or w.startswith(c.rstrip("/") + "/") for c in covering if c.count("/") > 1
        )
    ]
    assert len(written) > 8 and missed == [], missed
    state = {f.where: f for f in found if f.code.startswith("ST") and f.code != "ST14"}
    allowed = (
        "/var/lib/guestbook",
        "/var/lib/php/sessions",
        "/var/lib/mosquitto",
        "/etc/cron.d/guestbook",
    )
    assert [w for w in state if not w.startswith(allowed)] == []
    codes = {(f.code, f.where) for f in found}
    assert {
        ("ST02", "/var/lib/php/sessions"),
        ("ST04", "/var/lib/guestbook/uploads"),
        ("ST05", "/var/lib/guestbook/entries.sqlite"),
    } <= codes
    assert ("ST01", "/var/lib/mosquitto") in codes and all(
        "traffic" in state[w].blocks for w in ("/var/lib/php/sessions", "/var/lib/mosquitto")
    )
    assert {"JB01", "CF12", "NW01", "PK01"} <= {f.code for f in found}


# What only a living host can say: its listeners, what it uses, its memory, what was written just now.
LIVING = {"NW01", "NW02", "NW11", "SZ01", "ST14", "LG01", "PR03", "PR04"}
LAID_BY_DOCKER = "/etc/resolv.conf"
"""Mounted over the machine's own files while it runs: an export has it empty."""


def test_its_files_alone_say_the_same_but_for_what_only_a_living_host_can_say(host):
    """An archive of the same machine: no finding more, and none less that files can tell."""
    from kirikae.survey.collect import script
    from kirikae.survey.offline import bundle_of
    from kirikae.survey.sections import unpacked
    from kirikae.survey.trees import TarTree

    keys = ("a" * 64, "b" * 64)
    done = subprocess.run(
        ["docker", "exec", "-i", host.name, "sh", "-s"],
        input=script(keys).encode(),
        capture_output=True,
        check=True,
    )
    with subprocess.Popen(["docker", "export", host.name], stdout=subprocess.PIPE) as export:
        offline = bundle_of(TarTree(export.stdout, "export"), "fourth", keys)
    assert SECRET not in offline

    def told(text: str) -> set[tuple[str, str]]:
        return {
            (found.code, found.where)
            for found in findings([read(text, "fourth")], [], date(2026, 11, 21))
            if found.code not in LIVING | {"unreadable"} and found.where != LAID_BY_DOCKER
        }

    living, files = told(unpacked(done.stdout)), told(offline)
    assert living - files == set()
    assert files - living == set()


def test_what_is_written_between_two_looks_over_ssh_is_named(host, monkeypatch):
    """`survey watch` on a living host: what its service writes, and what no rule knew of."""
    from kirikae.survey.watch import look_at

    monkeypatch.setenv("KIRIKAE_SSH", host.ssh)
    eventually(host.serves, "the host serves")
    machine = Host("ssh://fourth")
    first = look_at(machine, None, 300)
    before = host.metadata()
    look_at(machine, first.at, 300)
    assert host.metadata() == before
    host.sh(
        "curl -fsS -o /dev/null http://127.0.0.1/; mkdir -p /srv/ledger; echo x >/srv/ledger/book"
    )
    look = look_at(machine, first.at, 300)
    paths = {each.path for each in look.written}
    assert {"/srv/ledger/book", "/var/lib/guestbook/entries.sqlite"} <= paths
    assert not look.missing


def test_a_look_writes_nothing_even_where_it_could_and_needs_nothing_to_write_on(host):
    """T10: whole on a root file system that is mounted read-only; on the living host the engine
    sees no file that it changed."""
    from kirikae.survey.collect import script
    from kirikae.survey.sections import unpacked

    keys = ("a" * 64, "b" * 64)
    alone = ["docker", "run", "--rm", "-i", "--read-only", "--network", "none"]
    done = subprocess.run(
        [*alone, "--entrypoint", "sh", "kirikae-test-fourth:1", "-s"],
        input=script(keys).encode(),
        capture_output=True,
        check=True,
    )
    assert read(unpacked(done.stdout), "fourth").texts
    stopped = ["docker", "run", "-d", "-i", "--network", "none", "--entrypoint", "cat"]
    name = subprocess.run(
        [*stopped, "kirikae-test-fourth:1"], capture_output=True, text=True, check=True
    ).stdout.strip()
    try:
        subprocess.run(
            ["docker", "exec", "-i", name, "sh", "-s"],
            input=script(keys).encode(),
            capture_output=True,
            check=True,
        )
        changed = subprocess.run(
            ["docker", "diff", name], capture_output=True, text=True, check=True
        )
    finally:
        subprocess.run(["docker", "rm", "-f", "-v", name], capture_output=True, check=False)
    assert changed.stdout == ""


@pytest.mark.parametrize("shell", ["dash", "bash --posix", "busybox sh"])
def test_the_collector_needs_no_shell_but_a_posix_one(host, monkeypatch, tmp_path, shell):
    """The same facts from each shell."""
    from kirikae.survey.collect import script

    if shell.startswith("busybox"):
        busybox = subprocess.run(
            ["sh", "-c", "command -v busybox"], capture_output=True, text=True, check=True
        ).stdout.strip()
        subprocess.run(
            ["docker", "cp", "-L", busybox, f"{host.name}:/root/busybox"],
            check=True,
            capture_output=True,
        )
        shell = "/root/busybox sh"
    done = subprocess.run(
        ["docker", "exec", "-i", host.name, "sh", "-c", f"{shell} -s"],
        input=script(("a" * 64, "b" * 64)).encode(),
        capture_output=True,
        check=True,
    )
    from kirikae.survey.sections import unpacked

    text = unpacked(done.stdout)
    bundle = read(text, "fourth")
    assert SECRET not in text and bundle.text("/etc/mosquitto/conf.d/shop.conf") is not None
    assert {s.name for s in bundle.units if s.running} >= {"apache2.service", "mosquitto.service"}
