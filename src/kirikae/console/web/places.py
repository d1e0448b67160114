"""Where the project files of a portfolio lie: a folder of this machine, or a bucket.

They are looked for anew now and then, so that one that was added comes by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from kirikae.aws.s3_store import S3Store, store_at
from kirikae.aws.session import Aws, configured_region
from kirikae.console.here import Here
from kirikae.console.web.kept import Kept, tried
from kirikae.hosts.files import write_privately
from kirikae.model.errors import KirikaeError, UsageProblem

_FILES = "kirikae*.yml"
_MOST = 2000
_FRESH_S = 20.0
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Listed:
    """``files``: name in addresses -> a project file.  ``broken``: what cannot be one, and why."""

    files: Mapping[str, Here]
    broken: Mapping[str, str] = field(default_factory=dict)


class Places(Mapping[str, Here]):
    """The newest list; where it cannot be had any more, the last one and ``trouble``."""

    def __init__(self, find: Callable[[], Listed]) -> None:
        """Raises what ``find`` raises the first time."""
        self._last = find()
        self._kept = Kept(lambda: tried(find), _FRESH_S)
        self.trouble = ""

    def now(self) -> Listed:
        """Never waits: what is found meanwhile is there the next time."""
        found = self._kept.get(0.0)
        if found is not None:
            self.trouble = found.trouble
            self._last = found.value or self._last
        return self._last

    def __getitem__(self, name: str) -> Here:
        return self.now().files[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.now().files)

    def __len__(self) -> int:
        return len(self.now().files)


def places_in(folder: Path, here: Here) -> Listed:
    """Every project file below a folder, by its way from there.  Raises UsageProblem."""
    found = {
        str(file): file.relative_to(folder)
        for file in sorted(folder.rglob(_FILES))
        if not any(part.startswith(".") for part in file.relative_to(folder).parts)
    }
    if not found:
        raise UsageProblem(f"--portfolio {folder}: no {_FILES} lies there or below it")
    names, broken = _named(found)
    files = {name: replace(here, project_file=file) for name, file in names.items()}
    return Listed(files, broken)


def places_of_bucket(url: str, here: Here, copies: Path) -> Listed:
    """Every project file below ``s3://BUCKET/PREFIX``, copied into a folder of ours.

    Raises UsageProblem, StoreBroken, AwsUnreachable.
    """
    region = configured_region()
    if region is None:
        raise UsageProblem(f"--portfolio {url}: say the bucket's region with AWS_REGION")
    store = store_at(Aws(region, read_only=True), url, of="the portfolio")
    found = [key for key in store.list("") if fnmatch(PurePosixPath(key).name, _FILES)]
    if not found:
        raise UsageProblem(f"--portfolio {url}: no {_FILES} lies there")
    names, broken = _named({key: PurePosixPath(key) for key in found})
    keys = list(names.values())
    with ThreadPoolExecutor(_AT_ONCE, "bucket") as pool:
        troubles = list(pool.map(lambda key: _copy(store, key, copies), keys))
    files = {}
    for name, key, trouble in zip(names, keys, troubles, strict=True):
        address = f"{url.rstrip('/')}/{key}"
        if trouble:
            broken[name] = f"{address}: {trouble}"
        else:
            files[name] = replace(here, project_file=str(copies / key), copied_from=address)
    _drop_what_is_gone(copies, {copies / key for key in keys})
    return Listed(files, broken)


def _named(found: Mapping[str, Path | PurePosixPath]) -> tuple[dict[str, str], dict[str, str]]:
    """Name in addresses -> file, and what has none: a second file of one name (``a.b/kirikae.yml``
    beside ``a/b/kirikae.yml``), and files beyond the most."""
    names: dict[str, str] = {}
    broken: dict[str, str] = {}
    for file, below in found.items():
        name = _name_of(below)
        if name in names:
            broken[file] = f"its name here is that of {names[name]}: rename a folder"
        elif len(names) == _MOST:
            broken[file] = f"more than {_MOST} project files: name a folder with fewer"
        else:
            names[name] = file
    return names, broken


def _name_of(below: Path | PurePosixPath) -> str:
    return ".".join(below.with_suffix("").parts)


def _copy(store: S3Store, key: str, copies: Path) -> str:
    """Why it was not; a key never leads out of the folder."""
    if any(part in ("", "..") or part.startswith(".") for part in key.split("/")):
        return "no part of its key may be empty or begin with a dot"
    try:
        stored = store.get(key)
        if stored is None:
            return "it was taken away meanwhile"
        _write(copies / key, stored.body)
    except (KirikaeError, OSError, UnicodeDecodeError) as error:
        return str(error)
    return ""


def _write(file: Path, body: str) -> None:
    """Only what was changed: a file that is written anew is read anew by everybody."""
    if not file.is_file() or file.read_text(encoding="utf-8") != body:
        write_privately(file, body)


def _drop_what_is_gone(copies: Path, kept: set[Path]) -> None:
    """So that no environment lies over a file that the bucket has no more."""
    for file in copies.rglob(_FILES):
        if file not in kept:
            file.unlink(missing_ok=True)
