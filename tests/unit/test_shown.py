"""What came from elsewhere is shown as text: it cannot give a terminal an order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirikae.console.here import Answer
from kirikae.console.main import _show
from kirikae.model.shown import clean, writable


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


def test_every_answer_goes_through_it(capsys):
    """Lines and notes are cleaned; JSON is data, and can be written."""
    answer = Answer({"x": "\udce9"}, ["\x1b]0;x\x07line"], notes=["\x1b[5mnote"])
    _show(answer, as_json=False)
    told = capsys.readouterr()
    assert (told.out, told.err) == ("line\n", "note\n")
    _show(answer, as_json=True)
    assert capsys.readouterr().out == '{"outcome": "done", "x": "?"}\n'
    assert writable("é") == "é"
