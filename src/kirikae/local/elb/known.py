"""Load balancers, target groups, listeners and rules by the ARNs and names that requests give; and
forms that their answers share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from kirikae.local.elb.actions import forward_groups
from kirikae.local.errors import AwsError
from kirikae.local.pages import TOKEN
from kirikae.local.plain import Plain
from kirikae.local.rows import Balancer, ElbTag, Group, Listener, Rule
from kirikae.local.state import State

_LARGEST_PAGE = 400
_THINGS = {
    "LoadBalancerNotFound": "load balancers",
    "TargetGroupNotFound": "target groups",
    "ListenerNotFound": "listeners",
    "RuleNotFound": "rules",
}
MOST_TAGS = 50
"""ELB API reference, AddTags: the quota of tags per resource."""
Row = TypeVar("Row", Balancer, Group, Listener, Rule)
Named = TypeVar("Named", Balancer, Group)


class Known:
    """Raises AwsError for what is not there."""

    def __init__(self, state: State) -> None:
        """Looks everything up when it is asked; nothing is kept here."""
        self._state = state

    def balancer(self, arn: str) -> Balancer:
        """The load balancer of this ARN."""
        return _one(self._state.balancers.all(), arn, "LoadBalancerNotFound")

    def group(self, arn: str) -> Group:
        """The target group of this ARN."""
        return _one(self._state.groups.all(), arn, "TargetGroupNotFound")

    def listener(self, arn: str) -> Listener:
        """The listener of this ARN."""
        return _one(self._state.listeners.all(), arn, "ListenerNotFound")

    def rule(self, arn: str) -> Rule:
        """The rule of this ARN."""
        return _one(self._state.rules.all(), arn, "RuleNotFound")

    def default_rule(self, listener: Listener) -> Rule:
        """The rule that is carried out where no other one matches; every listener has one."""
        own = [rule for rule in self._state.rules.all() if rule["listener"] == listener["arn"]]
        return next(rule for rule in own if rule["default"])

    def balancers_of(self, group_arn: str) -> set[str]:
        """ARNs of the load balancers that have a rule which forwards to this group."""
        arns = set()
        for rule in self._state.rules.all():
            if group_arn in (arn for arn, _ in forward_groups(rule["actions"])):
                listener = self._state.listeners.get(rule["listener"])
                balancer = self._state.balancers.get(listener["balancer"]) if listener else None
                if balancer is not None:
                    arns.add(balancer["arn"])
        return arns


def _one(rows: Iterable[Row], arn: str, missing: str) -> Row:
    """Raises AwsError with the code ``missing`` where no row has this ARN."""
    for row in rows:
        if row["arn"] == arn:
            return row
    raise AwsError(missing, f"One or more {_THINGS[missing]} not found")


def by_arn(rows: Iterable[Row], arns: Sequence[str] | None, one: Callable[[str], Row]) -> list[Row]:
    """Those that were asked for, else all, by ARN."""
    if arns:
        return [one(arn) for arn in arns]
    return sorted(rows, key=lambda row: row["arn"])


def by_name(rows: Sequence[Named], names: Sequence[str] | None, missing: str) -> list[Named]:
    """Those of these names, else all."""
    if not names:
        return list(rows)
    unknown = set(names) - {row["name"] for row in rows}
    if unknown:
        raise AwsError(missing, f"One or more {_THINGS[missing]} not found: '{min(unknown)}'")
    return [row for row in rows if row["name"] in names]


def one_of(params: Plain, *keys: str) -> None:
    """Raise AwsError for a request that asks in two ways at once."""
    given = [key for key in keys if params.get(key)]
    if len(given) > 1:
        raise AwsError(
            "ValidationError", f"{' and '.join(given)} cannot be specified at the same time"
        )


def paged(key: str, items: Sequence[Plain], params: Plain) -> Plain:
    """ELB's pages: ``PageSize`` 1 to 400, the marker is the number of items already given."""
    size = params.get("PageSize", _LARGEST_PAGE)
    marker = params.get("Marker") or "0"
    if not 1 <= size <= _LARGEST_PAGE or not TOKEN.fullmatch(marker):
        raise AwsError(
            "ValidationError",
            f"PageSize {size}, Marker {marker!r}: 1 to 400, and a marker that an earlier page gave",
        )
    end = int(marker) + size
    answer: Plain = {key: items[int(marker) : end]}
    if end < len(items):
        answer["NextMarker"] = str(end)
    return answer


def tags_of(params: Plain) -> list[ElbTag]:
    """Tags of a request that makes something; none unless they are given.  Raises AwsError for what
    ELB does not take."""
    tags: list[ElbTag] = list(params.get("Tags", []))
    check_tags(tags)
    return tags


def check_tags(tags: Sequence[ElbTag]) -> None:
    """Raise AwsError for a key that comes twice, and for AWS's own (ELB API reference, Tag)."""
    keys = [tag["Key"] for tag in tags]
    if len(set(keys)) < len(keys):
        raise AwsError("DuplicateTagKeys", "A tag key was specified more than once")
    if len(keys) > MOST_TAGS:
        raise AwsError("TooManyTags", f"A resource can have at most {MOST_TAGS} tags")
    if any(key.lower().startswith("aws:") for key in keys):
        raise AwsError("ValidationError", "Tag keys must not begin with 'aws:', which is reserved")


def show_attributes(attributes: Mapping[str, str]) -> Plain:
    """As DescribeLoadBalancerAttributes and its like give them, by key."""
    pairs = sorted(attributes.items())
    return {
        "Attributes": [
            {
                "Key": key,
                "Value": value,
            }
            for key, value in pairs
        ]
    }
