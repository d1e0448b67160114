"""Target health by our own checks: exact thresholds and AWS's reason codes, as Elastic Load
Balancing keeps them.

A check that ran out of time while this machine was overloaded changes nothing: it could not have
run in time.  It is excused for five minutes at the most; then it counts, also on a slow machine."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import aiohttp

from kirikae.local.elb.kinds import is_record
from kirikae.local.errors import LocalError
from kirikae.local.pulse import BEAT_S, Pulse
from kirikae.local.rows import Check, Group, Health, Target
from kirikae.local.state import State

log = logging.getLogger("kirikae.local.elb.health")

PASSES_FROM_INITIAL: int | None = None
"""Checks that take a new target from ``initial`` to ``healthy``; None: the healthy threshold (ours,
AWS is unclear)."""
LONGEST_EXCUSE_S = 300
TIMEOUT = "Target.Timeout"


def code_matches(matcher: str, status: int) -> bool:
    """``"200"``, ``"200,302"``, ``"200-299"`` as in a target group's Matcher."""
    for part in matcher.split(","):
        low, _, high = part.partition("-")
        if int(low) <= status <= int(high or low):
            return True
    return False


def after_check(target: Health, group: Check, failure: str) -> Health:
    """The target's health after one more check; ``failure`` is AWS's reason code, empty if the
    check passed."""
    after: Health = {
        "state": target["state"],
        "reason": target["reason"],
        "passes": 0 if failure else target["passes"] + 1,
        "failures": target["failures"] + 1 if failure else 0,
    }
    needed = group["healthy_threshold"]
    if target["state"] == "initial" and PASSES_FROM_INITIAL is not None:
        needed = PASSES_FROM_INITIAL
    if after["passes"] >= needed:
        return {
            **after,
            "state": "healthy",
            "reason": "",
        }
    if after["failures"] >= group["unhealthy_threshold"]:
        return {
            **after,
            "state": "unhealthy",
            "reason": failure,
        }
    if after["state"] == "unhealthy" and failure:
        return {
            **after,
            "reason": failure,
        }
    if after["state"] == "initial":
        return {
            **after,
            "reason": "Elb.InitialHealthChecking",
        }
    return after


def is_excused(
    target: Health,
    failure: str,
    was_late: bool,
    now: float,
) -> bool:
    """Does this failure prove nothing, because the check could not run in time?"""
    if failure != TIMEOUT or not was_late or target["state"] == "unhealthy":
        return False
    return now - target.get("doubted", now) <= LONGEST_EXCUSE_S


class HealthChecks:
    """One loop per target; whoever wants to know of a change of state is told by
    ``on_change(target)``.

    Not HAProxy's own checks: it takes a target that has just come for healthy, and it knows
    neither AWS's thresholds nor its reason codes.
    """

    def __init__(
        self,
        state: State,
        pulse: Pulse,
        on_change: Callable[[Target], Awaitable[None]],
    ) -> None:
        """No target is checked before ``assert_all``.

        Each check opens its own connection, as a new client would.
        """
        self._state = state
        self._pulse = pulse
        self._on_change = on_change
        self._loops: dict[str, asyncio.Task[None]] = {}
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True)
        )

    async def close(self) -> None:
        """Check no more; states stay as they are written down."""
        for loop in self._loops.values():
            loop.cancel()
        await self._http.close()

    def assert_all(self) -> None:
        """Every registered target that is not draining is checked; loops of targets that left end
        by themselves."""
        for target in self._state.targets.all():
            key = target["key"]
            loop = self._loops.get(key)
            if loop is not None and loop.done():
                _report(key, loop)
            group = self._state.groups.get(target["group"])
            if group is None or is_record(group):
                continue
            if target["state"] != "draining" and (loop is None or loop.done()):
                self._loops[key] = asyncio.create_task(self._watch(key))

    async def _watch(self, key: str) -> None:
        """Check one target at its interval until it leaves.

        Its row is read anew after the check, for it may have left meanwhile.
        """
        while True:
            began = time.monotonic()
            target = self._checked(key)
            group = self._state.groups.get(target["group"]) if target is not None else None
            if target is None or group is None:
                return
            failure, was_late = await self._check(target, group)
            target = self._checked(key)
            if target is None:
                return
            await self._keep(target, group, failure, was_late)
            await asyncio.sleep(max(0.0, group["interval_s"] - (time.monotonic() - began)))

    def _checked(self, key: str) -> Target | None:
        """None where it has left, or is leaving."""
        target = self._state.targets.get(key)
        return None if target is None or target["state"] == "draining" else target

    async def _keep(
        self,
        target: Target,
        group: Group,
        failure: str,
        was_late: bool,
    ) -> None:
        """Write down what the check has shown, and tell of a change."""
        now = time.time()
        key = target["key"]
        if is_excused(target, failure, was_late, now):
            if "doubted" not in target:
                log.info("a check of %s ran out of time on an overloaded machine", key)
                self._state.targets.put(
                    key,
                    {
                        **target,
                        "doubted": now,
                    },
                )
            return
        after: Target = {
            **target,
            **after_check(target, group, failure),
        }
        if not failure:
            after.pop("doubted", None)
        if after == target:
            return
        self._state.targets.put(key, after)
        if after["state"] == target["state"]:
            return
        log.info("target %s is %s %s", key, after["state"], after["reason"])
        try:
            await self._on_change(after)
        except (OSError, LocalError) as error:
            log.warning("HAProxy did not hear of it: %s; it is told when it answers again", error)

    async def _check(self, target: Target, group: Group) -> tuple[str, bool]:
        """AWS's reason code, empty if it passed; and was this machine too busy meanwhile?"""
        began = time.time()
        failure = await self._ask(target, group)
        if failure != TIMEOUT:
            return failure, False
        ended = time.time()
        # How late our own loop was is known after its next beat.
        await asyncio.sleep(2 * BEAT_S)
        return failure, self._pulse.was_late(began, ended)

    async def _ask(self, target: Target, group: Group) -> str:
        """One request to the target.

        The answer is AWS's reason code, empty for a status that the matcher takes; redirects are
        not followed.
        """
        port = target["port"] if group["check_port"] == "traffic-port" else int(group["check_port"])
        url = f"http://{target['address']}:{port}{group['check_path']}"
        headers = {"User-Agent": "ELB-HealthChecker/2.0"}
        timeout = aiohttp.ClientTimeout(total=group["timeout_s"])
        try:
            async with self._http.get(
                url, timeout=timeout, allow_redirects=False, headers=headers
            ) as answer:
                passed = code_matches(group["matcher"], answer.status)
                return "" if passed else "Target.ResponseCodeMismatch"
        except TimeoutError:
            return TIMEOUT
        except (aiohttp.ClientError, OSError):
            return "Target.FailedHealthChecks"


def _report(key: str, loop: asyncio.Task[None]) -> None:
    """Tell why a target's loop died; it is begun anew."""
    if not loop.cancelled() and (error := loop.exception()) is not None:
        log.warning("the checks of %s begin anew: %s", key, error)
