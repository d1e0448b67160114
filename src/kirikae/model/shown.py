"""What came from a host, from AWS or from a file, made fit for a terminal: text, never an order."""

from __future__ import annotations

import re

# Operating system commands (window titles, links), other strings that a terminal reads to their
# end, and cursor and colour sequences, each with 7-bit and 8-bit beginnings.
_STRINGS = r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|$)"
_SEQUENCES = r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
_SHORT = r"\x1b[ -/]*[0-~]"
_ORDERS = re.compile(f"{_STRINGS}|{_SEQUENCES}|{_SHORT}")
# Control characters but tab and line break, what turns the direction of text, and halves of
# characters that no encoding can write.
_UNFIT = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_BEYOND_ASCII = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_STAND_IN = "\ufffd"


def clean(text: str) -> str:
    """Without a terminal's orders; what else cannot be shown becomes U+FFFD."""
    return _UNFIT.sub(_STAND_IN, _ORDERS.sub("", text.replace("\r\n", "\n")))


def one_line(text: str) -> str:
    """For a place where a line break would begin something else."""
    return " ".join(clean(text).split())


def unbroken(text: str) -> str:
    """A row of ours with others' names in it: their line breaks begin no row; our spaces stay."""
    return " ".join(text.splitlines())


_OF_MARKDOWN = re.compile(r"[\\`*\[\]<>|]")


def markdown(text: str) -> str:
    """Data for a line of Markdown: no heading, no link, no picture, no HTML of its own."""
    return _OF_MARKDOWN.sub(r"\\\g<0>", one_line(text))


def code_span(text: str) -> str:
    """Data between backticks of its own, where Markdown obeys nothing but a run of as many."""
    line = one_line(text)
    runs = [len(run) for run in re.findall("`+", line)]
    ticks = "`" * (max(runs, default=0) + 1)
    room = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{room}{line}{room}{ticks}"


def escaped(json: str) -> str:
    """JSON in which every character that a terminal may obey is written as ``\\uXXXX``: the same
    data.  (ASCII's own are written so by JSON itself.)"""
    if json.isascii() and "\x7f" not in json:
        return json
    return _BEYOND_ASCII.sub(lambda found: f"\\u{ord(found[0]):04x}", json)


def writable(text: str) -> str:
    """Data as it is, but for halves of characters: no encoding can write them."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
