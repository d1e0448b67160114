"""The tags of a service that is there already: what a deploy sets and what it takes away.

UpdateService takes no tags; ecspresso compares them and calls TagResource and UntagResource before
it.  With an ecspresso configuration its rule holds: the file says all of them, and one that it does
not name is taken away (``ignore.tags`` excepted), as ``kirikae ecs diff`` shows.  Without one a
file that has no ``tags`` says nothing of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kirikae.aws import ecs
from kirikae.aws.session import Aws
from kirikae.release.fleet import Step

_RESERVED = "aws:"
"""Tags of AWS's own, which nobody else may change (API reference, Tag)."""
Rows = Iterable[Mapping[str, Any]]
"""Tags as the API has them: ``key`` and ``value``."""


@dataclass(frozen=True, slots=True)
class Tagging:
    """``sets``: key -> value; ``removes``: keys."""

    arn: str = ""
    sets: Mapping[str, str] = field(default_factory=dict)
    removes: tuple[str, ...] = ()

    def steps(self) -> Iterator[Step]:
        """What ``carry_out`` would call."""
        if self.sets:
            yield Step(
                f"set the service's tags {', '.join(self.sets)}",
                "TagResource",
                {"resourceArn": self.arn, "tags": self._rows()},
            )
        if self.removes:
            yield Step(
                f"take the service's tags {', '.join(self.removes)} away, which its file does not "
                "have",
                "UntagResource",
                {"resourceArn": self.arn, "tagKeys": [*self.removes]},
            )

    def carry_out(self, aws: Aws) -> None:
        """Raises AwsRefused."""
        if self.sets:
            ecs.tag(aws, self.arn, self._rows())
        if self.removes:
            ecs.untag(aws, self.arn, self.removes)

    def _rows(self) -> list[dict[str, str]]:
        return [{"key": key, "value": value} for key, value in self.sets.items()]


def tagging(service: Mapping[str, Any], wanted: Rows | None, ignored: Collection[str]) -> Tagging:
    """``service``: as AWS describes it, with its tags; ``wanted``: None: nothing is said of
    them."""
    if wanted is None:
        return Tagging()
    there = _ours(service.get("tags", ()), ignored)
    asked = _ours(wanted, ignored)
    return Tagging(
        str(service.get("serviceArn", "")),
        {key: value for key, value in asked.items() if there.get(key) != value},
        tuple(key for key in there if key not in asked),
    )


def _ours(rows: Rows, ignored: Collection[str]) -> dict[str, str]:
    """Key -> value, of those that may be changed."""
    found = {str(row["key"]): str(row.get("value", "")) for row in rows}
    return {
        key: value
        for key, value in found.items()
        if key not in ignored and not key.lower().startswith(_RESERVED)
    }
