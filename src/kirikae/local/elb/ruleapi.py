"""Listeners and rules of the ELB API."""

from __future__ import annotations

from collections.abc import Sequence

from kirikae.local.elb.actions import but_weights, forward_groups
from kirikae.local.elb.door import Door
from kirikae.local.elb.kinds import APPLICATION, DEFAULT_POLICY, GATEWAY, SECURE, listens
from kirikae.local.elb.known import Known, by_arn, one_of, paged, tags_of
from kirikae.local.elb.limits import check_actions, check_conditions, refuse, wrong
from kirikae.local.elb.listenerforms import (
    check_forwards,
    check_place,
    check_protocol,
    kind_of,
    secured,
)
from kirikae.local.elb.names import new_id
from kirikae.local.elb.pems import Pems, files_of
from kirikae.local.errors import AwsError
from kirikae.local.files import port_is_free
from kirikae.local.plain import Plain
from kirikae.local.rows import Action, Condition, ElbTag, Listener, ListenerForm, Rule
from kirikae.local.state import State
from kirikae.local.wire import Handlers

_MOST_GROUPS = 5
_LARGEST_WEIGHT = 999
_FORM = ("Protocol", "Certificates", "SslPolicy", "AlpnPolicy", "MutualAuthentication")
"""What a request says of how a listener speaks."""
DEFAULT = None
"""The priority of a default rule."""


def drop_listener(state: State, listener: Listener) -> None:
    """With its rules."""
    with state.together():
        state.rules.drop_where(lambda rule: rule["listener"] == listener["arn"])
        state.listeners.drop(listener["arn"])


class RuleApi:
    """A listener is a frontend of HAProxy; its rules are tried in the order of their priority."""

    def __init__(
        self,
        state: State,
        known: Known,
        door: Door,
        prefix: str,
        pems: Pems | None,
    ) -> None:
        """``prefix`` is the beginning of every ARN of this region and account; without ``pems``
        listeners of HTTPS are records."""
        self._state = state
        self._known = known
        self._door = door
        self._prefix = prefix
        self._pems = pems

    # --- listeners

    async def create_listener(self, params: Plain) -> Plain:
        """CreateListener, with its default rule.

        Raises AwsError for a port that is taken on this machine, and for actions that are not
        carried out.
        """
        balancer = self._known.balancer(params["LoadBalancerArn"])
        kind = kind_of(balancer)
        check_place(kind, params)
        port = params.get("Port", 0)
        form = await self._encrypted(secured(params, params.get("Protocol", ""), {}))
        self._check_actions(params["DefaultActions"], kind)
        if (known := self._same_listener(balancer["id"], port, form, params)) is not None:
            return {"Listeners": [self._show_listener(known)]}
        key = new_id()
        arn = balancer["arn"].replace(":loadbalancer/", ":listener/") + f"/{key}"
        row: Listener = {
            **form,
            "id": key,
            "arn": arn,
            "balancer": balancer["id"],
            "port": port,
            "attributes": {},
            "tags": tags_of(params),
        }
        self._check_port(row)
        with self._state.together():
            self._state.listeners.put(arn, row)
            self._put_rule(row, DEFAULT, [], params["DefaultActions"], [])
        await self._door.tell_all()
        return {"Listeners": [self._show_listener(row)]}

    async def _encrypted(self, form: ListenerForm) -> ListenerForm:
        """With the files of its certificates.  Raises AwsError for one that is not there, and for
        mutual TLS, which is not carried out."""
        if form.get("protocol") != "HTTPS":
            return form
        if self._pems is not None and form.get("mutual", {}).get("Mode", "off") != "off":
            raise AwsError(
                "InvalidConfigurationRequest", "kirikae local does not carry out mutual TLS yet"
            )
        return {**form, "pems": await files_of(self._pems, form["certificates"])}

    def _same_listener(
        self,
        balancer: str,
        port: int,
        form: ListenerForm,
        params: Plain,
    ) -> Listener | None:
        """The listener that is asked for, where it is there with the same settings: CreateListener
        may be repeated."""
        for row in self._state.listeners.all():
            if (row["balancer"], row["port"]) == (balancer, port):
                actions = self._known.default_rule(row)["actions"]
                same = all(row.get(key, "HTTP") == value for key, value in form.items())
                return row if same and actions == params["DefaultActions"] else None
        return None

    def _check_port(self, row: Listener) -> None:
        """Raise AwsError where another listener has this port, also one of another load balancer
        (all that are carried out listen on 127.0.0.1), or another program has it."""
        port = row["port"]
        for other in self._state.listeners.all():
            both_listen = listens(row) and listens(other)
            same_place = row["balancer"] == other["balancer"] or both_listen
            if other["port"] == port and same_place and other["arn"] != row["arn"]:
                raise AwsError(
                    "DuplicateListener",
                    f"A listener already exists on port {port} of this machine's loopback address",
                )
        if listens(row) and not port_is_free(port):
            raise AwsError(
                "InvalidConfigurationRequest",
                f"port {port} of 127.0.0.1 is taken by another program; choose a free one",
            )

    def _show_listener(self, row: Listener) -> Plain:
        """A listener as AWS shows it."""
        balancer = self._state.balancers.get(row["balancer"])
        shown: Plain = {
            "ListenerArn": row["arn"],
            "LoadBalancerArn": balancer["arn"] if balancer is not None else None,
            "DefaultActions": _show_actions(self._known.default_rule(row)["actions"]),
        }
        if protocol := row.get("protocol", "HTTP"):
            shown |= {"Port": row["port"], "Protocol": protocol}
        if protocol in SECURE:
            shown |= {
                "SslPolicy": row.get("policy", DEFAULT_POLICY),
                "Certificates": [{"CertificateArn": arn} for arn in row["certificates"][:1]],
            }
        if alpn := row.get("alpn"):
            shown["AlpnPolicy"] = alpn
        if mutual := row.get("mutual"):
            shown["MutualAuthentication"] = mutual
        return shown

    async def describe_listeners(self, params: Plain) -> Plain:
        """DescribeListeners: by ARN, or all of one load balancer."""
        arns = params.get("ListenerArns")
        if not arns and not params.get("LoadBalancerArn"):
            raise wrong("You must specify either listener ARNs or a load balancer ARN")
        one_of(params, "ListenerArns", "LoadBalancerArn")
        rows = by_arn(self._state.listeners.all(), arns, self._known.listener)
        if arn := params.get("LoadBalancerArn"):
            balancer = self._known.balancer(arn)
            rows = [row for row in rows if row["balancer"] == balancer["id"]]
        return paged("Listeners", [self._show_listener(row) for row in rows], params)

    async def modify_listener(self, params: Plain) -> Plain:
        """ModifyListener: its port and its default actions; what is not given stays.

        Raises AwsError for a port that is taken.
        """
        row = self._known.listener(params["ListenerArn"])
        changed = await self._changed_listener(row, params)
        if changed["port"] != row["port"] or listens(changed) != listens(row):
            self._check_port(changed)
        if "DefaultActions" in params:
            actions = params["DefaultActions"]
            rule = self._known.default_rule(row)
            await self.modify_rule(
                {
                    "RuleArn": rule["arn"],
                    "Actions": actions,
                }
            )
        if changed != row:
            self._state.listeners.put(row["arn"], changed)
            await self._door.tell_all()
        return {"Listeners": [self._show_listener(changed)]}

    async def _changed_listener(self, row: Listener, params: Plain) -> Listener:
        """The listener as it is asked to be, but for its actions."""
        protocol = params.get("Protocol") or row.get("protocol", "HTTP")
        kind = self._kind_of(row)
        if kind != GATEWAY:
            check_protocol(kind, protocol)
        is_asked = any(params.get(key) is not None for key in _FORM)
        form = await self._encrypted(secured(params, protocol, row)) if is_asked else {}
        return {**row, **form, "port": params.get("Port") or row["port"]}

    def _kind_of(self, listener: Listener) -> str:
        """Of its load balancer."""
        balancer = self._state.balancers.get(listener["balancer"])
        return kind_of(balancer) if balancer is not None else APPLICATION

    async def delete_listener(self, params: Plain) -> Plain:
        """DeleteListener, with its rules.  Raises AwsError for one that is not there."""
        drop_listener(self._state, self._known.listener(params["ListenerArn"]))
        await self._door.tell_all()
        return {}

    # --- rules

    def _put_rule(
        self,
        listener: Listener,
        priority: int | None,
        conditions: list[Condition],
        actions: list[Action],
        tags: list[ElbTag],
    ) -> Rule:
        """Write a new rule down; HAProxy has not heard of it yet."""
        key = new_id()
        arn = listener["arn"].replace(":listener/", ":listener-rule/") + f"/{key}"
        row: Rule = {
            "id": key,
            "arn": arn,
            "listener": listener["arn"],
            "priority": priority or 0,
            "default": priority is DEFAULT,
            "conditions": conditions,
            "actions": actions,
            "tags": tags,
        }
        return self._state.rules.put(arn, row)

    def _check_actions(self, actions: Sequence[Action], kind: str) -> None:
        """Raise AwsError for actions that are not carried out, and for what they forward to."""
        check_actions(actions)
        for action in actions:
            self._check_groups(forward_groups([action]))
        arns = [arn for arn, _ in forward_groups(actions)]
        check_forwards(kind, actions, [self._known.group(arn) for arn in arns])

    def _check_groups(self, groups: Sequence[tuple[str, int]]) -> None:
        """Raise AwsError for target groups that are not there, and beyond what ALB takes: five
        groups, weights from 0 to 999."""
        if len(groups) > _MOST_GROUPS:
            raise AwsError("TooManyTargetGroups", "a forward action has at most five target groups")
        for arn, weight in groups:
            self._known.group(arn)
            if not 0 <= weight <= _LARGEST_WEIGHT:
                raise wrong(f"Weight {weight} of {arn}: 0 to 999")

    async def create_rule(self, params: Plain) -> Plain:
        """CreateRule.

        Raises AwsError for a priority that is taken, and for conditions and actions that are not
        carried out.
        """
        listener = self._known.listener(params["ListenerArn"])
        refuse(params, {"Transforms": ()}, "CreateRule")
        self._check_actions(params["Actions"], self._kind_of(listener))
        check_conditions(params["Conditions"])
        priority = params["Priority"]
        for rule in self._state.rules.all():
            same_place = rule["listener"] == listener["arn"] and not rule["default"]
            if same_place and rule["priority"] == priority:
                raise AwsError("PriorityInUse", "The specified priority is in use.")
        row = self._put_rule(
            listener, priority, params["Conditions"], params["Actions"], tags_of(params)
        )
        await self._door.tell_all()
        return {"Rules": [_show_rule(row)]}

    async def describe_rules(self, params: Plain) -> Plain:
        """DescribeRules: by priority, the default rule last."""
        if not params.get("RuleArns") and not params.get("ListenerArn"):
            raise wrong("You must specify either a listener ARN or one or more rule ARNs")
        one_of(params, "RuleArns", "ListenerArn")
        rows = by_arn(self._state.rules.all(), params.get("RuleArns"), self._known.rule)
        if arn := params.get("ListenerArn"):
            self._known.listener(arn)
            rows = [row for row in rows if row["listener"] == arn]
        rows.sort(key=lambda row: (row["default"], row["priority"]))
        return paged("Rules", [_show_rule(row) for row in rows], params)

    async def modify_rule(self, params: Plain) -> Plain:
        """A change of weights alone is one atomic exchange of thresholds; anything else reloads
        HAProxy."""
        row = self._known.rule(params["RuleArn"])
        refuse(params, {"Transforms": ()}, "ModifyRule")
        if "Actions" in params:
            listener = self._known.listener(row["listener"])
            self._check_actions(params["Actions"], self._kind_of(listener))
        if "Conditions" in params:
            if row["default"]:
                raise AwsError("OperationNotPermitted", "the default rule has no conditions")
            check_conditions(params["Conditions"])
        changed: Rule = {
            **row,
            "actions": params.get("Actions") or row["actions"],
            "conditions": params.get("Conditions") or row["conditions"],
        }
        self._state.rules.put(row["arn"], changed)
        if _but_weights(changed) == _but_weights(row):
            await self._door.tell_weights()
        else:
            await self._door.tell_all()
        return {"Rules": [_show_rule(changed)]}

    async def set_rule_priorities(self, params: Plain) -> Plain:
        """SetRulePriorities: all of them or none.

        Rules may exchange their priorities in one request; raises AwsError where two would have the
        same.
        """
        asked = _asked_priorities(params)
        rows = [self._known.rule(arn) for arn in asked]
        if any(rule["default"] for rule in rows):
            raise AwsError("OperationNotPermitted", "the default rule has no priority")
        after = [
            asked.get(rule["arn"], rule["priority"])
            for rule in self._state.rules.all()
            if rule["listener"] == rows[0]["listener"]
        ]
        if len(set(after)) != len(after):
            raise AwsError("PriorityInUse", "two rules would have the same priority")
        for row in rows:
            self._state.rules.put(
                row["arn"],
                {
                    **row,
                    "priority": asked[row["arn"]],
                },
            )
        await self._door.tell_all()
        return {"Rules": [_show_rule(self._known.rule(arn)) for arn in asked]}

    async def delete_rule(self, params: Plain) -> Plain:
        """DeleteRule.  Raises AwsError for one that is not there, and for a default rule."""
        row = self._known.rule(params["RuleArn"])
        if row["default"]:
            raise AwsError("OperationNotPermitted", "the default rule cannot be deleted")
        self._state.rules.drop(row["arn"])
        await self._door.tell_all()
        return {}


def _asked_priorities(params: Plain) -> dict[str, int]:
    """ARN of a rule -> its new priority.  Raises AwsError where either is missing."""
    given = params["RulePriorities"]
    if not given or not all("RuleArn" in each and "Priority" in each for each in given):
        raise wrong("Every one of RulePriorities needs a RuleArn and a Priority")
    return {each["RuleArn"]: each["Priority"] for each in given}


def _but_weights(rule: Rule) -> tuple[object, ...]:
    """All that HAProxy is told of a rule, but its weights."""
    groups = [arn for arn, _ in forward_groups(rule["actions"])]
    return groups, but_weights(rule["actions"]), rule["conditions"]


def _show_actions(actions: Sequence[Action]) -> list[Plain]:
    """As they were asked for."""
    return [dict(action) for action in actions]


def _show_rule(row: Rule) -> Plain:
    """A rule as AWS shows it; its priority is a text there."""
    return {
        "RuleArn": row["arn"],
        "Priority": "default" if row["default"] else str(row["priority"]),
        "Conditions": row["conditions"],
        "Actions": _show_actions(row["actions"]),
        "IsDefault": row["default"],
    }


OPERATIONS: Handlers[RuleApi] = {
    "CreateListener": RuleApi.create_listener,
    "DescribeListeners": RuleApi.describe_listeners,
    "ModifyListener": RuleApi.modify_listener,
    "DeleteListener": RuleApi.delete_listener,
    "CreateRule": RuleApi.create_rule,
    "DescribeRules": RuleApi.describe_rules,
    "ModifyRule": RuleApi.modify_rule,
    "DeleteRule": RuleApi.delete_rule,
    "SetRulePriorities": RuleApi.set_rule_priorities,
}
PARTLY = {
    "CreateListener": "HTTP and HTTPS on 127.0.0.1; actions forward, redirect, fixed-response; no "
    "mutual TLS; listeners of TLS, TCP, UDP, TCP_UDP and gateways are records: kept and told, "
    "without listening",
    "ModifyListener": "as CreateListener",
    "CreateRule": "actions forward, redirect, fixed-response; no transforms",
    "ModifyRule": "as CreateRule",
}
"""Operations of which something is missing, and what."""
