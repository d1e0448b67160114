"""What a release is: an ID, one archive with its checksum, and the images made from it.  Written
once, never changed."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import stat
import subprocess
import tarfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kirikae.hosts.files import read_privately, write_privately
from kirikae.model.errors import Taken, UsageProblem
from kirikae.model.store import Store, plain_of, readable
from kirikae.model.texts import shortened
from kirikae.release.archive import assert_harmless
from kirikae.release.contents import IGNORE_FILE, LeftOut, contents
from kirikae.release.errors import NoRelease, ReleaseTaken

RELEASE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """``sha256`` and ``size`` (bytes) are the archive's; ``git`` is empty outside a repository."""

    id: str
    sha256: str
    size: int
    files: int
    git: str
    who: str
    at: float
    name: str = ""
    notes: str = ""
    schema: Mapping[str, Any] | None = None
    """What it reads and provides (``release/schema.py``); None: it says nothing of schemas."""
    definitions: Mapping[str, str] = field(default_factory=dict)
    """File -> SHA-256, as the definitions lay there when it was made."""


@dataclass(frozen=True, slots=True)
class About:
    """What a person says of a release when it is made."""

    name: str = ""
    notes: str = ""
    schema: Mapping[str, Any] | None = None
    definitions: Mapping[str, str] = field(default_factory=dict)


_NOTHING = About()


@dataclass(frozen=True, slots=True)
class Packed:
    """The same files give the same bytes, whoever packs them and when."""

    archive: bytes
    files: int
    left_out: Sequence[LeftOut]


def checked_id(release_id: str) -> str:
    """Raises UsageProblem."""
    if not RELEASE_ID.fullmatch(release_id):
        raise UsageProblem(
            f"{release_id!r} is not a release ID: letters, digits, dot, underscore and "
            "hyphen, 64 at most"
        )
    return release_id


def new_id(folder: Path, clock: float, name: str = "") -> str:
    """``r`` + UTC time + short git hash + name: sortable, never given twice by one person.  Raises
    UsageProblem for a name that no ID can have."""
    at = time.strftime("r%Y%m%dT%H%M%SZ", time.gmtime(clock))
    parts = [at, git_commit(folder)[:7], name]
    return checked_id("-".join(part for part in parts if part))


def git_commit(folder: Path) -> str:
    """Empty outside a repository."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def pack(folder: Path, without: Iterable[Path] = ()) -> Packed:
    """``without``: kirikae's own files, wherever they lie.  Raises UsageProblem."""
    if not folder.is_dir():
        raise UsageProblem(f"{folder}: not a folder; name the release's files with --from FOLDER")
    root = folder.resolve()
    found = contents(root, without)
    out = io.BytesIO()
    count = 0
    with tarfile.open(
        fileobj=out,
        mode="w",
        format=tarfile.PAX_FORMAT,
    ) as tar:
        for path in found.members:
            count += _add(
                tar,
                path,
                path.relative_to(root).as_posix(),
            )
    if not count:
        raise UsageProblem("\n".join([f"{folder} holds no file", *_remarks(found.left_out)]))
    return Packed(
        gzip.compress(out.getvalue(), mtime=0),
        count,
        found.left_out,
    )


def _remarks(left_out: Iterable[LeftOut]) -> list[str]:
    return [each.says for each in left_out]


def _add(tar: tarfile.TarFile, path: Path, name: str) -> int:
    """One entry of the archive, without owner and time; the answer is how many files it is.  Raises
    UsageProblem."""
    entry = tarfile.TarInfo(name)
    if path.is_symlink():
        entry.type = tarfile.SYMTYPE
        entry.linkname = str(path.readlink())
        tar.addfile(entry)
        return 0
    if path.is_dir():
        entry.type = tarfile.DIRTYPE
        entry.mode = 0o755
        tar.addfile(entry)
        return 0
    if not path.is_file():
        raise UsageProblem(
            f"{path}: neither file, folder nor link; a release cannot hold it: name it in "
            f"{IGNORE_FILE}"
        )
    try:
        body = path.read_bytes()
    except OSError as error:
        raise UsageProblem(
            f"{path}: {error.strerror}; a release holds what you may read"
        ) from error
    entry.size = len(body)
    entry.mode = 0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644
    tar.addfile(entry, io.BytesIO(body))
    return 1


class Releases:
    """All releases of one service: manifests in the store, archives in a folder beside it."""

    def __init__(
        self,
        store: Store,
        environment: str,
        service: str,
        folder: Path,
    ) -> None:
        self._store = store
        self._scope = f"releases/{environment}/{service}"
        self._folder = folder

    @property
    def store(self) -> Store:
        """Where the service's releases are written down."""
        return self._store

    def archive_file(self, release_id: str) -> Path:
        return self._folder / f"{release_id}.tar.gz"

    def log_file(self, release_id: str, who: str) -> Path:
        """Where what a deployer of the user's said of this release is kept."""
        return self._folder / f"{release_id}.{who}.log"

    def create(
        self,
        release_id: str,
        source: Path,
        who: str,
        clock: float,
    ) -> Manifest:
        """Pack and keep.  Raises ReleaseTaken, UsageProblem."""
        return self.keep(
            release_id,
            pack(source),
            git_commit(source),
            who,
            clock,
        )

    def keep(
        self,
        release_id: str,
        packed: Packed,
        git: str,
        who: str,
        clock: float,
        about: About = _NOTHING,
    ) -> Manifest:
        """Write an archive down; the same content again is the same release.  Raises
        ReleaseTaken."""
        archive = packed.archive
        checksum = hashlib.sha256(archive).hexdigest()
        size = len(archive)
        told = asdict(about)
        manifest = Manifest(
            release_id,
            checksum,
            size,
            packed.files,
            git,
            who,
            clock,
            **told,
        )
        known = self.find(release_id)
        if known is not None and known.sha256 != checksum:
            raise ReleaseTaken(
                f"release {release_id} exists with other content ({known.sha256[:12]}, "
                f"by {known.who}); a release never changes: choose a new ID"
            )
        write_privately(self.archive_file(release_id), archive)
        if known is not None:
            return known
        try:
            self._store.create_if_absent(
                f"{self._scope}/{release_id}", json.dumps(asdict(manifest))
            )
        except Taken:
            return self.keep(
                release_id,
                packed,
                git,
                who,
                clock,
                about,
            )
        return manifest

    def find(self, release_id: str) -> Manifest | None:
        key = f"{self._scope}/{release_id}"
        stored = self._store.get(key)
        if stored is None:
            return None
        with readable(key):
            found = Manifest(**plain_of(stored.body))
            if found.id != release_id or not isinstance(found.at, int | float):
                raise ValueError(f"it is the release {shortened(found.id)}")
            return found

    def all(self) -> list[Manifest]:
        keys = self._store.list(f"{self._scope}/")
        found = [self.find(key.rpartition("/")[2]) for key in keys]
        made = [manifest for manifest in found if manifest is not None]
        return sorted(made, key=lambda manifest: manifest.at)

    def get(self, release_id: str) -> tuple[Manifest, bytes]:
        """The manifest and its archive, checksum proven.  Raises NoRelease."""
        manifest = self.find(release_id)
        if manifest is None:
            raise self._unknown(release_id)
        file = self.archive_file(release_id)
        try:
            archive = read_privately(file)
        except OSError as error:
            raise NoRelease(
                f"{file}: {error.strerror}; create the release again from the same files"
            ) from error
        if hashlib.sha256(archive).hexdigest() != manifest.sha256:
            raise NoRelease(
                f"{file} is not what was released (its checksum is another one); create "
                "the release again from the same files"
            )
        assert_harmless(file, archive)
        return manifest, archive

    def _unknown(self, release_id: str) -> NoRelease:
        known = ", ".join(manifest.id for manifest in self.all()[-5:]) or "none yet"
        return NoRelease(
            f"there is no release {release_id} (known: {known}); `kirikae release "
            f"create {release_id} --from FOLDER` makes it"
        )

    def set_images(self, release_id: str, images: dict[str, str]) -> None:
        """Write down which images were made from this release; images made anew replace the former
        ones."""
        key = f"images-{self._scope}/{release_id}"
        body = json.dumps(images, sort_keys=True)
        try:
            self._store.create_if_absent(key, body)
        except Taken:
            if self.images(release_id) != images:
                stored = self._store.get(key)
                assert stored is not None
                self._store.replace_if_match(
                    key,
                    body,
                    stored.tag,
                )

    def images(self, release_id: str) -> dict[str, str]:
        """Container name -> image, by digest or image ID; empty before `build image`."""
        key = f"images-{self._scope}/{release_id}"
        stored = self._store.get(key)
        if stored is None:
            return {}
        with readable(key):
            return {name: str(image) for name, image in plain_of(stored.body).items()}
