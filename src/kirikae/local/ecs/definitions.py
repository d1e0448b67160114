"""Task definitions: families, revisions, and how they end."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import cast

from kirikae.local.ecs.fargate import runs_on_fargate
from kirikae.local.ecs.names import invalid, is_arn, refused, short
from kirikae.local.ecs.permitted import (
    REFUSED,
    REFUSED_IN_CONTAINERS,
    REFUSED_VOLUMES,
    check_definition,
    check_size,
)
from kirikae.local.ecs.ports import MODES, network_mode
from kirikae.local.ecs.tags import Tags, check_tags, save_tags
from kirikae.local.errors import AwsError
from kirikae.local.pages import page
from kirikae.local.plain import Plain
from kirikae.local.rows import Definition
from kirikae.local.state import State
from kirikae.local.wire import Handlers

# botocore's model of DeleteTaskDefinitions: up to 10 at a time.
_MOST_DELETED = 10
_UNKNOWN = (
    "The specified task definition does not exist. Specify a valid account, family, revision and "
    "try again."
)
_NO_IDENTIFIER = (
    "The specified task definition identifier is invalid. Specify a valid name or ARN and try "
    "again."
)
_STILL_ACTIVE = (
    "The specified task definition is still in ACTIVE status. Please deregister the "
    "target and try again."
)


class Definitions:
    """Revisions are never changed; they only become inactive, and go."""

    def __init__(
        self,
        state: State,
        tags: Tags,
        prefix: str,
    ) -> None:
        """``prefix`` is the beginning of every ARN of this region and account."""
        self._state = state
        self._tags = tags
        self._prefix = prefix

    async def register(self, params: Plain) -> Plain:
        """A new revision of the family, one above the highest that is known.

        Raises AwsError for what AWS refuses and for what is not carried out here.  Not to be
        repeated blindly: each call makes one more revision.
        """
        containers = check_definition(params)
        size = check_size(params, containers)
        check_tags(params.get("tags", []))
        on_fargate = runs_on_fargate(params, containers, size.cpu, size.memory)
        family = params["family"]
        revision = 1 + max((each["revision"] for each in self._of_family(family)), default=0)
        arn = f"{self._prefix}task-definition/{family}:{revision}"
        row: Plain = {
            "volumes": [],
            "placementConstraints": [],
            **{key: value for key, value in params.items() if key != "tags"},
            "containerDefinitions": containers,
            "networkMode": network_mode(params),
            "taskDefinitionArn": arn,
            "revision": revision,
            "status": "ACTIVE",
            "registeredAt": time.time(),
            "compatibilities": ["EC2", "FARGATE"] if on_fargate else ["EC2"],
        }
        if size.cpu is not None:
            row["cpu"] = str(size.cpu)
        if size.memory is not None:
            row["memory"] = str(size.memory)
        tags = params.get("tags", [])
        with self._state.together():
            # Members that are not looked into are kept and told as they came.
            self._state.definitions.put(arn, cast(Definition, row))
            save_tags(self._state, arn, tags)
        return {
            "taskDefinition": row,
            "tags": tags,
        }

    def _of_family(self, family: str) -> list[Definition]:
        """Its revisions of every status, in no promised order."""
        return [each for each in self._state.definitions.all() if each["family"] == family]

    def find(self, name: str) -> Definition:
        """By ARN, ``family:revision``, or the newest active one of a family."""
        begin = f"{self._prefix}task-definition/"
        if is_arn(name):
            row = self._state.definitions.get(name)
            if row is not None:
                return row
            if not name.startswith(begin):
                raise refused("Unable to describe task definition.")
            name = name.removeprefix(begin)
        family, _, revision = name.partition(":")
        if revision and not revision.isdecimal():
            raise refused(f"Invalid revision number. Number: {revision}")
        rows = self._of_family(family)
        if revision:
            rows = [each for each in rows if str(each["revision"]) == revision]
        else:
            rows = [each for each in rows if each["status"] == "ACTIVE"]
        if not rows:
            raise refused("Unable to describe task definition.")
        return max(rows, key=lambda each: each["revision"])

    def startable(self, name: str) -> Definition:
        """As ``find``, but only what new tasks may be started from."""
        row = self.find(name)
        if row["status"] != "ACTIVE":
            raise refused("TaskDefinition is inactive")
        return row

    async def describe(self, params: Plain) -> Plain:
        """Also an inactive revision can be looked at, as long as it is kept."""
        row = self.find(params["taskDefinition"])
        with_tags = "TAGS" in params.get("include", [])
        tags = self._tags.of(row["taskDefinitionArn"]) if with_tags else []
        return {
            "taskDefinition": row,
            "tags": tags,
        }

    async def list_definitions(self, params: Plain) -> Plain:
        """One page of ARNs, sorted by family and revision; only the ACTIVE ones unless another
        status is asked for."""
        status = params.get("status", "ACTIVE")
        family = params.get("familyPrefix")
        rows = [
            each
            for each in self._state.definitions.all()
            if each["status"] == status and family in (None, each["family"])
        ]
        rows.sort(
            key=lambda each: (each["family"], each["revision"]),
            reverse=params.get("sort") == "DESC",
        )
        return page("taskDefinitionArns", [each["taskDefinitionArn"] for each in rows], params, 100)

    async def families(self, params: Plain) -> Plain:
        """One page of family names.

        A family is INACTIVE when none of its revisions is active any more.
        """
        begins = params.get("familyPrefix", "")
        rows = self._state.definitions.all()
        active = {each["family"] for each in rows if each["status"] == "ACTIVE"}
        every = {each["family"] for each in rows if each["family"].startswith(begins)}
        chosen = {
            "ACTIVE": every & active,
            "INACTIVE": every - active,
            "ALL": every,
        }
        return page("families", sorted(chosen[params.get("status", "ALL")]), params, 100)

    async def deregister(self, params: Plain) -> Plain:
        """The revision becomes INACTIVE: what runs of it goes on, but nothing new is started from
        it.  Raises AwsError without a revision, so that no whole family can be meant by mistake."""
        if ":" not in short(params["taskDefinition"]):
            raise refused("Revision is missing.")
        row = self.find(params["taskDefinition"])
        ended: Definition = {
            **row,
            "status": "INACTIVE",
            "deregisteredAt": time.time(),
        }
        return {"taskDefinition": self._state.definitions.put(row["taskDefinitionArn"], ended)}

    async def delete(self, params: Plain) -> Plain:
        """Only what was deregistered before; what still runs keeps it as DELETE_IN_PROGRESS until
        it has stopped."""
        if not 1 <= len(params["taskDefinitions"]) <= _MOST_DELETED:
            raise invalid(f"taskDefinitions: 1 to {_MOST_DELETED} at a time")
        gone = []
        failures = []
        for name in params["taskDefinitions"]:
            try:
                _check_identifier(name)
                row = self.find(name)
            except AwsError as error:
                failures.append(
                    {
                        "arn": name,
                        "reason": error.message if error.message == _NO_IDENTIFIER else _UNKNOWN,
                    }
                )
                continue
            arn = row["taskDefinitionArn"]
            if row["status"] == "ACTIVE":
                failures.append(
                    {
                        "arn": arn,
                        "reason": _STILL_ACTIVE,
                    }
                )
                continue
            going: Definition = {
                **row,
                "status": "DELETE_IN_PROGRESS",
                "deleteRequestedAt": time.time(),
            }
            gone.append(self._state.definitions.put(arn, going))
        return {
            "taskDefinitions": gone,
            "failures": failures,
        }

    def forget_deleted(self, used: Collection[str]) -> None:
        """Drop what was asked to be deleted and what nothing uses any more."""
        self._state.definitions.drop_where(
            lambda row: (
                row["status"] == "DELETE_IN_PROGRESS" and row["taskDefinitionArn"] not in used
            )
        )


def _check_identifier(name: str) -> None:
    """Raise AwsError for a family without its revision: no whole family is deleted."""
    if ":" not in short(name):
        raise refused(_NO_IDENTIFIER)


OPERATIONS: Handlers[Definitions] = {
    "RegisterTaskDefinition": Definitions.register,
    "DescribeTaskDefinition": Definitions.describe,
    "ListTaskDefinitions": Definitions.list_definitions,
    "ListTaskDefinitionFamilies": Definitions.families,
    "DeregisterTaskDefinition": Definitions.deregister,
    "DeleteTaskDefinitions": Definitions.delete,
}
PARTLY = {
    "RegisterTaskDefinition": (
        f"network modes {', '.join(MODES)}; refused: {', '.join(REFUSED)}; in containers "
        f"{', '.join(REFUSED_IN_CONTAINERS)}, `systemControls` of "
        "net.*, log drivers other than awslogs, awsfirelens and (not on Fargate) json-file and "
        "fluentd, `config-file-type` s3; of volumes "
        f"{', '.join(REFUSED_VOLUMES)}, `host.sourcePath`"
    ),
    "DeleteTaskDefinitions": "gone within a minute after its last task is forgotten",
}
"""Operations of which something is missing, and what."""
