"""How much of what the services of a host write does the survey find?

Nine hosts of the usual layouts are made from Debian packages and small applications, driven for
real, and looked at by the collector.  What was really written is told by the times of all files.

    python benchmarks/survey_hosts.py --dockerfile | docker build -t IMAGE --build-arg BASE=VM -
    python benchmarks/survey_hosts.py IMAGE [HOST ...]

VM is the rehearsal's image of a virtual machine (`bookshop-debian-vm`).
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from kirikae.model.finding import Finding
from kirikae.survey.bundles import read
from kirikae.survey.collect import script
from kirikae.survey.known import debian
from kirikae.survey.paths import parent_of, under
from kirikae.survey.survey import findings
from kirikae.survey.watch import Watch, look_from
from kirikae.survey.watch import script as watch_script

DOCKERFILE = """
ARG BASE
FROM ${BASE}
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \\
    --no-install-recommends php-fpm php-sqlite3 nodejs redis-server libplack-perl starman sqlite3 \\
    rpm
RUN systemctl mask systemd-udevd.service systemd-modules-load.service sys-kernel-config.mount \\
    sys-kernel-debug.mount getty.target console-getty.service systemd-networkd.service \\
    systemd-timesyncd.service; \\
    systemctl disable nginx postgresql exim4 redis-server php8.2-fpm; true
STOPSIGNAL SIGRTMIN+3
CMD ["/sbin/init"]
"""
_HOSTS = Path(__file__).parent / "layouts"
_KEYS = ("a" * 64, "b" * 64)
_WRITING = ("ST", "LG", "JB", "ML")
_NOBODYS = (
    "/proc",
    "/sys",
    "/dev",
    "/run/systemd",
    "/var/log/journal",
    "/etc",
    "/root",
    "/var/log/syslog",
    "/var/log/auth.log",
    "/var/log/cron.log",
    "/var/log/user.log",
    "/var/log/mail.log",
)
"""What the operating system writes, rsyslog's files among it."""
_OPTIONS = (
    *("--tmpfs", "/run", "--tmpfs", "/run/lock", "--cgroupns=host", "--cap-add", "SYS_ADMIN"),
    *("--cap-add", "SYS_PTRACE", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw"),
)


@dataclass(frozen=True)
class Layout:
    """A host: which services run, and what is done to it; ``layouts/NAME.sh`` makes it."""

    start: str
    drive: str
    init: tuple[str, ...] = ("/sbin/init",)


_GET = "for i in $(seq 1 15); do curl -s -o /dev/null {url}; sleep 0.5; done"
LAYOUTS = {
    "php": Layout("systemctl start php8.2-fpm nginx", _GET.format(url="http://127.0.0.1/")),
    "node": Layout("systemctl enable --now nippo", _GET.format(url="http://127.0.0.1:3000/a")),
    "python": Layout("systemctl enable --now app", _GET.format(url="http://127.0.0.1:8000/")),
    "perl": Layout("systemctl enable --now shop", _GET.format(url="http://127.0.0.1:5000/")),
    "mail": Layout(
        "systemctl start exim4; systemctl enable --now mailer bounce.timer",
        "su mailer -s /bin/sh -c /opt/mailer/bin/send; sleep 8",
    ),
    "database": Layout(
        "systemctl start postgresql redis-server; systemctl enable --now etl",
        "su postgres -c \"psql -qc 'create table if not exists t (a int)'\"; for i in 1 2 3 4 5;"
        " do su postgres -c \"psql -qc 'insert into t values (1)'\"; redis-cli set k$i v"
        " >/dev/null; sleep 1.2; done",
    ),
    "rpm": Layout("systemctl enable --now shopd", _GET.format(url="http://127.0.0.1:8080/")),
    "root": Layout("systemctl enable --now agent", "sleep 8"),
    "plain": Layout(
        "su app -s /bin/sh -c 'setsid sh /srv/app/run.sh </dev/null >/dev/null 2>&1 &'",
        "sleep 8",
        init=("tail", "-f", "/dev/null"),
    ),
}


def sh(name: str, text: str, check: bool = True) -> str:
    """In the container."""
    done = subprocess.run(
        ["docker", "exec", "-i", name, "sh"],
        input=text.encode(),
        capture_output=True,
        check=False,
    )
    if check and done.returncode:
        raise SystemExit(f"{name}: {done.stderr.decode(errors='replace')[-800:]}")
    return done.stdout.decode("utf-8", "surrogateescape")


def looked_at(image: str, host: str) -> dict[str, object]:
    """Make it, drive it, look at it, and compare."""
    layout = LAYOUTS[host]
    name = f"kirikae-survey-{host}"
    subprocess.run(["docker", "rm", "-f", "-v", name], capture_output=True, check=False)
    options = _OPTIONS if layout.init == ("/sbin/init",) else ()
    subprocess.run(
        ["docker", "run", "-d", "--name", name, "--hostname", host, *options, image, *layout.init],
        check=True,
        capture_output=True,
    )
    try:
        time.sleep(3)
        sh(name, (_HOSTS / f"{host}.sh").read_text(encoding="utf-8"))
        time.sleep(2)
        sh(name, f"systemctl daemon-reload 2>/dev/null; {layout.start}")
        time.sleep(3)
        sh(name, "touch /dev/shm/marker; sleep 1.1")
        since = int(sh(name, "date +%s"))
        sh(name, layout.drive)
        written = sh(name, "find / -xdev -newer /dev/shm/marker -type f 2>/dev/null", check=False)
        body, _, _ = script(_KEYS).rpartition("\nif has gzip")
        before = time.monotonic()
        text = sh(name, f"{body}\nmain\ntimes >/dev/shm/times\n")
        took = time.monotonic() - before
        cpu = sh(name, "cat /dev/shm/times").split("\n")[1]
        watch = watched(name, since)
    finally:
        subprocess.run(["docker", "rm", "-f", "-v", name], capture_output=True, check=False)
    Path(f"/tmp/survey-{host}.txt").write_bytes(text.encode("utf-8", "surrogateescape"))
    bundle = read(text, host)
    day = datetime.now(UTC).date()
    found = findings([bundle], [], day)
    seen = findings([replace(bundle, watched=tuple(watch.written.values()))], [], day)
    more = {(each.code, each.where) for each in seen} - {(f.code, f.where) for f in found}
    return compared(host, written.split("\n"), found) | {
        "seconds": round(took, 1),
        "cpu": cpu,
        "watched": len(watch.written),
        "by watching alone": sorted(map(" ".join, more)),
    }


def watched(name: str, since: int) -> Watch:
    """One look of `survey watch` behind the collector's: what was written since then."""
    body, _, _ = watch_script(since).rpartition("\nif command -v gzip")
    look = look_from(sh(name, f"{body}\nmain\n"), name)
    return Watch(name, since, since).after(look)


def compared(host: str, written: list[str], found: list[Finding]) -> dict[str, object]:
    """Which written files no finding covers."""
    theirs = [path for path in written if path and not under(path, _NOBODYS)]
    system = [path for path in theirs if under(path, debian().spools)]
    services = [path for path in theirs if path not in system]
    places = [f.where for f in found if f.code.startswith(_WRITING) and f.where.startswith("/")]
    missed = sorted(path for path in services if not under(path, places))
    return {
        "host": host,
        "written": len(services),
        "folders": sorted({parent_of(path) for path in services}),
        "missed": missed,
        "system": sorted({parent_of(path) for path in system}),
        "findings": [f"{f.severity} {f.code} {f.says}" for f in found],
    }


def main(image: str, hosts: list[str]) -> None:
    """One line of JSON for each host."""
    for host in hosts or list(LAYOUTS):
        print(json.dumps(looked_at(image, host), ensure_ascii=False), flush=True)


if __name__ == "__main__" and sys.argv[1] == "--dockerfile":
    print(DOCKERFILE)
elif __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
