"""The ECS API over the store.  Handlers write down what is wanted and wake those who make it so."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from typing import Any

from kirikae.local.ecs.services import Services, new_deployment, with_event
from kirikae.local.ecs.tasks import Tasks, launch_order, short
from kirikae.local.elb.api import Balancer
from kirikae.local.errors import AwsError
from kirikae.local.state import Row, State
from kirikae.local.wire import ACCOUNT, Operation
from kirikae.model.fargate import size_problem

STOPPED_KEPT_S = 3600
_NOT_YET = ("pidMode", "ipcMode", "proxyConfiguration", "inferenceAccelerators", "volumes", "placementConstraints")
_CONTAINER_NOT_YET = ("environmentFiles", "firelensConfiguration", "volumesFrom", "links", "restartPolicy", "dockerSecurityOptions")
_SERVICE_NOT_YET = (
    "capacityProviderStrategy",
    "serviceRegistries",
    "serviceConnectConfiguration",
    "volumeConfigurations",
    "vpcLatticeConfigurations",
)
_STARTS_DEPLOYMENT = ("taskDefinition", "loadBalancers", "platformVersion", "networkConfiguration")


def invalid(message: str) -> AwsError:
    return AwsError("InvalidParameterException", message)


def refused(message: str) -> AwsError:
    return AwsError("ClientException", message)


class Ecs:
    def __init__(self, state: State, tasks: Tasks, balancer: Balancer, region: str) -> None:
        self._state, self._tasks, self._balancer = state, tasks, balancer
        self._prefix = f"arn:aws:ecs:{region}:{ACCOUNT}:"
        self.services: Services

    def operations(self) -> dict[str, Operation]:
        return {
            "CreateCluster": self.create_cluster,
            "DescribeClusters": self.describe_clusters,
            "ListClusters": self.list_clusters,
            "DeleteCluster": self.delete_cluster,
            "RegisterTaskDefinition": self.register_task_definition,
            "DescribeTaskDefinition": self.describe_task_definition,
            "ListTaskDefinitions": self.list_task_definitions,
            "DeregisterTaskDefinition": self.deregister_task_definition,
            "RunTask": self.run_task,
            "StopTask": self.stop_task,
            "DescribeTasks": self.describe_tasks,
            "ListTasks": self.list_tasks,
            "CreateService": self.create_service,
            "UpdateService": self.update_service,
            "DescribeServices": self.describe_services,
            "ListServices": self.list_services,
            "DeleteService": self.delete_service,
        }

    # --- clusters -------------------------------------------------------------------------------------------------

    async def create_cluster(self, params: Row) -> Row:
        name = params.get("clusterName", "default")
        arn = f"{self._prefix}cluster/{name}"
        if self._state.get("cluster", arn) is None:
            self._state.put("cluster", arn, {"clusterArn": arn, "clusterName": name, "tags": params.get("tags", [])})
        return {"cluster": self._show_cluster(self._cluster(name))}

    def _cluster(self, name: str | None) -> Row:
        arn = f"{self._prefix}cluster/{short(name or 'default')}"
        row = self._state.get("cluster", arn)
        if row is None:
            raise AwsError("ClusterNotFoundException", "Cluster not found.")
        return row

    def _show_cluster(self, row: Row) -> Row:
        tasks = [t for t in self._state.all("task") if t["clusterArn"] == row["clusterArn"]]
        services = [s for s in self._state.all("service") if s["clusterArn"] == row["clusterArn"] and s["status"] == "ACTIVE"]
        return {
            **row, "status": "ACTIVE", "activeServicesCount": len(services),
            "runningTasksCount": sum(t["lastStatus"] == "RUNNING" for t in tasks),
            "pendingTasksCount": sum(t["lastStatus"] in ("PROVISIONING", "PENDING", "ACTIVATING") for t in tasks),
            "registeredContainerInstancesCount": 0, "capacityProviders": [], "defaultCapacityProviderStrategy": [],
        }  # fmt: skip

    async def describe_clusters(self, params: Row) -> Row:
        names = params.get("clusters") or ["default"]
        found, failures = [], []
        for name in names:
            try:
                found.append(self._show_cluster(self._cluster(name)))
            except AwsError:
                failures.append({"arn": f"{self._prefix}cluster/{short(name)}", "reason": "MISSING"})
        return {"clusters": found, "failures": failures}

    async def list_clusters(self, params: Row) -> Row:
        return _page("clusterArns", [c["clusterArn"] for c in self._state.all("cluster")], params, 100)

    async def delete_cluster(self, params: Row) -> Row:
        row = self._cluster(params["cluster"])
        shown = self._show_cluster(row)
        if shown["activeServicesCount"]:
            raise AwsError("ClusterContainsServicesException", "The Cluster cannot be deleted while Services are active.")
        if shown["runningTasksCount"] + shown["pendingTasksCount"]:
            raise AwsError("ClusterContainsTasksException", "The Cluster cannot be deleted while Tasks are active.")
        self._state.drop("cluster", row["clusterArn"])
        return {"cluster": {**shown, "status": "INACTIVE"}}

    # --- task definitions -----------------------------------------------------------------------------------------

    async def register_task_definition(self, params: Row) -> Row:
        family, containers = params["family"], params["containerDefinitions"]
        _refuse(params, _NOT_YET, family)
        names = [c.get("name") for c in containers]
        if not containers or None in names or len(set(names)) != len(names):
            raise refused(f"{family}: every container needs a name of its own")
        containers = [{"essential": True, **c} for c in containers]
        if not any(c["essential"] for c in containers):
            raise refused(f"{family}: a task definition needs at least one essential container")
        for container in containers:
            self._check_container(family, container)
        try:
            launch_order(containers)
        except ValueError as error:
            raise refused(f"{family}: {error}") from error
        if params.get("networkMode", "awsvpc") != "awsvpc":
            raise refused(f"{family}: kirikae local runs network mode awsvpc")
        sizes = self._check_size(family, params)
        revision = 1 + max([d["revision"] for d in self._state.all("definition") if d["family"] == family], default=0)
        arn = f"{self._prefix}task-definition/{family}:{revision}"
        known = {k: v for k, v in params.items() if k != "tags"}
        row = {
            **known, **sizes, "containerDefinitions": containers, "networkMode": "awsvpc", "taskDefinitionArn": arn,
            "revision": revision, "status": "ACTIVE", "registeredAt": time.time(), "volumes": [],
            "compatibilities": ["EC2", "FARGATE"],
        }  # fmt: skip
        self._state.put("definition", arn, row)
        return {"taskDefinition": row, "tags": params.get("tags", [])}

    def _check_container(self, family: str, container: Row) -> None:
        _refuse(container, _CONTAINER_NOT_YET, f"{family}/{container['name']}")
        if not container.get("image"):
            raise refused(f"{family}/{container['name']}: Container.image should not be null or empty.")
        for dependency in container.get("dependsOn", []):
            if dependency["condition"] != "START":
                raise refused(
                    f"{family}/{container['name']}: kirikae local carries out dependsOn START only, not {dependency['condition']} yet"
                )

    def _check_size(self, family: str, params: Row) -> Row:
        fargate = "FARGATE" in params.get("requiresCompatibilities", [])
        cpu, memory = _units(params.get("cpu"), 1024), _units(params.get("memory"), 1024)
        if fargate and (cpu is None or memory is None):
            raise refused(f"{family}: Fargate requires task definition to have cpu and memory.")
        if fargate and cpu is not None and memory is not None and (problem := size_problem(cpu, memory)):
            raise refused(f"{family}: No Fargate configuration exists for given values: {problem}")
        for container in params["containerDefinitions"]:
            if memory is None and not container.get("memory") and not container.get("memoryReservation"):
                raise refused(
                    f"{family}/{container['name']}: Invalid setting: at least one of 'memory' or 'memoryReservation' must be specified."
                )
        return {k: str(v) for k, v in (("cpu", cpu), ("memory", memory)) if v is not None}

    def _definition(self, name: str) -> Row:
        if name.startswith("arn:"):
            name = short(name)
        family, _, revision = name.partition(":")
        rows = [d for d in self._state.all("definition") if d["family"] == family and (d["status"] == "ACTIVE" or revision)]
        if revision:
            rows = [d for d in rows if str(d["revision"]) == revision]
        if not rows:
            raise refused("Unable to describe task definition.")
        return max(rows, key=lambda d: int(d["revision"]))

    async def describe_task_definition(self, params: Row) -> Row:
        return {"taskDefinition": self._definition(params["taskDefinition"]), "tags": []}

    async def list_task_definitions(self, params: Row) -> Row:
        status, family = params.get("status", "ACTIVE"), params.get("familyPrefix")
        rows = [d for d in self._state.all("definition") if d["status"] == status and family in (None, d["family"])]
        rows.sort(key=lambda d: (d["family"], d["revision"]), reverse=params.get("sort") == "DESC")
        return _page("taskDefinitionArns", [d["taskDefinitionArn"] for d in rows], params, 100)

    async def deregister_task_definition(self, params: Row) -> Row:
        if ":" not in short(params["taskDefinition"]):
            raise refused("Revision is missing.")
        row = self._definition(params["taskDefinition"])
        row = self._state.change("definition", row["taskDefinitionArn"], status="INACTIVE", deregisteredAt=time.time())
        return {"taskDefinition": row}

    # --- tasks ----------------------------------------------------------------------------------------------------

    def new_task(self, cluster_arn: str, definition: Row, started_by: str, group: str, bindings: list[Row], overrides: Row) -> Row:
        """Write a task down; nothing has happened yet."""
        task_id = uuid.uuid4().hex
        containers = [
            {
                "name": c["name"], "image": c["image"], "essential": c["essential"], "lastStatus": "PENDING",
                "healthStatus": "UNKNOWN" if "healthCheck" in c else "NONE",
                "containerArn": f"{self._prefix}container/{short(cluster_arn)}/{task_id}/{uuid.uuid4()}",
            }
            for c in definition["containerDefinitions"]
        ]  # fmt: skip
        row = {
            "id": task_id, "taskArn": f"{self._prefix}task/{short(cluster_arn)}/{task_id}", "clusterArn": cluster_arn,
            "taskDefinitionArn": definition["taskDefinitionArn"], "desiredStatus": "RUNNING", "lastStatus": "PROVISIONING",
            "createdAt": time.time(), "startedBy": started_by, "group": group, "containers": containers, "bindings": bindings,
            "healthStatus": "UNKNOWN", "connectivity": "DISCONNECTED", "version": 1, "overrides": overrides,
            "cpu": definition.get("cpu", "0"), "memory": definition.get("memory", "0"), "stopCode": "", "stoppedReason": "",
        }  # fmt: skip
        self._state.put("task", task_id, row)
        self._tasks.poke(task_id)
        return row

    def start_service_task(self, service: Row, deployment: Row) -> Row:
        definition = self._definition(deployment["taskDefinition"])
        group = f"service:{service['serviceName']}"
        return self.new_task(service["clusterArn"], definition, deployment["id"], group, service["loadBalancers"], {})

    async def run_task(self, params: Row) -> Row:
        cluster, definition = self._cluster(params.get("cluster")), self._definition(params["taskDefinition"])
        count = params.get("count", 1)
        if not 1 <= count <= 10:
            raise invalid("count must be between 1 and 10.")
        if any(params.get("overrides", {}).values()):
            raise AwsError("UnsupportedFeatureException", "kirikae local does not carry out overrides of RunTask yet")
        _refuse(params, ("capacityProviderStrategy", "placementConstraints", "volumeConfigurations"), "RunTask")
        group = params.get("group", f"family:{definition['family']}")
        tasks = [
            self.new_task(cluster["clusterArn"], definition, params.get("startedBy", ""), group, [], params.get("overrides", {}))
            for _ in range(count)
        ]
        return {"tasks": [_show_task(t) for t in tasks], "failures": []}

    def _task(self, cluster: Row, name: str) -> Row | None:
        row = self._state.get("task", short(name))
        return row if row is not None and row["clusterArn"] == cluster["clusterArn"] else None

    async def stop_task(self, params: Row) -> Row:
        task = self._task(self._cluster(params.get("cluster")), params["task"])
        if task is None:
            raise invalid("The referenced task was not found.")
        self._tasks.stop(task["id"], "UserInitiated", params.get("reason", "Task stopped by user"))
        return {"task": _show_task(self._state.get("task", task["id"]) or task)}

    async def describe_tasks(self, params: Row) -> Row:
        cluster, found, failures = self._cluster(params.get("cluster")), [], []
        if len(params["tasks"]) > 100:
            raise invalid("Tasks cannot be more than 100.")
        for name in params["tasks"]:
            task = self._task(cluster, name)
            if task is None:
                failures.append({"arn": f"{self._prefix}task/{cluster['clusterName']}/{short(name)}", "reason": "MISSING"})
            else:
                found.append(_show_task(task))
        return {"tasks": found, "failures": failures}

    async def list_tasks(self, params: Row) -> Row:
        cluster, status = self._cluster(params.get("cluster")), params.get("desiredStatus", "RUNNING")
        rows = [t for t in self._state.all("task") if t["clusterArn"] == cluster["clusterArn"] and t["desiredStatus"] == status]
        if "serviceName" in params:
            service = self._service(cluster, params["serviceName"])
            if service is None:
                raise AwsError("ServiceNotFoundException", "Service not found.")
            rows = [t for t in rows if t["group"] == f"service:{service['serviceName']}"]
        if "family" in params:
            rows = [t for t in rows if short(t["taskDefinitionArn"]).partition(":")[0] == params["family"]]
        if "startedBy" in params:
            rows = [t for t in rows if t["startedBy"] == params["startedBy"]]
        return _page("taskArns", [t["taskArn"] for t in rows], params, 100)

    def forget_stopped(self) -> None:
        """Stopped tasks stay visible for an hour."""
        for task in self._state.all("task"):
            if task["lastStatus"] == "STOPPED" and time.time() - task["stoppedAt"] > STOPPED_KEPT_S:
                self._state.drop("task", task["id"])

    # --- services -------------------------------------------------------------------------------------------------

    def _service(self, cluster: Row, name: str) -> Row | None:
        return self._state.get("service", f"{self._prefix}service/{cluster['clusterName']}/{short(name)}")

    def _bindings(self, load_balancers: Iterable[Row], definition: Row) -> list[Row]:
        """The service's load balancers, checked against the definition and the target groups."""
        bindings = []
        for binding in load_balancers:
            arn = binding.get("targetGroupArn", "")
            try:
                self._balancer.group(arn)
            except AwsError as error:
                raise invalid(f"The target group {arn} does not exist.") from error
            if not self._balancer.balancers_of(arn):
                raise invalid(f"The target group with targetGroupArn {arn} does not have an associated load balancer.")
            container = next((c for c in definition["containerDefinitions"] if c["name"] == binding.get("containerName")), None)
            ports = [p["containerPort"] for p in (container or {}).get("portMappings", [])]
            if binding.get("containerPort") not in ports:
                raise invalid(f"The container {binding.get('containerName')} does not map port {binding.get('containerPort')}.")
            bindings.append(binding)
        return bindings

    async def create_service(self, params: Row) -> Row:
        cluster, name = self._cluster(params.get("cluster")), params["serviceName"]
        _refuse(params, _SERVICE_NOT_YET, name)
        if params.get("schedulingStrategy", "REPLICA") != "REPLICA":
            raise invalid("kirikae local runs services of the strategy REPLICA")
        definition = self._definition(params.get("taskDefinition", ""))
        known = self._service(cluster, name)
        if known is not None and known["status"] != "INACTIVE":
            raise invalid("Creation of service was not idempotent.")
        arn = f"{self._prefix}service/{cluster['clusterName']}/{name}"
        row = {
            "serviceArn": arn, "serviceName": name, "clusterArn": cluster["clusterArn"], "status": "ACTIVE",
            "desiredCount": params.get("desiredCount", 1), "taskDefinition": definition["taskDefinitionArn"],
            "loadBalancers": self._bindings(params.get("loadBalancers", []), definition),
            "launchType": params.get("launchType", "FARGATE"), "createdAt": time.time(), "events": [],
            "healthCheckGracePeriodSeconds": params.get("healthCheckGracePeriodSeconds", 0),
            "networkConfiguration": params.get("networkConfiguration", {}),
            "deployments": [new_deployment(definition["taskDefinitionArn"])],
            **_configuration(params.get("deploymentConfiguration", {}), {}),
        }  # fmt: skip
        self._state.put("service", arn, row)
        self.services.wake()
        return {"service": self._show_service(row)}

    async def update_service(self, params: Row) -> Row:
        row = self._active(params)
        _refuse(params, _SERVICE_NOT_YET, row["serviceName"])
        definition = self._definition(str(params.get("taskDefinition", row["taskDefinition"])))
        changes: Row = {"taskDefinition": definition["taskDefinitionArn"]}
        for key in ("desiredCount", "healthCheckGracePeriodSeconds", "networkConfiguration"):
            if key in params:
                changes[key] = params[key]
        if "loadBalancers" in params:
            changes["loadBalancers"] = self._bindings(params["loadBalancers"], definition)
        changes |= _configuration(params.get("deploymentConfiguration", {}), row)
        differs = any(k in params and changes.get(k, row.get(k)) != row.get(k) for k in _STARTS_DEPLOYMENT)
        if differs or params.get("forceNewDeployment"):
            changes["deployments"] = [new_deployment(definition["taskDefinitionArn"]), *row["deployments"]]
        row = self._state.change("service", row["serviceArn"], **changes)
        self.services.wake()
        return {"service": self._show_service(row)}

    def _active(self, params: Row) -> Row:
        row = self._service(self._cluster(params.get("cluster")), params["service"])
        if row is None:
            raise AwsError("ServiceNotFoundException", "Service not found.")
        if row["status"] != "ACTIVE":
            raise AwsError("ServiceNotActiveException", "Service was not ACTIVE.")
        return row

    def _show_service(self, row: Row) -> Row:
        tasks = self.services.tasks_of(row)
        shown = {
            k: v for k, v in row.items() if k not in ("lastGood", "minimumHealthyPercent", "maximumPercent", "deploymentCircuitBreaker")
        }
        deployments = []
        for position, deployment in enumerate(row["deployments"]):
            own = [t for t in tasks if t["startedBy"] == deployment["id"]]
            deployments.append(
                {
                    **{k: v for k, v in deployment.items() if k not in ("failuresInARow", "notBefore")},
                    "status": "PRIMARY" if position == 0 else "ACTIVE", "desiredCount": row["desiredCount"] if position == 0 else 0,
                    "launchType": row["launchType"], **_counts(own),
                }
            )  # fmt: skip
        return {
            **shown, "deployments": deployments, "roleArn": "", "schedulingStrategy": "REPLICA", **_counts(tasks),
            "deploymentConfiguration": {
                "minimumHealthyPercent": row["minimumHealthyPercent"], "maximumPercent": row["maximumPercent"],
                "deploymentCircuitBreaker": row["deploymentCircuitBreaker"], "strategy": "ROLLING",
            },
        }  # fmt: skip

    async def describe_services(self, params: Row) -> Row:
        cluster, found, failures = self._cluster(params.get("cluster")), [], []
        if len(params["services"]) > 10:
            raise invalid("Services cannot be more than 10.")
        for name in params["services"]:
            row = self._service(cluster, name)
            if row is None:
                failures.append({"arn": f"{self._prefix}service/{cluster['clusterName']}/{short(name)}", "reason": "MISSING"})
            else:
                found.append(self._show_service(row))
        return {"services": found, "failures": failures}

    async def list_services(self, params: Row) -> Row:
        cluster = self._cluster(params.get("cluster"))
        rows = [s for s in self._state.all("service") if s["clusterArn"] == cluster["clusterArn"] and s["status"] == "ACTIVE"]
        return _page("serviceArns", [s["serviceArn"] for s in rows], params, 10)

    async def delete_service(self, params: Row) -> Row:
        row = self._active(params)
        if row["desiredCount"] and not params.get("force"):
            raise invalid("The service cannot be stopped while it is scaled above 0.")
        row = self._state.change(
            "service", row["serviceArn"], **{**with_event(row, "is being deleted.", time.time()), "status": "DRAINING", "desiredCount": 0}
        )
        self.services.wake()
        return {"service": self._show_service(row)}


def _configuration(asked: Row, before: Row) -> Row:
    if asked.get("strategy", "ROLLING") != "ROLLING":
        raise AwsError("UnsupportedFeatureException", f"kirikae local does not carry out the strategy {asked['strategy']} yet")
    if asked.get("alarms", {}).get("enable"):
        raise AwsError("UnsupportedFeatureException", "kirikae local does not carry out deployment alarms yet")
    breaker: Row = before.get("deploymentCircuitBreaker", {"enable": False, "rollback": False})
    breaker = asked.get("deploymentCircuitBreaker", breaker)
    return {
        "minimumHealthyPercent": asked.get("minimumHealthyPercent", before.get("minimumHealthyPercent", 100)),
        "maximumPercent": asked.get("maximumPercent", before.get("maximumPercent", 200)),
        "deploymentCircuitBreaker": {"enable": breaker["enable"], "rollback": breaker["rollback"]},
    }  # fmt: skip


def _counts(tasks: Iterable[Row]) -> Row:
    status = [t["lastStatus"] for t in tasks]
    return {
        "runningCount": status.count("RUNNING"),
        "pendingCount": sum(s in ("PROVISIONING", "PENDING", "ACTIVATING") for s in status),
    }


def _show_task(row: Row) -> Row:
    hidden = ("id", "bindings", "pause", "address", "counted")
    shown = {k: v for k, v in row.items() if k not in hidden and v != ""}
    address = row.get("address")
    shown["containers"] = [
        {**c, "taskArn": row["taskArn"], "networkInterfaces": [{"privateIpv4Address": address}] if address else []}
        for c in ({k: v for k, v in c.items() if k != "essential"} for c in row["containers"])
    ]
    if address:
        details = [{"name": "privateIPv4Address", "value": address}]
        shown["attachments"] = [{"id": row["id"], "type": "ElasticNetworkInterface", "status": "ATTACHED", "details": details}]
    for container in shown["containers"]:
        container["healthStatus"] = container["healthStatus"].replace("NONE", "UNKNOWN").replace("STARTING", "UNKNOWN")
    return {**shown, "launchType": "FARGATE", "platformVersion": "1.4.0"}


def _page(key: str, items: list[Any], params: Row, default: int) -> Row:
    """One page; the token is the number of items already given."""
    size = params.get("maxResults") or default
    if not 1 <= size <= 100:
        raise invalid("maxResults must be between 1 and 100.")
    token = params.get("nextToken") or "0"
    if not token.isdigit():
        raise invalid("Invalid token.")
    begin = int(token)
    more = {"nextToken": str(begin + size)} if begin + size < len(items) else {}
    return {key: items[begin : begin + size], **more}


def _units(value: str | None, per_whole: int) -> int | None:
    """``"256"``, ``"1 vCPU"``, ``".5 vCPU"``, ``"2 GB"`` as CPU units or MiB."""
    if value is None:
        return None
    number, _, unit = value.strip().partition(" ")
    try:
        return round(float(number) * per_whole) if unit.lower() in ("vcpu", "gb") else int(number)
    except ValueError as error:
        raise refused(f"Invalid 'cpu' or 'memory' setting: {value!r}") from error


def _refuse(params: Row, keys: Iterable[str], where: str) -> None:
    for key in keys:
        if params.get(key):
            raise AwsError("UnsupportedFeatureException", f"{where}: kirikae local does not carry out {key} yet")
