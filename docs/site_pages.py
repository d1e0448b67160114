"""For `make docs`: the list of pages is that of the indexes, and pages that lie outside of docs/
come along, with links that lead there.

MkDocs calls the functions named ``on_...`` (MkDocs, "Hooks")."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
BROUGHT = ("CONTRIBUTING.md", "benchmarks/RESULTS.md")
"""What pages of docs/ lead to."""
_BESIDE = "project"
_LINK = re.compile(r"(?<=\]\()([^)#\s:]+)(?=[)#])")
_CODE = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(##+) (.+)$")
_ITEM = re.compile(r"^- .*?\]\(([^)]+\.md)\)")
_JAPANESE = "ja/"


def on_config(config: Any) -> Any:
    """Pages in the order of the indexes, under their headings."""
    docs = Path(config.docs_dir)
    japanese = _listed(docs / _JAPANESE / "index.md")
    config.nav = [
        {"kirikae": "index.md"},
        *_sections(docs / "index.md"),
        {"日本語": [f"{_JAPANESE}{page}" for page in ("index.md", *japanese)]},
        {"To change it": [_in_site(name) for name in BROUGHT]},
    ]
    return config


def _sections(index: Path) -> list[Any]:
    """``[{heading: [pages, {smaller heading: [pages]}]}]``."""
    sections: list[Any] = []
    into: list[Any] = []
    for line in index.read_text(encoding="utf-8").splitlines():
        heading = _HEADING.match(line)
        item = _ITEM.match(line)
        if heading:
            below = sections if heading[1] == "##" else next(iter(sections[-1].values()))
            into = []
            below.append({heading[2]: into})
        elif item and not item[1].startswith(_JAPANESE):
            into.append(item[1])
    return sections


def _listed(index: Path) -> list[str]:
    lines = index.read_text(encoding="utf-8").splitlines()
    return [item[1] for item in map(_ITEM.match, lines) if item]


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Who hears a page read aloud hears it in its own language."""
    if page.file.src_uri.startswith(_JAPANESE):
        return output.replace('<html lang="en"', '<html lang="ja"', 1)
    return output


def on_files(files: Files, config: Any) -> Files:
    """The pages from outside."""
    for name in BROUGHT:
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, _in_site(name), content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links as they must be in the site; what stands in code is no link."""
    parts = _CODE.split(markdown)
    uri = page.file.src_uri
    parts[::2] = [_LINK.sub(lambda link: _led(link[0], uri), part) for part in parts[::2]]
    return "".join(parts)


def _led(link: str, uri: str) -> str:
    """A link of a page in the repository, as a link of the same page in the site."""
    here = _in_repository(uri)
    there = posixpath.normpath(posixpath.join(posixpath.dirname(here), link))
    return posixpath.relpath(_in_site(there), posixpath.dirname(uri) or ".")


def _in_repository(uri: str) -> str:
    if uri.startswith(f"{_BESIDE}/"):
        return uri.removeprefix(f"{_BESIDE}/")
    return f"docs/{uri}"


def _in_site(path: str) -> str:
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"{_BESIDE}/{path}"
