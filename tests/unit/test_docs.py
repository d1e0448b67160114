"""The docs say what is true: generated pages are fresh, names are those of the code, examples can
be read, links lead somewhere."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from kirikae.console import kinds
from kirikae.console.here import DRY_RUN, NOTHING_TO_DO, OUTCOMES
from kirikae.console.main import cli
from kirikae.model.errors import Exit
from kirikae.model.evidence import Evidence
from kirikae.model.move import Move
from kirikae.model.said import Words
from kirikae.survey.catalogue import catalogue
from kirikae.traffic.batches import Batch
from kirikae.traffic.kind import TRAFFIC
from tests.world import WORLD, known

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCE = ROOT / "src" / "kirikae"
PAGES = [*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "README.ja.md", ROOT / "CONTRIBUTING.md"]


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def generator():
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(DOCS))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(DOCS))
    return module


@pytest.mark.parametrize(
    "page",
    [
        "reference/command-line.md",
        "reference/project-file.md",
        "reference/local.md",
        "reference/findings.md",
        "images/rooms.svg",
    ],
)
def test_generated_pages_are_fresh(page):
    """Run `python docs/generate.py` after a change of commands, keys, operations, findings, or of
    who imports whom."""
    assert generator().PAGES[page]() == (DOCS / page).read_text(encoding="utf-8")


def test_every_kind_of_move_has_its_keys_in_the_reference(monkeypatch):
    """Also where there are several."""
    monkeypatch.setattr(kinds, "KINDS", known(TRAFFIC, WORLD))
    page = generator().project_file()
    assert "- `moves.NAME` with `kind: world`: A move of a file." in page
    assert "- `moves.NAME.file` (string; must be given)" in page
    assert "- `moves.NAME.router.listener_rule`" in page


def verbs(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """All commands below this one, groups too: (``kirikae move plan``, command)."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield f"{path} {name}", found
            yield from verbs(found, f"{path} {name}")


@pytest.mark.parametrize(("verb", "command"), list(verbs(cli, "kirikae")), ids=str)
def test_each_verb_and_each_of_its_options_is_in_the_reference(verb, command):
    """Whatever its depth."""
    page = text_of("docs/reference/command-line.md")
    heading = re.search(rf"^##+ `{verb}( [^`]*)?`\n(.*?)(?=^##|\Z)", page, re.M | re.S)
    assert heading, verb
    for option in command.params:
        if isinstance(option, click.Option):
            assert f"`{', '.join(option.opts)}`" in heading[2], (verb, option.opts)


def test_every_exit_code_is_explained():
    """The table has each code by number, name, and its outcome in JSON."""
    table = text_of("docs/reference/exit-codes.md")
    for code in Exit:
        assert f"| {code.value} | {code.name.lower()} | {OUTCOMES[code]} |" in table, code
    assert f"`{DRY_RUN}`" in table and f"`{NOTHING_TO_DO}`" in table


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


# --- names that the docs use


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    """Every relative link names a file that is there, and a heading of this page or that one."""
    for target, anchor in re.findall(
        r"\]\(([^)#]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8")
    ):
        if "://" not in target:
            file = (page.parent / target) if target else page
            assert file.exists(), f"{page}: {target}"
            assert not anchor or anchor in anchors(file), f"{page}: {target}#{anchor}"


def anchors(file: Path) -> set[str]:
    """What a heading is called in a link."""
    headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


PATH = re.compile(r"`((?:src|tests|docs|examples|benchmarks|scripts)/[\w./-]+)`")
PLACE = re.compile(r"`(\w+(?:/\w+)*/\w+\.py)`")
TO_COME = ("src/kirikae/jobs/",)
"""What a recipe makes."""


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_that_the_docs_name_are_there(page):
    """From the root of the tree, or below `src/kirikae/`."""
    text = page.read_text(encoding="utf-8")
    for name in PATH.findall(text):
        assert name in TO_COME or (ROOT / name).exists(), f"{page}: {name}"
    for name in PLACE.findall(text):
        assert (SOURCE / name).exists() or (ROOT / name).exists(), f"{page}: {name}"


FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
ENDS = re.compile(r"\s(?:\||\|\||&&|&|;|>|>>|2>|<|#)(?:\s|$)|\s>\S|\)$|\)`")


def spoken(page: Path) -> Iterator[list[str]]:
    """The words of each call of kirikae in a page: in its blocks and between its backticks."""
    text = page.read_text(encoding="utf-8")
    typed = []
    for language, block in FENCED.findall(text):
        if language == "console":  # what is not after a dollar is an answer
            block = "\n".join(re.findall(r"^\$ (.*)$", block, re.M))
        if language in ("sh", "console", ""):
            typed.append(block.replace("\\\n", " "))
    calls = re.findall(r"(?:^|[\s(;&])kirikae( [^\n]*)", "\n".join(typed))
    prose = re.sub(r"``.*?``", "", FENCED.sub("", text))
    for paragraph in re.split(r"\n(?:\s*\n|(?=[-|#\d]))", prose):
        spans = paragraph.replace("\n", " ").split("`")[1::2]
        calls += [span.removeprefix("kirikae") for span in spans if span.startswith("kirikae ")]
    for call in calls:
        words = ENDS.split(re.split(r"[;)]", call)[0])[0].split()
        if words and re.fullmatch(r"-{0,2}[a-z][a-z-]*", words[0]):
            yield words


def fault(words: list[str]) -> str | None:
    """Why this call is none of kirikae's: a verb or an option that it does not have."""
    command: click.Command = cli
    left = list(words)
    known: dict[str, click.Option] = {}
    while True:
        for option in command.params:
            if isinstance(option, click.Option):
                known |= dict.fromkeys((*option.opts, *option.secondary_opts, "--help"), option)
        if not left:
            return None
        word = left.pop(0)
        name, given, _ = word.partition("=")
        if name.startswith("--"):
            if name not in known and name != "--version":
                return f"{' '.join(words)}: no option {name}"
            takes = name in known and not known[name].is_flag and not given
            left = left[1:] if takes else left
        elif isinstance(command, click.Group):
            found = command.get_command(click.Context(command), word)
            if found is None and re.fullmatch("[a-z-]+", word):
                return f"{' '.join(words)}: no verb {word}"
            if found is None:
                return None  # several at once, `a|b`, or a name that stands for them
            command = found


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_each_call_in_the_docs_is_one_that_kirikae_takes(page):
    """Every verb of every group, with its options: a page that names one which is gone fails."""
    calls = list(spoken(page))
    assert not [told for told in map(fault, calls) if told]


def test_calls_are_found_in_the_pages_and_judged():
    calls = [words for page in PAGES for words in spoken(page)]
    assert len(calls) > 400
    assert {words[0] for words in calls} >= {"jobs", "logs", "move", "doctor", "init", "back-out"}
    for wrong in ("jobs wrapp x", "jobs wrap x --zones UTC", "logs verify a --deeper", "movee"):
        assert fault(wrong.split()), wrong
    assert fault(["--read-only", "move", "plan", "web", "--lang", "ja"]) is None


def test_the_glossary_names_what_the_code_has():
    """Each class in the file that is named for it."""
    rows = re.findall(r"^\| [^|]+ \| [^|]+ \| (`[^|]+`) \|$", text_of(GLOSSARY), re.M)
    assert len(rows) > 30
    for cells in rows:
        found = re.findall(r"`([^`]+)`", cells)
        file = next(name for name in found if "/" in name)
        for name in found:
            if "/" in name:
                file = name
            else:
                source = (SOURCE / file).read_text(encoding="utf-8")
                assert re.search(rf"^(class {name}\b|{name}\b.* = )", source, re.M), (file, name)


def test_the_glossary_has_the_words_of_japanese_messages():
    """What is given for a word is what the messages say."""
    said = "\n".join(f.read_text(encoding="utf-8") for f in SOURCE.rglob("words/ja.toml"))
    said += "\n".join(entry.title_ja for entry in catalogue().values())
    first = text_of(GLOSSARY).split("## What the house is made of")[0]
    rows = re.findall(r"^\| [^|]+ \| [^|]+ \| ([^|]+) \|$", first, re.M)[1:]
    given = {word for cell in rows for word in cell.split("、") if word not in ("-", "---")}
    assert len(given) > 20
    assert not {word for word in given if word not in said}


GLOSSARY = "docs/reference/glossary.md"


def test_the_two_sides_have_one_name_in_japanese():
    """旧環境 and 新環境, in words, catalogues and docs."""
    files = [*SOURCE.rglob("*.toml"), *SOURCE.rglob("*.py"), *DOCS.rglob("*.md")]
    for file in files:
        found = re.findall("古い側|新しい側|旧側|新側", file.read_text(encoding="utf-8"))
        assert not found, (file, found)


# --- examples that the docs show


def examples(page: str, what: str) -> list[str]:
    return re.findall(
        rf"<!-- read by the suite: {what} -->\n```json\n(.*?)```", text_of(page), re.S
    )


def test_entries_of_the_journal_s_page_can_be_read():
    """Of this format and of former ones."""
    words = Words.of("kirikae.move", "kirikae.traffic")
    formats = set()
    for example in examples("docs/explanation/journal.md", "entry"):
        raw = json.loads(example)
        formats.add(raw["format"])
        move = Move.from_plain(raw["move"])
        said = [move.held.reason] if move.held else []
        if raw["evidence"]:
            said.append(Evidence.from_plain(raw["evidence"]).reason)
        if raw["format"] == 3:
            assert move.to_plain() == raw["move"]
        assert said and all(words.say(each) for each in said)
    assert formats == {2, 3}


def test_figures_of_the_journal_s_page_can_be_read():
    """Of this format as they are; of format 1 what was counted alike on both sides."""
    now, former = examples("docs/explanation/journal.md", "batch")
    assert Batch.from_plain(json.loads(now)).to_plain() == json.loads(now)
    assert Batch.from_plain(json.loads(former)).side("old")[:4] == (80, 1, None, {})


WRITERS = ("move/journal.py", "move/lease.py", "release/ledger.py", "release/manifest.py")


def test_every_key_of_the_store_is_explained():
    """How each key begins stands in the journal's page."""
    page = text_of("docs/explanation/journal.md")
    found = set()
    for writer in WRITERS:
        source = (SOURCE / writer).read_text(encoding="utf-8")
        found |= set(re.findall(r'f"([a-z]+)/\{', source))
        found |= {f"{kind}releases" for kind in re.findall(r'f"([a-z]+-)\{self\._scope\}', source)}
    assert found >= {"move", "figures", "note", "approval", "lease", "release", "images-releases"}
    for kind in found:
        assert f"| `{kind}/" in page, kind


def test_words_that_the_docs_quote_are_the_words():
    """An example of a file of words is in that file."""
    page = text_of("docs/explanation/words.md")
    [block] = re.findall(r"```toml\n(.*?)```", page, re.S)
    quoted = re.findall(r"# (\S+)\n(.*?)(?=\n#|\Z)", block, re.S)
    assert len(quoted) == 2
    for file, lines in quoted:
        known = tomllib.loads(text_of(file))
        for key, template in tomllib.loads(lines).items():
            assert known[key] == template


def test_the_limits_of_make_check_are_told():
    """Each figure that `scripts/measure --check` holds, with its limit."""
    page = text_of("CONTRIBUTING.md")
    source = text_of("scripts/measure")
    limits = re.findall(
        r'^    "(.*)": ([\d.]+),$', source.split("LIMITS = {")[1].split("}")[0], re.M
    )
    assert limits
    for figure, limit in limits:
        assert f"| {figure} | {float(limit):g} |" in page, figure


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
