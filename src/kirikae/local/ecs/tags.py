"""Tags of ECS resources, by ARN."""

from __future__ import annotations

from kirikae.local.ecs.names import invalid
from kirikae.local.state import Row, State
from kirikae.local.wire import Operation

MOST = 50
_KINDS = {
    "cluster": "cluster",
    "service": "service",
    "task-definition": "definition",
    "task": "task",
}


class Tags:
    def __init__(self, state: State) -> None:
        self._state = state

    def operations(self) -> dict[str, Operation]:
        return {
            "TagResource": self.tag,
            "UntagResource": self.untag,
            "ListTagsForResource": self.list,
        }

    def of(self, arn: str) -> list[Row]:
        return list((self._state.get("tags", arn) or {"tags": []})["tags"])

    def propagated(self, source: str | None, service: str, definition: Row) -> list[Row]:
        """Tags that a new task takes over from its service or definition."""
        if source == "SERVICE" and service:
            return self.of(service)
        return self.of(definition["taskDefinitionArn"]) if source == "TASK_DEFINITION" else []

    def _known(self, arn: str) -> str:
        kind = _KINDS.get(arn.split(":", 5)[5].partition("/")[0] if arn.count(":") >= 5 else "")
        key = arn.rpartition("/")[2] if kind == "task" else arn
        if kind is None or self._state.get(kind, key) is None:
            raise invalid(f"The specified resource {arn} cannot be found.")
        return arn

    async def tag(self, params: Row) -> Row:
        arn = self._known(params["resourceArn"])
        tags = {t["key"]: t for t in [*self.of(arn), *params["tags"]]}
        if len(tags) > MOST:
            raise invalid(f"a resource has at most {MOST} tags")
        self._state.put("tags", arn, {"tags": list(tags.values())})
        return {}

    async def untag(self, params: Row) -> Row:
        arn = self._known(params["resourceArn"])
        self._state.put(
            "tags", arn, {"tags": [t for t in self.of(arn) if t["key"] not in params["tagKeys"]]}
        )
        return {}

    async def list(self, params: Row) -> Row:
        return {"tags": self.of(self._known(params["resourceArn"]))}
