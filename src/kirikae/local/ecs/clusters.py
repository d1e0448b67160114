"""Clusters, their capacity providers, and account settings."""

from __future__ import annotations

from kirikae.local.ecs.capacity import PROVIDERS, check_strategy
from kirikae.local.ecs.names import invalid, refused, short
from kirikae.local.errors import AwsError
from kirikae.local.pages import page
from kirikae.local.state import Row, State
from kirikae.local.wire import ACCOUNT, Operation

_PENDING = ("PROVISIONING", "PENDING", "ACTIVATING")
_ROOT = f"arn:aws:iam::{ACCOUNT}:root"


class Clusters:
    def __init__(self, state: State, prefix: str) -> None:
        self._state = state
        self._prefix = prefix

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateCluster": self.create,
            "DescribeClusters": self.describe,
            "ListClusters": self.list,
            "DeleteCluster": self.delete,
            "UpdateCluster": self.update,
            "UpdateClusterSettings": self.update,
            "PutClusterCapacityProviders": self.put_capacity_providers,
            "DescribeCapacityProviders": self.describe_capacity_providers,
            "ListContainerInstances": self.list_instances,
            "DescribeContainerInstances": self.describe_instances,
            "PutAccountSetting": self.put_setting,
            "PutAccountSettingDefault": self.put_default_setting,
            "ListAccountSettings": self.list_settings,
            "DeleteAccountSetting": self.delete_setting,
        }

    def find(self, name: str | None) -> Row:
        """By name or ARN; ``default`` without one."""
        row = self._state.get("cluster", f"{self._prefix}cluster/{short(name or 'default')}")
        if row is None:
            raise AwsError("ClusterNotFoundException", "Cluster not found.")
        return row

    async def create(self, params: Row) -> Row:
        """Creating one that is there answers it as it is."""
        name = params.get("clusterName", "default")
        arn = f"{self._prefix}cluster/{name}"
        row = self._state.get("cluster", arn)
        if row is None:
            providers = params.get("capacityProviders", [])
            strategy = params.get("defaultCapacityProviderStrategy", [])
            self._check(providers, strategy)
            row = {
                "clusterArn": arn,
                "clusterName": name,
                "settings": params.get("settings", []),
                "capacityProviders": providers,
                "defaultCapacityProviderStrategy": strategy,
                **({"configuration": params["configuration"]} if "configuration" in params else {}),
            }
            with self._state.together():
                self._state.put("cluster", arn, row)
                if params.get("tags"):
                    self._state.put("tags", arn, {"tags": params["tags"]})
        return {"cluster": self._show(row)}

    def _check(self, providers: list[str], strategy: list[Row]) -> None:
        for name in providers:
            if name not in PROVIDERS:
                raise invalid(
                    f"The specified capacity provider {name} was not found; kirikae "
                    f"local has {' and '.join(PROVIDERS)}."
                )
        check_strategy(strategy, providers)

    def _show(self, row: Row) -> Row:
        tasks = [t for t in self._state.all("task") if t["clusterArn"] == row["clusterArn"]]
        services = [
            s
            for s in self._state.all("service")
            if s["clusterArn"] == row["clusterArn"] and s["status"] == "ACTIVE"
        ]
        tags = (self._state.get("tags", row["clusterArn"]) or {"tags": []})["tags"]
        return {
            **row,
            "status": "ACTIVE",
            "activeServicesCount": len(services),
            "tags": tags,
            "statistics": [],
            "runningTasksCount": sum(t["lastStatus"] == "RUNNING" for t in tasks),
            "pendingTasksCount": sum(t["lastStatus"] in _PENDING for t in tasks),
            "registeredContainerInstancesCount": 0,
        }

    async def describe(self, params: Row) -> Row:
        names = params.get("clusters") or ["default"]
        if len(names) > 100:
            raise invalid("Clusters cannot be more than 100.")
        found = []
        failures = []
        for name in names:
            try:
                found.append(self._show(self.find(name)))
            except AwsError:
                failures.append(
                    {"arn": f"{self._prefix}cluster/{short(name)}", "reason": "MISSING"}
                )
        return {"clusters": found, "failures": failures}

    async def list(self, params: Row) -> Row:
        return page(
            "clusterArns", [c["clusterArn"] for c in self._state.all("cluster")], params, 100
        )

    async def update(self, params: Row) -> Row:
        row = self.find(params["cluster"])
        changed = {k: params[k] for k in ("settings", "configuration") if k in params}
        if params.get("serviceConnectDefaults"):
            raise AwsError(
                "UnsupportedFeatureException", "kirikae local does not carry out Service Connect"
            )
        return {"cluster": self._show(self._state.change("cluster", row["clusterArn"], **changed))}

    async def put_capacity_providers(self, params: Row) -> Row:
        row = self.find(params["cluster"])
        providers = params["capacityProviders"]
        strategy = params["defaultCapacityProviderStrategy"]
        self._check(providers, strategy)
        row = self._state.change(
            "cluster",
            row["clusterArn"],
            capacityProviders=providers,
            defaultCapacityProviderStrategy=strategy,
        )
        return {"cluster": self._show(row)}

    async def describe_capacity_providers(self, params: Row) -> Row:
        asked = [short(name) for name in params.get("capacityProviders") or PROVIDERS]
        arn = f"{self._prefix}capacity-provider/"
        shown = [
            {"capacityProviderArn": arn + n, "name": n, "status": "ACTIVE", "type": n}
            for n in asked
            if n in PROVIDERS
        ]
        return {
            "capacityProviders": shown,
            "failures": [
                {"arn": arn + n, "reason": "MISSING"} for n in asked if n not in PROVIDERS
            ],
        }

    async def delete(self, params: Row) -> Row:
        row = self.find(params["cluster"])
        shown = self._show(row)
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
        self._state.drop("cluster", row["clusterArn"])
        return {"cluster": {**shown, "status": "INACTIVE"}}

    async def list_instances(self, params: Row) -> Row:
        """Always none: tasks run as on Fargate."""
        self.find(params.get("cluster"))
        return {"containerInstanceArns": []}

    async def describe_instances(self, params: Row) -> Row:
        self.find(params.get("cluster"))
        return {
            "containerInstances": [],
            "failures": [
                {"arn": name, "reason": "MISSING"} for name in params["containerInstances"]
            ],
        }

    # --- account settings: kept and told, without effect here

    async def put_setting(self, params: Row) -> Row:
        name = params["name"]
        principal = params.get("principalArn", _ROOT)
        setting = {"name": name, "value": params["value"], "principalArn": principal}
        self._state.put("setting", f"{name}/{principal}", setting)
        return {"setting": setting}

    async def put_default_setting(self, params: Row) -> Row:
        return await self.put_setting({**params, "principalArn": _ROOT})

    async def list_settings(self, params: Row) -> Row:
        if params.get("value") and not params.get("name"):
            raise invalid("value needs a name.")
        rows = [
            s
            for s in self._state.all("setting")
            if params.get("name") in (None, s["name"])
            and params.get("value") in (None, s["value"])
            and s["principalArn"] == params.get("principalArn", _ROOT)
        ]
        return page("settings", sorted(rows, key=lambda s: str(s["name"])), params, 10)

    async def delete_setting(self, params: Row) -> Row:
        name = params["name"]
        principal = params.get("principalArn", _ROOT)
        row = self._state.get("setting", f"{name}/{principal}")
        if row is None:
            raise refused(f"the setting {name} was not changed for {principal}")
        self._state.drop("setting", f"{name}/{principal}")
        return {"setting": row}
