"""Lines of one hour as a multiset of hashes, of either tree: what is compared where both writers
were at work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Set

from kirikae.logs.carrier import Carrier
from kirikae.logs.sums import Sums, digest
from kirikae.logs.work import Read
from kirikae.logs.wrapping import unwrapped
from kirikae.logs.zones import Span
from kirikae.model.objects import Listed, Objects


def new_folders(carrier: Carrier, label: str) -> tuple[str, ...]:
    """Where lines of this folder's time may lie.  By arrival: in the one before as well, whose last
    object reaches over its end, and in later ones for as long as lines may be late."""
    layout = carrier.trees.new
    span = layout.label_span(label)
    if layout.writes == "event" or span is None:
        return (label,)
    late = int(carrier.owners.lateness_s)
    return tuple(dict.fromkeys([label, *layout.labels(Span(span.begin - late, span.end + late))]))


def new_lines(
    carrier: Carrier,
    label: str,
    without: Set[str] = frozenset(),
) -> Counter[int]:
    """``without``: names of objects that do not count.  Where folders go by when things happened,
    all that lies in one is of its time.  Raises BrokenObject, Changed."""
    found: Counter[int] = Counter()
    everything = carrier.trees.new.writes == "event"
    for folder in new_folders(carrier, label):
        theirs = [each for each in carrier.new.list(folder) if name_of(each.key) not in without]
        found += _counted(carrier, carrier.new, theirs, label, everything, home=label)
    return found


def name_of(key: str) -> str:
    """Without its folders."""
    return key[key.rfind("/") + 1 :]


def old_lines(
    carrier: Carrier,
    label: str,
    near: Iterable[Listed],
) -> Counter[int]:
    """Those that belong into this folder.  Raises BrokenObject, Changed."""
    return _counted(carrier, carrier.old, near, label, everything=False)


def _counted(
    carrier: Carrier,
    objects: Objects,
    all_listed: Iterable[Listed],
    label: str,
    everything: bool,
    home: str | None = None,
) -> Counter[int]:
    counts: Counter[int] = Counter()
    hash_of = digest()

    def take(
        read: Read,
        found: str,
        lines: bytes,
        sums: Sums,
    ) -> None:
        if everything or found == label:
            counts.update(map(hash_of, lines.split(b"\n")[:-1]))

    wrapped = carrier.trees.new.wrapped if home is not None else ""
    for listed in all_listed:
        lines = unwrapped(objects.read(listed), wrapped)
        carrier.hand.read(lines, listed.key, take, home)
    return counts
