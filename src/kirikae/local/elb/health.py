"""Target health by our own checks: exact thresholds and AWS's reason codes, as Elastic Load
Balancing keeps them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import aiohttp

from kirikae.local.errors import LocalError
from kirikae.local.state import Row, State

log = logging.getLogger("kirikae.local.elb.health")

PASSES_FROM_INITIAL: int | None = None
"""Checks that take a new target from ``initial`` to ``healthy``; None: the healthy threshold (ours,
AWS is unclear)."""


def code_matches(matcher: str, status: int) -> bool:
    """``"200"``, ``"200,302"``, ``"200-299"`` as in a target group's Matcher."""
    for part in matcher.split(","):
        low, _, high = part.partition("-")
        if int(low) <= status <= int(high or low):
            return True
    return False


def after_check(target: Row, group: Row, failure: str) -> Row:
    """The target after one more check; ``failure`` is AWS's reason code, empty if the check
    passed."""
    passes = 0 if failure else target["passes"] + 1
    failures = target["failures"] + 1 if failure else 0
    state = target["state"]
    reason = target["reason"]
    needed = group["healthy_threshold"]
    if state == "initial" and PASSES_FROM_INITIAL is not None:
        needed = PASSES_FROM_INITIAL
    if passes >= needed:
        state = "healthy"
        reason = ""
    elif failures >= group["unhealthy_threshold"]:
        state = "unhealthy"
        reason = failure
    elif state == "unhealthy" and failure:
        reason = failure
    elif state == "initial":
        reason = "Elb.InitialHealthChecking"
    return {**target, "passes": passes, "failures": failures, "state": state, "reason": reason}


class HealthChecks:
    """One loop per target; whoever wants to know of a change of state is told by
    ``on_change(target)``."""

    def __init__(self, state: State, on_change: Callable[[Row], Awaitable[None]]) -> None:
        self._state = state
        self._on_change = on_change
        self._loops: dict[str, asyncio.Task[None]] = {}
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True)
        )

    async def close(self) -> None:
        for loop in self._loops.values():
            loop.cancel()
        await self._http.close()

    def assert_all(self) -> None:
        """Every registered target that is not draining is checked; loops of targets that left end
        by themselves."""
        for target in self._state.all("target"):
            loop = self._loops.get(target["key"])
            if (
                loop is not None
                and loop.done()
                and not loop.cancelled()
                and loop.exception() is not None
            ):
                log.warning("the checks of %s begin anew: %s", target["key"], loop.exception())
            if target["state"] != "draining" and (loop is None or loop.done()):
                self._loops[target["key"]] = asyncio.create_task(self._watch(target["key"]))

    async def _watch(self, key: str) -> None:
        while True:
            began = time.monotonic()
            target = self._state.get("target", key)
            group = self._state.get("group", target["group"]) if target else None
            if target is None or group is None or target["state"] == "draining":
                return
            failure = await self._check(target, group)
            target = self._state.get("target", key)
            if target is None or target["state"] == "draining":
                return
            after = after_check(target, group, failure)
            if after["state"] != target["state"]:
                self._state.put("target", key, after)
                log.info("target %s is %s %s", key, after["state"], after["reason"])
                try:
                    await self._on_change(after)
                except (OSError, LocalError) as error:
                    log.warning(
                        "HAProxy did not hear of it: %s; it is told when it answers again", error
                    )
            elif after != target:
                self._state.put("target", key, after)
            await asyncio.sleep(max(0.0, group["interval_s"] - (time.monotonic() - began)))

    async def _check(self, target: Row, group: Row) -> str:
        port = target["port"] if group["check_port"] == "traffic-port" else int(group["check_port"])
        url = f"http://{target['address']}:{port}{group['check_path']}"
        timeout = aiohttp.ClientTimeout(total=group["timeout_s"])
        try:
            async with self._http.get(
                url,
                timeout=timeout,
                allow_redirects=False,
                headers={"User-Agent": "ELB-HealthChecker/2.0"},
            ) as answer:
                return (
                    ""
                    if code_matches(group["matcher"], answer.status)
                    else "Target.ResponseCodeMismatch"
                )
        except TimeoutError:
            return "Target.Timeout"
        except (aiohttp.ClientError, OSError):
            return "Target.FailedHealthChecks"
