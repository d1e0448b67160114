"""Adopt a host whose application lies in a plain folder: the folder becomes release 0, and a link
takes its place.

The folder is never copied and never empty: two names are exchanged in one step (renameat2(2),
RENAME_EXCHANGE) where the host can, by mv, Python or perl.  Where it cannot, two renames follow
each other, and whoever asks is told so first.  A process that works in the folder goes on in it.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from kirikae.hosts.ssh import Host
from kirikae.release.errors import InTheWay

RELEASE_0 = "r0"
_LONG_S = 120.0
_FUNCTIONS = r"""
zero="$root/releases/r0"
# How two names can be exchanged here: prints mv, python, perl or posix.
way() {
    dir=$(mktemp -d "$1/.kirikae.XXXXXX") || exit 1
    : >"$dir/a"; mkdir "$dir/b"
    for kind in mv python perl; do
        if exchange "$kind" "$dir/a" "$dir/b" 2>/dev/null && [ -d "$dir/a" ]; then
            rm -rf "$dir"; echo "$kind"; return
        fi
    done
    rm -rf "$dir"; echo posix
}
exchange() {
    case $1 in
    mv) mv --exchange -T "$2" "$3" ;;
    python) python3 -c '
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
a, b = (os.fsencode(name) for name in sys.argv[1:])
sys.exit(libc.renameat2(-100, a, -100, b, 2) != 0)' "$2" "$3" ;;
    perl) perl -e '
my %number = (x86_64 => 316, aarch64 => 276);
my $machine = `uname -m`; chomp $machine; exit 1 unless $number{$machine};
exit(syscall($number{$machine}, -100, $ARGV[0], -100, $ARGV[1], 2) != 0)' "$2" "$3" ;;
    *) return 1 ;;
    esac
}
"""
_LOOK = (
    _FUNCTIONS
    + r"""
parent=${path%/*}; parent=${parent:-/}
link=$root/current; [ "$path" = "$link" ] && link=$zero
if [ -L "$path" ]; then
    [ "$(readlink "$path")" = "$link" ] && [ -d "$zero" ] && [ ! -L "$zero" ] && echo done && exit
    if [ "$path" = "$root/current" ] && [ -d "$path/" ]; then echo done; exit; fi
    echo "no $path is a link to $(readlink "$path"): name the folder itself with --path"; exit
fi
if [ ! -e "$path" ]; then
    begun=$(cat "$root/.adopted" 2>/dev/null)
    if [ "$begun" = "$path" ] && [ -d "$zero" ] && [ ! -L "$zero" ]; then echo "yes posix"; exit; fi
    echo "no $path is not there"; exit
fi
[ -d "$path" ] || { echo "no $path is no folder"; exit; }
real=$(cd "$path" && pwd -P); top=$root
while [ ! -e "$top" ]; do top=${top%/*}; top=${top:-/}; done
inside=$(cd "$top" && pwd -P)
case "$inside/" in "$real"/*)
    echo "no $root lies inside of $path: choose a \`root\` beside it"; exit ;;
esac
if [ -e "$zero" ] && [ ! -L "$zero" ]; then
    echo "no $zero is there already: rename it"; exit
fi
if [ -e "$root/current" ] && [ "$path" != "$root/current" ]; then
    echo "no $root/current is there already: releases were put here before"; exit
fi
mounted() { awk '{ print $5 }' /proc/self/mountinfo 2>/dev/null | grep -q -x -F -e "$1"; }
own=$(stat -c %d "$path"); above=$(stat -c %d "$parent"); there=$(stat -c %d "$top")
if [ "$own" != "$above" ] || mounted "$real"; then
    echo "no $path is a mount point: it cannot be renamed"; exit
fi
if [ "$own" != "$there" ]; then
    echo "no $path and $root lie on different file systems: choose another \`root\`"; exit
fi
for each in "$parent" "$top"; do
    [ -w "$each" ] || { echo "no $each may not be written by $(id -un)"; exit; }
done
echo "yes $(way "$parent")"
"""
)
_ADOPT = (
    "set -eu\n"
    + _FUNCTIONS
    + r"""
mkdir -p "$root/releases"
link=$root/current; [ "$path" = "$link" ] && link=$zero
printf '%s\n' "$path" >"$root/.adopted.tmp"
mv "$root/.adopted.tmp" "$root/.adopted"
if [ "$path" != "$root/current" ]; then
    ln -sfn "$zero" "$root/.current.adopt"; mv -T "$root/.current.adopt" "$root/current"
fi
if [ "$way" = posix ]; then
    ln -sfn "$link" "$root/.link.adopt"
    if [ -d "$path" ]; then mv -T "$path" "$zero"; fi
    mv -T "$root/.link.adopt" "$path"
else
    # A link lies where the folder will be: after the one step each is in the other's place.
    ln -sfn "$link" "$zero"
    exchange "$way" "$path" "$zero"
fi
"""
)
_UNDO = (
    "set -eu\n"
    + _FUNCTIONS
    + r"""
[ -f "$root/.adopted" ] || { echo "$root was never adopted" >&2; exit 1; }
path=$(cat "$root/.adopted")
parent=${path%/*}; there=${parent:-/}/.way-back; here=$root/releases/.way-back
if [ -d "$zero" ] && [ ! -L "$zero" ]; then
    if [ -L "$path" ]; then
        now=$(cd "$path" && pwd -P)
        [ "$now" = "$(cd "$zero" && pwd -P)" ] || {
            echo "$path leads to $now: put r0 back first (kirikae release rollback --to old)" >&2
            exit 1
        }
    elif [ -e "$path" ]; then
        echo "$path is no link of ours any more, and $zero is there: nothing was changed" >&2
        exit 1
    fi
    way=$(way "${path%/*}")
    if [ "$way" = posix ] || [ ! -L "$path" ]; then
        rm -f "$path"; mv -T "$zero" "$path"
    else
        # Who has read the link before the exchange looks for the folder in releases after it: one
        # text leads from either place to the other one, whichever holds the folder.
        ln -sfn "$zero" "$there"; ln -sfn "$path" "$here"
        ln -sfn .way-back "$there.link"; mv -T "$there.link" "$path"
        exchange "$way" "$path" "$zero"
        sleep 1
    fi
elif [ ! -d "$path" ] || [ -L "$path" ]; then
    echo "$zero is gone" >&2; exit 1
fi
[ ! -L "$zero" ] || rm -f "$zero"
rm -f "$here" "$there"
[ "$path" = "$root/current" ] || rm -f "$root/current"
rm -f "$root/.adopted"
"""
)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What adopting a host would do.  ``done``: it is adopted already.  ``way``: ``mv``,
    ``python``, ``perl`` (one step), or ``posix`` (two)."""

    host: str
    done: bool
    way: str = ""
    why_not: str = ""

    @property
    def says(self) -> str:
        if self.why_not:
            return f"{self.host}: {self.why_not}"
        if self.done:
            return f"{self.host}: is adopted already"
        if self.way == "posix":
            return (
                f"{self.host}: the folder becomes {RELEASE_0} in two renames: for a moment "
                "(thousandths of a second) it is not there, since this host can exchange no names"
            )
        return f"{self.host}: the folder becomes {RELEASE_0} in one step (by {self.way})"


@dataclass(frozen=True, slots=True)
class Adoption:
    """``path``: the plain folder that the service runs from; ``root``: where releases shall lie.
    Acts raise HostSilent, CommandFailed."""

    root: str
    path: str

    def outlook(self, host: Host) -> Outlook:
        """Changes nothing that stays."""
        answer = host.run(self._script(_LOOK)).decode(errors="replace").strip()
        word, _, rest = answer.partition(" ")
        if word == "yes":
            return Outlook(
                host.name,
                False,
                rest,
            )
        return Outlook(
            host.name,
            word == "done",
            "",
            "" if word == "done" else rest,
        )

    def adopt(self, host: Host, way: str) -> None:
        """Once more after a SIGKILL, it goes on."""
        host.run(self._script(_ADOPT, way=way), timeout_s=_LONG_S)

    def undo(self, host: Host) -> None:
        """The folder lies where it lay before."""
        host.run(self._script(_UNDO), timeout_s=_LONG_S)

    def _script(self, body: str, **values: str) -> str:
        given = {
            "root": self.root,
            "path": self.path,
            **values,
        }
        return "".join(f"{name}={shlex.quote(value)}\n" for name, value in given.items()) + body


def outlooks(adoption: Adoption, hosts: list[Host]) -> list[Outlook]:
    """Of every host, before the first one is touched.  Raises InTheWay."""
    found = [adoption.outlook(host) for host in hosts]
    wrong = [each.says for each in found if each.why_not]
    if wrong:
        raise InTheWay(f"{'; '.join(wrong)}; nothing was changed on any host")
    return found
