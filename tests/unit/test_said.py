"""Sentences are made where they are shown: both languages say the same things, and nothing is said
that no file of words has."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from kirikae.console import kinds
from kirikae.model.said import LANGUAGES, Said, Words, blanks_of, chosen, duration, said, text

SOURCE = Path(__file__).parents[2] / "src" / "kirikae"
WORDS = kinds.words()
KEYS = WORDS.keys("en")
JAPANESE = re.compile(r"[぀-ヿ一-鿿]")
ENGLISH_SENTENCE = re.compile(r"[A-Za-z]{3,} [a-z]{2,} [a-z]{2,}")
CODE = re.compile(r"`[^`]*`|\{[^}]*\}")


@pytest.mark.parametrize("key", sorted(KEYS))
def test_both_languages_say_the_same_things(key):
    """The same keys, with the same blanks to fill; no English sentence in Japanese words."""
    japanese = WORDS.keys("ja")
    assert key in japanese
    assert blanks_of(KEYS[key]) == blanks_of(japanese[key])
    bare = CODE.sub("", japanese[key])
    assert not ENGLISH_SENTENCE.search(bare), japanese[key]
    if ENGLISH_SENTENCE.search(CODE.sub("", KEYS[key])):
        assert JAPANESE.search(bare), f"not translated: {japanese[key]}"


def test_no_language_has_keys_of_its_own():
    """What one can say, the other can."""
    assert WORDS.keys("en").keys() == WORDS.keys("ja").keys()


def literals(file: Path) -> set[str]:
    """Keys that the code says: room.sentence in quotes."""
    rooms = {key.partition(".")[0] for key in KEYS}
    found = re.findall(r'"([a-z]+\.[a-z_.]+)"', file.read_text(encoding="utf-8"))
    return {key for key in found if key.partition(".")[0] in rooms}


def test_what_the_code_says_is_in_the_words():
    """A key without a sentence would be met at 3 a.m."""
    missing = {
        f"{file.relative_to(SOURCE)}: {key}"
        for file in SOURCE.rglob("*.py")
        for key in literals(file)
        if key not in KEYS
    }
    assert not missing


def test_a_sentence_survives_the_journal():
    """Nested, in lists, and with what is not known."""
    what = said("model.closed.frozen", until="1", why="x", next=[said("model.unknown"), None, 3])
    assert Said.from_plain(json.loads(json.dumps(what.to_plain()))) == what


def test_blanks_are_shown_as_they_are_meant():
    """Shares in per cent, times in units, lists with commas or semicolons, None as not known."""
    words = Words.of().plus(
        {
            language: {"t.all": "{share:share}|{s:duration}|{l}|{l:;}|{none}|{part:.1%}|{inner}"}
            for language in LANGUAGES
        }
    )
    blanks = {"share": 5, "s": 7200, "l": ["a", "b"], "none": None, "part": 0.25}
    what = Said("t.all", {**blanks, "inner": said("model.days", n=2)})
    assert words.say(what) == "0.5%|2 hours|a, b|a; b|not known|25.0%|2 days"
    assert words.say(what, "ja") == "0.5%|約 2 時間|a、b|a；b|不明|25.0%|約 2 日"
    assert words.say(text("{as it is}"), "ja") == "{as it is}"
    assert duration(None) == said("model.unknown")


def test_one_of_a_thing_is_one_thing():
    """And none, two or a thousand are many."""
    told = [WORDS.say(said("console.survey.questions", n=n)) for n in (0, 1, 2, 1200)]
    assert told == ["0 questions", "1 question", "2 questions", "1,200 questions"]
    assert WORDS.say(duration(60)) == "1 minute" and WORDS.say(duration(120)) == "2 minutes"


def test_a_sentence_that_these_words_do_not_have_is_shown_as_it_stands():
    """A journal of another version is read without a traceback, and nothing of it is hidden."""
    words = Words.of()
    assert words.say(said("jobs.late", n=3)) == "jobs.late (n=3)"
    assert words.say(said("model.days")) == "model.days"
    assert words.say(said("model.order.shift", share="x")) == "model.order.shift (share=x)"


def test_the_language_is_that_of_the_environment_unless_one_is_named():
    """LC_ALL before LANG."""
    assert chosen(None, {"LANG": "ja_JP.UTF-8"}) == "ja"
    assert chosen(None, {"LANG": "ja_JP.UTF-8", "LC_ALL": "C"}) == "en"
    assert chosen("en", {"LANG": "ja_JP.UTF-8"}) == "en"
    assert chosen(None, {}) == "en"
