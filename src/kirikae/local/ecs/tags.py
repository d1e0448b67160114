"""Tags of ECS resources, by ARN."""

from __future__ import annotations

from collections.abc import Sequence

from kirikae.local.ecs.names import invalid, short
from kirikae.local.plain import Plain
from kirikae.local.rows import Definition, Tag
from kirikae.local.state import State
from kirikae.local.wire import Handlers

MOST = 50


def save_tags(state: State, arn: str, tags: Sequence[Tag]) -> None:
    """Keep the tags of something new; none are not kept."""
    check_tags(tags)
    if tags:
        state.tags.put(arn, {"tags": list(tags)})


def check_tags(tags: Sequence[Tag]) -> None:
    """Raise AwsError for tags that ECS does not take (API reference, Tag): at most 50, each with a
    key of its own that is not AWS's."""
    keys = [tag.get("key", "") for tag in tags]
    if len(keys) > MOST:
        raise invalid(f"A resource can have at most {MOST} tags.")
    if not all(keys):
        raise invalid("Tag keys must not be null or empty.")
    if len(set(keys)) < len(keys):
        raise invalid("Duplicate tag keys found.")
    if any(key.lower().startswith("aws:") for key in keys):
        raise invalid("Tag keys must not begin with 'aws:', which is reserved.")


class Tags:
    """Kept beside the rows, by ARN, so that every kind of resource has them alike."""

    def __init__(self, state: State) -> None:
        """Tags stand in a table of their own, by ARN."""
        self._state = state

    def of(self, arn: str) -> list[Tag]:
        """None for an ARN without tags, and for one that is not there."""
        known = self._state.tags.get(arn)
        return list(known["tags"]) if known is not None else []

    def propagated(
        self,
        source: str | None,
        service_arn: str,
        definition: Definition,
    ) -> list[Tag]:
        """Tags that a new task takes over from its service or definition."""
        if source == "SERVICE" and service_arn:
            return self.of(service_arn)
        return self.of(definition["taskDefinitionArn"]) if source == "TASK_DEFINITION" else []

    def _known(self, arn: str) -> str:
        """The ARN.  Raises AwsError for a resource that is not there."""
        parts = arn.split(":", 5)
        kind = parts[5].partition("/")[0] if len(parts) > 5 else ""
        if not self._exists(kind, arn):
            raise invalid(f"The specified resource {arn} cannot be found.")
        return arn

    def _exists(self, kind: str, arn: str) -> bool:
        """False also for kinds that kirikae local has no tags of."""
        match kind:
            case "cluster":
                return self._state.clusters.get(arn) is not None
            case "service":
                return self._state.services.get(arn) is not None
            case "container-instance":
                return self._state.instances.get(arn) is not None
            case "capacity-provider":
                return self._state.providers.get(arn) is not None
            case "task-set":
                return self._state.task_sets.get(arn) is not None
            case "task-definition":
                return self._state.definitions.get(arn) is not None
            case "task":
                task = self._state.tasks.get(short(arn))
                return task is not None and task["taskArn"] == arn
            case _:
                return False

    async def tag(self, params: Plain) -> Plain:
        """TagResource: tags of the same keys are replaced.  Raises AwsError beyond 50."""
        arn = self._known(params["resourceArn"])
        self._check_active(arn)
        asked: list[Tag] = params["tags"]
        check_tags(asked)
        replaced = {tag["key"] for tag in asked}
        tags = [*(tag for tag in self.of(arn) if tag["key"] not in replaced), *asked]
        check_tags(tags)
        self._state.tags.put(arn, {"tags": tags})
        return {}

    def _check_active(self, arn: str) -> None:
        """Raise AwsError for a cluster that was deleted and is still told of."""
        cluster = self._state.clusters.get(arn)
        if cluster is not None and "deletedAt" in cluster:
            raise invalid(
                "The specified cluster is inactive. Specify an active cluster and try again."
            )

    async def untag(self, params: Plain) -> Plain:
        """UntagResource: keys that are not there are no error."""
        arn = self._known(params["resourceArn"])
        left = [tag for tag in self.of(arn) if tag["key"] not in params["tagKeys"]]
        self._state.tags.put(arn, {"tags": left})
        return {}

    async def list_tags(self, params: Plain) -> Plain:
        """ListTagsForResource: raises AwsError for a resource that is not there."""
        return {"tags": self.of(self._known(params["resourceArn"]))}


OPERATIONS: Handlers[Tags] = {
    "TagResource": Tags.tag,
    "UntagResource": Tags.untag,
    "ListTagsForResource": Tags.list_tags,
}
