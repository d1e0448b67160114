"""The ECS API over the store.  Handlers write down what is wanted and wake those who make it so.

Rows carry AWS's own names; keys that begin with ``_`` are ours and are never shown.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections import Counter
from collections.abc import Iterable
from typing import Any

from kirikae.local.ecs.capacity import PROVIDERS, check_strategy, next_provider
from kirikae.local.ecs.clusters import Clusters
from kirikae.local.ecs.containers import with_overrides
from kirikae.local.ecs.definitions import (
    REFUSED,
    REFUSED_IN_CONTAINERS,
    REFUSED_VOLUMES,
    Definitions,
)
from kirikae.local.ecs.deployments import (
    begin,
    counts,
    finish,
    roll_back,
    show_configuration,
    show_service_deployment,
    with_event,
)
from kirikae.local.ecs.names import invalid, is_live, short, unsupported
from kirikae.local.ecs.services import Services, protected, service_of
from kirikae.local.ecs.tags import Tags
from kirikae.local.ecs.tasks import Tasks
from kirikae.local.elb.api import Balancer
from kirikae.local.errors import AwsError
from kirikae.local.pages import page
from kirikae.local.state import Row, State
from kirikae.local.wire import ACCOUNT, Operation, service_model
from kirikae.model.fargate import size_problem

STOPPED_KEPT_S = 3600
TOKEN_KEPT_S = 24 * 3600
PROTECTION_MINUTES = 120
_MINUTE_S = 60
SERVICE_REFUSED = (
    "serviceRegistries",
    "serviceConnectConfiguration",
    "volumeConfigurations",
    "vpcLatticeConfigurations",
    "gatewayConnectors",
    "placementConstraints",
    "placementStrategy",
    "monitoring",
)
_RUN_REFUSED = ("placementConstraints", "placementStrategy", "volumeConfigurations")
PARTLY = {
    "RegisterTaskDefinition": (
        f"network mode awsvpc only; refused: {', '.join(REFUSED)}; in containers "
        f"{', '.join(REFUSED_IN_CONTAINERS)}, `systemControls` of "
        "net.*, log drivers other than awslogs; of volumes "
        f"{', '.join(REFUSED_VOLUMES)}, `host.sourcePath`"
    ),
    "RunTask": "launch type FARGATE; `networkConfiguration` is kept, not required; refused: "
    f"{', '.join(_RUN_REFUSED)}, ECS Exec",
    "CreateService": (
        "strategy REPLICA, controller ECS, rolling deployments; refused: "
        + ", ".join(SERVICE_REFUSED)
        + ", ECS Exec, deployment alarms, "
        "hooks, early success, BLUE_GREEN, LINEAR, CANARY"
    ),
    "UpdateService": "as CreateService",
    "DeleteTaskDefinitions": "gone within a minute after its last task is forgotten",
    "DescribeCapacityProviders": "FARGATE and FARGATE_SPOT",
    "ListContainerInstances": "always none",
    "DescribeContainerInstances": "always MISSING",
    "PutAccountSetting": "kept and told, without effect",
    "PutAccountSettingDefault": "kept and told, without effect",
    "UpdateCluster": "kept and told, without effect; refused: Service Connect",
    "UpdateClusterSettings": "kept and told, without effect",
}
"""Operations of which something is missing, and what."""
_STARTS_DEPLOYMENT = ("taskDefinition", "loadBalancers", "platformVersion", "networkConfiguration")
_KEPT_OF_SERVICE = (
    "enableECSManagedTags",
    "propagateTags",
    "enableExecuteCommand",
    "availabilityZoneRebalancing",
    "networkConfiguration",
    "platformVersion",
    "healthCheckGracePeriodSeconds",
)


class Ecs:
    def __init__(self, state: State, tasks: Tasks, balancer: Balancer, region: str) -> None:
        self._state = state
        self._tasks = tasks
        self._balancer = balancer
        self._prefix = f"arn:aws:ecs:{region}:{ACCOUNT}:"
        self.definitions = Definitions(state, self._prefix)
        self.clusters = Clusters(state, self._prefix)
        self.tags = Tags(state)
        self.services: Services

    def operations(self) -> dict[str, Operation]:
        return {
            **self.clusters.operations(),
            **self.definitions.operations(),
            **self.tags.operations(),
            "RunTask": self.run_task,
            "StopTask": self.stop_task,
            "DescribeTasks": self.describe_tasks,
            "ListTasks": self.list_tasks,
            "GetTaskProtection": self.get_task_protection,
            "UpdateTaskProtection": self.update_task_protection,
            "CreateService": self.create_service,
            "UpdateService": self.update_service,
            "DescribeServices": self.describe_services,
            "ListServices": self.list_services,
            "DeleteService": self.delete_service,
            "ListServiceDeployments": self.list_service_deployments,
            "DescribeServiceDeployments": self.describe_service_deployments,
            "StopServiceDeployment": self.stop_service_deployment,
            "DescribeServiceRevisions": self.describe_service_revisions,
        }

    # --- tasks

    def _new_task(self, cluster_arn: str, definition: Row, **fields: Any) -> Row:
        """Write a task down; nothing has happened yet.  ``fields`` overwrite and add to the row's
        own."""
        task_id = uuid.uuid4().hex
        fields = {k: v for k, v in fields.items() if v not in ("", None)}
        sized = with_overrides(definition, fields.get("overrides", {}))
        containers = [
            {
                "name": c["name"],
                "image": c["image"],
                "lastStatus": "PENDING",
                "healthStatus": "UNKNOWN",
                "essential": c["essential"],
                "containerArn": (
                    f"{self._prefix}container/{short(cluster_arn)}/{task_id}/{uuid.uuid4()}"
                ),
                "_checked": c.get("healthCheck", {}).get("command", ["NONE"]) != ["NONE"],
                **{k: str(c[k]) for k in ("cpu", "memory", "memoryReservation") if k in c},
            }
            for c in sized["containerDefinitions"]
        ]
        return {
            "id": task_id,
            "taskArn": f"{self._prefix}task/{short(cluster_arn)}/{task_id}",
            "clusterArn": cluster_arn,
            "taskDefinitionArn": definition["taskDefinitionArn"],
            "desiredStatus": "RUNNING",
            "lastStatus": "PROVISIONING",
            "createdAt": time.time(),
            "containers": containers,
            "healthStatus": "UNKNOWN",
            "connectivity": "DISCONNECTED",
            "version": 1,
            "overrides": {},
            "cpu": sized.get("cpu", "0"),
            "memory": sized.get("memory", "0"),
            "stopCode": "",
            "stoppedReason": "",
            "startedBy": "",
            "_bindings": [],
            "_revision": "",
            **fields,
        }

    def start_service_task(self, service: Row, deployment: Row, provider: str) -> Row:
        revision = self._state.get("revision", deployment["_revision"])
        assert revision is not None
        definition = self.definitions.find(deployment["taskDefinition"])
        tags = {
            t["key"]: t
            for t in self.tags.propagated(
                service.get("propagateTags"), service["serviceArn"], definition
            )
        }
        task = self._new_task(
            service["clusterArn"],
            definition,
            startedBy=deployment["id"],
            group=f"service:{service['serviceName']}",
            capacityProviderName=provider,
            _bindings=revision.get("loadBalancers", []),
            _revision=revision["serviceRevisionArn"],
        )
        self._save_tasks([task], list(tags.values()))
        self._tasks.poke(task["id"])
        return task

    def _save_tasks(self, tasks: list[Row], tags: list[Row]) -> None:
        with self._state.together():
            for task in tasks:
                self._state.put("task", task["id"], task)
                if tags:
                    self._state.put("tags", task["taskArn"], {"tags": tags})

    async def run_task(self, params: Row) -> Row:
        cluster = self.clusters.find(params.get("cluster"))
        definition = self.definitions.startable(params["taskDefinition"])
        count = params.get("count", 1)
        if not 1 <= count <= 10:
            raise invalid("count must be between 1 and 10.")
        _refuse(params, _RUN_REFUSED, "RunTask")
        if params.get("enableExecuteCommand"):
            raise unsupported("RunTask: kirikae local has no ECS Exec; use `docker exec`")
        if (known := self._idempotent("RunTask", params)) is not None:
            return {
                "tasks": [self._show_task(t) for i in known if (t := self._state.get("task", i))],
                "failures": [],
            }
        self._check_overrides(definition, params.get("overrides", {}))
        strategy = self._strategy(params, cluster)
        tags = self.tags.propagated(params.get("propagateTags"), "", definition) + params.get(
            "tags", []
        )
        tasks: list[Row] = []
        for _ in range(count):
            placed = Counter(t.get("capacityProviderName", "") for t in tasks)
            tasks.append(
                self._new_task(
                    cluster["clusterArn"],
                    definition,
                    startedBy=params.get("startedBy", ""),
                    overrides=params.get("overrides", {}),
                    group=params.get("group", f"family:{definition['family']}"),
                    capacityProviderName=next_provider(strategy, placed),
                    platformVersion=params.get("platformVersion", ""),
                )
            )
        with self._state.together():
            self._save_tasks(tasks, tags)
            self._remember("RunTask", params, [t["id"] for t in tasks])
        for task in tasks:
            self._tasks.poke(task["id"])
        return {"tasks": [self._show_task(t) for t in tasks], "failures": []}

    def _check_overrides(self, definition: Row, overrides: Row) -> None:
        if overrides.get("inferenceAcceleratorOverrides") or any(
            "resourceRequirements" in c for c in overrides.get("containerOverrides", [])
        ):
            raise unsupported("RunTask: kirikae local has no accelerators")
        try:
            changed = with_overrides(definition, overrides)
        except KeyError as error:
            raise invalid(
                f"Override for container named {error.args[0]} is not a container in the "
                "TaskDefinition."
            ) from error
        if "FARGATE" in definition.get("requiresCompatibilities", []) and (
            problem := _size_problem(changed)
        ):
            raise invalid(f"No Fargate configuration exists for given values: {problem}")

    def _strategy(self, params: Row, cluster: Row) -> list[Row]:
        """What was asked, else the cluster's default where no launch type was asked."""
        asked: list[Row] = params.get("capacityProviderStrategy", [])
        if asked and params.get("launchType"):
            raise invalid(
                "Specifying both a launch type and capacity provider strategy is not "
                "supported. Remove one and try again."
            )
        if params.get("launchType", "FARGATE") != "FARGATE":
            raise unsupported(f"kirikae local runs launch type FARGATE, not {params['launchType']}")
        strategy = asked or (
            [] if params.get("launchType") else cluster.get("defaultCapacityProviderStrategy", [])
        )
        check_strategy(strategy, cluster.get("capacityProviders") or (PROVIDERS if asked else []))
        return strategy

    def _idempotent(self, operation: str, params: Row) -> list[str] | None:
        """What the same clientToken brought the first time.  Raises ConflictException for other
        parameters under it."""
        token = params.get("clientToken")
        if not token:
            return None
        if len(token) > 64:
            raise invalid("clientToken must be 64 characters or less.")
        known = self._state.get("token", f"{operation}/{token}")
        if known is None or time.time() - known["at"] > TOKEN_KEPT_S:
            return None
        if known["hash"] != _hash(params):
            raise AwsError(
                "ConflictException", f"clientToken {token} was used with other parameters."
            )
        return list(known["ids"])

    def _remember(self, operation: str, params: Row, ids: list[str]) -> None:
        if token := params.get("clientToken"):
            self._state.put(
                "token",
                f"{operation}/{token}",
                {"at": time.time(), "hash": _hash(params), "ids": ids},
            )

    def _task(self, cluster: Row, name: str) -> Row | None:
        row = self._state.get("task", short(name))
        return row if row is not None and row["clusterArn"] == cluster["clusterArn"] else None

    def _tasks_named(self, params: Row, most: int) -> tuple[list[Row], list[Row]]:
        cluster = self.clusters.find(params.get("cluster"))
        found = []
        failures = []
        if len(params["tasks"]) > most:
            raise invalid(f"Tasks cannot be more than {most}.")
        for name in params["tasks"]:
            task = self._task(cluster, name)
            if task is None:
                failures.append(
                    {
                        "arn": f"{self._prefix}task/{cluster['clusterName']}/{short(name)}",
                        "reason": "MISSING",
                    }
                )
            else:
                found.append(task)
        return found, failures

    async def stop_task(self, params: Row) -> Row:
        task = self._task(self.clusters.find(params.get("cluster")), params["task"])
        if task is None:
            raise invalid("The referenced task was not found.")
        self._tasks.stop(task["id"], "UserInitiated", params.get("reason", "Task stopped by user"))
        return {"task": self._show_task(self._state.get("task", task["id"]) or task)}

    async def describe_tasks(self, params: Row) -> Row:
        found, failures = self._tasks_named(params, 100)
        return {
            "tasks": [self._show_task(t, "TAGS" in params.get("include", [])) for t in found],
            "failures": failures,
        }

    async def list_tasks(self, params: Row) -> Row:
        cluster = self.clusters.find(params.get("cluster"))
        status = params.get("desiredStatus", "RUNNING")
        rows = [
            t
            for t in self._state.all("task")
            if t["clusterArn"] == cluster["clusterArn"] and t["desiredStatus"] == status
        ]
        if family := params.get("family"):
            rows = [t for t in rows if short(t["taskDefinitionArn"]).partition(":")[0] == family]
        if service := params.get("serviceName"):
            if self._service(cluster, service) is None:
                raise AwsError("ServiceNotFoundException", "Service not found.")
            rows = [t for t in rows if t["group"] == f"service:{short(service)}"]
        if by := params.get("startedBy"):
            rows = [t for t in rows if t["startedBy"] == by]
        if params.get("launchType", "FARGATE") != "FARGATE" or params.get("containerInstance"):
            rows = []
        return page("taskArns", [t["taskArn"] for t in rows], params, 100)

    def _show_task(self, row: Row, with_tags: bool = False) -> Row:
        shown = {k: v for k, v in row.items() if k in _TASK_MEMBERS and v != ""}
        address = row.get("address")
        interfaces = [{"privateIpv4Address": address}] if address else []
        shown["containers"] = [
            {
                **{k: v for k, v in c.items() if k in _CONTAINER_MEMBERS},
                "taskArn": row["taskArn"],
                "networkInterfaces": interfaces,
            }
            for c in row["containers"]
        ]
        status = (
            "PRECREATED"
            if not address
            else "DELETED"
            if row["lastStatus"] == "STOPPED"
            else "ATTACHED"
        )
        details = [{"name": "privateIPv4Address", "value": address}] if address else []
        shown["attachments"] = [
            {
                "id": row["id"],
                "type": "ElasticNetworkInterface",
                "status": status,
                "details": details,
            }
        ]
        shown.setdefault("platformVersion", "1.4.0")
        if with_tags:
            shown["tags"] = self.tags.of(row["taskArn"])
        launch = {} if row.get("capacityProviderName") else {"launchType": "FARGATE"}
        return {**shown, "platformFamily": "Linux", **launch}

    def forget(self, now: float) -> None:
        """Drop what was visible long enough: stopped tasks, client tokens, deleted definitions and
        services."""
        for task in self._state.all("task"):
            if task["lastStatus"] == "STOPPED" and now - task["stoppedAt"] > STOPPED_KEPT_S:
                self._state.drop("task", task["id"])
                self._state.drop("tags", task["taskArn"])
        self._state.drop_where("token", lambda row: now - row["at"] > TOKEN_KEPT_S)
        used = {t["taskDefinitionArn"] for t in self._state.all("task")} | {
            s["taskDefinition"] for s in self._state.all("service")
        }
        self.definitions.forget_deleted(used)

    # --- protection

    async def get_task_protection(self, params: Row) -> Row:
        if not params.get("tasks"):
            rows = [
                t
                for t in self._state.all("task")
                if t["clusterArn"] == self.clusters.find(params["cluster"])["clusterArn"]
            ]
            return {
                "protectedTasks": [_show_protection(t) for t in rows if protected(t, time.time())],
                "failures": [],
            }
        found, failures = self._tasks_named(params, 100)
        return {"protectedTasks": [_show_protection(t) for t in found], "failures": failures}

    async def update_task_protection(self, params: Row) -> Row:
        minutes = params.get("expiresInMinutes", PROTECTION_MINUTES)
        if not 1 <= minutes <= 2880:
            raise invalid("expiresInMinutes must be between 1 and 2880.")
        found, failures = self._tasks_named(params, 10)
        answer = []
        for task in found:
            if not task["_revision"] or not is_live(task):
                failures.append({"arn": task["taskArn"], "reason": "TASK_NOT_VALID"})
                continue
            until = time.time() + minutes * _MINUTE_S if params["protectionEnabled"] else 0
            answer.append(
                _show_protection(self._state.change("task", task["id"], _protectedUntil=until))
            )
            self.services.wake(service_of(task))
        return {"protectedTasks": answer, "failures": failures}

    # --- services

    def _service(self, cluster: Row, name: str) -> Row | None:
        return self._state.get(
            "service", f"{self._prefix}service/{cluster['clusterName']}/{short(name)}"
        )

    def _bindings(self, load_balancers: Iterable[Row], definition: Row) -> list[Row]:
        """The service's load balancers, checked against the definition and the target groups."""
        bindings = []
        for binding in load_balancers:
            if binding.get("advancedConfiguration"):
                raise unsupported(
                    "kirikae local does not carry out advancedConfiguration of "
                    "loadBalancers (native blue/green)"
                )
            arn = binding.get("targetGroupArn", "")
            try:
                self._balancer.group(arn)
            except AwsError as error:
                raise invalid(f"The target group {arn} does not exist.") from error
            if not self._balancer.balancers_of(arn):
                raise invalid(
                    f"The target group with targetGroupArn {arn} does not have an "
                    "associated load balancer."
                )
            container = next(
                (
                    c
                    for c in definition["containerDefinitions"]
                    if c["name"] == binding.get("containerName")
                ),
                None,
            )
            ports = [p["containerPort"] for p in (container or {}).get("portMappings", [])]
            if binding.get("containerPort") not in ports:
                raise invalid(
                    f"The container {binding.get('containerName')} does not map port "
                    f"{binding.get('containerPort')}."
                )
            bindings.append(binding)
        return bindings

    async def create_service(self, params: Row) -> Row:
        cluster = self.clusters.find(params.get("cluster"))
        name = params["serviceName"]
        _refuse(params, SERVICE_REFUSED, name)
        if params.get("schedulingStrategy", "REPLICA") != "REPLICA":
            raise unsupported(
                "kirikae local runs services of the strategy REPLICA (Fargate has no DAEMON)"
            )
        if params.get("deploymentController", {}).get("type", "ECS") != "ECS":
            raise unsupported("kirikae local has the deployment controller ECS only")
        if params.get("enableExecuteCommand"):
            raise unsupported(f"{name}: kirikae local has no ECS Exec; use `docker exec`")
        if "taskDefinition" not in params:
            raise invalid("TaskDefinition is required.")
        if (
            self._idempotent("CreateService", params) is not None
            and (same := self._service(cluster, name)) is not None
        ):
            return {"service": self._show_service(same)}
        definition = self.definitions.startable(params["taskDefinition"])
        known = self._service(cluster, name)
        if known is not None and known["status"] == "DRAINING":
            raise invalid("Unable to Start a service that is still Draining.")
        if known is not None and known["status"] == "ACTIVE":
            raise invalid("Creation of service was not idempotent.")
        strategy = self._strategy(params, cluster)
        arn = f"{self._prefix}service/{cluster['clusterName']}/{name}"
        row = {
            "serviceArn": arn,
            "serviceName": name,
            "clusterArn": cluster["clusterArn"],
            "status": "ACTIVE",
            "desiredCount": _desired(params.get("desiredCount", 1)),
            "taskDefinition": definition["taskDefinitionArn"],
            "loadBalancers": self._bindings(params.get("loadBalancers", []), definition),
            "createdAt": time.time(),
            "events": [],
            "createdBy": f"arn:aws:iam::{ACCOUNT}:root",
            "propagateTags": "NONE",
            "enableECSManagedTags": False,
            "enableExecuteCommand": False,
            "availabilityZoneRebalancing": "DISABLED",
            "healthCheckGracePeriodSeconds": 0,
            "platformVersion": "LATEST",
            **({"capacityProviderStrategy": strategy} if strategy else {"launchType": "FARGATE"}),
            **{k: params[k] for k in _KEPT_OF_SERVICE if k in params},
            **_configuration(params.get("deploymentConfiguration", {}), {}),
        }
        with self._state.together():
            if params.get("tags"):
                self._state.put("tags", arn, {"tags": params["tags"]})
            row = begin(self._state, row)
            self._remember("CreateService", params, [arn])
        self.services.wake(arn)
        return {"service": self._show_service(row)}

    async def update_service(self, params: Row) -> Row:
        row = self._active(params)
        _refuse(params, SERVICE_REFUSED, row["serviceName"])
        if params.get("enableExecuteCommand"):
            raise unsupported(
                f"{row['serviceName']}: kirikae local has no ECS Exec; use `docker exec`"
            )
        cluster = self.clusters.find(params.get("cluster"))
        named = params.get("taskDefinition")
        definition = (
            self.definitions.startable(named)
            if named
            else self.definitions.find(row["taskDefinition"])
        )
        changes: Row = {"taskDefinition": definition["taskDefinitionArn"]} | {
            k: params[k] for k in _KEPT_OF_SERVICE if k in params
        }
        if "desiredCount" in params:
            changes["desiredCount"] = _desired(params["desiredCount"])
        if "loadBalancers" in params:
            changes["loadBalancers"] = self._bindings(params["loadBalancers"], definition)
        if "capacityProviderStrategy" in params:
            strategy = params["capacityProviderStrategy"]
            check_strategy(strategy, cluster.get("capacityProviders") or PROVIDERS)
            changes["capacityProviderStrategy"] = strategy
        changes |= _configuration(params.get("deploymentConfiguration", {}), row)
        differs = any(
            k in params and changes.get(k, row.get(k)) != row.get(k) for k in _STARTS_DEPLOYMENT
        )
        if params.get("capacityProviderStrategy"):
            row = {k: v for k, v in row.items() if k != "launchType"}
            entries = [
                {**e, "capacityProviderStrategy": params["capacityProviderStrategy"]}
                for e in row["deployments"][:1]
            ]
            changes["deployments"] = [*entries, *row["deployments"][1:]]
        changed = {**row, **changes}
        if differs or params.get("forceNewDeployment"):
            changed = begin(self._state, changed)
        else:
            self._state.put("service", row["serviceArn"], changed)
        self.services.wake(row["serviceArn"])
        return {"service": self._show_service(changed)}

    def _active(self, params: Row) -> Row:
        row = self._service(self.clusters.find(params.get("cluster")), params["service"])
        if row is None:
            raise AwsError("ServiceNotFoundException", "Service not found.")
        if row["status"] != "ACTIVE":
            raise AwsError("ServiceNotActiveException", "Service was not ACTIVE.")
        return row

    def _show_service(self, row: Row, with_tags: bool = False) -> Row:
        tasks = self.services.tasks_of(row)
        shown = {k: v for k, v in row.items() if k in _SERVICE_MEMBERS}
        deployments = []
        for position, deployment in enumerate(row["deployments"]):
            own = [t for t in tasks if t["startedBy"] == deployment["id"]]
            deployments.append(
                {
                    **{k: v for k, v in deployment.items() if k in _DEPLOYMENT_MEMBERS},
                    "status": "PRIMARY" if position == 0 else "ACTIVE",
                    "desiredCount": row["desiredCount"] if position == 0 else 0,
                    **counts(own),
                }
            )
        if row["deployments"]:
            shown["currentServiceDeployment"] = row["deployments"][0]["_serviceDeployment"]
        shown["currentServiceRevisions"] = [
            {
                "arn": d["_revision"],
                "requestedTaskCount": s["desiredCount"],
                "runningTaskCount": s["runningCount"],
                "pendingTaskCount": s["pendingCount"],
            }
            for d, s in zip(row["deployments"], deployments, strict=True)
        ]
        if with_tags:
            shown["tags"] = self.tags.of(row["serviceArn"])
        return {
            **shown,
            "deployments": deployments,
            "roleArn": "",
            "schedulingStrategy": "REPLICA",
            **counts(tasks),
            "deploymentConfiguration": show_configuration(row),
            "deploymentController": {"type": "ECS"},
            "serviceRegistries": [],
            "placementConstraints": [],
            "placementStrategy": [],
        }

    async def describe_services(self, params: Row) -> Row:
        cluster = self.clusters.find(params.get("cluster"))
        found = []
        failures = []
        if len(params["services"]) > 10:
            raise invalid("Services cannot be more than 10.")
        for name in params["services"]:
            row = self._service(cluster, name)
            if row is None:
                failures.append(
                    {
                        "arn": f"{self._prefix}service/{cluster['clusterName']}/{short(name)}",
                        "reason": "MISSING",
                    }
                )
            else:
                found.append(self._show_service(row, "TAGS" in params.get("include", [])))
        return {"services": found, "failures": failures}

    async def list_services(self, params: Row) -> Row:
        cluster = self.clusters.find(params.get("cluster"))
        rows = [
            s
            for s in self._state.all("service")
            if s["clusterArn"] == cluster["clusterArn"] and s["status"] == "ACTIVE"
        ]
        if params.get("launchType"):
            rows = [s for s in rows if s.get("launchType") == params["launchType"]]
        return page("serviceArns", [s["serviceArn"] for s in rows], params, 10)

    async def delete_service(self, params: Row) -> Row:
        row = self._active(params)
        if row["desiredCount"] and not params.get("force"):
            raise invalid("The service cannot be stopped while it is scaled above 0.")
        row = {
            **with_event(row, "is being deleted.", time.time()),
            "status": "DRAINING",
            "desiredCount": 0,
        }
        self._state.put("service", row["serviceArn"], row)
        self.services.wake(row["serviceArn"])
        return {"service": self._show_service(row)}

    # --- service deployments

    async def list_service_deployments(self, params: Row) -> Row:
        cluster = self.clusters.find(params.get("cluster"))
        service = self._service(cluster, params["service"])
        if service is None:
            raise AwsError("ServiceNotFoundException", "Service not found.")
        rows = [
            r
            for r in self._state.all("servicedeployment")
            if r["serviceArn"] == service["serviceArn"]
        ]
        rows = [r for r in rows if r["status"] in params.get("status", [r["status"]])]
        asked = params.get("createdAt", {})
        rows = [
            r
            for r in rows
            if float(asked.get("after", 0))
            <= r["createdAt"]
            <= float(asked.get("before", r["createdAt"]))
        ]
        rows.sort(key=lambda r: -r["createdAt"])
        brief = [
            {
                **{k: v for k, v in r.items() if k in _BRIEF_MEMBERS},
                "targetServiceRevisionArn": r["_target"],
            }
            for r in rows
        ]
        return page("serviceDeployments", brief, params, 100)

    async def describe_service_deployments(self, params: Row) -> Row:
        found, failures = self._named("servicedeployment", params["serviceDeploymentArns"])
        shown = []
        for row in found:
            service = self._state.get("service", row["serviceArn"])
            shown.append(
                show_service_deployment(
                    row, service, self.services.tasks_of(service) if service else []
                )
            )
        return {"serviceDeployments": shown, "failures": failures}

    async def describe_service_revisions(self, params: Row) -> Row:
        found, failures = self._named("revision", params["serviceRevisionArns"])
        shown = []
        for row in found:
            definition = self.definitions.find(row["taskDefinition"])
            images = [
                {
                    "containerName": c["name"],
                    "image": c["image"],
                    **(
                        {"imageDigest": row["_images"][c["name"]]}
                        if c["name"] in row["_images"]
                        else {}
                    ),
                }
                for c in definition["containerDefinitions"]
            ]
            shown.append(
                {
                    **{k: v for k, v in row.items() if not k.startswith("_")},
                    "containerImages": images,
                    "platformFamily": "Linux",
                }
            )
        return {"serviceRevisions": shown, "failures": failures}

    def _named(self, kind: str, arns: list[str]) -> tuple[list[Row], list[Row]]:
        if not 1 <= len(arns) <= 20:
            raise invalid("1 to 20 ARNs can be asked for at once.")
        rows = {arn: self._state.get(kind, arn) for arn in arns}
        return [r for r in rows.values() if r is not None], [
            {"arn": a, "reason": "MISSING"} for a, r in rows.items() if r is None
        ]

    async def stop_service_deployment(self, params: Row) -> Row:
        """ROLLBACK (the default) goes back to the last completed revision; ABORT leaves everything
        as it is now."""
        arn = params["serviceDeploymentArn"]
        row = self._state.get("servicedeployment", arn)
        if row is None:
            raise AwsError(
                "ServiceDeploymentNotFoundException", "The service deployment was not found."
            )
        service = self._state.get("service", row["serviceArn"])
        if row["status"] != "IN_PROGRESS" or service is None or service["status"] != "ACTIVE":
            raise AwsError(
                "ConflictException",
                f"The service deployment is {row['status']} and cannot be stopped.",
            )
        reason = "The deployment was stopped by StopServiceDeployment."
        failed = {
            **service["deployments"][0],
            "rolloutState": "FAILED",
            "rolloutStateReason": reason,
            "updatedAt": time.time(),
        }
        service = {**service, "deployments": [failed, *service["deployments"][1:]]}
        with self._state.together():
            if params.get("stopType", "ROLLBACK") == "ROLLBACK":
                service = roll_back(self._state, service, failed, reason)
            else:
                finish(self._state, arn, "STOPPED", reason)
            self._state.put("service", service["serviceArn"], service)
        self.services.wake(service["serviceArn"])
        return {"serviceDeploymentArn": arn}

    # --- trouble on purpose

    def interrupt_spot(self, percent: int, dry_run: bool = False) -> list[str]:
        """Take this part of the running FARGATE_SPOT tasks away, as AWS does, the oldest first; the
        answer is their ARNs."""
        spot = [
            t
            for t in self._state.all("task")
            if is_live(t) and t.get("capacityProviderName") == "FARGATE_SPOT"
        ]
        chosen = sorted(spot, key=lambda t: t["createdAt"])[: -(-len(spot) * percent // 100)]
        for task in chosen if not dry_run else []:
            self._tasks.stop(task["id"], "SpotInterruption", "Your Spot Task was interrupted.")
        return [t["taskArn"] for t in chosen]


def _members(shape: str) -> frozenset[str]:
    return frozenset(service_model("ecs").shape_for(shape).members)


_TASK_MEMBERS = _members("Task")
_CONTAINER_MEMBERS = _members("Container")
_SERVICE_MEMBERS = _members("Service")
_DEPLOYMENT_MEMBERS = _members("Deployment")
_BRIEF_MEMBERS = _members("ServiceDeploymentBrief")


def _configuration(asked: Row, before: Row) -> Row:
    if asked.get("strategy", "ROLLING") != "ROLLING":
        raise unsupported(f"kirikae local does not carry out the strategy {asked['strategy']} yet")
    for key in (
        "earlySuccessCriteria",
        "lifecycleHooks",
        "linearConfiguration",
        "canaryConfiguration",
        "bakeTimeInMinutes",
    ):
        if asked.get(key):
            raise unsupported(f"kirikae local does not carry out {key} of a deployment yet")
    if asked.get("alarms", {}).get("enable"):
        raise unsupported("kirikae local does not carry out deployment alarms yet")
    former = {
        "minimumHealthyPercent": 100,
        "maximumPercent": 200,
        "deploymentCircuitBreaker": {"enable": False, "rollback": False},
    } | before
    breaker: Row = asked.get("deploymentCircuitBreaker", former["deploymentCircuitBreaker"])
    threshold = breaker.get("thresholdConfiguration", {})
    if threshold and threshold.get("value", 1) < 1:
        raise invalid("deploymentCircuitBreaker: a threshold of at least 1 is needed")
    minimum: int = asked.get("minimumHealthyPercent", former["minimumHealthyPercent"])
    maximum: int = asked.get("maximumPercent", former["maximumPercent"])
    if not 0 <= minimum <= 100 or maximum < 100:
        raise invalid(
            f"minimumHealthyPercent {minimum}: 0 to 100; maximumPercent {maximum}: 100 or more."
        )
    if minimum == maximum == 100:
        raise invalid(
            "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will "
            "block deployments."
        )
    return {
        "minimumHealthyPercent": minimum,
        "maximumPercent": maximum,
        "deploymentCircuitBreaker": breaker,
    }


def _size_problem(definition: Row) -> str:
    return size_problem(int(definition["cpu"]), int(definition["memory"])) or ""


def _desired(count: int) -> int:
    if count < 0:
        raise invalid("desiredCount must not be negative.")
    return count


def _hash(params: Row) -> str:
    return hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()


def _show_protection(row: Row) -> Row:
    on = protected(row, time.time())
    return {
        "taskArn": row["taskArn"],
        "protectionEnabled": on,
        **({"expirationDate": row["_protectedUntil"]} if on else {}),
    }


def _refuse(params: Row, keys: Iterable[str], where: str) -> None:
    for key in keys:
        if params.get(key):
            raise unsupported(f"{where}: kirikae local does not carry out {key} yet")
