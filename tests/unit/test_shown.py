"""What came from elsewhere is shown as text: it cannot give a terminal an order."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirikae.console.driving import _complain
from kirikae.console.here import Answer
from kirikae.console.main import _show
from kirikae.console.telling import Teller
from kirikae.model.evidence import Evidence, Verdict
from kirikae.model.move import Move
from kirikae.model.said import text
from kirikae.model.shown import clean, markdown, writable
from kirikae.move.engine import Look, Wait, Waits
from tests.command import run


@pytest.mark.parametrize(
    ("given_", "shown"),
    [
        ("\x1b]0;owned\x07title", "title"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b[31mred\x1b[0m\x1b[2J", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]never ended", ""),
        ("\x1bcreset", "reset"),
        ("a\rb\x08\x00\x7f", "a\ufffdb\ufffd\ufffd\ufffd"),
        ("txt.\u202eexe", "txt.\ufffdexe"),
        ("half \udce9", "half \ufffd"),
        ("日本語\tand\r\nlines\n", "日本語\tand\nlines\n"),
    ],
)
def test_a_terminal_s_orders_are_taken_out(given_, shown):
    """Titles, links, colours, and what hides or turns text; the text itself stays."""
    assert clean(given_) == shown


@given(st.text(max_size=60))
def test_nothing_that_a_terminal_obeys_is_left(text):
    """Whatever a host answers."""
    shown = clean(text)
    assert clean(shown) == shown
    assert not [each for each in shown if ord(each) < 32 and each not in "\t\n"]
    assert not any(0x7F <= ord(each) < 0xA0 for each in shown)
    shown.encode()


@pytest.mark.parametrize(
    ("given_", "shown"),
    [
        ("a\n## b\n- [ ] c", "a ## b - \\[ \\] c"),
        ("<script>alert(1)</script>", "\\<script\\>alert(1)\\</script\\>"),
        ("![x](http://evil/?q)", "!\\[x\\](http://evil/?q)"),
        ("`rm` *all* | x", "\\`rm\\` \\*all\\* \\| x"),
        ("a\u2028b\x1b]8;;http://evil\x07c\u202ed", "a bc\ufffdd"),
        ("/srv/my_app/ファイル", "/srv/my_app/ファイル"),
    ],
)
def test_data_in_markdown_is_one_line_of_text(given_, shown):
    """What a host calls a file begins no heading, no box and no link."""
    assert markdown(given_) == shown


@given(st.text(max_size=30))
def test_json_is_the_same_data_and_gives_no_terminal_an_order(text):
    """Also the 8-bit forms, and what turns the direction of text."""
    for given_ in (text, "\x9b31m" + text, "\u202e" + text):
        told = Answer({"x": given_}).json()
        assert json.loads(told)["x"] == given_
        assert clean(told) == told or re.search("[\ud800-\udfff]", told)


def test_every_answer_goes_through_it(capsys):
    """Lines and notes are cleaned; JSON is data, and can be written."""
    answer = Answer({"x": "\udce9"}, ["\x1b]0;x\x07line"], notes=["\x1b[5mnote"])
    _show(answer, as_json=False)
    told = capsys.readouterr()
    assert (told.out, told.err) == ("line\n", "note\n")
    _show(answer, as_json=True)
    assert capsys.readouterr().out == '{"outcome": "done", "x": "?"}\n'
    assert writable("é") == "é"


EVIL = "\x1b]0;owned\x07\x1b[5mnews\nof a host"


@pytest.mark.parametrize("live", [True, False])
def test_what_a_driver_prints_goes_through_it_too(capsys, live):
    """While it goes on, in one line of a terminal or line by line; its complaints as well."""
    evidence = Evidence(Verdict.FAIL, text(EVIL))
    wait = Wait(Waits.EVIDENCE, text(EVIL))
    look = Look(Move("web", (1000,), seq=3), evidence, wait)
    teller = Teller(False, lambda _: None, live=live)
    teller(look)
    _complain(EVIL)
    told = capsys.readouterr()
    for words in (told.out, told.err.replace("\r\x1b[K", "")):
        assert "\x1b" not in words and "\x07" not in words and "news" in words


def test_a_word_of_the_command_line_is_shown_as_text(capsys):
    """It may come from a script's variable."""
    ran = run("move", "status", "web", "--no-such\x1b]0;owned\x07")
    assert ran.exit_code == 2 and "\x1b" not in ran.stderr and "--no-such" in ran.stderr
