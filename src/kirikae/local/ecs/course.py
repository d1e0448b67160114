"""The course of a deployment that shifts traffic, stage by stage: pure functions over its row.

Stages are AWS's (ECS developer guide, "Amazon ECS blue/green service deployments workflow"); a
course that goes back gives production traffic back first, then test traffic, then its tasks."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict, cast

from kirikae.local.plain import Plain
from kirikae.local.rows import Course, HookRun, Strategy

ALL = 1000
"""All of the traffic, in permille."""
RECONCILE = "RECONCILE_SERVICE"
PRE_SCALE_UP = "PRE_SCALE_UP"
SCALE_UP = "SCALE_UP"
TEST_SHIFT = "TEST_TRAFFIC_SHIFT"
PRE_SHIFT = "PRE_PRODUCTION_TRAFFIC_SHIFT"
SHIFT = "PRODUCTION_TRAFFIC_SHIFT"
POST_SHIFT = "POST_PRODUCTION_TRAFFIC_SHIFT"
BAKE = "BAKE_TIME"
CLEAN_UP = "CLEAN_UP"
OVER = "OVER"
"""Ours: nothing is left to be done."""
STAGES = (
    RECONCILE,
    PRE_SCALE_UP,
    SCALE_UP,
    "POST_SCALE_UP",
    TEST_SHIFT,
    "POST_TEST_TRAFFIC_SHIFT",
    PRE_SHIFT,
    SHIFT,
    POST_SHIFT,
    BAKE,
    CLEAN_UP,
    OVER,
)
_BACK: Mapping[str, str] = {
    SHIFT: TEST_SHIFT,
    TEST_SHIFT: CLEAN_UP,
    CLEAN_UP: OVER,
}
_TOO_LATE = (CLEAN_UP, OVER)
_NEED_SHIFT = (RECONCILE, TEST_SHIFT, SHIFT, BAKE)
"""The load balancer must have taken the shares before these end."""
_NEED_JUDGEMENT = (SHIFT, BAKE)
"""The alarms must have been read before these end."""
_OPEN = ("AWAITING_ACTION", "IN_PROGRESS")
_MINUTE_S = 60
_RETRY_S = 30
"""A function that is not done yet is called again after this time, unless it says another."""
_TIMEOUT_MINUTES = 1440
LAMBDA = "AWS_LAMBDA"
PAUSE = "PAUSE"
Part = Literal["target", "source", "other"]
"""Of a service's revisions: the one that comes, the one that it takes over from, and those that a
deployment before left behind."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a course goes by.  ``whole``: are all tasks of the new revision there, and healthy?
    The numbers are those of live tasks.  ``judged``: were the alarms read at this look, and none
    rang?"""

    now: float
    whole: bool
    target: int
    source: int
    others: int
    judged: bool = True


def shares_of(strategy: Strategy) -> tuple[list[int], int]:
    """Production shares step by step, in permille, and the minutes between two steps."""
    kind = strategy["strategy"]
    if kind == "CANARY":
        canary = strategy.get("canaryConfiguration", {})
        first = _permille(canary.get("canaryPercent", 5.0))
        return sorted({first, ALL}), int(canary.get("canaryBakeTimeInMinutes", 10))
    if kind == "LINEAR":
        linear = strategy.get("linearConfiguration", {})
        step = _permille(linear.get("stepPercent", 10.0))
        return [*range(step, ALL, step), ALL], int(linear.get("stepBakeTimeInMinutes", 6))
    return [ALL], 0


def _permille(percent: float) -> int:
    """AWS takes multiples of 0.1 %."""
    return round(percent * 10)


def begun(
    strategy: Strategy,
    source: str,
    others: bool,
    now: float,
) -> Course:
    """The course of a deployment that begins now.

    A service's first one has nothing to take over from and nothing to go back to: it has all of
    the traffic at once and no bake time (ours).
    """
    shares, minutes = shares_of(strategy)
    share = 0 if source else ALL
    course: Course = {
        "stage": RECONCILE if others else PRE_SCALE_UP,
        "source": source,
        "shares": shares if source else [ALL],
        "step": 0,
        "step_bake_s": float(minutes * _MINUTE_S),
        "bake_s": float(strategy.get("bakeTimeInMinutes", 0) * _MINUTE_S) if source else 0.0,
        "production": share,
        "test": share,
        "shifted": False,
        "lifecycleHooks": strategy.get("lifecycleHooks", []),
        "hooks": [],
        "back": "",
    }
    return {
        **course,
        "hooks": _hooks_at(course, course["stage"], now),
    }


def part_of(
    course: Course,
    target: str,
    revision: str,
) -> Part:
    """Which part this revision has in the deployment that leads to ``target``."""
    if revision == target:
        return "target"
    return "source" if revision == course["source"] else "other"


def keeps(course: Course, part: Part) -> bool:
    """Are the tasks of this part kept at the wanted number?  What is not kept is stopped."""
    is_last = course["stage"] in _TOO_LATE
    if part == "source":
        return bool(course["back"]) or not is_last
    if part == "target":
        is_early = course["stage"] in (RECONCILE, PRE_SCALE_UP)
        return not is_early and not (course["back"] and is_last)
    # They may still have traffic until the load balancer was told.
    return course["stage"] == RECONCILE and not course["shifted"]


def is_ending(course: Course) -> bool:
    """Is nothing decided any more: does it clean up, or go back?"""
    return bool(course["back"]) or course["stage"] in _TOO_LATE


# --- going on


def advanced(course: Course, seen: Seen) -> Course:
    """As far as it comes now; the same course where it waits for something."""
    while True:
        after = _one_step(course, seen)
        if after == course:
            return course
        course = after


def _one_step(course: Course, seen: Seen) -> Course:
    """A hook's end, or the next stage; where a hook wants it to go back, nothing."""
    course = {
        **course,
        "hooks": [_expired(hook, seen.now) for hook in course["hooks"]],
    }
    if course["stage"] == OVER or refusal(course) or not _is_done(course, seen):
        return course
    return _entered(course, _next(course), seen.now)


def _is_done(course: Course, seen: Seen) -> bool:
    """Is everything done that this stage is for?"""
    stage = course["stage"]
    if any(hook["status"] in _OPEN for hook in course["hooks"] if hook["stage"] == stage):
        return False
    if seen.now < course.get("until", 0.0):
        return False
    if stage in _NEED_SHIFT and not course["shifted"]:
        return False
    if stage in _NEED_JUDGEMENT and not course["back"] and not seen.judged:
        return False
    return _tasks_are_there(course, seen)


def _tasks_are_there(course: Course, seen: Seen) -> bool:
    """Are tasks come and gone as this stage wants it?"""
    match course["stage"]:
        case "RECONCILE_SERVICE":
            return seen.others == 0 and seen.target == 0
        case "SCALE_UP":
            return seen.whole
        case "CLEAN_UP":
            return (seen.target if course["back"] else seen.source) == 0
        case _:
            return True


def _next(course: Course) -> str:
    """The stage after this one."""
    stage = course["stage"]
    if course["back"]:
        return _BACK[stage]
    if stage == SHIFT and course["step"] + 1 < len(course["shares"]):
        return PRE_SHIFT
    return STAGES[STAGES.index(stage) + 1]


def _entered(
    course: Course,
    stage: str,
    now: float,
) -> Course:
    """At the beginning of this stage."""
    after: Course = {
        **course,
        "stage": stage,
        **_shares_at(course, stage),
    }
    after.pop("until", None)
    if course["stage"] == SHIFT and stage == PRE_SHIFT:
        after["step"] = course["step"] + 1
    bake_s = _bake_s(after)
    if bake_s is not None:
        after["until"] = now + bake_s
    before = (course["production"], course["test"])
    is_shift = (after["production"], after["test"]) != before
    after["shifted"] = course["shifted"] and not is_shift
    # Whoever goes back calls the hooks of shifts alone, and only where something is shifted (ours).
    if is_shift or not after["back"]:
        after["hooks"] = [*after["hooks"], *_hooks_at(after, stage, now)]
    return after


class _Shares(TypedDict, total=False):
    """The part of a course that a shift changes."""

    production: int
    test: int


def _shares_at(course: Course, stage: str) -> _Shares:
    """What this stage shifts."""
    if stage == TEST_SHIFT:
        return {"test": 0 if course["back"] else ALL}
    if stage == SHIFT:
        return {"production": 0 if course["back"] else course["shares"][course["step"]]}
    return {}


def _bake_s(course: Course) -> float | None:
    """How long this stage lasts at the least: none but the shift of a part, and the bake time."""
    if course["stage"] == BAKE:
        return course["bake_s"]
    is_part = course["stage"] == SHIFT and 0 < course["production"] < ALL
    return course["step_bake_s"] if is_part else None


def turned(
    course: Course,
    reason: str,
    now: float,
) -> Course:
    """On its way back from now on: production traffic goes first.  The same where it is too late,
    or where there is nothing to go back to."""
    if is_ending(course) or not course["source"]:
        return course
    closed = [_closed(hook) for hook in course["hooks"]]
    return _entered(
        {
            **course,
            "back": reason,
            "hooks": closed,
        },
        SHIFT,
        now,
    )


# --- hooks


def _hooks_at(
    course: Course,
    stage: str,
    now: float,
) -> list[HookRun]:
    """What is to be asked at this stage, before the next one."""
    asked = [hook for hook in course["lifecycleHooks"] if stage in hook["lifecycleStages"]]
    return [_run_of(hook, stage, now) for hook in asked]


def _run_of(
    hook: Plain,
    stage: str,
    now: float,
) -> HookRun:
    """A hook that is reached now."""
    kind = hook.get("targetType", LAMBDA)
    timeout = hook.get("timeoutConfiguration", {})
    minutes = timeout.get("timeoutInMinutes", _TIMEOUT_MINUTES)
    return {
        "id": f"ecs-{'pause' if kind == PAUSE else 'lambda'}-{secrets.token_urlsafe(32)}",
        "stage": stage,
        "targetType": kind,
        "target": hook.get("hookTargetArn", ""),
        "status": "AWAITING_ACTION" if kind == PAUSE else "IN_PROGRESS",
        "details": hook.get("hookDetails"),
        "due": now,
        "expiresAt": now + minutes * _MINUTE_S,
        "timeoutAction": timeout.get("action", "ROLLBACK"),
    }


def _expired(hook: HookRun, now: float) -> HookRun:
    """A hook that nobody has answered in time."""
    if hook["status"] in _OPEN and now >= hook["expiresAt"]:
        return {
            **hook,
            "status": "TIMED_OUT",
        }
    return hook


def _closed(hook: HookRun) -> HookRun:
    """A hook of a course that turns: it is waited for no more."""
    return (
        {
            **hook,
            "status": "FAILED",
        }
        if hook["status"] in _OPEN
        else hook
    )


def refusal(course: Course) -> str:
    """Which hook wants it to go back; empty: none, or it does so already."""
    for hook in [] if course["back"] else course["hooks"]:
        whose = hook["target"] or "the pause hook"
        if hook["status"] == "FAILED":
            return f"Lifecycle hook {whose} failed at {hook['stage']}."
        if hook["status"] == "TIMED_OUT" and hook["timeoutAction"] == "ROLLBACK":
            return f"Lifecycle hook {whose} timed out at {hook['stage']}."
    return ""


def due_hooks(course: Course, now: float) -> list[HookRun]:
    """Functions to be called now."""
    return [
        hook
        for hook in course["hooks"]
        if hook["targetType"] == LAMBDA and hook["status"] == "IN_PROGRESS" and hook["due"] <= now
    ]


def answered(
    course: Course,
    hook_id: str,
    reply: object,
    now: float,
) -> Course:
    """What a function has said.

    An answer without a status that AWS knows is a failure, as no answer is (developer guide,
    "Lambda hooks").
    """
    told: Plain = reply if isinstance(reply, dict) else {}
    status = told.get("hookStatus")
    if status not in ("SUCCEEDED", "FAILED", "IN_PROGRESS"):
        status = "FAILED"
    change: Plain = {"status": status}
    if status == "IN_PROGRESS":
        delay = told.get("callBackDelay", _RETRY_S)
        is_number = isinstance(delay, (int, float)) and not isinstance(delay, bool)
        change["due"] = now + (max(0.0, delay) if is_number else _RETRY_S)
        if "hookDetails" in told:
            change["details"] = told["hookDetails"]
    return _with_hook(course, hook_id, change)


def acted_on(
    course: Course,
    hook_id: str,
    action: str,
) -> Course | None:
    """What ContinueServiceDeployment says of a pause; None where no such pause waits."""
    waiting = [hook["id"] for hook in course["hooks"] if hook["status"] == "AWAITING_ACTION"]
    if hook_id not in waiting:
        return None
    status = "SUCCEEDED" if action == "CONTINUE" else "FAILED"
    return _with_hook(course, hook_id, {"status": status})


def _with_hook(
    course: Course,
    hook_id: str,
    change: Plain,
) -> Course:
    """One that was closed meanwhile stays closed."""
    hooks: list[HookRun] = []
    for hook in course["hooks"]:
        is_meant = hook["id"] == hook_id and hook["status"] in _OPEN
        after = {**cast(Plain, hook), **change} if is_meant else hook
        hooks.append(cast(HookRun, after))
    return {
        **course,
        "hooks": hooks,
    }
