"""Read what the collecting script wrote, and keep it: one compressed file per look at a host."""

from __future__ import annotations

import gzip
import ipaddress
import re
import socket
import struct
import time
import zlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from kirikae.model.bundle import (
    Bundle,
    Code,
    File,
    Folder,
    Listener,
    Package,
    Process,
    Text,
    Token,
    Unit,
)
from kirikae.survey.errors import BundleProblem

VERSION = "1"
_LISTENING = {"tcp": "0A", "tcp6": "0A", "udp": "07", "udp6": "07"}
Sections = dict[str, list[tuple[str, list[str]]]]


def unpacked(raw: bytes) -> str:
    """The collector's text, whether it was compressed or not."""
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise BundleProblem(
                f"the bundle is cut off or damaged: {error}; collect it again"
            ) from error
    return raw.decode("utf-8", "surrogateescape")


def _sections(text: str) -> Sections:
    lines = text.split("\n")
    if not lines or not lines[0].startswith("@kirikae-bundle "):
        raise BundleProblem(f"not a bundle: it begins with {lines[0][:60]!r}")
    if lines[0].split()[1] != VERSION:
        raise BundleProblem(
            f"a bundle of version {lines[0].split()[1]}; this kirikae reads version "
            f"{VERSION}: collect it again"
        )
    if "@end" not in lines[-2:]:
        raise BundleProblem("the bundle is cut off: its last line is missing; collect it again")
    found: Sections = defaultdict(list)
    body: list[str] = []
    for line in lines[1:]:
        if line.startswith("@"):
            name, _, rest = line[1:].partition(" ")
            body = []
            found[name].append((rest, body))
        elif line.startswith("|"):
            body.append(line[1:])
    return found


def read(text: str, host: str) -> Bundle:
    """The facts of one bundle.  Raises BundleProblem; a line that says nothing understandable is
    left out and told in ``missing``."""
    parts = _sections(text)
    lost: list[tuple[str, str]] = [(where, " ".join(why)) for where, why in parts["missing"]]

    def rows(name: str, width: int) -> Iterable[list[str]]:
        for _, body in parts[name]:
            for line in body:
                cells = line.split("\t")
                if len(cells) >= width:
                    yield cells
                elif line:
                    lost.append((name, f"a line was not understood: {line[:80]}"))

    meta = {cells[0]: cells[1] for cells in rows("meta", 2)}
    automatic = {line for _, body in parts["automatic"] for line in body}
    depends = {cells[0]: cells[1] for cells in rows("depends", 2)}
    owners = {cells[1]: cells[0] for cells in rows("owned", 2)}
    for original, moved, package in ((c[0], c[1], c[2]) for c in rows("diverted", 3)):
        owners[moved] = owners.get(original, package)
        owners[original] = package
    folders, files, links, setuid = _tree(rows("files", 3), lost)
    opened = [(int(c[0]), c[2]) for c in rows("open", 3) if c[0].isdigit()]
    listeners, peers = _sockets(
        parts, {path: pid for pid, path in opened if path.startswith("socket:")}
    )
    return Bundle(
        host=host,
        at=int(meta.get("now", 0)),
        began=int("".join(parts["began"][0][1]) or 0) if parts["began"] else 0,
        meta=meta,
        users={
            c[0]: (int(c[1]), int(c[2]), c[3], c[4] if len(c) > 4 else "")
            for c in _colons(parts, "passwd", 4)
        },
        groups={
            c[0]: (int(c[1]), tuple(u for u in c[2].split(",") if u))
            for c in _colons(parts, "group", 3)
        },
        mounts=tuple((c[0], c[1], c[2]) for c in rows("mounts", 3)),
        packages=tuple(
            Package(c[0], c[1], c[0] in automatic, c[4] == "yes", c[5], c[6], depends.get(c[0], ""))
            for c in rows("packages", 7)
            if c[3].startswith("ii")
        ),
        owners=owners,
        changed=tuple((c[0], c[1], c[2]) for c in rows("changed", 3)),
        folders=tuple(folders),
        files=tuple(files),
        links=links,
        setuid=tuple(setuid),
        magic=tuple((c[0], c[1]) for c in rows("magic", 2)),
        units=tuple(_units(parts)),
        timers=tuple((c[0], c[1]) for c in rows("timers", 2)),
        processes=tuple(_process(c) for c in rows("processes", 10) if c[0].isdigit()),
        opened=tuple((pid, path) for pid, path in opened if path.startswith("/")),
        listeners=tuple(listeners),
        peers=tuple(peers),
        spool={c[0]: int(c[1]) for c in rows("spool", 2) if c[1].strip().isdigit()},
        texts=tuple(
            Text(rest.partition(" ")[2], rest.partition(" ")[0], tuple(body))
            for rest, body in parts["text"]
        ),
        live=tuple(
            (c[1].strip(), c[0].partition("=")[0], c[0].partition("=")[2])
            for _, body in parts["environments"]
            for c in (line.split("\t") for line in body)
            if len(c) >= 2 and "=" in c[0]
        ),
        code=tuple(_code(rest, body) for rest, body in parts["code"]),
        missing=tuple(lost),
    )


def _colons(parts: Sections, name: str, width: int) -> Iterable[list[str]]:
    for _, body in parts[name]:
        for line in body:
            cells = line.split(":")
            if len(cells) >= width and cells[1].isdigit():
                yield cells


def _tree(
    rows: Iterable[list[str]], lost: list[tuple[str, str]]
) -> tuple[list[Folder], list[File], dict[str, str], list[File]]:
    folders: list[Folder] = []
    files: list[File] = []
    setuid: list[File] = []
    links: dict[str, str] = {}
    for cells in rows:
        kind = cells[0]
        path = cells[-1].replace("\x01", "\n")
        try:
            if kind == "D":
                n = int(cells[5])
                size = int(float(cells[6]))
                newest = int(float(cells[7]))
                folders.append(
                    Folder(
                        path,
                        int(cells[1], 8),
                        int(cells[2]),
                        int(cells[3]),
                        n,
                        size,
                        newest,
                        cells[8],
                    )
                )
            elif kind in ("F", "U"):
                file = File(
                    path,
                    int(cells[1], 8),
                    int(cells[2]),
                    int(cells[3]),
                    int(cells[4]),
                    int(cells[5]),
                )
                (files if kind == "F" else setuid).append(file)
            elif kind == "L":
                links[path] = cells[1]
        except (ValueError, IndexError):
            lost.append(("files", f"a line was not understood: {' '.join(cells)[:80]}"))
    return folders, files, links, setuid


def _units(parts: Sections) -> Iterable[Unit]:
    for _, body in parts["units"]:
        properties: dict[str, str] = {}
        for line in [*body, ""]:
            if line:
                key, _, value = line.partition("=")
                properties[key] = f"{properties[key]}\n{value}" if key in properties else value
            elif properties:
                yield Unit(properties.get("Id", ""), properties)
                properties = {}


def _process(c: list[str]) -> Process:
    def number(text: str) -> int | None:
        return int(text) if text.isdigit() else None

    return Process(
        int(c[0]),
        int(c[1]),
        number(c[2]) or 0,
        number(c[3]) or 0,
        (number(c[4]) or 0) / 100,
        number(c[5]),
        c[6],
        number(c[7]),
        c[8],
        "\t".join(c[9:]).strip(),
    )


def _address(text: str) -> tuple[str, int]:
    """An address of /proc/net/tcp: the bytes of each 32-bit word are in the machine's order
    (proc(5))."""
    host, _, port = text.partition(":")
    raw = b"".join(struct.pack("<I", int(host[i : i + 8], 16)) for i in range(0, len(host), 8))
    family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, raw), int(port, 16)


def _sockets(
    parts: Sections, pids: dict[str, int]
) -> tuple[list[Listener], list[tuple[str, str, int]]]:
    listeners = []
    peers = set()
    for kind, body in parts["sockets"]:
        for line in body:
            cells = line.split("\t")
            if len(cells) != 4:
                continue
            address, port = _address(cells[0])
            if cells[2] == _LISTENING[kind]:
                listeners.append(
                    Listener(kind.rstrip("6"), address, port, pids.get(f"socket:[{cells[3]}]"))
                )
            elif cells[2] == "01":
                peer, peer_port = _address(cells[1])
                peers.add((kind.rstrip("6"), peer, peer_port))
    served = {(item.protocol, item.port) for item in listeners}
    own_side = {(k, a, p) for k, a, p in peers if p >= 32768 or ipaddress.ip_address(a).is_loopback}
    # A connection from elsewhere has our service's port on this side; only the ones that we opened
    # are peers.
    return listeners, sorted(
        p for p in peers - own_side if (p[0], p[2]) not in served or p[2] < 1024
    )


def _code(rest: str, body: list[str]) -> Code:
    fingerprint, count, root = rest.split(" ", 2)
    files = {}
    tokens = []
    for line in body:
        if line.startswith("=\t"):
            _, mark, name = line.split("\t", 2)
            files[name] = mark
        elif match := re.match(r"(.*?):(\d+):(.*)", line):
            tokens.append(Token(match[1], int(match[2]), match[3]))
    return Code(root, fingerprint, int(count), files, tuple(tokens))


class Shelf:
    """The folder of bundles: ``HOST/UTC-TIME.gz``, newest last."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, host: str, text: str, clock: float | None = None) -> Path:
        """Keep one bundle (written beside, then renamed)."""
        folder = self._folder / host
        folder.mkdir(parents=True, exist_ok=True)
        stamp = time.strftime(
            "%Y%m%dT%H%M%SZ", time.gmtime(time.time() if clock is None else clock)
        )
        final = folder / f"{stamp}.gz"
        partial = folder / f".{stamp}.part"
        partial.write_bytes(gzip.compress(text.encode("utf-8", "surrogateescape"), mtime=0))
        partial.replace(final)
        return final

    def hosts(self) -> list[str]:
        return (
            sorted(f.name for f in self._folder.glob("*") if f.is_dir() and any(f.glob("*.gz")))
            if self._folder.is_dir()
            else []
        )

    def newest(self, host: str) -> Path | None:
        return max((self._folder / host).glob("*.gz"), default=None)

    def age_s(self, host: str, now: float) -> float | None:
        """Seconds since the newest look at this host, by this machine's clock; None if there is
        none."""
        file = self.newest(host)
        if file is None:
            return None
        try:
            then = time.strptime(file.name.removesuffix(".gz"), "%Y%m%dT%H%M%SZ")
        except ValueError as error:
            raise BundleProblem(
                f"{file}: the name is not a time; bundles are named by kirikae"
            ) from error
        import calendar

        return now - calendar.timegm(then)

    def load(self, host: str, file: Path | None = None) -> Bundle:
        file = file or self.newest(host)
        if file is None:
            raise BundleProblem(f"there is no bundle of {host}; `kirikae survey collect` makes one")
        try:
            return read(unpacked(file.read_bytes()), host)
        except OSError as error:
            raise BundleProblem(f"{file}: {error.strerror}") from error
