"""Three figures of a multiset of lines, by which a partition proves that nothing was lost or
doubled.

``lines``: how many (a last one without a newline counts).  ``bytes``: their lengths, one newline
each always counted.  ``hash``: the sum of XXH3-128 of each line without its newline, modulo 2^128.
A sum knows no order, and it keeps how often a line is there; XOR would let pairs of equal lines
vanish.  It guards against accidents, not against attackers (xxhash.com, "XXH3").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

from kirikae.logs.errors import NotInstalled

MODULUS = 1 << 128
NEWLINE = b"\n"


@dataclass(frozen=True, slots=True)
class Sums:
    """Of no line at all: zeros."""

    lines: int = 0
    bytes: int = 0
    hash: int = 0

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.lines + other.lines,
            self.bytes + other.bytes,
            (self.hash + other.hash) % MODULUS,
        )

    def to_plain(self) -> dict[str, Any]:
        return {
            "lines": self.lines,
            "bytes": self.bytes,
            "sum128": f"{self.hash:032x}",
        }

    @classmethod
    def from_plain(cls, raw: Mapping[str, Any]) -> Self:
        return cls(raw["lines"], raw["bytes"], int(raw["sum128"], 16))


NOTHING = Sums()


@cache
def digest() -> Callable[[bytes], int]:
    """The hash of one line.  Raises NotInstalled."""
    try:
        from xxhash import xxh3_128_intdigest
    except ImportError as error:
        raise NotInstalled(
            "lines are counted with xxhash, which is not installed; "
            "`pip install 'kirikae[logs]'` brings it"
        ) from error
    return xxh3_128_intdigest


def sums_of(lines: Iterable[bytes]) -> Sums:
    """Of lines without their newlines."""
    hash_of = digest()
    found = list(lines)
    total = sum(map(hash_of, found)) % MODULUS
    return Sums(len(found), sum(map(len, found)) + len(found), total)


def sums_of_block(block: bytes) -> Sums:
    """Of a block in which each line ends with a newline."""
    lines = block.split(NEWLINE)
    lines.pop()
    total = sum(map(digest(), lines)) % MODULUS
    return Sums(len(lines), len(block), total)


def total_of(all_sums: Iterable[Sums]) -> Sums:
    """One after the other."""
    return sum(all_sums, NOTHING)
