"""Three figures of a multiset: they know no order, and every accident changes one of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from kirikae.logs.sums import MODULUS, NOTHING, Sums, sums_of, sums_of_block, total_of

LINES = some.lists(some.binary(max_size=30).map(lambda raw: raw.replace(b"\n", b"")), max_size=30)
FEW = LINES.filter(bool)


@given(LINES, some.randoms())
def test_no_order_and_no_split_changes_them(lines, rng):
    """Any order, any parts, merged in any order."""
    shuffled = rng.sample(lines, len(lines))
    cut = rng.randrange(len(lines) + 1)
    parts = [sums_of(shuffled[cut:]), NOTHING, sums_of(shuffled[:cut])]
    assert total_of(parts) == sums_of(lines)
    assert sums_of_block(b"".join(line + b"\n" for line in lines)) == sums_of(lines)


@given(FEW, some.randoms())
def test_a_lost_and_a_doubled_line_are_seen(lines, rng):
    """Also an empty one."""
    at = rng.randrange(len(lines))
    assert sums_of(lines[:at] + lines[at + 1 :]) != sums_of(lines)
    assert sums_of([*lines, lines[at]]) != sums_of(lines)


@given(FEW, some.binary(max_size=30), some.randoms())
def test_an_altered_line_is_seen(lines, other, rng):
    """Of the same length as well."""
    at = rng.randrange(len(lines))
    changed = [*lines[:at], other.replace(b"\n", b""), *lines[at + 1 :]]
    assert (sums_of(changed) == sums_of(lines)) == (sorted(changed) == sorted(lines))


@given(FEW, FEW)
def test_lines_that_two_folders_have_swapped_are_seen_in_both(first, second):
    """Although the total is the same."""
    swapped = [second[0], *first[1:]], [first[0], *second[1:]]
    same = first[0] == second[0]
    assert (sums_of(swapped[0]) == sums_of(first)) == same
    assert (sums_of(swapped[1]) == sums_of(second)) == same
    assert sums_of(swapped[0]) + sums_of(swapped[1]) == sums_of(first) + sums_of(second)


def test_equal_lines_are_counted_and_not_cancelled():
    """As XOR would."""
    pair = sums_of([b"a", b"a"])
    assert pair.hash == 2 * sums_of([b"a"]).hash % MODULUS != 0
    assert Sums.from_plain(pair.to_plain()) == pair and NOTHING + pair == pair
    assert sums_of([b""]).lines == sums_of([b""]).bytes == 1
