"""The docs as a site: every page is in an index once, and the site asks no other host."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LINK = re.compile(r"\]\(([^)#]+\.md)")
ASKED = re.compile(
    r"<(?:script|img|iframe|source)[^>]*\ssrc=[\"']?(?:https?:)?//"
    r"|<link(?![^>]*rel=\"?canonical)[^>]*\shref=[\"']?(?:https?:)?//"
)


def build(folder: Path, docs: Path = DOCS) -> str:
    """Into ``folder``; answers what was complained of; empty: nothing, and it ended well."""
    config = ROOT / "mkdocs.yml"
    if docs != DOCS:
        config = docs.parent / "mkdocs.yml"
        shutil.copy(ROOT / "mkdocs.yml", config)
    ended = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "-f", str(config), "-d", str(folder)],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "SOURCE_DATE_EPOCH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    told = [line for line in ended.stderr.splitlines() if not line.startswith("INFO")]
    ends = [f"exit code {ended.returncode}"] if ended.returncode else []
    return "\n".join([*told, *ends])


def linked(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    found = [(page.parent / link).resolve() for link in LINK.findall(text)]
    return [str(each.relative_to(ROOT)) for each in found]


def test_every_page_stands_in_an_index_once():
    """The list of pages is written by hand, and read by people and by `make docs`."""
    own = Counter(linked(DOCS / "index.md"))
    japanese = Counter(linked(DOCS / "ja" / "index.md"))
    pages = {str(page.relative_to(ROOT)) for page in DOCS.rglob("*.md")}
    pages -= {page for page in pages if page.endswith(".head.md")} | {"docs/index.md"}
    assert pages <= {*own, *japanese}, sorted(pages - {*own, *japanese})
    for index in (own, japanese):
        assert not {page for page, times in index.items() if times > 1}
    assert {*own} & {*japanese} == set()


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder: Path = tmp_path_factory.mktemp("site")
    assert build(folder) == ""
    return folder


def test_the_site_has_every_page_and_its_search(site):
    pages = {page.relative_to(DOCS).with_suffix(".html") for page in DOCS.rglob("*.md")}
    missing = {page for page in pages if not (site / page).exists()}
    assert {page.name for page in missing} == {"findings.head.html", "local.head.html"}
    found = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    places = {each["location"].partition("#")[0] for each in found["docs"]}
    assert {"how-to/metrics.html", "ja/stop-and-go-on.html", "project/CONTRIBUTING.html"} <= places
    assert found["config"]["lang"] == ["en", "ja"]


def test_the_site_asks_no_other_host(site):
    """No font, no script, no picture, no style from elsewhere."""
    pages = {page: page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    assert len(pages) > 40
    assert not {page.name for page, text in pages.items() if ASKED.search(text)}
    styles = "".join(style.read_text(encoding="utf-8") for style in site.rglob("*.css"))
    assert not re.search(r"url\([\"']?(https?:)?//|@import", styles)


def test_a_page_says_its_language(site):
    assert '<html lang="ja"' in (site / "ja" / "first-move.html").read_text(encoding="utf-8")
    assert '<html lang="en"' in (site / "index.html").read_text(encoding="utf-8")


@pytest.mark.prove
def test_a_dead_link_ends_the_build_and_the_same_docs_give_the_same_bytes(tmp_path, site):
    """Two more builds: too long for every run."""
    assert build(tmp_path / "again") == ""
    for page in site.rglob("*"):
        if page.is_file():
            assert page.read_bytes() == (tmp_path / "again" / page.relative_to(site)).read_bytes()
    docs = shutil.copytree(DOCS, tmp_path / "copy" / "docs")
    for brought in ("CONTRIBUTING.md", "benchmarks/RESULTS.md"):
        (docs.parent / brought).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / brought, docs.parent / brought)
    with (docs / "index.md").open("a", encoding="utf-8") as index:
        index.write("\n[gone](how-to/no-such-page.md) [dead](how-to/jobs.md#no-such-place)\n")
    told = build(tmp_path / "broken", docs)
    assert "no-such-page.md" in told and "no-such-place" in told and "exit code 1" in told
