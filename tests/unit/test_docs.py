"""The docs say what is true: generated pages are fresh, codes are all there, links lead
somewhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from kirikae.model.errors import Exit
from kirikae.survey.catalogue import catalogue

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "README.ja.md", ROOT / "CONTRIBUTING.md"]


COMMAND = (
    r"(?:`|^|\$ |\()kirikae (local|move|release|project|survey|build) (?:--dir \S+ )?([a-z][a-z-]+)"
)


def generator():
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["command-line.md", "project-file.md", "local.md", "findings.md"])
def test_generated_pages_are_fresh(page):
    """Run `python docs/generate.py` after a change of commands, keys or operations."""
    assert generator().PAGES[page]() == (DOCS / "reference" / page).read_text(encoding="utf-8")


def test_every_exit_code_is_explained():
    """The table has each code by number and name."""
    table = (DOCS / "reference/exit-codes.md").read_text()
    for code in Exit:
        assert f"| {code.value} | {code.name.lower().replace('refused', 'refused')}" in table, code


def test_every_finding_code_is_explained():
    """Codes in the source appear in the reference, and the other way round."""
    source = "\n".join(f.read_text() for f in (ROOT / "src").rglob("*.py"))
    used = set(re.findall(r'"([A-Z]{2}\d{2})"', source))
    assert {c for c in catalogue() if c != "unreadable"} <= used, (
        "a code of the catalogue that no rule finds"
    )
    explained = set(
        re.findall(r"^\| ([A-Z]{2}\d{2}) \|", (DOCS / "reference/findings.md").read_text(), re.M)
    )
    assert used and used == explained


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    """Every relative link names a file that is there."""
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page}: {target}"


def test_commands_in_the_docs_exist():
    """Each `kirikae verb` that the docs name is one."""
    known = (DOCS / "reference/command-line.md").read_text()
    for page in PAGES:
        for group, verb in re.findall(COMMAND, page.read_text(encoding="utf-8"), re.M):
            assert f"### `kirikae {group} {verb}" in known, f"{page}: kirikae {group} {verb}"


def test_nothing_of_this_machine_is_in_the_tree():
    """No package registry's host and no path of a developer's machine in what is committed."""
    hosts = [
        "files.python" + "hosted.org",
        "pypi" + ".org/simple",
        "registry.npm" + "js.org",
        "deb.debian" + ".org",
    ]
    for file in [
        *ROOT.glob("*"),
        *(
            f
            for d in (
                "src",
                "tests",
                "docs",
                "examples",
                "benchmarks",
                "scripts",
                "requirements",
                ".ci",
            )
            for f in (ROOT / d).rglob("*")
        ),
    ]:
        if file.is_file() and "__pycache__" not in file.parts:
            text = file.read_bytes().decode(errors="replace")
            assert not [h for h in hosts if h in text], file
