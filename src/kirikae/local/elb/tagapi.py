"""Tags of what the ELB API makes."""

from __future__ import annotations

from collections.abc import Sequence

from kirikae.local.elb.known import Known, check_tags
from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain
from kirikae.local.rows import ElbTag
from kirikae.local.state import State
from kirikae.local.wire import Handlers

_AT_ONCE = 20
"""ELB API reference, DescribeTags: "up to 20 resources in a single call"."""


class TagApi:
    """Tags stand in the rows themselves."""

    def __init__(self, state: State, known: Known) -> None:
        """Keeps nothing itself."""
        self._state = state
        self._known = known

    async def add(self, params: Plain) -> Plain:
        """AddTags: tags of the same keys are replaced."""
        asked: Sequence[ElbTag] = params["Tags"]
        check_tags(asked)
        after = {
            arn: list({tag["Key"]: tag for tag in [*self._of(arn), *asked]}.values())
            for arn in params["ResourceArns"]
        }
        for tags in after.values():
            check_tags(tags)
        for arn, tags in after.items():
            self._put(arn, tags)
        return {}

    async def remove(self, params: Plain) -> Plain:
        """RemoveTags: keys that are not there are no error."""
        for arn in params["ResourceArns"]:
            self._put(arn, [tag for tag in self._of(arn) if tag["Key"] not in params["TagKeys"]])
        return {}

    async def describe(self, params: Plain) -> Plain:
        """DescribeTags.  Raises AwsError for a resource that is not there, and for too many."""
        if len(params["ResourceArns"]) > _AT_ONCE:
            message = f"Cannot have more than {_AT_ONCE} resources described"
            raise AwsError("ValidationError", message)
        described = [
            {
                "ResourceArn": arn,
                "Tags": self._of(arn),
            }
            for arn in params["ResourceArns"]
        ]
        return {"TagDescriptions": described}

    def _of(self, arn: str) -> list[ElbTag]:
        """Tags of whatever this ARN names.  Raises AwsError where there is no such thing."""
        if ":loadbalancer/" in arn:
            return self._known.balancer(arn)["tags"]
        if ":targetgroup/" in arn:
            return self._known.group(arn)["tags"]
        if ":listener/" in arn:
            return self._known.listener(arn)["tags"]
        if ":listener-rule/" in arn:
            return self._known.rule(arn)["tags"]
        raise AwsError("ValidationError", f"'{arn}' is not a valid ARN")

    def _put(self, arn: str, tags: list[ElbTag]) -> None:
        """Of something that ``_of`` has found."""
        if ":loadbalancer/" in arn:
            balancer = self._known.balancer(arn)
            self._state.balancers.put(
                balancer["id"],
                {
                    **balancer,
                    "tags": tags,
                },
            )
        elif ":targetgroup/" in arn:
            group = self._known.group(arn)
            self._state.groups.put(
                group["id"],
                {
                    **group,
                    "tags": tags,
                },
            )
        elif ":listener/" in arn:
            self._state.listeners.put(
                arn,
                {
                    **self._known.listener(arn),
                    "tags": tags,
                },
            )
        else:
            self._state.rules.put(
                arn,
                {
                    **self._known.rule(arn),
                    "tags": tags,
                },
            )


OPERATIONS: Handlers[TagApi] = {
    "AddTags": TagApi.add,
    "RemoveTags": TagApi.remove,
    "DescribeTags": TagApi.describe,
}
