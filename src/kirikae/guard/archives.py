"""Images in files: what ``docker save`` writes, and OCI image layouts, as a folder or a tar.

Docker's form: ``manifest.json`` names configuration and layers (Docker image specification 1.2).
OCI's: ``index.json`` names manifests by digest, below ``blobs`` (OCI image layout 1.0).
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

from kirikae.guard.errors import BrokenTar, NoZstd, ObjectProblem
from kirikae.guard.layers import Layers
from kirikae.guard.objects import Image, Plain, entries, part_of, rows_of
from kirikae.guard.tars import (
    BROKEN,
    MOST_BYTES,
    MOST_ENTRIES,
    Budget,
    Counted,
    Header,
    refused,
    unpacked,
)
from kirikae.guard.tars import entries as entries_of
from kirikae.model.said import said

_MOST_JSON = 8 * 1024**2
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_BLOB = re.compile(r"blobs/sha256/([0-9a-f]{64})")
_MANIFEST = "manifest.json"
_INDEX = "index.json"
_DEEPEST = 4
_REF_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
_ATTESTED = "vnd.docker.reference.type"
_CONFIGS = frozenset(
    (
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
    )
)
_ENCRYPTED = "+encrypted"
_PACKED = {b"\x28\xb5\x2f\xfd": "zstd -d", b"\xfd7zXZ\x00": "xz -d", b"BZh": "bzip2 -d"}
"""Which ``docker load`` takes and guard does not."""


class _Files(Protocol):
    """Files of an image by their names.  ``open`` raises BrokenTar."""

    @property
    def budget(self) -> Budget: ...

    def has(self, name: str) -> bool: ...

    def open(self, name: str) -> IO[bytes]: ...


@dataclass(frozen=True, slots=True)
class _InFolder:
    folder: Path
    budget: Budget = field(default_factory=Budget)

    def has(self, name: str) -> bool:
        """Is there such a file?"""
        return (self.folder / name).is_file()

    def open(self, name: str) -> IO[bytes]:
        """A link is not followed: it may lead anywhere.  Raises BrokenTar."""
        if name.startswith("/") or ".." in name.split("/"):
            raise BrokenTar(f"{name!r:.200} leads out of the folder")
        try:
            handle = os.open(
                self.folder / name,
                os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK,
            )
        except OSError as error:
            raise BrokenTar(f"{name} cannot be read ({error.strerror})") from error
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise BrokenTar(f"{name} is no file")
        return os.fdopen(handle, "rb")


class _InTar:
    """Names of one archive; the file must be one that can be sought in."""

    def __init__(self, file: IO[bytes]) -> None:
        self.budget = Budget()
        self._archive = tarfile.TarFile(fileobj=file, tarinfo=Header)
        self._members: dict[str, tarfile.TarInfo] = {}
        for number, member in enumerate(self._archive):
            if number >= MOST_ENTRIES or member.size < 0:
                raise BrokenTar(f"entry {member.name!r:.200}: too many, or its size is none")
            name = member.name.removeprefix("./")
            if name in self._members and not member.isdir():
                raise BrokenTar(f"entry {name!r:.200} stands in it twice")
            self._members[name] = member

    def has(self, name: str) -> bool:
        """Is there such a file?"""
        return name in self._members

    def open(self, name: str) -> IO[bytes]:
        """Former engines write a layer that two images share once, and links to it."""
        member = self._members.get(name)
        if member is not None and member.issym():
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
            if member.linkname.startswith("/") or target.startswith(".."):
                raise BrokenTar(f"entry {name!r:.200}: its link leads out of the archive")
            member = self._members.get(target)
        if member is None or not member.isreg() or member.issparse():
            raise BrokenTar(f"entry {name!r:.200} is missing, or is no file")
        found = self._archive.extractfile(member)
        assert found is not None
        return found


def is_archive(path: Path) -> bool:
    """Is it an image's: a tar (also packed by gzip), or a folder with an OCI layout?"""
    if path.is_dir():
        return (path / "oci-layout").is_file() or (path / _INDEX).is_file()
    try:
        with path.open("rb") as file:
            begun = file.read(512)
    except OSError:
        return False
    packed = begun.startswith((b"\x1f\x8b", *_PACKED))
    return packed or begun[257:262] == b"ustar" or _old_tar(begun)


def _old_tar(block: bytes) -> bool:
    """From before POSIX: its sum is right."""
    if len(block) < 512:
        return False
    try:
        tarfile.TarInfo.frombuf(
            block,
            "utf-8",
            "surrogateescape",
        )
    except tarfile.HeaderError:
        return False
    return True


def images(name: str, path: Path) -> list[Image]:
    """Every image in it.  Raises ObjectProblem."""
    try:
        with _opened(path) as files:
            found = list(_images(name, files))
    except BROKEN as error:
        raise refused(name, error) from error
    if not found:
        raise ObjectProblem(f"{name}: no image stands in it; was it written by docker save?")
    return found


@contextmanager
def _opened(path: Path) -> Iterator[_Files]:
    if path.is_dir():
        yield _InFolder(path)
        return
    with path.open("rb") as file:
        begun = file.read(6)
        file.seek(0)
        _assert_unpacked(path, begun)
        if not begun.startswith(b"\x1f\x8b"):
            yield _InTar(file)
            return
        with tempfile.TemporaryFile() as plain:
            # Layers are asked for by name: what cannot be sought in is unpacked first.
            packed = Counted(file, MOST_BYTES)
            stream = unpacked(packed, Budget())
            while part := stream.read(1024**2):
                plain.write(part)
            plain.seek(0)
            yield _InTar(plain)


def _assert_unpacked(path: Path, begun: bytes) -> None:
    """Raises BrokenTar with the command that unpacks it."""
    for mark, command in _PACKED.items():
        if begun.startswith(mark):
            raise BrokenTar(f"it is packed: run `{command} {path.name}`, and name what comes out")


def _images(name: str, files: _Files) -> Iterator[Image]:
    if files.has(_INDEX):
        yield from _of_index(
            name,
            files,
            _json(files, _INDEX),
            0,
        )
    elif files.has(_MANIFEST):
        yield from _of_docker(name, files)
    else:
        raise BrokenTar(f"neither {_MANIFEST} nor {_INDEX} stands in it")


def _of_docker(name: str, files: _Files) -> Iterator[Image]:
    rows = rows_of(_json(files, _MANIFEST))
    for number, row in enumerate(rows):
        tags = tuple(str(each) for each in entries(row.get("RepoTags")))
        config = _json(files, str(row.get("Config")))
        label = tags[0] if tags else str(number + 1)
        layers = [_Layer(str(each), str(each)) for each in entries(row.get("Layers"))]
        whole = name if len(rows) == 1 else f"{name}#{label}"
        yield _image(
            whole,
            tags,
            config,
            files,
            layers,
        )


def _of_index(
    name: str,
    files: _Files,
    index: Any,
    depth: int,
) -> Iterator[Image]:
    """An index may name indexes: one image for many platforms."""
    if depth > _DEEPEST:
        raise BrokenTar("its indexes are nested without end")
    rows = [row for row in rows_of(_mapping(index).get("manifests")) if not _is_note(row)]
    for number, row in enumerate(rows):
        files.budget.image()
        inner = _mapping(_json(files, _blob(row)))
        label = _label(row) or str(number + 1)
        whole = name if len(rows) == 1 else f"{name}#{label}"
        if "manifests" in inner:
            yield from _of_index(
                whole,
                files,
                inner,
                depth + 1,
            )
        elif _is_image(inner):
            yield _of_manifest(
                whole,
                files,
                row,
                inner,
            )


def _of_manifest(
    name: str,
    files: _Files,
    row: Plain,
    manifest: Plain,
) -> Image:
    config = _json(files, _blob(part_of(manifest, "config")))
    layers = []
    for each in rows_of(manifest.get("layers")):
        kind = str(each.get("mediaType"))
        layers.append(
            _Layer(
                _blob(each),
                str(each.get("digest")),
                kind.endswith(_ENCRYPTED),
            )
        )
    notes = part_of(row, "annotations")
    tags = [str(notes[key]) for key in _REF_NAMES if key in notes]
    tags.append(str(row.get("digest")))
    return _image(
        name,
        tuple(tags),
        config,
        files,
        layers,
    )


def _is_note(row: Plain) -> bool:
    """Builders put what they say about an image beside it."""
    return _ATTESTED in part_of(row, "annotations")


def _is_image(manifest: Plain) -> bool:
    """Signatures, charts and lists of parts are kept in the same form, and cannot be run."""
    return str(part_of(manifest, "config").get("mediaType") or next(iter(_CONFIGS))) in _CONFIGS


def _label(row: Plain) -> str:
    platform = part_of(row, "platform")
    parts = [str(platform[key]) for key in ("os", "architecture", "variant") if platform.get(key)]
    return "/".join(parts)


def _blob(row: Plain) -> str:
    """Raises BrokenTar for a digest that is none, such as a path."""
    found = _DIGEST.fullmatch(str(row.get("digest")))
    if found is None:
        raise BrokenTar(f"{row.get('digest')!r:.100} is no digest of sha256")
    return f"blobs/sha256/{found[1]}"


class _Layer(NamedTuple):
    """``label``: how whoever lists it calls it."""

    file: str
    label: str
    is_encrypted: bool = False


def _image(
    name: str,
    refs: tuple[str, ...],
    config: Any,
    files: _Files,
    layers: list[_Layer],
) -> Image:
    found = Layers()
    whole = _mapping(config)
    for layer, wanted in zip(
        layers,
        _sums(whole, len(layers)),
        strict=True,
    ):
        _walk(
            found,
            files,
            layer,
            wanted,
        )
    history = tuple(str(row.get("created_by", "")) for row in rows_of(whole.get("history")))
    return Image(
        name,
        refs,
        part_of(whole, "config"),
        history,
        found.done(),
        tuple(found.unread),
    )


def _sums(config: Plain, layers: int) -> list[str]:
    """Of each layer as it is unpacked (OCI image configuration, ``rootfs.diff_ids``).  Raises
    BrokenTar where the list of layers is not the one that the image was made with."""
    given = entries(part_of(config, "rootfs").get("diff_ids"))
    if len(given) != layers:
        raise BrokenTar(f"its configuration lists {len(given)} layers, and {layers} are named")
    return [str(each) for each in given]


def _walk(
    found: Layers,
    files: _Files,
    layer: _Layer,
    wanted: str,
) -> None:
    """Raises BrokenTar."""
    with files.open(layer.file) as raw:
        packed = Counted(raw, MOST_BYTES)
        if layer.is_encrypted:
            found.skip(said("guard.encrypted", layer=layer.label))
            return
        try:
            stream = unpacked(packed, files.budget)
        except NoZstd:
            found.skip(said("guard.zstd", layer=layer.label))
            return
        try:
            found.add(entries_of(stream))
            while stream.read(1024**2):
                pass
            packed.drain()
        except BROKEN as error:
            raise BrokenTar(f"layer {layer.label}: {error}") from error
        _assert_sum(layer.file, packed)
    if wanted != f"sha256:{stream.sum.hexdigest()}":
        raise BrokenTar(
            f"layer {layer.label}: what comes out of it has another digest than the configuration "
            "names, so that it is cut off or another one"
        )


def _assert_sum(file: str, read: Counted) -> None:
    """Raises BrokenTar where a blob is not what its name says."""
    named = _BLOB.fullmatch(file)
    if named is not None and read.sum.hexdigest() != named[1]:
        raise BrokenTar(f"{file}: its content has another digest")


def _json(files: _Files, name: str) -> Any:
    """Raises BrokenTar."""
    with files.open(name) as file:
        read = Counted(file, _MOST_JSON)
        raw = read.read(_MOST_JSON + 1)
    _assert_sum(name, read)
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BrokenTar(f"{name!r:.200} is no JSON") from error


def _mapping(value: Any) -> Plain:
    return value if isinstance(value, Mapping) else {}
