"""How a release lies in the context of an image: what changes rarely apart from what changes with
every commit, so that one changed file moves no more than it must."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_TREES = (
    ("node_modules/", ()),
    ("vendor/bundle/", ()),
    ("vendor/", ("composer.lock", "composer.json", "go.mod", "Gemfile.lock")),
    ("local/", ("cpanfile", "cpanfile.snapshot")),
    ("bower_components/", ()),
)
"""Folder of packages -> the files of which one must be there: `vendor` may be anybody's."""
_ASSETS = (
    *(".png", ".jpg", ".jpeg", ".gif", ".webp", ".avif", ".svg", ".ico", ".pdf", ".mp4", ".webm"),
    *(".woff", ".woff2", ".ttf", ".otf", ".eot", ".mp3", ".zip", ".gz", ".jar", ".so", ".wasm"),
)
_BUILT = ("dist/", "build/", "public/build/", "public/packs/", "public/assets/", "static/dist/")
"""Where the tools of front ends lay what they made."""
_LARGE = 1 << 20
"""A single file of so many bytes is rarely what a commit changes."""


def layer_of(
    path: str,
    size: int,
    names: Iterable[str],
    served: bool = False,
) -> str:
    """``vendor``, ``assets`` or ``code``, for a file of a release; ``names``: those at its top.
    ``served``: a web server gives it to users as it is."""
    top = set(names)
    for tree, known in _TREES:
        if path.startswith(tree) and (not known or top & set(known)):
            return "vendor"
    built = path.startswith(_BUILT) or path.lower().endswith(_ASSETS)
    return "assets" if built or served or size >= _LARGE else "code"


def wanted(dockerfile: str) -> Iterator[str]:
    """Folders of the context that a Dockerfile copies a release from."""
    if "layers/" in dockerfile:
        yield "layers"
    if "release/" in dockerfile:
        yield "release"
