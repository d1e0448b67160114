"""Make a bundle of a host's files without the host: the sections that collect.sh writes, but those
of a living machine, each of which is named as not looked at."""

from __future__ import annotations

import hashlib
import posixpath
import re
import shlex
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from itertools import islice

from kirikae.survey import laid, openrc, sysv, unitfiles
from kirikae.survey.masking import masked
from kirikae.survey.packaged import packages
from kirikae.survey.trees import MOST_READ, Entry, Tree

_LINKS_AT_MOST = 40
_NOT_LOOKED_AT = (
    ("processes", "a root directory has no processes: none was looked at"),
    ("open", "open files were not looked at: nothing runs in a root directory"),
    ("sockets", "listeners and connections were not looked at: nothing runs in a root directory"),
    ("environments", "environments of processes were not looked at: nothing runs here"),
    ("logs", "what stands in logs was not looked at: of these files sizes and times are known"),
    ("sysctl", "the kernel's settings were not looked at: only what files say is known"),
    ("started", "whether enabled services run was not looked at: they are taken to run"),
    ("began", "when the machine began is not known: what was written since then neither"),
)
_PRUNED = re.compile(
    r"/(proc|sys|dev|boot)(/|$)|/var/lib/dpkg/|/var/lib/apt/lists/"
    r"|/usr/(?!local(/|$))|.*/\.git/"
    r"|/var/lib/(docker/overlay2|containerd/[^/]+/snapshots|containers/storage/overlay)/"
)
_LISTED = ("/etc/", "/opt/", "/srv/", "/usr/local/", "/root/", "/home/", "/var/www/")
_BROUGHT = re.compile(
    r"/(node_modules|site-packages|__pycache__"
    r"|\.(git|pyenv|rbenv|nvm|rustup|cargo|npm|m2|cache))/"
)
_LISTED_IN_A_FOLDER = 500
_OWNED_IN_A_FOLDER = 20
_MEDIA_IN_A_FOLDER = 50
_MEDIA_AT_MOST = 50_000
_FEW_MEDIA = 2
_LOG = re.compile(r"\.log([.-][^/]*)?$")
"""Its lines are no code, as in collect.sh."""
_MEDIA = re.compile(r"\.(jpe?g|png|gif|webp|pdf|csv|mp4|zip|gz|log)$")
_ENDS_OF_MEDIA = (
    *(".jpg", ".jpeg", ".png", ".gif", ".webp", ".pdf"),
    *(".csv", ".mp4", ".zip", ".gz", ".log"),
)
_SET_ID = 0o6000
_SPOOLS = (
    "/var/spool/exim4/input",
    "/var/spool/postfix/deferred",
    "/var/spool/postfix/active",
    "/var/spool/mqueue",
    "/var/spool/cron/atjobs",
    "/var/spool/at",
)
_CRON = re.compile(
    r"/etc/(crontab|anacrontab)$|/etc/(cron\.(d|hourly|daily|weekly|monthly)|periodic|crontabs)/"
    r"|/var/spool/cron/"
)
_NAMED = re.compile(
    r"/(opt|srv|var/www|home)/([^/]*/){0,3}"
    r"(\.env|[^/]*\.env|crontab[^/]*|Procfile|supervisord\.conf"
    r"|requirements[^/]*\.txt|package\.json|composer\.json|Gemfile|go\.mod)$"
)
_OF_A_USER = re.compile(r"/(home/[^/]+|root)/\.config/systemd/user/[^/]+\.(timer|service)$")
_NAMED_SIZE = 64 << 10
_LOGINS = re.compile(r"/(root|home/[^/]+)/\.ssh/authorized_keys$")
"""Who may log in is counted, not kept."""
_MAGIC = (
    (re.compile(rb"SQLite format 3"), "53514c69746520666f726d61742033"),
    (re.compile(rb"RRD\0"), "52524400"),
    (re.compile(rb"\0{12}(a\x15\x06|b1\x05|S\x01\x06)\0"), "bdb"),
    (re.compile(rb"[\xce\xcd\xcf]\x9aW\x13"), "gdbm"),
    (re.compile(rb".{16}\xde\xc0\xef\xbe", re.DOTALL), "lmdb"),
    (re.compile(rb"\x7fELF.{14}>", re.DOTALL), "elf-x86-64"),
    (re.compile(rb"\x7fELF.{14}\xb7", re.DOTALL), "elf-arm64"),
    (re.compile(rb"\x7fELF"), "elf"),
)
_NO_DATABASE = re.compile(
    r"/var/(lib/(dpkg|apt|docker|containerd|containers|snapd)|cache|log)(/|$)"
    r"|.*/(node_modules|\.git)(/|$)|.*/sess_[^/]*$"
    r"|.*\.(jp[^/]*g|png|gif|webp|svg|pdf|html|php|pyc?|js|css|rb|p[lm]|log|gz|txt|xml|json|md"
    r"|mo|so|mp4|zip)$",
    re.DOTALL,
)
"""Where ``magic`` of collect.sh does not look."""
_DATABASES = ("PG_VERSION", "ibdata1", "dump.rdb")
_DATA = ("/var/", "/srv/", "/opt/", "/home/", "/usr/local/", "/data/")
_OF_NGINX = re.compile(r"/etc/nginx/(nginx\.conf$|(conf|http)\.d/|sites-enabled/)")
_OF_APACHE = re.compile(r"/etc/(apache2/(sites|conf)-enabled/|httpd/conf(\.d)?/)")
_NGINX_ROOT = re.compile(
    r"(?:^|[;{}])[ \t]*(?:root|alias)[ \t]+[\"']?([^\"' \t;{}]+)",
    re.MULTILINE,
)
_APACHE_ROOT = re.compile(
    r"^[ \t]*(?:DocumentRoot|Alias[ \t]+\S+)[ \t]+[\"']?([^\"'\n]*?)[\"']?[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)
_IN_CRON = re.compile(r"/(?:opt|srv|home|data|app|usr/local|var/www)/[A-Za-z0-9._/-]*")
_OF_MANY = re.compile(r"/((srv|opt|data|app|usr/local|var/www)/?|home/[^/]*/?|usr/local/s?bin)$")
_TABLES = ("/etc/crontab", "/etc/cron.d/", "/etc/crontabs/", "/var/spool/cron/")
_NO_CODE = re.compile(
    r"/(etc|root|proc|sys|dev|run|boot)/|/(|etc|usr|usr/s?bin|usr/lib|var|bin|root|home|usr/share"
    r"|var/lib|usr/local|usr/local/s?bin|tmp|run|proc)$"
)
_FILES_OF_CODE = 20_000
_FILES_TOLD = 500
_LINES_OF_CODE = 5_000
_WIDTH = 2_000
_MOST_OF_CODE = 4096 << 10
_BY_A_MANAGER = re.compile(r"/(\.git|node_modules|__pycache__|site-packages|vendor/bundle)/")


@cache
def _script_says(name: str) -> str:
    """A pattern of collect.sh: both ways to look read the same files."""
    body = (files("kirikae.survey") / "collect.sh").read_text(encoding="utf-8")
    found = re.search(rf"^{name}=(.*)$", body, re.MULTILINE)
    assert found is not None, name
    return shlex.split(found[1])[0]


@cache
def _unwanted_in_etc() -> tuple[re.Pattern[str], ...]:
    """What ``found_files`` of collect.sh leaves out below /etc."""
    body = (files("kirikae.survey") / "collect.sh").read_text(encoding="utf-8")
    begin = body.index("find /etc -type f")
    parts = re.findall(
        r"^ +-e ('.*?')",
        body[begin : body.index("find /var/spool/cron -type f", begin)],
        re.MULTILINE,
    )
    return tuple(re.compile(shlex.split(part)[0]) for part in parts)


def bundle_of(
    tree: Tree,
    host: str,
    keys: tuple[str, str],
) -> str:
    """The text of a bundle.  Raises NoMasking."""
    look = _Look(tree, keys)
    plain = "".join(f"{line}\n" for line in look.plain(host))
    sensitive = "".join(f"{line}\n" for line in look.sensitive())
    return f"@kirikae-bundle 1\n{masked(plain, sensitive, keys)}@end\n"


def _section(
    head: str,
    lines: Iterable[str],
) -> Iterator[str]:
    """As collect.sh writes one; a line break in a name is \\x01."""
    yield f"@{head}"
    for line in lines:
        yield "|" + line.replace("\n", "\x01")


@dataclass(frozen=True)
class _Look:
    """One look at a tree."""

    tree: Tree
    keys: tuple[str, str]

    # --- paths and texts

    def real(
        self,
        path: str,
    ) -> str:
        """Links are followed inside the tree: an absolute one begins at its root."""
        left = _LINKS_AT_MOST
        done = "/"
        todo = [part for part in path.split("/") if part]
        while todo:
            part = todo.pop(0)
            here = posixpath.normpath(posixpath.join(done, part))
            entry = self.tree.entries.get(here)
            if entry is None or entry.kind != "l" or not left:
                done = here
                continue
            left -= 1
            if entry.target.startswith("/"):
                done = "/"
            todo = [each for each in entry.target.split("/") if each not in ("", ".")] + todo
        return done

    def text(
        self,
        path: str,
    ) -> str:
        """Empty for what is not there."""
        raw = self.tree.read(self.real(path)) or b""
        return raw.decode("utf-8", "surrogateescape")

    def below(
        self,
        folder: str,
    ) -> list[str]:
        """Paths in and under a folder, in order."""
        name = folder.rstrip("/")
        first = bisect_left(self.paths, f"{name}/")
        last = bisect_left(self.paths, f"{name}0")  # the character after the slash
        return self.paths[first:last]

    @cached_property
    def paths(self) -> list[str]:
        """Every path."""
        return sorted(self.tree.entries)

    @property
    def runs_systemd(self) -> bool:
        """OpenRC keeps links of what it starts; a host of systemd has no such folder."""
        entries = self.tree.entries
        if "/run/systemd/system" in entries:
            return True
        return "/etc/runlevels" not in entries and not sysv.runs_here(entries)

    @cached_property
    def units(self) -> unitfiles.Units:
        """Services and timers, as their files say."""
        return unitfiles.read(self.tree.entries, self.text)

    # --- what is plain

    def plain(
        self,
        host: str,
    ) -> Iterator[str]:
        """Sections that say nothing secret."""
        yield from _section("meta", self._meta(host))
        yield from _section("passwd", self._users())
        yield from _section("group", self._groups())
        yield from _section("mounts", self._mounts())
        yield from packages(self.tree, self.paths, self.text)
        yield from _section("files", self._files())
        yield from _section("magic", self._magic())
        yield from laid.sections(self.tree, self.paths, self.text, self.keys[0])
        for what, why in (*_NOT_LOOKED_AT, *self.tree.lost):
            yield from _section(f"missing {what}", [why])

    def _meta(
        self,
        host: str,
    ) -> Iterator[str]:
        """What files say of the machine; cores and memory are not known."""
        said = self.text("/etc/hostname").strip()
        yield f"host\t{said or host}"
        yield f"now\t{int(time.time())}"
        yield "uid\t0"
        yield "tokens\t2"
        zone = self.tree.entries.get("/etc/localtime")
        if zone is not None:
            yield f"zone\t{zone.target.rpartition('zoneinfo/')[2]}"
        keys = (self.text(path) for path in self.paths if _LOGINS.match(path))
        logins = sum(line[:1].islower() for text in keys for line in text.splitlines())
        yield f"public_key_logins\t{logins}"
        for name, _, value in _pairs(self.text("/etc/os-release")):
            bare = value.strip('"')
            yield f"os_{name}\t{bare}"

    def _users(self) -> Iterator[str]:
        """name:uid:gid:home:shell"""
        for cells in _rows(self.text("/etc/passwd"), 7):
            yield ":".join([cells[0], cells[2], cells[3], cells[5], cells[6]])

    def _groups(self) -> Iterator[str]:
        """name:gid:members"""
        for cells in _rows(self.text("/etc/group"), 4):
            yield ":".join([cells[0], cells[2], cells[3]])

    def _mounts(self) -> Iterator[str]:
        """What would be mounted."""
        for line in self.text("/etc/fstab").splitlines():
            cells = line.split()
            if len(cells) >= 3 and not line.lstrip().startswith("#"):
                yield "\t".join(cells[:3])

    def _files(self) -> Iterator[str]:
        """Folders with what lies in them, and single entries where they matter."""
        inside: dict[str, list[Entry]] = defaultdict(list)
        for path in self.paths:
            entry = self.tree.entries[path]
            if _PRUNED.match(path):
                continue
            if entry.kind == "f":
                inside[path.rpartition("/")[0] or "/"].append(entry)
            elif entry.kind == "l":
                yield f"L\t{entry.target}\t{path}"
            elif entry.kind != "d":
                yield f"O\t{entry.kind}\t{path}"
        for path in self.paths:
            entry = self.tree.entries[path]
            if entry.kind == "d" and not _PRUNED.match(path):
                yield from self._folder(entry, inside[path])

    def _listed(
        self,
        folder: Entry,
        entries: list[Entry],
    ) -> Iterator[str]:
        """Files that run as their owner; of the others those that may tell something."""
        for entry in entries:
            if entry.mode & _SET_ID:
                yield _row("U", entry)
        named = [entry for entry in entries if not _BROUGHT.search(entry.path)]
        pictures = _FEW_MEDIA if self._full_of_pictures else _MEDIA_IN_A_FOLDER
        listed = _first(named, pictures) if self._telling(f"{folder.path}/") else []
        most = 1 if self._full_of_pictures else _OWNED_IN_A_FOLDER
        for entry in (*listed, *_owned(named, set(listed), most)):
            yield _row("F", entry)

    @cached_property
    def _full_of_pictures(self) -> bool:
        """Of very many a few in each folder say as much."""
        pictures = (path for path in self.paths if path.endswith(_ENDS_OF_MEDIA))
        return sum(1 for _ in islice(pictures, _MEDIA_AT_MOST + 1)) > _MEDIA_AT_MOST

    def _folder(
        self,
        folder: Entry,
        entries: list[Entry],
    ) -> Iterator[str]:
        """Its files that are listed, then itself."""
        yield from self._listed(folder, entries)
        newest = max(entries, key=lambda entry: entry.modified, default=None)
        size = sum(entry.size for entry in entries)
        numbers = [folder.uid, folder.gid, folder.modified, len(entries), size]
        numbers.append(newest.modified if newest else 0)
        name = newest.path if newest else ""
        yield "\t".join(["D", f"{folder.mode:o}", *map(str, numbers), name, folder.path])

    def _telling(
        self,
        path: str,
    ) -> bool:
        """Configuration and code."""
        return path.startswith(_LISTED) or any(path.startswith(f"{root}/") for root in self.roots)

    def _magic(self) -> Iterator[str]:
        """Databases in files, by their first bytes."""
        for path in self.paths:
            entry = self.tree.entries[path]
            if entry.kind != "f" or not entry.size or not path.startswith(_DATA):
                continue
            begin = b"" if _NO_DATABASE.match(path) else self.tree.head(path)
            for form, name in _MAGIC:
                if form.match(begin):
                    yield f"{name}\t{path}"
                    break
            if posixpath.basename(path) in _DATABASES:
                yield f"-\t{path}"

    # --- what may hold secrets

    def sensitive(self) -> Iterator[str]:
        """Units, texts and code."""
        if self.runs_systemd:
            yield from _section("units", self.units.services())
        elif sysv.runs_here(self.tree.entries):
            yield from _section("openrc", sysv.services(self.tree.entries, self.text))
            yield from _section("missing units", ["no systemd here: scripts of /etc/init.d told"])
        else:
            yield from _section("openrc", openrc.services(self.tree.entries, self.text))
            yield from _section("missing units", ["there is no systemd here; see openrc"])
        yield from _section("timers", self.units.timers())
        yield from _section("scheduled", self.units.scheduled())
        yield from _section("activated", self.units.activated())
        scripts = self.below("/etc/init.d")
        yield from _section("initd", (posixpath.basename(path) for path in scripts))
        yield from _section("cron", self._cron())
        yield from _section("spool", self._spool())
        yield from self._texts()
        for root in self.roots:
            yield from self._code(root)

    def _cron(self) -> Iterator[str]:
        """mode, uid, whether the last line ends, path"""
        for path in self.paths:
            # Of a million paths few are looked up.
            entry = self.tree.entries.get(self.real(path)) if _CRON.match(path) else None
            if entry is None or entry.kind != "f":
                continue
            ends = self.text(path)[-1:] in ("", "\n")
            yield f"{entry.mode:o}\t{entry.uid}\t{int(ends)}\t{path}"

    def _spool(self) -> Iterator[str]:
        """How many wait."""
        for folder in _SPOOLS:
            if folder in self.tree.entries:
                waiting = [p for p in self.below(folder) if self.tree.entries[p].kind == "f"]
                yield f"{folder}\t{len(waiting)}"

    def _texts(self) -> Iterator[str]:
        """Configuration that collect.sh would send."""
        withheld = re.compile(_script_says("WITHHELD"))
        named = self.units.named_files()
        for path in sorted({*named, *filter(self._found, self.paths)}):
            raw = self.tree.read(self.real(path))
            if raw is None or withheld.search(path) or withheld.search(self.real(path)):
                continue
            if b"\0" in raw[:4096]:
                continue
            mark = hashlib.sha256(self.keys[0].encode() + raw).hexdigest()[:16]
            lines = raw.replace(b"\0", b"").decode("utf-8", "surrogateescape").split("\n")
            yield from _section(f"text {mark} {path}", lines[:-1] if not lines[-1] else lines)

    def _found(
        self,
        path: str,
    ) -> bool:
        """Does ``found_files`` of collect.sh name it?"""
        entry = self.tree.entries[path]
        if entry.kind != "f" or "\n" in path or entry.size > MOST_READ:
            return False
        if path.startswith("/etc/"):
            return not any(pattern.search(path) for pattern in _unwanted_in_etc())
        if path.startswith("/var/spool/cron/") or _OF_A_USER.match(path):
            return True
        named = _NAMED.match(path) is not None and "/node_modules/" not in path
        return named and entry.size <= _NAMED_SIZE

    # --- code

    @cached_property
    def roots(self) -> list[str]:
        """Folders of code: of units, of web servers, of crontabs."""
        found = set(self._folders_of_services())
        for path in self.paths:
            if _OF_NGINX.match(path):
                found.update(_NGINX_ROOT.findall(_without_comments(self.text(path))))
            elif _OF_APACHE.match(path):
                found.update(_APACHE_ROOT.findall(self.text(path)))
            elif path.startswith(_TABLES):
                named = _IN_CRON.findall(_without_comments(self.text(path)))
                found.update(self._folders_of(named))
        real = {self.real(each.strip()) for each in found if each.startswith("/")}
        return sorted(each for each in real if self._is_code(each))

    def _folders_of_services(self) -> Iterator[str]:
        """Of systemd, of OpenRC, or of scripts."""
        yield from self.units.folders()
        if not self.runs_systemd:
            starts = sysv if sysv.runs_here(self.tree.entries) else openrc
            yield from starts.folders(self.tree.entries, self.text)

    def _folders_of(
        self,
        named: Iterable[str],
    ) -> Iterator[str]:
        """A folder, or the folder of a program; where many put theirs is nobody's code."""
        for path in named:
            entry = self.tree.entries.get(self.real(path))
            if entry is None:
                continue
            folder = path if entry.kind == "d" else posixpath.dirname(path)
            if not _OF_MANY.match(folder):
                yield folder.rstrip("/")

    def _is_code(
        self,
        path: str,
    ) -> bool:
        """A folder of somebody's own."""
        entry = self.tree.entries.get(path)
        return entry is not None and entry.kind == "d" and not _NO_CODE.match(path)

    def _code(
        self,
        root: str,
    ) -> Iterator[str]:
        """Fingerprints of its files, and the lines that say something about their surroundings."""
        inside = [path for path in self.below(root) if self._of_code(path)]
        if len(inside) > _FILES_OF_CODE:
            yield from _section(
                f"missing {root}", ["more than 20,000 files; its code was not read"]
            )
            return
        yield from self._sums(root, inside)
        lines = (line for path in inside for line in self._telling_lines(path, root))
        for line in islice(lines, _LINES_OF_CODE):
            yield f"|{line[:_WIDTH]}"

    def _sums(
        self,
        root: str,
        inside: list[str],
    ) -> Iterator[str]:
        """The section's head, and the fingerprint of each file where they are few."""
        summed = (path for path in inside if not path.endswith(".log"))
        sums = sorted(f"{self.tree.sha256(path)}  {path[len(root) + 1 :]}" for path in summed)
        whole = "".join(f"{line}\n" for line in sums)
        yield f"@code {self._mark(whole)} {len(inside)} {root}"
        for line in sums if len(inside) <= _FILES_TOLD else _by_folder(sums):
            digest, _, name = line.partition("  ")
            yield f"|=\t{self._mark(digest)}\t{name}"

    def _of_code(
        self,
        path: str,
    ) -> bool:
        """Not what a package manager laid there."""
        entry = self.tree.entries[path]
        if entry.kind != "f" or entry.size > _MOST_OF_CODE or "\n" in path:
            return False
        return not _BY_A_MANAGER.search(path)

    def _mark(
        self,
        text: str,
    ) -> str:
        """As collect.sh has it: not to be tried out without the key."""
        raw = (self.keys[0] + text).encode("utf-8", "surrogateescape")
        return hashlib.sha256(raw).hexdigest()[:16]

    def _telling_lines(
        self,
        path: str,
        root: str,
    ) -> Iterator[str]:
        """``name:number:text``, as grep prints it."""
        if _LOG.search(path) or "\n" in path:
            return
        raw = self.tree.read(path)
        if raw is None or b"\0" in raw:
            return
        tokens = re.compile(_script_says("TOKENS"))
        lines = raw.decode("utf-8", "surrogateescape").split("\n")
        for number, line in enumerate(lines, 1):
            if tokens.search(line):
                yield f"{path[len(root) + 1 :]}:{number}:{line}"


def _first(
    entries: Iterable[Entry],
    pictures: int,
) -> list[Entry]:
    """Fewer of what people send or programs log: the first of them say what the folder is."""
    found = []
    for number, entry in enumerate(entries, 1):
        most = pictures if _MEDIA.search(entry.path) else _LISTED_IN_A_FOLDER
        if number <= most:
            found.append(entry)
    return found


def _owned(
    entries: Iterable[Entry],
    without: set[Entry],
    most: int,
) -> Iterator[Entry]:
    """A few that a service may own."""
    owned = (entry for entry in entries if entry.uid and entry not in without)
    return islice(owned, most)


def _by_folder(sums: Sequence[str]) -> list[str]:
    """Of a large tree, the sums of its folders two levels down, as collect.sh makes them."""
    parts: dict[str, list[str]] = defaultdict(list)
    for line in sums:
        name = line.partition("  ")[2]
        parts["".join(f"{part}/" for part in name.split("/")[:-1][:2]) or name].append(line)
    told = []
    for part in sorted(parts)[:_FILES_TOLD]:
        # A file's line counts in each folder whose name its own begins with.
        inside = [line for line in sums if line[66:].startswith(part)]
        text = "".join(f"{line}\n" for line in inside)
        raw = text.encode("utf-8", "surrogateescape")
        told.append(f"{hashlib.sha256(raw).hexdigest()}  {part}")
    return told


def _row(
    kind: str,
    entry: Entry,
) -> str:
    """mode, uid, gid, bytes, modified, changed, path"""
    numbers = (entry.uid, entry.gid, entry.size, entry.modified, entry.changed)
    return "\t".join([kind, f"{entry.mode:o}", *map(str, numbers), entry.path])


def _rows(
    text: str,
    width: int,
) -> Iterator[list[str]]:
    """Of passwd(5) and group(5)."""
    for line in text.splitlines():
        cells = line.split(":")
        if len(cells) >= width:
            yield cells


def _pairs(text: str) -> Iterator[tuple[str, str, str]]:
    """NAME=value lines."""
    for line in text.splitlines():
        if re.match(r"[A-Z_]+=", line):
            yield line.partition("=")


def _without_comments(text: str) -> str:
    """A path in a comment names no code."""
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))
