"""Rules on state: which folders the services of a host write into, what lies there, and whether
that stands in the way.

Three tiers, because each source alone was measured to be wrong: a setting names the folder
(configured), files are there (present), they were written since the service began (observed)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from kirikae.model.bundle import Folder
from kirikae.model.finding import Confidence, Finding, Trace
from kirikae.survey.catalogue import debian, found, matches, under
from kirikae.survey.view import View

_HOUR_S = 3600
_GIB = 1 << 30
_DISK = 16 * _GIB
"""Fargate gives 20 GiB unasked, and the image counts in it."""
_SQLITE = b"SQLite format 3".hex()
_CLASSES = (
    ("log", re.compile(r"(^|/)(log|logs)(/|$)|^/var/log/")),
    ("runtime", re.compile(r"^/(var/)?run/")),
    ("session", re.compile(r"session", re.I)),
    (
        "cache",
        re.compile(
            r"^/var/cache/|^/tmp|^/var/tmp|(^|[/_.-])(caches?|tmp|temp|compiled|body|proxy|fastcgi|scgi|uwsgi|__pycache__)([/_.-]|$)",
            re.I,
        ),
    ),
    ("upload", re.compile(r"upload|attachment|(^|/)(media|avatars?|pictures?|images?)(/|$)", re.I)),
    ("index", re.compile(r"xapian|lucene|(^|/)search[_-]?index", re.I)),
    ("spool", re.compile(r"(^|/)(spool|queue|mqueue|maildir)(/|$)", re.I)),
)
_CODES = {
    "session": "ST03",
    "upload": "ST04",
    "index": "ST16",
    "spool": "ST08",
    "cache": "ST14",
    "runtime": "ST14",
    "log": "LG01",
    "unknown": "ST01",
}


@dataclass(frozen=True, slots=True)
class Root:
    """One tree that services write into; ``service`` names whoever can, ``newest`` is 0 where no
    file was seen."""

    path: str
    kind: str
    files: int
    size: int
    newest: int
    newest_name: str
    service: tuple[str, ...]
    why: str


def kind_of(path: str) -> str:
    return next((kind for kind, pattern in _CLASSES if pattern.search(path)), "unknown")


def _writable(view: View, folder: Folder) -> str:
    """By whom a folder can be written, in words; empty: by no service."""
    uids = view.uids
    if folder.uid in uids and folder.mode & 0o200:
        return f"owned by {view.bundle.user_names.get(folder.uid, folder.uid)}"
    for name, (gid, members) in view.bundle.groups.items():
        if gid == folder.gid and gid != 0 and folder.mode & 0o020:
            in_group = {view.uid_of(m) for m in members} | {
                u for u, g, _, _ in view.bundle.users.values() if g == gid
            }
            if in_group & uids:
                return f"writable by group {name}"
    if (
        folder.mode & 0o002
        and uids
        and folder.path not in ("/tmp", "/var/tmp", "/var/crash", "/run/lock", "/var/lock")
    ):
        return "writable by everybody"
    return ""


def _split(view: View, top: Folder) -> list[str]:
    """The sub-trees that deserve a verdict of their own: one level down where the top itself holds
    no file."""
    inside = view.bundle.under(top.path)
    children = sorted(f.path for f in inside if f.path.rpartition("/")[0] == top.path)
    hashed = all(re.fullmatch(r"[0-9a-f]{1,4}|\d+", c.rpartition("/")[2]) for c in children)
    if top.files or not children or len(children) > 8 or hashed:
        # Parts whose name says that they are something else are told apart all the same.
        return [
            top.path,
            *(c for c in children[:50] if kind_of(c) not in ("unknown", kind_of(top.path))),
        ]
    return [p for c in children for p in _split(view, view.bundle.folder_at[c])]


def roots(view: View) -> list[Root]:
    """Every tree that a service of this host writes into or could."""
    bundle = view.bundle
    out: dict[str, Root] = {}
    code = _released(view)
    tops: list[tuple[Folder, str]] = []
    for folder in sorted(bundle.folders, key=lambda f: f.path):
        if view.of_the_system(folder.path) or any(
            folder.path.startswith(t.path + "/") for t, _ in tops
        ):
            continue
        if why := _writable(view, folder):
            tops.append((folder, why))
    for top, why in tops:
        if top.path == "/etc" or top.path.startswith("/etc/"):
            continue  # configuration; what is written there is found below, by what was seen
        parts = _split(view, top)
        for path in parts:
            apart = [p for p in parts if p.startswith(path + "/")]
            inside = [f for f in bundle.under(path) if not under(f.path, [*code, *apart])]
            holds_code = any(under(c, [path]) or under(path, [c]) for c in code)
            if not inside or (holds_code and not any(f.files for f in inside)):
                continue  # nothing but released code
            out[path] = _root(view, path, inside, max(inside, key=lambda f: f.newest), why)
    for path, why in _seen(view):
        if not any(under(path, [known]) for known in out):
            inside = bundle.under(path) or []
            newest = max(inside, key=lambda f: f.newest, default=Folder(path, 0, 0, 0, 0, 0, 0, ""))
            out[path] = _root(view, path, inside, newest, why)
    return sorted(out.values(), key=lambda r: r.path)


def _released(view: View) -> list[str]:
    """Folders of released code: what was read as code, and the releases beside the one that
    ``current`` names."""
    folders = [c.root for c in view.bundle.code]
    for service in view.services:
        named = service.unit.get("WorkingDirectory").removeprefix("!").rstrip("/")
        if named in view.bundle.links:
            folders.append(view.bundle.resolve(named).rpartition("/")[0])
    return [f for f in folders if f.count("/") > 1]


def _root(view: View, path: str, inside: list[Folder], newest: Folder, why: str) -> Root:
    uids = {f.uid for f in inside}
    service = tuple(sorted({s for uid in uids for s in view.service_of(uid)}))
    return Root(
        path,
        kind_of(path),
        sum(f.files for f in inside),
        sum(f.size for f in inside),
        newest.newest,
        newest.newest_name,
        service,
        why,
    )


def _seen(view: View) -> Iterator[tuple[str, str]]:
    """Folders of files that services have open for writing, or that root wrote since the machine
    began and no system part owns."""
    for path, process in view.opened_by_services():
        folder = path.rpartition("/")[0]
        if not view.of_the_system(folder) and folder not in ("/tmp", "/var/tmp", ""):
            yield folder, f"{process.unit} has {path} open for writing"
    # Root's own services write into folders of root: attributed by the package that both come from,
    # or by name.
    for service in view.services:
        if 0 not in service.uids:
            continue
        stem = service.name.split("@")[0]
        for file in view.bundle.files:
            folder = file.path.rpartition("/")[0]
            if (
                file.modified < max(view.bundle.began, 1)
                or view.of_the_system(file.path)
                or file.path.startswith(("/etc/", "/root/", "/home/"))
            ):
                continue
            owner = view.bundle.owner(folder)
            if (
                (owner and owner == service.package)
                or f"/{stem}/" in file.path + "/"
                or file.path.startswith(f"/run/{stem}")
            ):
                yield (
                    (folder if folder not in ("/run", "/tmp", "/var/lib") else file.path),
                    f"written since the machine began, by name {service.name}'s",
                )


def rules(view: View) -> Iterator[Finding]:  # noqa: C901
    """Findings on the state of one host."""
    taken = set()
    for server in view.services:
        for pattern, title in debian()["databases"].items():
            if matches(server.unit.name, [pattern]):
                folders = [
                    r.path for r in roots(view) if server.name in r.service and r.kind == "unknown"
                ]
                places = folders or [server.unit.get("FragmentPath")]
                taken |= set(folders)
                yield found(
                    "ST06",
                    places[0],
                    f"{title} runs here and keeps its data on this host",
                    [view.trace(p, f"data of {server.unit.name}") for p in places],
                    Confidence.OBSERVED,
                )
    for root in roots(view):
        if root.path not in taken:
            yield _judged(view, root)
    kept = [r for r in roots(view) if r.kind not in ("cache", "runtime", "log")]
    if (total := sum(r.size for r in kept)) > _DISK:
        largest = max(kept, key=lambda r: r.size)
        sizes = [view.trace(r.path, _size(r.size)) for r in kept]
        yield found(
            "ST15",
            largest.path,
            f"the service keeps {_size(total)} on this host",
            sizes,
            Confidence.PRESENT,
        )
    yield from _links(view)
    yield from _databases(view)
    yield from _php(view)
    for device, place, kind in view.bundle.mounts:
        if kind in ("nfs", "nfs4", "cifs", "fuse.sshfs", "fuse.s3fs"):
            yield found(
                "ST12",
                place,
                f"{kind} is mounted at {place}",
                [view.trace("/proc/mounts", f"{device} {place} {kind}")],
                Confidence.OBSERVED,
            )
    for queue, waiting in view.bundle.spool.items():
        if waiting and "cron" not in queue:
            yield found(
                "ML02",
                queue,
                f"{waiting} files of mail wait in {queue}",
                [view.trace(queue, f"{waiting} files")],
                Confidence.PRESENT,
            )


def _judged(view: View, root: Root) -> Finding:
    naming = [t for t in view.naming(root.path) if not t.at.startswith(root.path)]
    began = max(
        (s.began for s in view.services if s.name in root.service), default=view.bundle.began
    )
    who = " and ".join(root.service) or "a service"
    written = (
        bool(root.files and began and root.newest >= began)
        or "open for writing" in root.why
        or "written since" in root.why
    )
    traces = [view.trace(root.path, f"{root.why}; {root.files} files, {root.size} bytes")]
    if root.newest:
        traces.append(
            view.trace(
                root.newest_name,
                f"changed {max(0, view.bundle.at - root.newest)} s before the survey",
            )
        )
    traces += naming[:4]
    code = _CODES[root.kind]
    if code in ("ST14", "LG01"):
        confidence = (
            Confidence.OBSERVED
            if written
            else Confidence.PRESENT
            if root.files
            else Confidence.CONFIGURED
        )
        return found(
            code,
            root.path,
            f"{who} writes {'logs' if code == 'LG01' else f'{root.kind} files'} in {root.path}",
            traces,
            confidence,
        )
    amount = f"{root.files} files, {_size(root.size)}"
    if written:
        return found(
            code,
            root.path,
            f"{who} writes into {root.path} ({amount})",
            traces,
            Confidence.OBSERVED,
        )
    if naming and root.files:
        says = (
            f"{root.path} ({amount}) is named by {naming[0].at}; nothing was written there "
            f"since {who} began"
        )
        return found(code, root.path, says, traces, Confidence.PRESENT)
    if root.files:
        up = view.bundle.at - began if began else 0
        says = (
            f"nobody names {root.path} ({amount}), and nothing was written there in the "
            f"{_duration(up)} since {who} began"
        )
        return found(
            "ST21",
            root.path,
            says,
            traces,
            Confidence.PRESENT,
            ("traffic",) if up < _HOUR_S else (),
        )
    says = f"{root.path} is empty, and {who} could write there"
    return found(code, root.path, says, traces, Confidence.CONFIGURED, ())


def _links(view: View) -> Iterator[Finding]:
    """Links inside a release that lead out of it: what they name is not part of the release."""
    for code in view.bundle.code:
        for link, target in view.bundle.links.items():
            real = view.bundle.resolve(link)
            if (
                link.startswith(code.root + "/")
                and not under(real, [code.root])
                and not real.startswith(("/usr/", "/etc/", "/dev/"))
            ):
                yield found(
                    "ST20",
                    link,
                    f"{link} leads to {real}",
                    [view.trace(link, f"-> {target}")],
                    Confidence.PRESENT,
                )


def _databases(view: View) -> Iterator[Finding]:
    running = {s.name for s in view.services}
    for first_bytes, path in view.bundle.magic:
        if view.of_the_system(path):
            continue
        if first_bytes.startswith((_SQLITE, b"RRD\0".hex())):
            folder = view.bundle.folder_at.get(path.rpartition("/")[0])
            if folder is not None and (
                folder.uid in view.uids or folder.path.startswith(("/srv", "/opt", "/home"))
            ):
                kind = "SQLite" if first_bytes.startswith(_SQLITE) else "RRD"
                yield found(
                    "ST05",
                    path,
                    f"{path} is a {kind} database",
                    [view.trace(path, f"its first bytes are {kind}'s")],
                    Confidence.PRESENT,
                )
        elif (
            path.endswith("PG_VERSION")
            and not any("postgres" in name for name in running)
            and path.count("/") <= 6
        ):
            folder_path = path.rpartition("/")[0]
            yield found(
                "PK10",
                folder_path,
                "data of a PostgreSQL server that does not run",
                [view.trace(path, "PG_VERSION")],
                Confidence.PRESENT,
            )


def _php(view: View) -> Iterator[Finding]:
    serving = [
        s
        for s in view.services
        if "php" in s.name
        or (
            s.name == "apache2"
            and any("php" in link for link in view.bundle.links if "/mods-enabled/" in link)
        )
    ]
    if not serving:
        return
    handler = "files"
    where = None
    folder = "/var/lib/php/sessions"
    for text in view.bundle.texts:
        if (
            "/php" in text.path
            and not text.path.startswith("/etc/php/cli")
            and "/cli/" not in text.path
        ):
            for number, line in text.live(";"):
                if match := re.match(
                    r"\s*(?:php_(?:admin_)?value\[)?session\.(save_handler|save_path)\]?\s*=\s*\"?([^\"\s]+)",
                    line,
                ):
                    handler, folder = (
                        (match[2], folder)
                        if match[1] == "save_handler"
                        else (handler, match[2].rpartition(";")[2])
                    )
                    where = view.trace(text.path, line, number)
    if handler != "files":
        return
    inside = view.bundle.under(folder)
    files = sum(f.files for f in inside)
    newest = max((f.newest for f in inside), default=0)
    confidence = (
        Confidence.CONFIGURED
        if not files
        else Confidence.OBSERVED
        if newest >= min(s.began for s in serving)
        else Confidence.PRESENT
    )
    traces = [
        where or view.trace("php.ini", "session.save_handler is files unless it is set"),
        view.trace(folder, f"{files} files"),
    ]
    yield found(
        "ST02",
        folder,
        f"PHP keeps sessions in files under {folder} ({files} files)",
        traces,
        confidence,
        None if files else (),
    )


def _size(size: int) -> str:
    for unit, width in (("GiB", _GIB), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= width:
            return f"{size / width:.1f} {unit}"
    return f"{size} bytes"


def _duration(seconds: int) -> str:
    for unit, width in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * width:
            return f"{seconds // width} {unit}"
    return f"{max(0, seconds)} s"


def traces_of(view: View, path: str) -> list[Trace]:
    """Everything that is known about one path (`survey explain PATH`)."""
    out = []
    if (owner := view.bundle.owner(path)) is not None:
        out.append(view.trace(path, f"belongs to package {owner}"))
    for folder in view.bundle.under(path)[:1]:
        owner_name = view.bundle.user_names.get(folder.uid, str(folder.uid))
        out.append(
            view.trace(
                path,
                f"folder, mode {folder.mode:o}, owned by {owner_name}, {folder.files} "
                f"files of {folder.size} bytes",
            )
        )
    out += view.naming(path)
    return out
