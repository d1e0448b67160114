"""Targets: in their groups, out of them, and drained."""

from __future__ import annotations

import asyncio
import logging
import time

from kirikae.local.elb.configuration import SLOTS
from kirikae.local.elb.frontdoor import FrontDoor
from kirikae.local.elb.health import HealthChecks
from kirikae.local.elb.kinds import is_record
from kirikae.local.elb.known import Known
from kirikae.local.elb.limits import (
    check_balancer_arn,
    check_function,
    check_instance,
    check_target,
)
from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain
from kirikae.local.rows import Group, Target
from kirikae.local.state import State
from kirikae.local.wire import Handlers

log = logging.getLogger("kirikae.local.elb.targets")

_ROUTED_S = 0.2
"""A request that was routed just before is counted by then."""
_LOOK_S = 0.1


class Targets:
    """A target is an address in a slot of its group.

    It leaves in two steps: no new request, then, when the last one is answered or the delay is
    over, its row goes and its slot is free.
    """

    def __init__(
        self,
        state: State,
        known: Known,
        door: FrontDoor,
        health: HealthChecks,
    ) -> None:
        """Drains of before are not taken up here, but by ``resume_drains``."""
        self._state = state
        self._known = known
        self._door = door
        self._health = health
        self._drains: dict[str, asyncio.Task[None]] = {}

    def group(self, arn: str) -> Group:
        """The target group of this ARN.  Raises AwsError where there is none."""
        return self._known.group(arn)

    def balancers_of(self, group_arn: str) -> set[str]:
        """ARNs of the load balancers that have a rule which forwards to this group."""
        return self._known.balancers_of(group_arn)

    def check_all(self) -> None:
        """Every registered target is checked."""
        self._health.assert_all()

    async def tell_door(self, group_id: str) -> None:
        """Make HAProxy serve what the store says of this group.

        Raises OSError where it does not answer.
        """
        await self._door.set_targets(group_id)

    # --- registering

    async def register_targets(self, params: Plain) -> Plain:
        """RegisterTargets: asking again for what is registered is harmless.

        Raises AwsError for what is no private address, and beyond 64 targets in a group.
        """
        group = self._known.group(params["TargetGroupArn"])
        check = _CHECKS[group.get("target_type", "ip")]
        if not params["Targets"]:
            raise AwsError("ValidationError", "At least one target must be specified")
        for target in params["Targets"]:
            check(target["Id"])
        for target in params["Targets"]:
            self.register(group, target["Id"], target.get("Port", group["port"]))
        await self.tell_door(group["id"])
        self.check_all()
        return {}

    def register(
        self,
        group: Group,
        address: str,
        port: int,
    ) -> tuple[str, bool]:
        """Put the target into the lowest free slot; one that is registered already keeps its own, a
        draining one returns.

        The answer is its key, and whether it is new there.
        """
        key = f"{group['id']}|{address}:{port}"
        known = self._state.targets.get(key)
        if known is not None and known["state"] != "draining":
            return key, False
        slot = known["slot"] if known is not None else self._free_slot(group)
        row: Target = {
            "key": key,
            "group": group["id"],
            "address": address,
            "port": port,
            "slot": slot,
            "state": "initial",
            "reason": "Elb.RegistrationInProgress",
            "passes": 0,
            "failures": 0,
        }
        self._state.targets.put(key, row)
        return key, True

    def _free_slot(self, group: Group) -> int:
        """The lowest one, from 1.

        Raises AwsError where all are taken; a draining target keeps its own.
        """
        own = [each for each in self._state.targets.all() if each["group"] == group["id"]]
        free = set(range(1, SLOTS + 1)) - {target["slot"] for target in own}
        if not free:
            raise AwsError(
                "TooManyTargets", f"kirikae local holds {SLOTS} targets in a target group"
            )
        return min(free)

    # --- leaving

    async def deregister_targets(self, params: Plain) -> Plain:
        """DeregisterTargets: answers at once, the targets drain afterwards.

        One that is not registered is no error.
        """
        group = self._known.group(params["TargetGroupArn"])
        for target in params["Targets"]:
            port = target.get("Port", group["port"])
            await self.deregister(f"{group['id']}|{target['Id']}:{port}")
        return {}

    async def deregister(self, key: str) -> None:
        """Begin draining: no new request; the row goes when nothing is in flight or the delay is
        over."""
        target = self._state.targets.get(key)
        if target is None:
            return
        if target["state"] != "draining":
            draining: Target = {
                **target,
                "state": "draining",
                "reason": "Target.DeregistrationInProgress",
                "until": time.time() + self._delay_s(target),
            }
            self._state.targets.put(key, draining)
            await self.tell_door(target["group"])
        self.resume_drains()

    def _delay_s(self, target: Target) -> int:
        """For how long it may drain at the most; 0 where its group is gone."""
        group = self._state.groups.get(target["group"])
        if group is None:
            return 0
        return int(group["attributes"]["deregistration_delay.timeout_seconds"])

    def resume_drains(self) -> None:
        """See that every draining target is watched until it goes; may be called at any time, and
        is after a restart."""
        for target in self._state.targets.all():
            running = self._drains.get(target["key"])
            if target["state"] == "draining" and (running is None or running.done()):
                self._drains[target["key"]] = asyncio.create_task(self._drain(target["key"]))

    def _draining(self, key: str) -> Target | None:
        """The target while it drains; None when it is gone or registered again."""
        target = self._state.targets.get(key)
        return target if target is not None and target["state"] == "draining" else None

    async def _drain(self, key: str) -> None:
        """Wait until nothing is in flight or the delay is over, then free the slot.

        Where HAProxy does not answer, something is taken to be in flight: no request is cut off on
        a guess.
        """
        await asyncio.sleep(_ROUTED_S)
        while (target := self._draining(key)) is not None:
            try:
                left = await self._door.in_flight(target["group"], target["slot"])
            except OSError:
                left = 1
            if left == 0 or time.time() >= target.get("until", 0.0):
                if left:
                    await self._cut(target)
                self._state.targets.drop(key)
                await self.tell_door(target["group"])
                return
            await asyncio.sleep(_LOOK_S)

    async def _cut(self, target: Target) -> None:
        """The delay is over: the load balancer breaks the connection (ECS best practices guide,
        "Load balancer connection draining").  HAProxy may be away; then nothing is open either."""
        try:
            await self._door.cut(target["group"], target["slot"])
        except OSError as error:
            log.warning("connections to %s may still be open: %s", target["key"], error)

    async def drained(self, key: str) -> None:
        """Wait until this target is gone from its group."""
        while self._draining(key) is not None:
            self.resume_drains()
            await asyncio.sleep(_LOOK_S / 2)

    def forget(self, key: str) -> None:
        """A target whose process is gone needs no draining."""
        self._state.targets.drop(key)

    # --- health

    async def describe_health(self, params: Plain) -> Plain:
        """DescribeTargetHealth: the asked targets, else all.

        One that is not registered, or whose group serves no load balancer, is ``unused``.
        """
        group = self._known.group(params["TargetGroupArn"])
        registered = {
            (target["address"], target["port"]): target
            for target in self._state.targets.all()
            if target["group"] == group["id"]
        }
        asked = [
            (target["Id"], target.get("Port", group["port"]))
            for target in params.get("Targets", [])
        ]
        in_use = bool(self._known.balancers_of(group["arn"]))
        answers = []
        for address, port in asked or sorted(registered):
            traffic = group["check_port"] == "traffic-port"
            answers.append(
                {
                    "Target": {"Id": address, "Port": port} if port else {"Id": address},
                    "HealthCheckPort": str(port) if traffic else group["check_port"],
                    "TargetHealth": _show_health(
                        group, self._as_told(registered.get((address, port))), in_use
                    ),
                }
            )
        return {"TargetHealthDescriptions": answers}

    def _as_told(self, target: Target | None) -> Target | None:
        """A target that has just become healthy is shown so once requests go there."""
        if target is None or target["state"] != "healthy" or self._health.is_told(target["key"]):
            return target
        return {**target, "state": "initial", "reason": "Elb.InitialHealthChecking"}


_CHECKS = {
    "ip": check_target,
    "instance": check_instance,
    "lambda": check_function,
    "alb": check_balancer_arn,
}
"""What a target's ID must be."""
_DESCRIPTIONS = {
    "Elb.RegistrationInProgress": "Target registration is in progress",
    "Elb.InitialHealthChecking": "Initial health checks in progress",
    "Target.NotRegistered": "Target is not registered to the target group",
    "Target.NotInUse": "Target group is not configured to receive traffic from the load balancer",
    "Target.DeregistrationInProgress": "Target deregistration is in progress",
    "Target.InvalidState": "kirikae local keeps this target, and asks it nothing",
    "Target.Timeout": "Request timed out",
    "Target.FailedHealthChecks": "Health checks failed",
    "Target.ResponseCodeMismatch": "Health checks failed with another status code",
}
"""AWS's words beside its reason codes; ours for the last one, which AWS follows by the code."""


def _show_health(group: Group, target: Target | None, in_use: bool) -> Plain:
    """State, reason code and description as AWS gives them."""
    state, reason = _state_of(group, target, in_use)
    health: Plain = {"State": state}
    if reason:
        health["Reason"] = reason
        health["Description"] = _DESCRIPTIONS.get(reason, reason)
    return health


def _state_of(group: Group, target: Target | None, in_use: bool) -> tuple[str, str]:
    """State and reason code."""
    if target is None:
        return "unused", "Target.NotRegistered"
    if not in_use:
        return "unused", "Target.NotInUse"
    if is_record(group) and target["state"] != "draining":
        return "unused", "Target.InvalidState"
    return target["state"], target["reason"]


OPERATIONS: Handlers[Targets] = {
    "RegisterTargets": Targets.register_targets,
    "DeregisterTargets": Targets.deregister_targets,
    "DescribeTargetHealth": Targets.describe_health,
}
