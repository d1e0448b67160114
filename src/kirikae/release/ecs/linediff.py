"""A unified diff of two texts of a thousand lines in some milliseconds.

Lines that stand once in each text, and in the same order, hold both together ("patience diff");
only what lies between two of them is compared line by line.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

_CONTEXT = 3
Block = tuple[int, int, int]
"""(place in the left text, place in the right one, lines): alike."""


class _Matcher(SequenceMatcher[str]):
    """difflib's way of telling what was changed, with our way of finding what is alike."""

    def __init__(self, left: Sequence[str], right: Sequence[str]) -> None:
        super().__init__(
            None,
            [],
            [],
            autojunk=False,
        )
        self.a = left
        self.b = right
        self._alike = [*_alike(left, right), (len(left), len(right), 0)]

    def get_matching_blocks(self) -> list[Block]:  # type: ignore[override]
        """In order, the last one empty."""
        return self._alike


def _alike(left: Sequence[str], right: Sequence[str]) -> Iterator[Block]:
    one = 0
    other = 0
    for here, there in [*_anchors(left, right), (len(left), len(right))]:
        for begin, start, size in _between(left[one:here], right[other:there]):
            yield one + begin, other + start, size
        if here < len(left):
            yield here, there, 1
        one = here + 1
        other = there + 1


def _between(left: Sequence[str], right: Sequence[str]) -> Iterator[Block]:
    """What both begin and end with is alike; only the rest is looked at closely."""
    most = min(len(left), len(right))
    head = next((n for n in range(most) if left[n] != right[n]), most)
    rest = most - head
    tail = next((n for n in range(rest) if left[-1 - n] != right[-1 - n]), rest)
    if head:
        yield 0, 0, head
    one = left[head : len(left) - tail]
    other = right[head : len(right) - tail]
    if one and other:
        for block in SequenceMatcher(
            None,
            one,
            other,
            autojunk=False,
        ).get_matching_blocks():
            if block.size:
                yield head + block.a, head + block.b, block.size
    if tail:
        yield len(left) - tail, len(right) - tail, tail


def _anchors(left: Sequence[str], right: Sequence[str]) -> list[tuple[int, int]]:
    """Lines that stand once in both, as many as are in the same order."""
    counts = Counter(left)
    others = Counter(right)
    place = {line: number for number, line in enumerate(right)}
    both = [
        (number, place[line])
        for number, line in enumerate(left)
        if counts[line] == 1 and others[line] == 1
    ]
    return _rising(both)


def _rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest run in which both places rise."""
    ends: list[int] = []
    at: list[int] = []
    before: list[int | None] = []
    for number, (_, there) in enumerate(pairs):
        length = bisect_left(ends, there)
        before.append(at[length - 1] if length else None)
        ends[length : length + 1] = [there]
        at[length : length + 1] = [number]
    found = []
    last = at[-1] if at else None
    while last is not None:
        found.append(pairs[last])
        last = before[last]
    return found[::-1]


def unified(
    left: str,
    right: str,
    left_name: str,
    right_name: str,
) -> str:
    """As ``diff -u`` prints it; empty where both are the same."""
    if left == right:
        return ""
    one = left.splitlines()
    other = right.splitlines()
    lines = [f"--- {left_name}", f"+++ {right_name}"]
    for group in _Matcher(one, other).get_grouped_opcodes(_CONTEXT):
        _, start, _, begin, _ = group[0]
        _, _, stop, _, end = group[-1]
        lines.append(f"@@ -{_range(start, stop)} +{_range(begin, end)} @@")
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                lines += [f" {line}" for line in one[i1:i2]]
                continue
            lines += [f"-{line}" for line in one[i1:i2]]
            lines += [f"+{line}" for line in other[j1:j2]]
    return "\n".join(lines) + "\n"


def _range(start: int, stop: int) -> str:
    """Counted from 1; an empty one names the line before it."""
    length = stop - start
    if length == 1:
        return f"{start + 1}"
    return f"{start + 1 if length else start},{length}"
