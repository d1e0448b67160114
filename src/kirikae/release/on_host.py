"""What a release does on one host: its folder of releases, the link ``current``, and the user's
commands.

The host needs sh, tar and sha256sum; every script may be run again.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from kirikae.hosts.errors import CommandFailed, HostSilent
from kirikae.hosts.ssh import Host
from kirikae.model.shown import clean
from kirikae.release.manifest import Manifest

_LONG_S = 600.0
"""For what takes as long as it takes: an upload, a command of the user's."""
_IN_THE_WAY = """
if [ -e "$root/current" ] && [ ! -L "$root/current" ]; then
    echo "$root/current is a folder or a file of its own, and must be a link: \\`kirikae release \
adopt\\` makes it release 0 without a moment of downtime"
elif [ -e "$root/releases" ] && [ ! -d "$root/releases" ]; then
    echo "$root/releases is no folder: rename it"
fi
"""
_IS_FOLDER = '[ ! -d "$place" ] || echo yes'
_CURRENT = 'readlink "$root/current" 2>/dev/null || true'
_HAS = 'cat "$root/releases/$id/.kirikae" 2>/dev/null || true'
INSTALL = """set -eu
mkdir -p "$root/releases"
if [ -e "$root/releases/$id" ]; then
    echo "$root/releases/$id exists and was not put there by kirikae" >&2; exit 1
fi
rm -rf "$root/releases/.$id."*
tmp=$(mktemp -d "$root/releases/.$id.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
cat >"$tmp/archive"
[ "$(sha256sum <"$tmp/archive" | cut -c 1-64)" = "$sum" ] || {
    echo "the archive arrived damaged: another checksum" >&2; exit 1
}
mkdir "$tmp/tree"
tar -C "$tmp/tree" -xzf "$tmp/archive"
# Whatever the archive holds under these names, a link above all, is not written through.
rm -rf "$tmp/tree/RELEASE" "$tmp/tree/.kirikae"
printf '%s\\n' "$id" >"$tmp/tree/RELEASE"
printf '%s' "$sum" >"$tmp/tree/.kirikae"
chmod 755 "$tmp/tree"
mv -T "$tmp/tree" "$root/releases/$id"
"""
# Renamed over, never unlinked first: a reader sees the old release or the new one.
SWITCH = """set -eu
trap 'rm -f "$root/.current.$$"' EXIT
ln -s "$target" "$root/.current.$$"
mv -T "$root/.current.$$" "$root/current"
"""
_HOOK = """set -eu
cd "$root/releases/$id"
RELEASE_ID=$id; export RELEASE_ID
"""
# What the service itself said, in the journal or in the file that its unit names; what systemd says
# of one that starts again and again ("Scheduled restart job") only where there is nothing else.
_LAST_WORDS = """set -- $units
for name do set -- "$@" -u "$name"; shift; done
# Without the lines of a trace below what was raised: Ruby's `from`, Java's and Node's `at`.
calm() { grep . | grep -v -E '^[[:space:]]+(from|at) ' | tail -n 5; }
said=$(journalctl -n 90 --no-pager -q -o short-unix --no-hostname "$@" 2>/dev/null || true)
bare() { sed 's/^[0-9]\\{6,\\}\\.[0-9]* [^ ]*: //'; }
own=$(printf '%s\\n' "$said" | grep -v '^[0-9.]* systemd\\[1\\]: ' | bare | calm)
for name in $units; do
    [ -z "$own" ] || break
    file=$(systemctl cat "$name" 2>/dev/null \\
        | sed -n 's/^Standard\\(Output\\|Error\\)=\\(append\\|file\\|truncate\\)://p' | tail -n 1)
    [ -f "$file" ] && own=$(tail -n 90 "$file" 2>/dev/null | calm)
done
[ -n "$own" ] || own=$(printf '%s\\n' "$said" | bare | calm)
printf '%s\\n' "$own"
"""
# Who works in the folder of another release than `current` names: a link is followed when a process
# changes into it, so one that only reloads its code stays where it was.
_LEFT_BEHIND = """cd "$root/releases" 2>/dev/null || exit 0
place=$(pwd -P)
serves=$(cd "$root/current" 2>/dev/null && pwd -P) || exit 0
for link in /proc/[0-9]*/cwd; do
    at=$(readlink "$link" 2>/dev/null) || continue
    case $at in "$serves"|"$serves"/*) continue ;; "$place"/*) ;; *) continue ;; esac
    process=${link%/cwd}; process=${process#/proc/}
    name=$(cat "/proc/$process/comm" 2>/dev/null) || continue
    printf '%s (process %s) still works in %s\\n' "$name" "$process" "$at"
done
"""
_OF_SYSTEMD = re.compile(
    r"\b(?:systemctl|service)\b[^;&|\n]*?"
    r"\b(?:try-)?(?:reload|restart)(?:-or-restart)?\s+([^;&|\n]+)"
)
_UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.@-]*")
# What a process works in, runs, has open or has mapped is in use, whichever release serves.
PRUNE = """cd "$root/releases" || exit 0
current=$(readlink "$root/current"); current=${current##*/}
used=$({
    ls -ld /proc/[0-9]*/cwd /proc/[0-9]*/exe /proc/[0-9]*/root; ls -l /proc/[0-9]*/fd/
    cat /proc/[0-9]*/maps
} 2>/dev/null | awk -v place="$(pwd -P)/" '{
    at = index($0, place)
    if (at) { name = substr($0, at + length(place)); sub("[/ ].*", "", name); print name }
}' | sort -u)
ls -1t | grep -v -x -F -e "$current" -e "$previous" -e "$id" | tail -n +"$keep" |
while IFS= read -r name; do
    if printf '%s\\n' "$used" | grep -q -x -F -e "$name"; then continue; fi
    [ -f "$name/.kirikae" ] && rm -rf "./$name"
done
find . -maxdepth 1 -name '.*.??????' -mmin +60 -exec rm -rf {} + 2>/dev/null
true
"""


@dataclass(frozen=True, slots=True)
class OnHost:
    """``root`` holds ``releases/ID`` and ``current``.  All acts raise HostSilent, CommandFailed."""

    host: Host
    root: str

    def folder_of(self, release_id: str) -> str:
        return f"{self.root}/releases/{release_id}"

    def current(self) -> str:
        """The folder that ``current`` names, from the root of the host on; empty if there is
        none."""
        link = self.host.run(self._script(_CURRENT))
        try:
            named = link.decode().strip()
        except UnicodeDecodeError as error:
            raise CommandFailed(
                f"{self.host.name}: {self.root}/current has no UTF-8 name: rename it",
                0,
                "",
            ) from error
        # Some tools link to releases/ID: that is meant from the link's own folder on.
        return f"{self.root}/{named}" if named and not named.startswith("/") else named

    def in_the_way(self) -> str:
        """What would make a release fail here, and what to do about it; empty: nothing."""
        return self.host.run(self._script(_IN_THE_WAY)).decode(errors="replace").strip()

    def is_folder(self, place: str) -> bool:
        return bool(self.host.run(self._script(_IS_FOLDER, place=place)).strip())

    def has(self, manifest: Manifest) -> bool:
        """Whether this very release lies there, whole."""
        kept = self.host.run(
            self._script(
                _HAS,
                id=manifest.id,
                sum=manifest.sha256,
            )
        )
        return kept.decode(errors="replace").strip() == manifest.sha256

    def install(self, manifest: Manifest, archive: bytes) -> None:
        """Unpack beside, checksum proven, then rename into its place."""
        script = self._script(
            INSTALL,
            id=manifest.id,
            sum=manifest.sha256,
        )
        self.host.run(
            script,
            given=archive,
            timeout_s=_LONG_S,
        )

    def switch(self, target: str) -> None:
        """Let ``current`` name this folder."""
        self.host.run(self._script(SWITCH, target=target))

    def reload(self, command: str) -> None:
        self.host.run(f"set -e\n{command}\n")

    def last_words(self, command: str) -> str:
        """The newest five lines that the units which this command reloads have written, told as
        the end of a sentence; empty where the host does not say."""
        units = units_in(command)
        if not units:
            return ""
        asked = shlex.quote(" ".join(units))
        try:
            said = self.host.run(f"units={asked}\n{_LAST_WORDS}")
        except (CommandFailed, HostSilent):
            return ""
        lines = [clean(line) for line in said.decode(errors="replace").splitlines() if line.strip()]
        named = ", ".join(units)
        return f"; {named} logged last: {' | '.join(lines)}" if lines else ""

    def left_behind(self) -> str:
        """Who still works in a former release, and what mends that, told as the end of a sentence;
        empty where nobody does, or the host does not say."""
        try:
            said = self.host.run(self._script(_LEFT_BEHIND))
        except (CommandFailed, HostSilent):
            return ""
        found = [clean(line) for line in said.decode(errors="replace").splitlines() if line.strip()]
        if not found:
            return ""
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        return (
            f"; {found[0]}{more}: this reload does not follow the link `current`; let the service "
            f"change into {self.root}/current by itself (gunicorn: --chdir {self.root}/current), "
            "or restart it, with `drain: true`"
        )

    def run_in(self, release_id: str, command: str) -> None:
        """Run a command of the user's in the folder of a release."""
        script = self._script(f"{_HOOK}{command}\n", id=release_id)
        self.host.run(script, timeout_s=_LONG_S)

    def prune(
        self,
        release_id: str,
        previous: str,
        keep: int,
    ) -> None:
        """Remove old releases that kirikae put there; never the current one, nor these two."""
        self.host.run(
            self._script(
                PRUNE,
                id=release_id,
                previous=previous,
                keep=str(keep),
            )
        )

    def _script(self, body: str, **values: str) -> str:
        given = {"root": self.root, **values}
        heads = [f"{name}={shlex.quote(value)}\n" for name, value in given.items()]
        return "".join(heads) + body


def units_in(command: str) -> list[str]:
    """The systemd units that a command reloads or restarts, as far as it names them."""
    found = (word for named in _OF_SYSTEMD.findall(command) for word in named.split())
    return list(dict.fromkeys(word for word in found if _UNIT.fullmatch(word)))
