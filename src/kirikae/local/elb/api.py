"""Elastic Load Balancing v2, application load balancers: the API over the store; HAProxy is told
what changed."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from kirikae.local.elb.frontdoor import SLOTS, FrontDoor, acl, forward_groups
from kirikae.local.elb.health import HealthChecks
from kirikae.local.errors import AwsError, EngineError, LocalError
from kirikae.local.files import port_is_free
from kirikae.local.state import Row, State
from kirikae.local.wire import ACCOUNT, Operation

log = logging.getLogger("kirikae.local.elb.api")

_GROUP_ATTRIBUTES = {
    "deregistration_delay.timeout_seconds": "300",
    "stickiness.enabled": "false",
    "stickiness.type": "lb_cookie",
    "stickiness.lb_cookie.duration_seconds": "86400",
    "slow_start.duration_seconds": "0",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": "1",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": "off",
    "target_group_health.dns_failover.minimum_healthy_targets.count": "1",
    "target_group_health.dns_failover.minimum_healthy_targets.percentage": "off",
    "load_balancing.cross_zone.enabled": "use_load_balancer_configuration",
    "stickiness.app_cookie.cookie_name": "",
    "stickiness.app_cookie.duration_seconds": "86400",
    "load_balancing.algorithm.type": "round_robin",
    "load_balancing.algorithm.anomaly_mitigation": "off",
}
_BALANCER_ATTRIBUTES = {
    "idle_timeout.timeout_seconds": "60",
    "client_keep_alive.seconds": "3600",
    "deletion_protection.enabled": "false",
    "access_logs.s3.enabled": "false",
    "access_logs.s3.bucket": "",
    "access_logs.s3.prefix": "",
    "connection_logs.s3.enabled": "false",
    "routing.http2.enabled": "true",
    "routing.http.drop_invalid_header_fields.enabled": "false",
    "routing.http.preserve_host_header.enabled": "false",
    "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": "false",
    "routing.http.xff_client_port.enabled": "false",
    "routing.http.xff_header_processing.mode": "append",
    "routing.http.desync_mitigation_mode": "defensive",
    "waf.fail_open.enabled": "false",
    "zonal_shift.config.enabled": "false",
    "load_balancing.cross_zone.enabled": "true",
}
_STRUCTURAL = ("Create", "Modify", "Delete", "SetRulePriorities")
CARRIED_OUT = {
    "deregistration_delay.timeout_seconds": "0-3600",
    "stickiness.enabled": "true|false",
    "stickiness.lb_cookie.duration_seconds": "1-604800",
    "stickiness.type": "lb_cookie|app_cookie",
    "stickiness.app_cookie.cookie_name": "",
    "stickiness.app_cookie.duration_seconds": "1-604800",
    "load_balancing.algorithm.type": "round_robin|least_outstanding_requests|weighted_random",
    "idle_timeout.timeout_seconds": "1-4000",
    "slow_start.duration_seconds": "0-0|30-900",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": "1-64",
    "access_logs.s3.enabled": "true|false",
    "access_logs.s3.bucket": "",
    "access_logs.s3.prefix": "",
    "deletion_protection.enabled": "true|false",
}
"""Attributes with an effect, and what they may be: words or ranges of numbers; empty: any text."""
PARTLY = {
    "CreateLoadBalancer": "application load balancers",
    "CreateTargetGroup": f"targets of type ip over HTTP, at most {SLOTS}; checks over HTTP",
    "ModifyTargetGroup": "as CreateTargetGroup",
    "CreateListener": "HTTP on 127.0.0.1; actions forward, redirect, fixed-response",
    "ModifyListener": "as CreateListener",
    "CreateRule": "actions forward, redirect, fixed-response; no transforms",
    "ModifyRule": "as CreateRule",
    "SetSubnets": "kept and told, without effect",
    "SetSecurityGroups": "kept and told, without effect",
    "DescribeAccountLimits": "the limits of kirikae local",
    "ModifyLoadBalancerAttributes": "attributes listed below",
    "ModifyTargetGroupAttributes": "attributes listed below",
}
"""Operations of which something is missing, and what."""
_NOT_FOUND = {
    "balancer": "LoadBalancerNotFound",
    "group": "TargetGroupNotFound",
    "listener": "ListenerNotFound",
    "rule": "RuleNotFound",
}


def new_id() -> str:
    return secrets.token_hex(8)


class Balancer:
    def __init__(self, state: State, region: str) -> None:
        self._state = state
        self._prefix = f"arn:aws:elasticloadbalancing:{region}:{ACCOUNT}:"
        self._changing = asyncio.Lock()
        self._drains: dict[str, asyncio.Task[None]] = {}
        self.door: FrontDoor
        self.health: HealthChecks
        self.put_object: Callable[[str, str, bytes], Awaitable[None]]

    def operations(self) -> dict[str, Operation]:
        found: dict[str, Operation] = {
            "CreateLoadBalancer": self.create_load_balancer,
            "DescribeLoadBalancers": self.describe_load_balancers,
            "DeleteLoadBalancer": self.delete_load_balancer,
            "DescribeLoadBalancerAttributes": self.describe_load_balancer_attributes,
            "ModifyLoadBalancerAttributes": self.modify_load_balancer_attributes,
            "CreateTargetGroup": self.create_target_group,
            "DescribeTargetGroups": self.describe_target_groups,
            "DeleteTargetGroup": self.delete_target_group,
            "DescribeTargetGroupAttributes": self.describe_target_group_attributes,
            "ModifyTargetGroup": self.modify_target_group,
            "ModifyTargetGroupAttributes": self.modify_target_group_attributes,
            "CreateListener": self.create_listener,
            "DescribeListeners": self.describe_listeners,
            "ModifyListener": self.modify_listener,
            "DeleteListener": self.delete_listener,
            "CreateRule": self.create_rule,
            "DescribeRules": self.describe_rules,
            "ModifyRule": self.modify_rule,
            "DeleteRule": self.delete_rule,
            "SetRulePriorities": self.set_rule_priorities,
            "SetSubnets": self.set_subnets,
            "SetSecurityGroups": self.set_security_groups,
            "DescribeAccountLimits": self.describe_account_limits,
            "RegisterTargets": self.register_targets,
            "DeregisterTargets": self.deregister_targets,
            "DescribeTargetHealth": self.describe_target_health,
            "AddTags": self.add_tags,
            "RemoveTags": self.remove_tags,
            "DescribeTags": self.describe_tags,
        }
        return {
            name: self._all_or_nothing(handler) if name.startswith(_STRUCTURAL) else handler
            for name, handler in found.items()
        }

    def _all_or_nothing(self, handler: Operation) -> Operation:
        """A change that HAProxy refuses is taken back, so that it cannot stand in the way of the
        next one."""

        async def carry_out(params: Row) -> Row:
            async with self._changing:
                before = self._state.snapshot(("balancer", "listener", "rule", "group"))
                try:
                    return await handler(params)
                except AwsError as error:
                    if (
                        error.status >= 500
                        # HAProxy did not hear of it: the caller will ask again, and must find
                        # nothing half done
                    ):
                        self._state.restore(before)
                    raise
                except LocalError as error:
                    self._state.restore(before)
                    raise AwsError(
                        "InvalidConfigurationRequest", f"nothing was changed: {error}"
                    ) from error

        return carry_out

    # --- load balancers

    async def create_load_balancer(self, params: Row) -> Row:
        if params.get("Type", "application") != "application":
            raise AwsError("ValidationError", "kirikae local has application load balancers only")
        name = params["Name"]
        for row in self._state.all("balancer"):
            if row["name"] == name:
                return {"LoadBalancers": [self._show_balancer(row)]}
        key = new_id()
        row = self._state.put(
            "balancer",
            key,
            {
                "id": key,
                "name": name,
                "arn": f"{self._prefix}loadbalancer/app/{name}/{key}",
                "created": time.time(),
                "scheme": params.get("Scheme", "internet-facing"),
                "subnets": params.get("Subnets", []),
                "groups": params.get("SecurityGroups", []),
                "attributes": dict(_BALANCER_ATTRIBUTES),
                "tags": _tags(params),
            },
        )
        return {"LoadBalancers": [self._show_balancer(row)]}

    def _show_balancer(self, row: Row) -> Row:
        return {
            "LoadBalancerArn": row["arn"],
            "LoadBalancerName": row["name"],
            "Type": "application",
            "Scheme": row["scheme"],
            "DNSName": f"{row['name']}-{row['id']}.elb.localhost",
            "State": {"Code": "active"},
            "IpAddressType": "ipv4",
            "CreatedTime": datetime.fromtimestamp(row["created"], UTC),
            "SecurityGroups": row["groups"],
            "AvailabilityZones": [{"SubnetId": subnet} for subnet in row["subnets"]],
        }

    async def describe_load_balancers(self, params: Row) -> Row:
        rows = self._chosen("balancer", params.get("LoadBalancerArns"), params.get("Names"))
        return _paged("LoadBalancers", [self._show_balancer(row) for row in rows], params)

    async def delete_load_balancer(self, params: Row) -> Row:
        for row in self._state.all("balancer"):
            if row["arn"] == params["LoadBalancerArn"]:
                if row["attributes"]["deletion_protection.enabled"] == "true":
                    raise AwsError(
                        "OperationNotPermitted",
                        f"Load balancer '{row['arn']}' cannot be deleted: deletion "
                        "protection is enabled",
                    )
                for listener in self._state.all("listener"):
                    if listener["balancer"] == row["id"]:
                        self._drop_listener(listener)
                self._state.drop("balancer", row["id"])
                await self._tell_door()
        return {}

    async def describe_load_balancer_attributes(self, params: Row) -> Row:
        return _attributes(self._one("balancer", params["LoadBalancerArn"]))

    async def modify_load_balancer_attributes(self, params: Row) -> Row:
        row = self._one("balancer", params["LoadBalancerArn"])
        asked = {a["Key"]: a["Value"] for a in params["Attributes"]}
        if asked.get("access_logs.s3.enabled") == "true":
            await self._check_bucket(
                asked.get("access_logs.s3.bucket") or row["attributes"]["access_logs.s3.bucket"]
            )
        row = self._state.change(
            "balancer",
            row["id"],
            attributes=_changed(row, params["Attributes"], _BALANCER_ATTRIBUTES),
        )
        await self._tell_door()
        return _attributes(row)

    async def _check_bucket(self, bucket: str) -> None:
        """A bucket that cannot be written is refused, as AWS does."""
        try:
            await self.put_object(
                bucket,
                f"AWSLogs/{ACCOUNT}/ELBAccessLogTestFile",
                b"Enable AccessLog for ELB is successful",
            )
        except OSError as error:
            raise AwsError(
                "InvalidConfigurationRequest", f"Access Denied for bucket: {bucket}. {error}"
            ) from error

    # --- target groups

    async def create_target_group(self, params: Row) -> Row:
        name = params["Name"]
        if params.get("TargetType", "instance") != "ip":
            raise AwsError(
                "ValidationError",
                f"target group {name}: kirikae local registers addresses; use TargetType ip",
            )
        if params.get("Protocol") != "HTTP":
            raise AwsError(
                "ValidationError", f"target group {name}: kirikae local speaks HTTP to targets"
            )
        if any(row["name"] == name for row in self._state.all("group")):
            raise AwsError(
                "DuplicateTargetGroupName", f"A target group with the same name '{name}' exists"
            )
        key = new_id()
        row = self._state.put(
            "group",
            key,
            {
                "id": key,
                "name": name,
                "arn": f"{self._prefix}targetgroup/{name}/{key}",
                "port": params["Port"],
                "vpc": params.get("VpcId", ""),
                "number": 1 + max([g["number"] for g in self._state.all("group")], default=999),
                "check_path": "/",
                "check_port": "traffic-port",
                "interval_s": 30,
                "timeout_s": 5,
                "healthy_threshold": 5,
                "unhealthy_threshold": 2,
                "matcher": "200",
                **_check_fields(params, name),
                "attributes": dict(_GROUP_ATTRIBUTES),
                "tags": _tags(params),
            },
        )
        await self._tell_door()
        return {"TargetGroups": [self._show_group(row)]}

    def _show_group(self, row: Row) -> Row:
        return {
            "TargetGroupArn": row["arn"],
            "TargetGroupName": row["name"],
            "Protocol": "HTTP",
            "Port": row["port"],
            "VpcId": row["vpc"],
            "TargetType": "ip",
            "HealthCheckProtocol": "HTTP",
            "HealthCheckPort": row["check_port"],
            "HealthCheckEnabled": True,
            "HealthCheckPath": row["check_path"],
            "HealthCheckIntervalSeconds": row["interval_s"],
            "HealthCheckTimeoutSeconds": row["timeout_s"],
            "HealthyThresholdCount": row["healthy_threshold"],
            "UnhealthyThresholdCount": row["unhealthy_threshold"],
            "Matcher": {"HttpCode": row["matcher"]},
            "LoadBalancerArns": sorted(self.balancers_of(row["arn"])),
        }

    async def describe_target_groups(self, params: Row) -> Row:
        rows = self._chosen("group", params.get("TargetGroupArns"), params.get("Names"))
        if arn := params.get("LoadBalancerArn"):
            rows = [row for row in rows if arn in self.balancers_of(row["arn"])]
        return _paged("TargetGroups", [self._show_group(row) for row in rows], params)

    async def modify_target_group(self, params: Row) -> Row:
        row = self._one("group", params["TargetGroupArn"])
        row = self._state.change("group", row["id"], **_check_fields(params, row["name"]))
        return {"TargetGroups": [self._show_group(row)]}

    async def delete_target_group(self, params: Row) -> Row:
        for row in self._state.all("group"):
            if row["arn"] == params["TargetGroupArn"]:
                if self.balancers_of(row["arn"]):
                    raise AwsError(
                        "ResourceInUse",
                        f"Target group '{row['arn']}' is currently in use by a listener or a rule",
                    )
                for target in self._state.all("target"):
                    if target["group"] == row["id"]:
                        self._state.drop("target", target["key"])
                self._state.drop("group", row["id"])
                await self._tell_door()
        return {}

    async def describe_target_group_attributes(self, params: Row) -> Row:
        return _attributes(self._one("group", params["TargetGroupArn"]))

    async def modify_target_group_attributes(self, params: Row) -> Row:
        row = self._one("group", params["TargetGroupArn"])
        changed = _changed(row, params["Attributes"], _GROUP_ATTRIBUTES)
        cookie = changed["stickiness.app_cookie.cookie_name"]
        by_application = (
            changed["stickiness.enabled"] == "true" and changed["stickiness.type"] == "app_cookie"
        )
        if by_application and (
            not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", cookie) or cookie.startswith("AWSALB")
        ):
            raise AwsError(
                "InvalidConfigurationRequest",
                f"stickiness.app_cookie.cookie_name={cookie}: a cookie's name, not AWSALB...",
            )
        row = self._state.change("group", row["id"], attributes=changed)
        await self._tell_door()
        return _attributes(row)

    def balancers_of(self, group_arn: str) -> set[str]:
        """ARNs of the load balancers that have a rule which forwards to this group."""
        arns = set()
        for rule in self._state.all("rule"):
            if any(g["TargetGroupArn"] == group_arn for g in forward_groups(rule["actions"])):
                listener = self._state.get("listener", rule["listener"])
                balancer = self._state.get("balancer", listener["balancer"]) if listener else None
                if balancer:
                    arns.add(balancer["arn"])
        return arns

    # --- listeners and rules

    async def create_listener(self, params: Row) -> Row:
        balancer = self._one("balancer", params["LoadBalancerArn"])
        port = params.get("Port", 80)
        if params.get("Protocol", "HTTP") != "HTTP":
            raise AwsError(
                "UnsupportedProtocol",
                "kirikae local listens for HTTP; put TLS in front of it yourself",
            )
        if any(listener["port"] == port for listener in self._state.all("listener")):
            raise AwsError(
                "DuplicateListener",
                f"A listener already exists on port {port} of this machine's loopback address",
            )
        if not port_is_free(port):
            raise AwsError(
                "InvalidConfigurationRequest",
                f"port {port} of 127.0.0.1 is taken by another program; choose a free one",
            )
        self._check_actions(params["DefaultActions"])
        key = new_id()
        arn = f"{self._prefix}listener/app/{balancer['name']}/{balancer['id']}/{key}"
        with self._state.together():
            row = self._state.put(
                "listener",
                arn,
                {
                    "id": key,
                    "arn": arn,
                    "balancer": balancer["id"],
                    "port": port,
                    "tags": _tags(params),
                },
            )
            self._put_rule(row, "default", [], params["DefaultActions"], [])
        await self._tell_door()
        return {"Listeners": [self._show_listener(row)]}

    def _show_listener(self, row: Row) -> Row:
        balancer = self._state.get("balancer", row["balancer"]) or {}
        default = next(
            r for r in self._state.all("rule") if r["listener"] == row["arn"] and r["default"]
        )
        return {
            "ListenerArn": row["arn"],
            "LoadBalancerArn": balancer.get("arn"),
            "Port": row["port"],
            "Protocol": "HTTP",
            "DefaultActions": default["actions"],
        }

    async def describe_listeners(self, params: Row) -> Row:
        rows = self._chosen("listener", params.get("ListenerArns"), None)
        if arn := params.get("LoadBalancerArn"):
            balancer = self._one("balancer", arn)
            rows = [row for row in rows if row["balancer"] == balancer["id"]]
        return _paged("Listeners", [self._show_listener(row) for row in rows], params)

    async def modify_listener(self, params: Row) -> Row:
        row = self._one("listener", params["ListenerArn"])
        port: int = params.get("Port") or row["port"]
        if (
            params.get("Protocol", "HTTP") != "HTTP"
            or params.get("Certificates")
            or params.get("SslPolicy")
        ):
            raise AwsError(
                "UnsupportedProtocol",
                "kirikae local listens for HTTP; put TLS in front of it yourself",
            )
        if port != row["port"]:
            if any(other["port"] == port for other in self._state.all("listener")):
                raise AwsError(
                    "DuplicateListener",
                    f"A listener already exists on port {port} of this machine's loopback address",
                )
            if not port_is_free(port):
                raise AwsError(
                    "InvalidConfigurationRequest",
                    f"port {port} of 127.0.0.1 is taken by another program; choose a free one",
                )
        actions = params.get("DefaultActions")
        if actions:
            self._check_actions(actions)
            default = next(
                r for r in self._state.all("rule") if r["listener"] == row["arn"] and r["default"]
            )
            await self.modify_rule({"RuleArn": default["arn"], "Actions": actions})
        if port != row["port"]:
            row = self._state.change("listener", row["arn"], port=port)
            await self._tell_door()
        return {"Listeners": [self._show_listener(row)]}

    async def delete_listener(self, params: Row) -> Row:
        self._drop_listener(self._one("listener", params["ListenerArn"]))
        await self._tell_door()
        return {}

    def _drop_listener(self, listener: Row) -> None:
        with self._state.together():
            for rule in self._state.all("rule"):
                if rule["listener"] == listener["arn"]:
                    self._state.drop("rule", rule["arn"])
            self._state.drop("listener", listener["arn"])

    def _put_rule(
        self,
        listener: Row,
        priority: str,
        conditions: list[Row],
        actions: list[Row],
        tags: list[Row],
    ) -> Row:
        key = new_id()
        arn = listener["arn"].replace(":listener/", ":listener-rule/") + f"/{key}"
        row = {
            "id": key,
            "arn": arn,
            "listener": listener["arn"],
            "priority": 0 if priority == "default" else int(priority),
            "default": priority == "default",
            "conditions": conditions,
            "actions": actions,
            "tags": tags,
        }
        return self._state.put("rule", arn, row)

    def _show_rule(self, row: Row) -> Row:
        return {
            "RuleArn": row["arn"],
            "Priority": "default" if row["default"] else str(row["priority"]),
            "Conditions": row["conditions"],
            "Actions": row["actions"],
            "IsDefault": row["default"],
        }

    def _check_actions(self, actions: Iterable[Row]) -> None:
        for action in actions:
            if action["Type"] not in ("forward", "fixed-response", "redirect"):
                raise AwsError(
                    "InvalidLoadBalancerAction",
                    f"kirikae local does not carry out the action {action['Type']} yet",
                )
            groups = forward_groups([action])
            if len(groups) > 5:
                raise AwsError(
                    "TooManyTargetGroups", "a forward action has at most five target groups"
                )
            for group in groups:
                self._one("group", group["TargetGroupArn"])
                if not 0 <= group["Weight"] <= 999:
                    raise AwsError(
                        "ValidationError",
                        f"weight {group['Weight']} of {group['TargetGroupArn']}: 0 to 999",
                    )

    def _check_conditions(self, conditions: Iterable[Row]) -> None:
        for condition in conditions:
            try:
                acl(condition)
            except LocalError as error:
                raise AwsError("ValidationError", str(error)) from error

    async def create_rule(self, params: Row) -> Row:
        listener = self._one("listener", params["ListenerArn"])
        self._check_actions(params["Actions"])
        self._check_conditions(params["Conditions"])
        priority = params["Priority"]
        if any(
            r["listener"] == listener["arn"] and not r["default"] and r["priority"] == priority
            for r in self._state.all("rule")
        ):
            raise AwsError("PriorityInUse", f"Priority '{priority}' is currently in use")
        row = self._put_rule(
            listener, str(priority), params["Conditions"], params["Actions"], _tags(params)
        )
        await self._tell_door()
        return {"Rules": [self._show_rule(row)]}

    async def describe_rules(self, params: Row) -> Row:
        rows = self._chosen("rule", params.get("RuleArns"), None)
        if arn := params.get("ListenerArn"):
            self._one("listener", arn)
            rows = [row for row in rows if row["listener"] == arn]
        rows.sort(key=lambda row: (row["default"], row["priority"]))
        return _paged("Rules", [self._show_rule(row) for row in rows], params)

    async def modify_rule(self, params: Row) -> Row:
        """A change of weights alone is one atomic exchange of thresholds; anything else reloads
        HAProxy."""
        row = self._one("rule", params["RuleArn"])
        self._check_actions(params.get("Actions", []))
        self._check_conditions(params.get("Conditions", []))
        actions = params.get("Actions") or row["actions"]
        conditions = params.get("Conditions") or row["conditions"]
        same_groups = [g["TargetGroupArn"] for g in forward_groups(actions)] == [
            g["TargetGroupArn"] for g in forward_groups(row["actions"])
        ]
        weights_only = (
            same_groups
            and conditions == row["conditions"]
            and _but_weights(actions) == _but_weights(row["actions"])
        )
        row = self._state.change("rule", row["arn"], actions=actions, conditions=conditions)
        if weights_only:
            await self.door.set_weights()
        else:
            await self._tell_door()
        return {"Rules": [self._show_rule(row)]}

    async def set_rule_priorities(self, params: Row) -> Row:
        asked = {p["RuleArn"]: p["Priority"] for p in params["RulePriorities"]}
        rows = [self._one("rule", arn) for arn in asked]
        after = {
            r["arn"]: asked.get(r["arn"], r["priority"])
            for r in self._state.all("rule")
            if r["listener"] == rows[0]["listener"]
        }
        if any(r["default"] for r in rows):
            raise AwsError("OperationNotPermitted", "the default rule has no priority")
        if len(set(after.values())) != len(after):
            raise AwsError("PriorityInUse", "two rules would have the same priority")
        for row in rows:
            self._state.change("rule", row["arn"], priority=asked[row["arn"]])
        await self._tell_door()
        return {"Rules": [self._show_rule(self._one("rule", arn)) for arn in asked]}

    async def delete_rule(self, params: Row) -> Row:
        row = self._one("rule", params["RuleArn"])
        if row["default"]:
            raise AwsError("OperationNotPermitted", "the default rule cannot be deleted")
        self._state.drop("rule", row["arn"])
        await self._tell_door()
        return {}

    # --- targets

    async def register_targets(self, params: Row) -> Row:
        group = self._one("group", params["TargetGroupArn"])
        for target in params["Targets"]:
            self.register(group, target["Id"], target.get("Port", group["port"]))
        await self.door.set_targets(group["id"])
        self.health.assert_all()
        return {}

    def register(self, group: Row, address: str, port: int) -> tuple[str, bool]:
        """Put the target into the lowest free slot; one that is registered already keeps its own, a
        draining one returns.

        The answer is its key, and whether it is new there.
        """
        key = f"{group['id']}|{address}:{port}"
        known = self._state.get("target", key)
        if known is not None and known["state"] != "draining":
            return key, False
        taken = {t["slot"] for t in self._state.all("target") if t["group"] == group["id"]}
        free = (
            [known["slot"]]
            if known
            else [slot for slot in range(1, SLOTS + 1) if slot not in taken]
        )
        if not free:
            raise AwsError(
                "TooManyTargets", f"kirikae local holds {SLOTS} targets in a target group"
            )
        self._state.put(
            "target",
            key,
            {
                "key": key,
                "group": group["id"],
                "address": address,
                "port": port,
                "slot": free[0],
                "state": "initial",
                "reason": "Elb.RegistrationInProgress",
                "passes": 0,
                "failures": 0,
            },
        )
        return key, True

    async def deregister_targets(self, params: Row) -> Row:
        group = self._one("group", params["TargetGroupArn"])
        for target in params["Targets"]:
            await self.deregister(
                f"{group['id']}|{target['Id']}:{target.get('Port', group['port'])}"
            )
        return {}

    async def deregister(self, key: str) -> None:
        """Begin draining: no new request; the row goes when nothing is in flight or the delay is
        over."""
        target = self._state.get("target", key)
        if target is None:
            return
        if target["state"] != "draining":
            group = self._state.get("group", target["group"])
            delay_s = (
                int(group["attributes"]["deregistration_delay.timeout_seconds"]) if group else 0
            )
            self._state.change(
                "target",
                key,
                state="draining",
                reason="Target.DeregistrationInProgress",
                until=time.time() + delay_s,
            )
            await self.door.set_targets(target["group"])
        self.resume_drains()

    def resume_drains(self) -> None:
        for target in self._state.all("target"):
            running = self._drains.get(target["key"])
            if target["state"] == "draining" and (running is None or running.done()):
                self._drains[target["key"]] = asyncio.create_task(self._drain(target["key"]))

    async def _drain(self, key: str) -> None:
        await asyncio.sleep(0.2)  # a request that was routed just before is counted by then
        while (target := self._state.get("target", key)) is not None and target[
            "state"
        ] == "draining":
            try:
                left = await self.door.in_flight(target["group"], target["slot"])
            except OSError:
                left = 1
            if left == 0 or time.time() >= target["until"]:
                self._state.drop("target", key)
                await self.door.set_targets(target["group"])
                return
            await asyncio.sleep(0.1)

    async def drained(self, key: str) -> None:
        """Wait until this target is gone from its group."""
        while (target := self._state.get("target", key)) is not None and target[
            "state"
        ] == "draining":
            self.resume_drains()
            await asyncio.sleep(0.05)

    def forget_target(self, key: str) -> None:
        """A target whose process is gone needs no draining."""
        self._state.drop("target", key)

    async def describe_target_health(self, params: Row) -> Row:
        group = self._one("group", params["TargetGroupArn"])
        in_use = bool(self.balancers_of(group["arn"]))
        registered = {
            (t["address"], t["port"]): t
            for t in self._state.all("target")
            if t["group"] == group["id"]
        }
        asked = [
            (t["Id"], t.get("Port", group["port"])) for t in params.get("Targets", [])
        ] or sorted(registered)
        answers = []
        for address, port in asked:
            target = registered.get((address, port))
            if target is None:
                health = {"State": "unused", "Reason": "Target.NotRegistered"}
            elif not in_use:
                health = {"State": "unused", "Reason": "Target.NotInUse"}
            else:
                health = {"State": target["state"]} | (
                    {"Reason": target["reason"]} if target["reason"] else {}
                )
            check_port = str(port) if group["check_port"] == "traffic-port" else group["check_port"]
            answers.append(
                {
                    "Target": {"Id": address, "Port": port},
                    "HealthCheckPort": check_port,
                    "TargetHealth": health,
                }
            )
        return {"TargetHealthDescriptions": answers}

    # --- tags and lookups

    async def add_tags(self, params: Row) -> Row:
        for arn in params["ResourceArns"]:
            kind, row = self._any(arn)
            tags = {t["Key"]: t for t in [*row["tags"], *params["Tags"]]}
            self._state.change(
                kind, arn if kind in ("listener", "rule") else row["id"], tags=list(tags.values())
            )
        return {}

    async def remove_tags(self, params: Row) -> Row:
        for arn in params["ResourceArns"]:
            kind, row = self._any(arn)
            tags = [t for t in row["tags"] if t["Key"] not in params["TagKeys"]]
            self._state.change(kind, arn if kind in ("listener", "rule") else row["id"], tags=tags)
        return {}

    async def set_subnets(self, params: Row) -> Row:
        """Kept and told; the load balancer listens on loopback whatever its subnets are."""
        row = self._one("balancer", params["LoadBalancerArn"])
        subnets = params.get("Subnets") or [m["SubnetId"] for m in params.get("SubnetMappings", [])]
        row = self._state.change("balancer", row["id"], subnets=subnets)
        return {"AvailabilityZones": self._show_balancer(row)["AvailabilityZones"]}

    async def set_security_groups(self, params: Row) -> Row:
        """Kept and told; nothing is filtered on loopback."""
        row = self._one("balancer", params["LoadBalancerArn"])
        self._state.change("balancer", row["id"], groups=params["SecurityGroups"])
        return {"SecurityGroupIds": params["SecurityGroups"]}

    async def describe_account_limits(self, params: Row) -> Row:
        limits = {
            "targets-per-application-load-balancer": SLOTS,
            "target-groups-per-action-on-application-load-balancer": 5,
        }
        return {"Limits": [{"Name": name, "Max": str(most)} for name, most in limits.items()]}

    async def describe_tags(self, params: Row) -> Row:
        return {
            "TagDescriptions": [
                {"ResourceArn": arn, "Tags": self._any(arn)[1]["tags"]}
                for arn in params["ResourceArns"]
            ]
        }

    def _any(self, arn: str) -> tuple[str, Row]:
        words = {
            ":loadbalancer/": "balancer",
            ":targetgroup/": "group",
            ":listener/": "listener",
            ":listener-rule/": "rule",
        }
        kind = next((kind for word, kind in words.items() if word in arn), None)
        if kind is None:
            raise AwsError("ValidationError", f"'{arn}' is not a valid ARN")
        return kind, self._one(kind, arn)

    def _one(self, kind: str, arn: str) -> Row:
        for row in self._state.all(kind):
            if row["arn"] == arn:
                return row
        raise AwsError(_NOT_FOUND[kind], f"'{arn}' was not found")

    def group(self, arn: str) -> Row:
        return self._one("group", arn)

    def _chosen(self, kind: str, arns: list[str] | None, names: list[str] | None) -> list[Row]:
        if arns:
            return [self._one(kind, arn) for arn in arns]
        rows = sorted(self._state.all(kind), key=lambda row: str(row["arn"]))
        if not names:
            return rows
        found = [row for row in rows if row["name"] in names]
        missing = set(names) - {row["name"] for row in found}
        if missing:
            raise AwsError(_NOT_FOUND[kind], f"'{sorted(missing)[0]}' was not found")
        return found

    async def _tell_door(self) -> None:
        try:
            await self.door.assert_all()
        except (EngineError, OSError) as error:
            raise AwsError(
                "InternalFailure", f"the load balancer did not take the change: {error}", 500
            ) from error


def _paged(key: str, items: list[Row], params: Row) -> Row:
    """ELB's pages: ``PageSize`` 1 to 400, the marker is the number of items already given."""
    size = params.get("PageSize", 400)
    marker = params.get("Marker") or "0"
    if not 1 <= size <= 400 or not marker.isdigit():
        raise AwsError(
            "ValidationError",
            f"PageSize {size}, Marker {marker!r}: 1 to 400, and a marker that an earlier page gave",
        )
    end = int(marker) + size
    return {key: items[int(marker) : end], **({"NextMarker": str(end)} if end < len(items) else {})}


def _tags(params: Row) -> list[Row]:
    return list(params.get("Tags", []))


def _attributes(row: Row) -> Row:
    return {
        "Attributes": [
            {"Key": key, "Value": value} for key, value in sorted(row["attributes"].items())
        ]
    }


def _changed(row: Row, attributes: Iterable[Row], known: Mapping[str, str]) -> dict[str, str]:
    changed = dict(row["attributes"])
    for attribute in attributes:
        key = attribute["Key"]
        value = attribute.get("Value", "")
        if key not in known:
            raise AwsError(
                "InvalidConfigurationRequest",
                f"Load balancing attribute key '{key}' is not recognized",
            )
        if key not in CARRIED_OUT and known[key] != value:
            raise AwsError(
                "InvalidConfigurationRequest", f"kirikae local does not carry out {key}={value} yet"
            )
        if key in CARRIED_OUT and not _allowed(CARRIED_OUT[key], value):
            raise AwsError(
                "InvalidConfigurationRequest",
                f"{key}={value}: allowed is {CARRIED_OUT[key].replace('|', ' or ')}",
            )
        changed[key] = value
    return changed


def _allowed(rule: str, value: str) -> bool:
    """Is the value one of the words, or in one of the ranges of numbers, that ``a|b|1-9`` names?"""
    for part in rule.split("|"):
        low, dash, high = part.partition("-")
        if (
            not part
            or part == value
            or (dash and low.isdigit() and value.isdigit() and int(low) <= int(value) <= int(high))
        ):
            return True
    return False


_CHECK_FIELDS = {
    "HealthCheckPath": ("check_path", None),
    "HealthCheckPort": ("check_port", None),
    "HealthCheckIntervalSeconds": ("interval_s", (5, 300)),
    "HealthCheckTimeoutSeconds": ("timeout_s", (2, 120)),
    "HealthyThresholdCount": ("healthy_threshold", (2, 10)),
    "UnhealthyThresholdCount": ("unhealthy_threshold", (2, 10)),
}


def _check_fields(params: Row, name: str) -> Row:
    """What the request says of the health check, in our names (ELB API reference,
    CreateTargetGroup)."""
    found: Row = {}
    for theirs, (ours, bounds) in _CHECK_FIELDS.items():
        if theirs in params:
            value = params[theirs]
            if bounds and not bounds[0] <= value <= bounds[1]:
                raise AwsError(
                    "ValidationError",
                    f"target group {name}: {theirs} {value}: {bounds[0]} to {bounds[1]}",
                )
            found[ours] = value
    if (
        params.get("HealthCheckProtocol", "HTTP") != "HTTP"
        or params.get("HealthCheckEnabled") is False
    ):
        raise AwsError(
            "ValidationError", f"target group {name}: kirikae local checks addresses by HTTP"
        )
    if code := params.get("Matcher", {}).get("HttpCode"):
        parts = [p for part in code.split(",") for p in part.split("-")]
        if not all(p.isdigit() and 200 <= int(p) <= 499 for p in parts):
            raise AwsError(
                "ValidationError",
                f"target group {name}: Health check matcher HTTP code '{code}' must be "
                "within 200 to 499",
            )
        found["matcher"] = code
    return found


def _but_weights(actions: Iterable[Row]) -> list[Any]:
    """The actions with every weight set to zero, to see whether anything else differs."""
    plain = []
    for action in actions:
        forward = action.get("ForwardConfig", {})
        groups = [{**g, "Weight": 0} for g in forward.get("TargetGroups", [])]
        plain.append(
            {**action, "ForwardConfig": {**forward, "TargetGroups": groups}} if forward else action
        )
    return plain
