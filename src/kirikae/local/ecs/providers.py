"""Capacity providers: Fargate's two, and records of Auto Scaling groups, whose tasks go to the
container instances of their cluster."""

from __future__ import annotations

from collections.abc import Mapping

from kirikae.local.ecs.capacity import PROVIDERS
from kirikae.local.ecs.names import check_name, invalid, is_arn, missing, refuse, refused, short
from kirikae.local.ecs.tags import Tags, save_tags
from kirikae.local.plain import Plain
from kirikae.local.rows import Provider
from kirikae.local.state import State
from kirikae.local.wire import Handlers

_SCALING: Mapping[str, object] = {
    "status": "DISABLED",
    "targetCapacity": 100,
    "minimumScalingStepSize": 1,
    "maximumScalingStepSize": 10_000,
    "instanceWarmupPeriod": 300,
}
"""Defaults of managed scaling (ECS API reference, ManagedScaling)."""
_BEGINS = ("aws", "ecs", "fargate")


class Providers:
    """Nothing scales here: what is said of an Auto Scaling group is kept and told."""

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

    def _arn(self, name: str) -> str:
        """Of a name or of an ARN; whether there is such a one is not asked."""
        return name if is_arn(name) else f"{self._prefix}capacity-provider/{name}"

    async def create(self, params: Plain) -> Plain:
        """CreateCapacityProvider.  Raises AwsError for one of this name that is there."""
        name = params["name"]
        check_name("Capacity provider name", name)
        refuse(params, ("managedInstancesProvider",), "CreateCapacityProvider")
        if name.lower().startswith(_BEGINS):
            raise invalid("The specified capacity provider name is invalid: it begins with aws.")
        group: Plain = params.get("autoScalingGroupProvider") or {}
        if not group.get("autoScalingGroupArn"):
            raise refused("An Auto Scaling group must be specified.")
        arn = self._arn(name)
        if self._state.providers.get(arn) is not None:
            raise refused(f"A capacity provider {name} exists already.")
        row: Provider = {
            "capacityProviderArn": arn,
            "name": name,
            "status": "ACTIVE",
            "autoScalingGroupProvider": _group(group, {}),
        }
        with self._state.together():
            self._state.providers.put(arn, row)
            save_tags(self._state, arn, params.get("tags", []))
        return {"capacityProvider": self._show(row, True)}

    def _one(self, name: str) -> Provider:
        """Raises AwsError where there is no such record."""
        row = self._state.providers.get(self._arn(name))
        if row is None:
            raise refused("The specified capacity provider does not exist.")
        return row

    def _show(self, row: Provider, with_tags: bool) -> Plain:
        """As AWS shows it."""
        tags = self._tags.of(row["capacityProviderArn"])
        return {**row, "type": "EC2_AUTOSCALING", **({"tags": tags} if with_tags else {})}

    async def update(self, params: Plain) -> Plain:
        """UpdateCapacityProvider: what is not given stays."""
        row = self._one(params["name"])
        asked = params.get("autoScalingGroupProvider") or {}
        changed: Provider = {
            **row,
            "autoScalingGroupProvider": _group(asked, row["autoScalingGroupProvider"]),
        }
        self._state.providers.put(row["capacityProviderArn"], changed)
        return {"capacityProvider": self._show(changed, True)}

    async def delete(self, params: Plain) -> Plain:
        """DeleteCapacityProvider.  Raises AwsError for Fargate's own, and for one that a cluster
        has."""
        name = short(params["capacityProvider"])
        if name in PROVIDERS:
            raise refused(f"The capacity provider {name} cannot be deleted.")
        row = self._one(params["capacityProvider"])
        living = [each for each in self._state.clusters.all() if "deletedAt" not in each]
        if any(name in cluster["capacityProviders"] for cluster in living):
            raise refused("The capacity provider is in use and cannot be removed.")
        self._state.providers.drop(row["capacityProviderArn"])
        shown = self._show(row, True)
        return {"capacityProvider": {**shown, "status": "INACTIVE"}}

    async def describe(self, params: Plain) -> Plain:
        """DescribeCapacityProviders: all, or those that were asked for; any other name stands in
        ``failures`` as MISSING."""
        known = {row["name"]: row for row in self._state.providers.all()}
        names = [*PROVIDERS, *known]
        asked = [short(name) for name in params.get("capacityProviders") or names]
        with_tags = "TAGS" in params.get("include", [])
        shown = [
            self._show(known[name], with_tags) if name in known else self._of_fargate(name)
            for name in asked
            if name in names
        ]
        unknown = [missing(self._arn(name)) for name in asked if name not in names]
        return {
            "capacityProviders": shown,
            "failures": unknown,
        }

    def _of_fargate(self, name: str) -> Plain:
        """One of Fargate's two."""
        return {
            "capacityProviderArn": self._arn(name),
            "name": name,
            "status": "ACTIVE",
            "type": name,
        }


def _group(asked: Plain, before: Plain) -> Plain:
    """What is said of the Auto Scaling group, with AWS's defaults."""
    scaling = {**(before.get("managedScaling") or _SCALING), **(asked.get("managedScaling") or {})}
    group: Plain = {
        "managedTerminationProtection": "DISABLED",
        **before,
        **asked,
    }
    return {**group, "managedScaling": scaling}


OPERATIONS: Handlers[Providers] = {
    "CreateCapacityProvider": Providers.create,
    "UpdateCapacityProvider": Providers.update,
    "DeleteCapacityProvider": Providers.delete,
    "DescribeCapacityProviders": Providers.describe,
}
PARTLY = {
    "CreateCapacityProvider": "a record: its tasks go to the container instances of their cluster, "
    "and nothing scales",
    "UpdateCapacityProvider": "kept and told",
}
"""Operations of which something is missing, and what."""
