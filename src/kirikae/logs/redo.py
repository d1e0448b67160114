"""What a failed proof asks the backfill to do again: these parts of these objects, and no other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Set

from kirikae.logs.folder import digest_of
from kirikae.logs.layout import OURS
from kirikae.logs.manifest import Judged
from kirikae.model.evidence import Verdict
from kirikae.model.objects import Listed
from kirikae.model.said import said

Mark = tuple[str, str]
"""The key of an old object, and the folder in which its part failed."""
ASIDE = f"{OURS}aside/"


def marks_of(judged: Mapping[str, Judged]) -> frozenset[Mark]:
    """What an unsure folder waits for is no work of ours."""
    failed = (each for each in judged.values() if each.verdict == Verdict.FAIL)
    return frozenset((key, each.label) for each in failed for key in each.facts["redo"])


def redone(
    judged: Mapping[str, Judged],
    marks: Set[Mark],
    moved: Set[str],
) -> list[Judged]:
    """The folders all of whose parts were made again: no longer failed, and not proven yet."""
    keys: dict[str, set[str]] = defaultdict(set)
    for key, label in marks:
        keys[label].add(key)
    return [_unproven(judged[label]) for label in sorted(keys) if keys[label] <= moved]


def _unproven(before: Judged) -> Judged:
    facts = {
        "owner": before.facts["owner"],
        "seen": "",
        "reasons": [said("logs.verdict.redone").to_plain()],
        "redo": [],
    }
    return Judged(
        before.label,
        str(Verdict.UNSURE),
        facts,
        before.at,
    )


def aside(listed: Listed) -> str:
    """Where something is kept that lies in the place of a part: the same for the same object."""
    return f"{ASIDE}{digest_of(listed.etag)}/{listed.key}"
