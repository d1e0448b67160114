"""Clusters and their capacity providers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import cast

from kirikae.local.ecs.capacity import PROVIDERS, check_provider, check_strategy
from kirikae.local.ecs.names import check_name, invalid, is_arn, missing
from kirikae.local.ecs.tags import Tags, save_tags
from kirikae.local.ecs.taskrow import STARTING
from kirikae.local.errors import AwsError
from kirikae.local.pages import page
from kirikae.local.plain import Plain
from kirikae.local.rows import Cluster, StrategyItem
from kirikae.local.state import State
from kirikae.local.wire import Handlers

# botocore's model of DescribeClusters: up to 100 at a time.
_MOST = 100
DELETED_KEPT_S = 3600
"""How long a deleted cluster is shown as INACTIVE (ours; the API reference of DeleteCluster says
"for a period of time")."""
INSIGHTS = ("enabled", "disabled", "enhanced")
"""Values of containerInsights, the one setting that clusters have."""
_AS_ASKED = ("settings", "configuration", "serviceConnectDefaults")
_OURS = ("deletedAt",)


class Clusters:
    """Names under which tasks and services stand; nothing runs because of them."""

    def __init__(
        self,
        state: State,
        tags: Tags,
        prefix: str,
    ) -> None:
        """``prefix`` is the beginning of every ARN of this region and account
        (``arn:aws:ecs:REGION:ACCOUNT:``)."""
        self._state = state
        self._tags = tags
        self._prefix = prefix

    def find(self, name: str | None) -> Cluster:
        """By name or ARN; ``default`` without one."""
        row = self._state.clusters.get(self._arn(name or "default"))
        if row is None or "deletedAt" in row:
            raise AwsError("ClusterNotFoundException", "Cluster not found.")
        return row

    def _arn(self, name: str) -> str:
        """Of a name or of an ARN; whether there is such a cluster is not asked."""
        return name if is_arn(name) else f"{self._prefix}cluster/{name}"

    async def create(self, params: Plain) -> Plain:
        """Creating one that is there answers it as it is."""
        name = params.get("clusterName", "default")
        check_name("Cluster name", name)
        arn = f"{self._prefix}cluster/{name}"
        row = self._state.clusters.get(arn)
        if row is None or "deletedAt" in row:
            row = self._new(name, arn, params)
            with self._state.together():
                self._state.clusters.put(arn, row)
                save_tags(self._state, arn, params.get("tags", []))
        return {"cluster": self._show(row)}

    def known_providers(self) -> list[str]:
        """Fargate's two, and those that were made."""
        return [*PROVIDERS, *(row["name"] for row in self._state.providers.all())]

    def _check(self, providers: Sequence[str], strategy: Sequence[StrategyItem]) -> None:
        """Raise AwsError for a provider that there is not, or for a strategy of others than
        these."""
        known = self.known_providers()
        for name in providers:
            check_provider(name, known)
        check_strategy(strategy, providers, known)

    def _instances(self, cluster: Cluster) -> int:
        """How many container instances it has."""
        arn = cluster["clusterArn"]
        return sum(row["clusterArn"] == arn for row in self._state.instances.all())

    def _new(
        self,
        name: str,
        arn: str,
        params: Plain,
    ) -> Cluster:
        """A row that is not written down yet.

        Raises AwsError for capacity providers that AWS refuses.
        """
        providers = params.get("capacityProviders", [])
        strategy = params.get("defaultCapacityProviderStrategy", [])
        self._check(providers, strategy)
        _check_settings(params)
        row: Cluster = {
            "clusterArn": arn,
            "clusterName": name,
            "settings": params.get("settings", []),
            "capacityProviders": providers,
            "defaultCapacityProviderStrategy": strategy,
        }
        if "configuration" in params:
            row["configuration"] = params["configuration"]
        if "serviceConnectDefaults" in params:
            row["serviceConnectDefaults"] = params["serviceConnectDefaults"]
        return row

    def _show(self, row: Cluster) -> Plain:
        """A cluster as AWS shows it; its counts are taken from tasks and services at this
        moment."""
        arn = row["clusterArn"]
        tasks = [task for task in self._state.tasks.all() if task["clusterArn"] == arn]
        services = [
            service
            for service in self._state.services.all()
            if service["clusterArn"] == arn and service["status"] == "ACTIVE"
        ]
        return {
            **_told(row),
            "activeServicesCount": len(services),
            "tags": self._tags.of(arn),
            "statistics": [],
            "runningTasksCount": sum(task["lastStatus"] == "RUNNING" for task in tasks),
            "pendingTasksCount": sum(task["lastStatus"] in STARTING for task in tasks),
            "registeredContainerInstancesCount": self._instances(row),
        }

    async def describe(self, params: Plain) -> Plain:
        """Clusters by name or ARN, at most 100 (``default`` without any); what is not there stands
        in ``failures`` as MISSING and is no error."""
        names = params.get("clusters") or ["default"]
        if len(names) > _MOST:
            raise invalid(f"Clusters cannot be more than {_MOST}.")
        found = []
        failures = []
        for name in names:
            row = self._state.clusters.get(self._arn(name))
            if row is None:
                failures.append(missing(self._arn(name)))
                continue
            shown = self._show(row)
            if "TAGS" not in params.get("include", []):
                shown["tags"] = []
            found.append(shown)
        return {
            "clusters": found,
            "failures": failures,
        }

    async def list_clusters(self, params: Plain) -> Plain:
        """One page of ARNs, at most 100; deleted ones are among them while they are shown."""
        arns = [cluster["clusterArn"] for cluster in self._state.clusters.all()]
        return page("clusterArns", arns, params, 100)

    async def update(self, params: Plain) -> Plain:
        """UpdateCluster and UpdateClusterSettings: what is not given stays."""
        row = self.find(params["cluster"])
        _check_settings(params)
        asked = {key: params[key] for key in _AS_ASKED if key in params}
        # Members that are not looked into are kept and told as they came.
        changed = cast(Cluster, {**row, **asked})
        return {"cluster": self._show(self._state.clusters.put(row["clusterArn"], changed))}

    async def put_capacity_providers(self, params: Plain) -> Plain:
        """Both lists replace what was there.

        Services that run keep the strategy that they were given.
        """
        row = self.find(params["cluster"])
        providers = params["capacityProviders"]
        strategy = params["defaultCapacityProviderStrategy"]
        self._check(providers, strategy)
        changed: Cluster = {
            **row,
            "capacityProviders": providers,
            "defaultCapacityProviderStrategy": strategy,
        }
        return {"cluster": self._show(self._state.clusters.put(row["clusterArn"], changed))}

    async def delete(self, params: Plain) -> Plain:
        """Raises AwsError while services are active or tasks run: as on AWS, they are ended
        first."""
        row = self.find(params["cluster"])
        shown = self._show(row)
        if shown["registeredContainerInstancesCount"]:
            raise AwsError(
                "ClusterContainsContainerInstancesException",
                "The Cluster cannot be deleted while Container Instances are active or draining.",
            )
        if shown["activeServicesCount"]:
            raise AwsError(
                "ClusterContainsServicesException",
                "The Cluster cannot be deleted while Services are active.",
            )
        if shown["runningTasksCount"] + shown["pendingTasksCount"]:
            raise AwsError(
                "ClusterContainsTasksException",
                "The Cluster cannot be deleted while Tasks are active.",
            )
        with self._state.together():
            self._state.clusters.put(row["clusterArn"], {**row, "deletedAt": time.time()})
            self._state.tags.drop(row["clusterArn"])
        return {
            "cluster": {
                **shown,
                "status": "INACTIVE",
            }
        }

    def forget_deleted(self, now: float) -> None:
        """Drop those that were shown long enough."""
        self._state.clusters.drop_where(
            lambda row: now - row.get("deletedAt", now) > DELETED_KEPT_S
        )


def _told(row: Cluster) -> Plain:
    """What of a cluster's row AWS shows, and how it stands."""
    shown = {key: value for key, value in row.items() if key not in _OURS}
    return {**shown, "status": "INACTIVE" if "deletedAt" in row else "ACTIVE"}


def _check_settings(params: Plain) -> None:
    """Raise AwsError for a value that a setting of clusters has not (API reference,
    ClusterSetting)."""
    for setting in params.get("settings", []):
        if setting.get("value") not in INSIGHTS:
            raise invalid(
                f"The value of the cluster setting {setting.get('name')} must be one of "
                f"[{','.join(INSIGHTS)}]"
            )


OPERATIONS: Handlers[Clusters] = {
    "CreateCluster": Clusters.create,
    "DescribeClusters": Clusters.describe,
    "ListClusters": Clusters.list_clusters,
    "DeleteCluster": Clusters.delete,
    "UpdateCluster": Clusters.update,
    "UpdateClusterSettings": Clusters.update,
    "PutClusterCapacityProviders": Clusters.put_capacity_providers,
}
PARTLY = {
    "CreateCluster": "settings, configuration and `serviceConnectDefaults` are kept and told as "
    "they came (no Cloud Map namespace is made); services with Service Connect are refused",
    "UpdateCluster": "kept and told, without effect",
    "UpdateClusterSettings": "kept and told, without effect",
}
"""Operations of which something is missing, and what."""
