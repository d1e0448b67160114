"""Old hosts whose systemd is a folder: ``ssh`` runs the command here, with a ``systemctl`` and a
``journalctl`` that know only what the real ones are asked for by kirikae.

Real systemd is in ``tests/e2e/test_workers.py``; here are the states that are hard to come by.
"""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass
from pathlib import Path

SSH = """\
#!/bin/sh
# The last two words are the host and the command.
while [ $# -gt 2 ]; do shift; done
[ -e "$HOSTS/$1" ] || { echo "ssh: connect to host $1 port 22: No route to host" >&2; exit 255; }
export HOST="$HOSTS/$1"
exec sh -c "$2"
"""
SYSTEMCTL = """\
#!/bin/sh
verb=$1; shift
while [ $# -gt 0 ]; do
  case $1 in
    -p) shift ;;
    --no-block) ;;
    *) if [ "$verb" = show ]; then
         echo "TimeoutStopUSec=1min 30s"
         if [ -e "$HOST/$1" ]; then echo LoadState=loaded; echo "ActiveState=$(cat "$HOST/$1")"
         else echo LoadState=not-found; echo ActiveState=inactive; fi
         echo
       else
         echo "$verb $1" >>"$HOST/acts"
         [ "$verb" = start ] && echo active >"$HOST/$1" || cat "$HOST/after-stop" >"$HOST/$1"
       fi ;;
  esac
  shift
done
"""
JOURNALCTL = """\
#!/bin/sh
while [ $# -gt 0 ]; do
  case $1 in
    --since) since=${2#@}; shift ;;
    --until) until=${2#@}; shift ;;
  esac
  shift
done
awk -v since="$since" -v until="$until" '$1 >= since && $1 <= until' "$HOST/journal"
"""


@dataclass(frozen=True)
class Hosts:
    """``folder``: one folder a host, one file a unit, and the journal."""

    folder: Path
    names: tuple[str, ...]
    units: tuple[str, ...]

    @property
    def environment(self) -> dict[str, str]:
        """For the process that calls ssh."""
        tools = self.folder / "tools"
        with_tools = f"env HOSTS={self.folder}/hosts PATH={tools}:/usr/bin:/bin {tools}/ssh"
        return {"KIRIKAE_SSH": with_tools}

    def make(self) -> Hosts:
        tools = self.folder / "tools"
        tools.mkdir(parents=True)
        for name, text in (("ssh", SSH), ("systemctl", SYSTEMCTL), ("journalctl", JOURNALCTL)):
            (tools / name).write_text(text)
            (tools / name).chmod(0o755)
        for name in self.names:
            host = self.folder / "hosts" / name
            host.mkdir(parents=True)
            (host / "journal").write_text("")
            (host / "after-stop").write_text("inactive\n")
            for unit in self.units:
                (host / unit).write_text("active\n")
        return self

    def state(self, name: str, unit: str) -> str:
        return (self.folder / "hosts" / name / unit).read_text().strip()

    def set(self, name: str, unit: str, state: str) -> None:
        (self.folder / "hosts" / name / unit).write_text(f"{state}\n")

    def running(self) -> int:
        return sum(self.state(name, unit) == "active" for name in self.names for unit in self.units)

    def acts(self, name: str) -> list[str]:
        """What systemctl was told to do there, in order."""
        file = self.folder / "hosts" / name / "acts"
        return file.read_text().splitlines() if file.exists() else []

    def logged(self, name: str, line: str, at: float | None = None) -> None:
        """One line of a unit, as ``journalctl -o short-unix`` shows it."""
        when = time.time() if at is None else at
        with (self.folder / "hosts" / name / "journal").open("a") as file:
            file.write(f"{when:.6f} {name} celery[1]: {line}\n")

    def away(self, name: str) -> None:
        """The host does not answer any more."""
        (self.folder / "hosts" / name).rename(self.folder / f"away-{shlex.quote(name)}")

    def back(self, name: str) -> None:
        (self.folder / f"away-{shlex.quote(name)}").rename(self.folder / "hosts" / name)
