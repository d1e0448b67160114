"""CreateService, UpdateService and what is asked of services.  Handlers write down what is wanted
and wake those who make it so."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import cast

from kirikae.local.ecs.agenda import Agenda
from kirikae.local.ecs.capacity import PROVIDERS, check_strategy
from kirikae.local.ecs.clusters import Clusters
from kirikae.local.ecs.configuration import configuration_of
from kirikae.local.ecs.constraints import Wish, checked, wished
from kirikae.local.ecs.definitions import Definitions
from kirikae.local.ecs.deployments import begin, deleted, kept_entries
from kirikae.local.ecs.grounds import Grounds
from kirikae.local.ecs.launching import (
    check_compatible,
    check_launch,
    check_launch_type,
    check_mode,
    check_place,
    check_unplaced,
    says_fargate,
    wants_instance,
)
from kirikae.local.ecs.lookup import Lookup
from kirikae.local.ecs.names import check_name, invalid, refuse, unsupported
from kirikae.local.ecs.ports import ports_of
from kirikae.local.ecs.running import strategy_of
from kirikae.local.ecs.shown import show_service
from kirikae.local.ecs.strategies import check_balancers
from kirikae.local.ecs.strategies import strategy_of as strategy_of_service
from kirikae.local.ecs.tags import Tags, save_tags
from kirikae.local.ecs.taskrow import ENDING, tasks_of
from kirikae.local.ecs.tasksets import check_controller, show_task_set
from kirikae.local.ecs.tokens import Tokens, check_token
from kirikae.local.elb.steering import check_rule
from kirikae.local.elb.targets import Targets
from kirikae.local.pages import page
from kirikae.local.plain import Plain
from kirikae.local.rows import (
    Binding,
    Cluster,
    Definition,
    Deployment,
    Service,
    ServiceChange,
)
from kirikae.local.state import State
from kirikae.local.wire import ACCOUNT, Handlers

# botocore's model of DescribeServices: up to 10 at a time.
_MOST_DESCRIBED = 10
# botocore's model of CreateService.
_LONGEST_TOKEN = 36
_MOST_BINDINGS = 5
_RESOLUTIONS_S = (20, 60)
REFUSED = (
    "serviceRegistries",
    "serviceConnectConfiguration",
    "volumeConfigurations",
    "vpcLatticeConfigurations",
    "gatewayConnectors",
)
# What starts a service deployment where it differs (botocore's model of UpdateService); the others
# that do are in REFUSED.
_STARTS_DEPLOYMENT = ("taskDefinition", "loadBalancers", "platformVersion", "networkConfiguration")


class ServiceApi:
    """Writes down what a service is asked to be; ``Services`` makes it so."""

    def __init__(
        self,
        state: State,
        clusters: Clusters,
        definitions: Definitions,
        tags: Tags,
        lookup: Lookup,
        tokens: Tokens,
        targets: Targets,
        agenda: Agenda,
        grounds: Grounds,
    ) -> None:
        """Starts and stops nothing itself: whatever is asked ends in a row, and in a wake."""
        self._state = state
        self._clusters = clusters
        self._definitions = definitions
        self._tags = tags
        self._lookup = lookup
        self._tokens = tokens
        self._targets = targets
        self._agenda = agenda
        self._grounds = grounds

    # --- making and changing

    async def create(self, params: Plain) -> Plain:
        """CreateService.

        With a ``clientToken`` it may be asked again and answers the service as it is; without one,
        a second request for an ACTIVE service raises AwsError, as AWS does.  The row, its tags, its
        first deployment and the token are one transaction.
        """
        check_launch_type(params.get("launchType"))
        check_token(params, _LONGEST_TOKEN)
        await self._grounds.check(params)
        cluster = self._clusters.find(params.get("cluster"))
        check_name("Service name", params["serviceName"])
        _check_carried_out(params)
        controller = params.get("deploymentController", {}).get("type", "ECS")
        if "taskDefinition" not in params and controller == "ECS":
            raise invalid("TaskDefinition is required.")
        known = self._lookup.service(cluster, params["serviceName"])
        if self._tokens.known("CreateService", params) is not None and known is not None:
            return {"service": self._show(known)}
        if known is not None and known["status"] == "DRAINING":
            raise invalid("Unable to Start a service that is still Draining.")
        if known is not None and known["status"] == "ACTIVE":
            raise invalid("Creation of service was not idempotent.")
        row = self._wanted(params, cluster, controller)
        arn = row["serviceArn"]
        with self._state.together():
            save_tags(self._state, arn, params.get("tags", []))
            if controller == "ECS":
                row = begin(self._state, row)
            else:
                self._state.services.put(arn, row)
            self._tokens.remember("CreateService", params, [arn])
        self._agenda.wake(arn)
        return {"service": self._show(row)}

    def _wanted(
        self,
        params: Plain,
        cluster: Cluster,
        controller: str,
    ) -> Service:
        """The row of the service that is asked for.  One whose controller is EXTERNAL needs no
        definition: its task sets have one each."""
        if controller == "EXTERNAL" and "taskDefinition" not in params:
            return {**self._new(params, cluster, None), "_controller": controller}
        definition = self._definitions.startable(params["taskDefinition"])
        row = self._new(params, cluster, definition)
        if controller == "EXTERNAL":
            return {**row, "_controller": controller}
        check_launch(params, definition)
        return {**row, "_heldToFargate": True} if says_fargate(params) else row

    def _new(
        self,
        params: Plain,
        cluster: Cluster,
        definition: Definition | None,
    ) -> Service:
        """A service's row, not written down yet.

        Raises AwsError for a load balancer, a strategy or percentages that cannot be.
        """
        strategy = strategy_of(params, cluster, self._clusters.known_providers())
        configuration = configuration_of(params.get("deploymentConfiguration", {}), None)
        row: Service = {
            "serviceArn": self._lookup.service_arn(cluster, params["serviceName"]),
            "serviceName": params["serviceName"],
            "clusterArn": cluster["clusterArn"],
            "status": "ACTIVE",
            "desiredCount": _desired(params.get("desiredCount", 1)),
            "taskDefinition": definition["taskDefinitionArn"] if definition is not None else "",
            "loadBalancers": [],
            "createdAt": time.time(),
            "createdBy": f"arn:aws:iam::{ACCOUNT}:root",
            "events": [],
            "deployments": [],
            "propagateTags": "NONE",
            "enableECSManagedTags": False,
            "enableExecuteCommand": False,
            "availabilityZoneRebalancing": "DISABLED",
            "healthCheckGracePeriodSeconds": 0,
            "platformVersion": "LATEST",
            "minimumHealthyPercent": configuration["minimumHealthyPercent"],
            "maximumPercent": configuration["maximumPercent"],
            "deploymentCircuitBreaker": configuration["deploymentCircuitBreaker"],
            "_deploys": configuration["_deploys"],
        }
        wish = everything = checked(params)
        if definition is not None:
            everything = checked(params, definition.get("placementConstraints", []))
            row["loadBalancers"] = self.bindings(params.get("loadBalancers", []), definition)
        check_balancers(strategy_of_service(row), row["loadBalancers"])
        if strategy:
            row["capacityProviderStrategy"] = list(strategy)
        else:
            usual = self._usual_launch_type(cluster, definition, everything)
            row["launchType"] = params.get("launchType") or usual
        return {
            **row,
            **_kept(params),
            **wished(wish),
        }

    def _usual_launch_type(
        self,
        cluster: Cluster,
        definition: Definition | None,
        wish: Wish,
    ) -> str:
        """EC2 where the cluster has container instances, as on AWS, or where nothing else will do;
        else as on Fargate (ours)."""
        arn = cluster["clusterArn"]
        if definition is not None and wants_instance(definition, wish):
            return "EC2"
        has_some = any(each["clusterArn"] == arn for each in self._state.instances.all())
        return "EC2" if has_some else "FARGATE"

    async def update(self, params: Plain) -> Plain:
        """UpdateService: what is not given stays.

        A new deployment begins only where the definition, the load balancers, the platform or the
        network differ, or where it is forced; a new number of tasks alone begins none.  Raises
        AwsError for a service that is not there or not ACTIVE.
        """
        await self._grounds.check(params)
        row = self._lookup.active_service(params)
        _check_carried_out(
            {
                **params,
                "serviceName": row["serviceName"],
            }
        )
        changed = self._changed(row, params)
        differs = any(
            key in params and changed.get(key) != row.get(key) for key in _STARTS_DEPLOYMENT
        )
        of_others = row.get("_controller") == "EXTERNAL"
        if (differs or params.get("forceNewDeployment")) and not of_others:
            changed = begin(self._state, changed)
        else:
            self._state.services.put(row["serviceArn"], changed)
        self._agenda.wake(row["serviceArn"])
        return {"service": self._show(changed)}

    def _changed(self, row: Service, params: Plain) -> Service:
        """The service as it is now asked to be."""
        named = params.get("taskDefinition")
        if row.get("_controller") == "EXTERNAL":
            changed = _kept(params)
            if "desiredCount" in params:
                changed["desiredCount"] = _desired(params["desiredCount"])
            return {**row, **changed}
        check_place(params)
        if named:
            definition = self._definitions.startable(named)
            if row.get("_heldToFargate"):
                check_compatible(definition)
        else:
            definition = self._definitions.find(row["taskDefinition"])
        changes: ServiceChange = {
            **_kept(params),
            "taskDefinition": definition["taskDefinitionArn"],
        }
        if "desiredCount" in params:
            changes["desiredCount"] = _desired(params["desiredCount"])
        if "loadBalancers" in params:
            changes["loadBalancers"] = self.bindings(params["loadBalancers"], definition)
        configuration = configuration_of(params.get("deploymentConfiguration", {}), row)
        after: Service = {
            **row,
            **changes,
            **configuration,
            **wished(checked({**cast(Plain, row), **params})),
        }
        check_balancers(strategy_of_service(after), after["loadBalancers"])
        check_mode(definition, after.get("networkConfiguration"))
        if row.get("_heldToFargate"):
            check_unplaced(params)
        if named:
            self._check_bound(after, definition)
        if "capacityProviderStrategy" in params:
            return self._with_strategy(after, params)
        return after

    def _with_strategy(self, row: Service, params: Plain) -> Service:
        """No new deployment: the newest one goes on with it."""
        strategy = params["capacityProviderStrategy"]
        cluster = self._clusters.find(params.get("cluster"))
        known = self._clusters.known_providers()
        check_strategy(strategy, cluster["capacityProviders"] or PROVIDERS, known)
        changed: Service = {
            **row,
            "capacityProviderStrategy": strategy,
        }
        if not strategy:
            return changed
        changed.pop("launchType", None)
        entries: list[Deployment] = [
            {
                **entry,
                "capacityProviderStrategy": strategy,
            }
            for entry in row["deployments"][:1]
        ]
        return {
            **changed,
            "deployments": [*entries, *row["deployments"][1:]],
        }

    def bindings(self, asked: Iterable[Plain], definition: Definition) -> list[Binding]:
        """The service's load balancers, checked against the definition and the target groups."""
        found = [self._binding(each, definition) for each in asked]
        if len(found) > _MOST_BINDINGS:
            raise invalid(f"loadBalancers can have at most {_MOST_BINDINGS} items.")
        return found

    def _binding(self, asked: Plain, definition: Definition) -> Binding:
        """Raises AwsError unless the target group is there, a load balancer forwards to it and the
        container maps this port."""
        arn = asked.get("targetGroupArn", "")
        self._check_group(arn, definition)
        if advanced := asked.get("advancedConfiguration"):
            self._check_advanced(arn, advanced, definition)
        elif not self._targets.balancers_of(arn):
            raise invalid(
                f"The target group with targetGroupArn {arn} does not have an "
                "associated load balancer."
            )
        _check_mapped(definition, asked.get("containerName"), asked.get("containerPort"))
        return cast(Binding, asked)

    def _check_group(self, arn: str, definition: Definition) -> None:
        """Raise AwsError for a target group that is not there, or whose targets are none of this
        network mode's."""
        group = next((each for each in self._state.groups.all() if each["arn"] == arn), None)
        if group is None:
            raise invalid(f"The target group {arn} does not exist.")
        _check_target_type(arn, group.get("target_type", "ip"), definition["networkMode"])

    def _check_advanced(self, arn: str, advanced: Plain, definition: Definition) -> None:
        """Raise AwsError for a second group or for rules between which nothing can be shifted."""
        for key in ("alternateTargetGroupArn", "productionListenerRule", "roleArn"):
            if not advanced.get(key):
                raise invalid(f"advancedConfiguration: {key} is needed to shift traffic.")
        other = advanced["alternateTargetGroupArn"]
        if other == arn:
            raise invalid("alternateTargetGroupArn must be another target group than the first.")
        self._check_group(other, definition)
        check_rule(self._state, advanced["productionListenerRule"], (arn, other))
        if test := advanced.get("testListenerRule"):
            check_rule(self._state, test, (arn, other))
            if test == advanced["productionListenerRule"]:
                raise invalid("testListenerRule must be another rule than the production rule.")

    def _check_bound(self, row: Service, definition: Definition) -> None:
        """Raise AwsError for a definition that the load balancers of before cannot reach; whether
        their groups are still there is not asked."""
        groups = {each["arn"]: each.get("target_type", "ip") for each in self._state.groups.all()}
        for each in row["loadBalancers"]:
            arn = each["targetGroupArn"]
            _check_target_type(arn, groups.get(arn, "ip"), definition["networkMode"])
            _check_mapped(definition, each["containerName"], each["containerPort"])

    # --- asking

    def _show(self, row: Service) -> Plain:
        """A service as AWS shows it; its counts are taken from its tasks at this moment."""
        kept = kept_entries(self._state, row)
        shown = show_service(row, tasks_of(row, self._state.tasks.all()), kept)
        if row.get("_controller") == "EXTERNAL":
            arn = row["serviceArn"]
            shown["taskSets"] = [
                show_task_set(each, row, self._state.tasks.all())
                for each in self._state.task_sets.all()
                if each["serviceArn"] == arn
            ]
        return shown

    async def describe(self, params: Plain) -> Plain:
        """DescribeServices: at most ten.

        A deleted service is found as INACTIVE while it is kept; what is not there stands in
        ``failures`` as MISSING.
        """
        cluster = self._clusters.find(params.get("cluster"))
        if not params["services"]:
            raise invalid("Services cannot be empty.")
        if len(params["services"]) > _MOST_DESCRIBED:
            raise invalid(f"Services cannot be more than {_MOST_DESCRIBED}.")
        found = []
        failures = []
        for name in params["services"]:
            row = self._lookup.service(cluster, name)
            if row is None:
                failures.append(self._lookup.missing_service(name))
                continue
            shown = self._show(row)
            if "TAGS" in params.get("include", []):
                shown["tags"] = self._tags.of(row["serviceArn"])
            found.append(shown)
        return {
            "services": found,
            "failures": failures,
        }

    async def list_services(self, params: Plain) -> Plain:
        """ListServices: one page of ARNs of the ACTIVE services, ten at a time unless more are
        asked for."""
        cluster = self._clusters.find(params.get("cluster"))
        asked = params.get("launchType")
        if params.get("schedulingStrategy", "REPLICA") != "REPLICA":
            return page("serviceArns", [], params, 10)
        arns = [
            service["serviceArn"]
            for service in self._state.services.all()
            if service["clusterArn"] == cluster["clusterArn"]
            and service["status"] == "ACTIVE"
            and asked in (None, service.get("launchType"))
        ]
        return page("serviceArns", arns, params, 10)

    async def delete(self, params: Plain) -> Plain:
        """DeleteService: it is DRAINING until its tasks have stopped, and INACTIVE at once where it
        has none.

        Raises AwsError while tasks are wanted, unless it is forced.
        """
        row = self._lookup.active_service(params)
        if row["desiredCount"] and not params.get("force"):
            raise invalid("The service cannot be stopped while it is scaled above 0.")
        tasks = tasks_of(row, self._state.tasks.all())
        going: Service = {
            **row,
            "status": "DRAINING",
            "desiredCount": 0,
        }
        with self._state.together():
            if all(task["lastStatus"] in ENDING for task in tasks):
                going = deleted(self._state, going)
            self._state.services.put(row["serviceArn"], going)
        self._agenda.wake(row["serviceArn"])
        return {"service": self._show(going)}


def _check_carried_out(params: Plain) -> None:
    """Raise AwsError for what AWS would do with a service and kirikae local would not."""
    name = params["serviceName"]
    refuse(params, REFUSED, name)
    if params.get("role"):
        # botocore's model of CreateService: every network mode that is run here needs ECS's own
        # role, and takes no other.
        raise invalid(
            "You cannot specify an IAM role for services that require a service linked role."
        )
    if params.get("schedulingStrategy", "REPLICA") != "REPLICA":
        raise unsupported(
            "kirikae local runs services of the strategy REPLICA (Fargate has no DAEMON)"
        )
    check_controller(params.get("deploymentController", {}).get("type", "ECS"))


def _kept(params: Plain) -> ServiceChange:
    """What a request says of a service that is kept as it is said."""
    kept: ServiceChange = {}
    for flag in ("enableECSManagedTags", "enableExecuteCommand"):
        if flag in params:
            kept[flag] = params[flag]
    for text in ("propagateTags", "availabilityZoneRebalancing", "platformVersion"):
        if text in params:
            kept[text] = params[text]
    if "networkConfiguration" in params:
        kept["networkConfiguration"] = params["networkConfiguration"]
    if "monitoring" in params:
        kept["monitoring"] = _monitoring(params["monitoring"])
    if "healthCheckGracePeriodSeconds" in params:
        kept["healthCheckGracePeriodSeconds"] = _grace(params["healthCheckGracePeriodSeconds"])
    return kept


def _monitoring(asked: Plain) -> Plain:
    """Raises AwsError for a resolution that is none."""
    for each in asked.get("metricConfigurations", ()):
        if each.get("resolutionSeconds", 60) not in _RESOLUTIONS_S:
            raise invalid("resolutionSeconds must be 20 or 60.")
    return asked


def _ports(definition: Definition, container: str | None) -> set[int]:
    """Ports that the container of this name maps; none for a container that is not there."""
    return {
        port
        for each in definition["containerDefinitions"]
        if each["name"] == container
        for mapping in each.get("portMappings", [])
        for port in ports_of(mapping)
    }


def _check_mapped(definition: Definition, name: str | None, port: int | None) -> None:
    """Raise AwsError for a container that is not there, or that does not map this port."""
    if port not in _ports(definition, name):
        raise invalid(f"The container {name} does not map port {port}.")


def _check_target_type(arn: str, target_type: str, mode: str) -> None:
    """Raise AwsError for a group whose targets are none of this network mode's; that of instances
    is a record here, which no request reaches."""
    if target_type != ("ip" if mode == "awsvpc" else "instance"):
        raise invalid(
            f"The provided target group {arn} has target type {target_type}, which is incompatible "
            f"with the {mode} network mode specified in the task definition."
        )
    if target_type == "instance":
        raise unsupported(
            "kirikae local balances tasks of the network mode awsvpc; target groups of instances "
            "are records"
        )


def _grace(seconds: int) -> int:
    """Raises AwsError for a negative number (API reference, CreateService)."""
    if seconds < 0:
        raise invalid("healthCheckGracePeriodSeconds must not be negative.")
    return seconds


def _desired(count: int) -> int:
    """Raises AwsError for a negative number."""
    if count < 0:
        raise invalid("desiredCount must not be negative.")
    return count


OPERATIONS: Handlers[ServiceApi] = {
    "CreateService": ServiceApi.create,
    "UpdateService": ServiceApi.update,
    "DescribeServices": ServiceApi.describe,
    "ListServices": ServiceApi.list_services,
    "DeleteService": ServiceApi.delete,
}
PARTLY = {
    "CreateService": (
        "strategy REPLICA, controller ECS; with the controller EXTERNAL "
        "its task sets; refused: " + ", ".join(REFUSED) + ", earlySuccessCriteria"
    ),
    "UpdateService": "as CreateService",
}
"""Operations of which something is missing, and what."""
