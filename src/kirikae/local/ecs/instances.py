"""Container instances and their attributes: records that placement honours, all on this
machine."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence

from kirikae.local.ecs.clusters import Clusters
from kirikae.local.ecs.constraints import matching, on
from kirikae.local.ecs.names import invalid, is_arn, missing, refused
from kirikae.local.ecs.placing import left_of, show_resources, total_of
from kirikae.local.ecs.tags import Tags, save_tags
from kirikae.local.ecs.taskrow import STARTING
from kirikae.local.elb.networking import Networking, Unknown
from kirikae.local.errors import AwsError
from kirikae.local.pages import page
from kirikae.local.plain import Plain
from kirikae.local.rows import Attribute, Cluster, Instance
from kirikae.local.state import State
from kirikae.local.wire import Handlers

_MOST_DESCRIBED = 100
_MOST_CHANGED = 10
_STATUSES = ("ACTIVE", "DRAINING")
_KIND = "container-instance"
_OWN = (
    ("ecs.availability-zone", "a"),
    ("ecs.os-type", "linux"),
    ("ecs.instance-type", "local"),
    ("ecs.ami-id", ""),
)
"""Attributes that every instance has (developer guide, "Container instance attributes")."""


class Instances:
    """What registers itself is taken at its word: there is no agent, and nothing runs there that
    would not run here."""

    def __init__(
        self,
        state: State,
        clusters: Clusters,
        tags: Tags,
        prefix: str,
        networking: Networking | None = None,
    ) -> None:
        """``prefix`` is the beginning of every ARN of this region and account; ``networking`` knows
        EC2's instances."""
        self._networking = networking or Unknown()
        self._state = state
        self._clusters = clusters
        self._tags = tags
        self._prefix = prefix

    # --- instances

    async def register(self, params: Plain) -> Plain:
        """RegisterContainerInstance: by its identity document; the same instance again is answered
        with what it says now."""
        cluster = self._clusters.find(params.get("cluster"))
        document = _document(params.get("instanceIdentityDocument", ""))
        instance_id = str(document.get("instanceId", ""))
        system = await self._networking.platform(instance_id) if instance_id else ""
        key = self._registered(cluster, params, instance_id)
        arn = key or f"{self._prefix}{_KIND}/{cluster['clusterName']}/{uuid.uuid4()}"
        row: Instance = {
            "containerInstanceArn": arn,
            "clusterArn": cluster["clusterArn"],
            "ec2InstanceId": instance_id,
            "status": "ACTIVE",
            "version": 1,
            "versionInfo": params.get("versionInfo", {}),
            "attributes": [*_own_attributes(document, system), *params.get("attributes", [])],
            "registeredAt": time.time(),
            "_total": total_of(params.get("totalResources", [])),
        }
        with self._state.together():
            self._state.instances.put(arn, row)
            save_tags(self._state, arn, params.get("tags", []))
        return {"containerInstance": self._show(row, with_tags=True)}

    def _registered(self, cluster: Cluster, params: Plain, instance_id: str) -> str:
        """ARN of this instance, where it is there already; else empty."""
        for row in self._of(cluster):
            same = instance_id and row["ec2InstanceId"] == instance_id
            if same or row["containerInstanceArn"] == params.get("containerInstanceArn"):
                return row["containerInstanceArn"]
        return ""

    def _of(self, cluster: Cluster) -> list[Instance]:
        """All of this cluster."""
        arn = cluster["clusterArn"]
        return [row for row in self._state.instances.all() if row["clusterArn"] == arn]

    def arn(self, cluster: Cluster, name: str) -> str:
        """Of an ID or an ARN; whether there is such an instance is not asked."""
        return name if is_arn(name) else f"{self._prefix}{_KIND}/{cluster['clusterName']}/{name}"

    def find(self, cluster: Cluster, name: str) -> Instance | None:
        """By ID or ARN; None also for one of another cluster."""
        row = self._state.instances.get(self.arn(cluster, name))
        return row if row is not None and row["clusterArn"] == cluster["clusterArn"] else None

    def _one(self, params: Plain) -> Instance:
        """Raises AwsError where there is no such instance."""
        cluster = self._clusters.find(params.get("cluster"))
        row = self.find(cluster, params["containerInstance"])
        if row is None:
            raise invalid("The referenced container instance was not found.")
        return row

    def _show(self, row: Instance, with_tags: bool = False) -> Plain:
        """As AWS shows it; what is left is counted at this moment."""
        tasks = self._state.tasks.all()
        own = on(row, tasks)
        shown: Plain = {
            **{key: value for key, value in row.items() if not key.startswith("_")},
            "agentConnected": True,
            "registeredResources": show_resources(row["_total"]),
            "remainingResources": show_resources(left_of(row, tasks), own),
            "runningTasksCount": sum(task["lastStatus"] == "RUNNING" for task in own),
            "pendingTasksCount": sum(task["lastStatus"] in STARTING for task in own),
            "attachments": [],
        }
        if with_tags:
            shown["tags"] = self._tags.of(row["containerInstanceArn"])
        return shown

    async def deregister(self, params: Plain) -> Plain:
        """DeregisterContainerInstance: raises AwsError while tasks are there, unless it is forced;
        they run on then (as on AWS: orphaned)."""
        row = self._one(params)
        if on(row, self._state.tasks.all()) and not params.get("force"):
            raise invalid("Found running tasks on the instance.")
        shown = self._show(row, with_tags=True)
        self._state.instances.drop(row["containerInstanceArn"])
        self._state.tags.drop(row["containerInstanceArn"])
        return {"containerInstance": {**shown, "status": "INACTIVE", "agentConnected": False}}

    async def list_instances(self, params: Plain) -> Plain:
        """ListContainerInstances: one page of ARNs; of all but the deregistered ones unless a
        status is asked for."""
        status = params.get("status")
        rows = self._of(self._clusters.find(params.get("cluster")))
        if params.get("filter"):
            rows = matching(params["filter"], rows, self._state.tasks.all())
        arns = [row["containerInstanceArn"] for row in rows if status in (None, row["status"])]
        return page("containerInstanceArns", arns, params, _MOST_DESCRIBED)

    async def describe(self, params: Plain) -> Plain:
        """DescribeContainerInstances: what is not there stands in ``failures`` as MISSING."""
        found, failures = self._named(params, _MOST_DESCRIBED)
        with_tags = "TAGS" in params.get("include", [])
        return {
            "containerInstances": [self._show(row, with_tags) for row in found],
            "failures": failures,
        }

    def _named(self, params: Plain, most: int) -> tuple[list[Instance], list[Plain]]:
        """Those that are there, and an entry of ``failures`` for each that is not."""
        cluster = self._clusters.find(params.get("cluster"))
        names: Sequence[str] = params["containerInstances"]
        if not names:
            raise refused("Container Instances cannot be empty.")
        if len(names) > most:
            raise invalid(f"Container Instances cannot be more than {most}.")
        rows = {name: self.find(cluster, name) for name in names}
        unknown = [missing(self.arn(cluster, name)) for name, row in rows.items() if row is None]
        return [row for row in rows.values() if row is not None], unknown

    async def update_state(self, params: Plain) -> Plain:
        """UpdateContainerInstancesState: nothing new is placed on one that is DRAINING."""
        if params["status"] not in _STATUSES:
            raise invalid(f"Container instance status should be one of [{','.join(_STATUSES)}]")
        found, failures = self._named(params, _MOST_CHANGED)
        changed: list[Instance] = [{**row, "status": params["status"]} for row in found]
        for row in changed:
            self._state.instances.put(row["containerInstanceArn"], row)
        return {
            "containerInstances": [self._show(row) for row in changed],
            "failures": failures,
        }

    # --- attributes

    async def put_attributes(self, params: Plain) -> Plain:
        """PutAttributes: one of the same name is replaced; without a target it is put on every
        instance of the cluster (AWS does not say)."""
        cluster = self._clusters.find(params.get("cluster"))
        asked: list[Attribute] = params["attributes"]
        for each in asked:
            for row in self._targets(cluster, each):
                others = [one for one in row["attributes"] if one["name"] != each["name"]]
                own: Attribute = {"name": each["name"]}
                if "value" in each:
                    own["value"] = each["value"]
                changed: Instance = {**row, "attributes": [*others, own]}
                self._state.instances.put(row["containerInstanceArn"], changed)
        return {"attributes": asked}

    async def delete_attributes(self, params: Plain) -> Plain:
        """DeleteAttributes: by name, and by value where it is given."""
        cluster = self._clusters.find(params.get("cluster"))
        asked: list[Attribute] = params["attributes"]
        for each in asked:
            for row in self._targets(cluster, each):
                left = [one for one in row["attributes"] if not _is_meant(one, each)]
                changed: Instance = {**row, "attributes": left}
                self._state.instances.put(row["containerInstanceArn"], changed)
        return {"attributes": asked}

    def _targets(self, cluster: Cluster, attribute: Attribute) -> list[Instance]:
        """The instances that it is put on.  Raises AwsError where the named one is not there."""
        name = attribute.get("targetId")
        if not name:
            return self._of(cluster)
        row = self.find(cluster, name)
        if row is None:
            raise AwsError("TargetNotFoundException", f"Could not find {name}")
        # An earlier attribute of the same request may have changed it.
        return [self._state.instances[row["containerInstanceArn"]]]

    async def list_attributes(self, params: Plain) -> Plain:
        """ListAttributes: one page, of the asked name and value."""
        cluster = self._clusters.find(params.get("cluster"))
        name = params.get("attributeName")
        value = params.get("attributeValue")
        found = [
            {**each, "targetId": row["containerInstanceArn"]}
            for row in self._of(cluster)
            for each in row["attributes"]
            if name in (None, each["name"]) and value in (None, each.get("value"))
        ]
        return page("attributes", found, params, _MOST_DESCRIBED)


def _document(text: str) -> Plain:
    """EC2's identity document, as the agent reads it from the instance.  Raises AwsError for what
    is no JSON."""
    try:
        found = json.loads(text or "{}")
    except ValueError as error:
        raise refused(f"instanceIdentityDocument is not valid: {error}") from error
    return found if isinstance(found, dict) else {}


def _own_attributes(document: Plain, system: str) -> list[Attribute]:
    """Those that ECS puts on every instance; the system is what EC2 calls it."""
    said = {
        "ecs.availability-zone": document.get("availabilityZone"),
        "ecs.instance-type": document.get("instanceType"),
        "ecs.ami-id": document.get("imageId"),
        "ecs.os-type": system,
    }
    return [{"name": name, "value": str(said.get(name) or usual)} for name, usual in _OWN]


def _is_meant(one: Attribute, asked: Attribute) -> bool:
    """Is it this one that is to go?"""
    value = asked.get("value")
    return one["name"] == asked["name"] and value in (None, one.get("value"))


OPERATIONS: Handlers[Instances] = {
    "RegisterContainerInstance": Instances.register,
    "DeregisterContainerInstance": Instances.deregister,
    "ListContainerInstances": Instances.list_instances,
    "DescribeContainerInstances": Instances.describe,
    "UpdateContainerInstancesState": Instances.update_state,
    "PutAttributes": Instances.put_attributes,
    "DeleteAttributes": Instances.delete_attributes,
    "ListAttributes": Instances.list_attributes,
}
PARTLY = {
    "RegisterContainerInstance": "a record that placement honours: its tasks run on this machine; "
    "signatures are not checked",
    "UpdateContainerInstancesState": "nothing new is placed on a draining one; tasks of services "
    "that are there stay",
}
"""Operations of which something is missing, and what."""
