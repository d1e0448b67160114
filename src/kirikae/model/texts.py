"""Bytes of a file as text: UTF-8, or an error that says which line is none."""

from __future__ import annotations

from kirikae.model.errors import UsageProblem

_MARK = b"\xef\xbb\xbf"
_OTHERS = ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"), (b"\x1f\x8b", "compressed (gzip)"))


def text_from(raw: bytes, name: str, line: int = 1) -> str:
    """``name``: the file's, for the error.  ``line``: where these bytes begin in it.

    The mark that some editors put before UTF-8 is left out.  Raises UsageProblem.
    """
    if line == 1:
        raw = raw.removeprefix(_MARK)
        for begins, what in _OTHERS:
            if raw.startswith(begins):
                raise UsageProblem(f"{name}:1: the file is {what}; save it as plain UTF-8 text")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        at = line + raw.count(b"\n", 0, error.start)
        byte = raw[error.start]
        raise UsageProblem(
            f"{name}:{at}: not UTF-8 text (byte 0x{byte:02x}); save the file as UTF-8"
        ) from error


def shortened(value: object, most: int = 80) -> str:
    """A value as it was written, for a message of one line."""
    try:
        words = repr(value)
    except ValueError:
        # Python does not write out whole numbers of thousands of digits.
        return "a number of thousands of digits"
    return words if len(words) <= most else f"{words[:most]}... ({len(words)} characters)"
