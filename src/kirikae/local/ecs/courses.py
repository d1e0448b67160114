"""Deployments that shift traffic, and those that alarms end: look, decide, act.

What is decided stands in ``course``; here rows are written, HAProxy is told, functions are called
and alarms are read.  Whatever is cut off by a crash is taken up from the rows."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from kirikae.local.ecs.agenda import Agenda
from kirikae.local.ecs.alarmstates import AlarmSeen
from kirikae.local.ecs.course import (
    ALL,
    CLEAN_UP,
    OVER,
    Seen,
    advanced,
    answered,
    due_hooks,
    is_ending,
    part_of,
    refusal,
)
from kirikae.local.ecs.deployments import FINAL, STEADY, finish, with_event
from kirikae.local.ecs.ending import stop
from kirikae.local.ecs.outside import Outside
from kirikae.local.ecs.shifting import wanted
from kirikae.local.ecs.taskrow import is_live, tasks_of
from kirikae.local.elb.steering import steer
from kirikae.local.errors import AwsError, LocalError
from kirikae.local.plain import Plain
from kirikae.local.rows import (
    Course,
    Deployment,
    HookRun,
    Service,
    ServiceDeployment,
    Task,
    Watch,
)
from kirikae.local.state import State

log = logging.getLogger("kirikae.local.courses")

LOOK_S = 0.5
_RINGS = "CloudWatch alarms {names} went into ALARM."
IsWhole = Callable[[Service, Deployment, Sequence[Task]], bool]
"""Are the wanted tasks of this deployment there, and healthy?"""


class Courses:
    """Each deployment is looked at by itself: a slow function or alarm holds no other up."""

    def __init__(
        self,
        state: State,
        agenda: Agenda,
        is_whole: IsWhole,
        tell_door: Callable[[], Awaitable[None]],
        changing: asyncio.Lock,
        outside: Callable[[str], Outside],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``changing`` is held by whoever changes rows that HAProxy is told of; ``outside`` answers
        whom to ask in a region."""
        self._state = state
        self._agenda = agenda
        self._is_whole = is_whole
        self._tell_door = tell_door
        self._changing = changing
        self._outside = outside
        self._clock = clock
        self._looks: dict[str, asyncio.Task[None]] = {}
        self._calls: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Every half second, each deployment that goes on."""
        while True:
            await asyncio.sleep(LOOK_S)
            self._looks = {arn: task for arn, task in self._looks.items() if not task.done()}
            self._calls = {key: task for key, task in self._calls.items() if not task.done()}
            for service in self._state.services.all():
                arn = service["serviceArn"]
                if arn not in self._looks and self._going_on(service) is not None:
                    self._looks[arn] = asyncio.create_task(self._look_safely(arn))

    async def close(self) -> None:
        """What is cut off is done again by whoever comes next."""
        for task in (*self._looks.values(), *self._calls.values()):
            task.cancel()

    async def _look_safely(self, arn: str) -> None:
        """What fails is told, and tried again at the next look."""
        try:
            await self.look(arn)
        except (AwsError, LocalError, OSError) as error:
            log.warning("deployment of %s: %s", arn, error)

    def _going_on(self, service: Service | None) -> ServiceDeployment | None:
        """The deployment of this service that is to be looked at here."""
        if service is None or service["status"] != "ACTIVE" or not service["deployments"]:
            return None
        key = service["deployments"][0]["_serviceDeployment"]
        row = self._state.service_deployments.get(key)
        if row is None or row["status"] in FINAL or not ("_course" in row or "_watch" in row):
            return None
        return row

    async def look(self, arn: str) -> None:
        """One look at a service: alarms, then the course, then the load balancer, then hooks."""
        judged = await self._judged(arn)
        self._advance(arn, judged)
        await self._shift(arn)
        row = self._going_on(self._state.services.get(arn))
        if row is not None and (course := row.get("_course")) is not None:
            for hook in due_hooks(course, self._clock()):
                if hook["id"] not in self._calls:
                    call = self._ask(row, course, hook)
                    self._calls[hook["id"]] = asyncio.create_task(call)

    # --- alarms

    async def _judged(self, arn: str) -> bool:
        """Has no alarm of this deployment rung, as far as could be seen just now?"""
        row = self._going_on(self._state.services.get(arn))
        watch = row.get("_watch") if row is not None else None
        if row is None or watch is None or watch["status"] not in ("", "MONITORING"):
            return True
        if "_course" in row and is_ending(row["_course"]):
            return True
        alarms = self._outside(arn.split(":")[3]).alarms
        if alarms is None:
            return False
        seen = await alarms.of(watch["names"])
        return self._heed(arn, row["serviceDeploymentArn"], seen)

    def _heed(
        self,
        arn: str,
        deployment: str,
        seen: Mapping[str, AlarmSeen],
    ) -> bool:
        """Write down what the alarms say, and end the deployment where one rings."""
        service = self._state.services.get(arn)
        row = self._going_on(service)
        if service is None or row is None or row["serviceDeploymentArn"] != deployment:
            return False
        watch = row["_watch"]
        after = heeded(watch, seen)
        if after != watch:
            changed: ServiceDeployment = {
                **row,
                "_watch": after,
            }
            self._state.service_deployments.put(deployment, changed)
            self._agenda.wake(arn)
        if after["status"] != "TRIGGERED":
            unknown = sorted(set(watch["names"]) - seen.keys())
            if unknown:
                log.warning("deployment of %s waits: there is no alarm %s", arn, unknown[0])
            return not unknown
        names = ", ".join(after["triggered"])
        service = self._state.services[arn]
        stop(
            self._state,
            service,
            _RINGS.format(names=names),
            after["rollback"],
        )
        return False

    # --- the course

    def _advance(
        self,
        arn: str,
        judged: bool,
    ) -> None:
        """As far as the course comes now; rows only."""
        service = self._state.services.get(arn)
        row = self._going_on(service)
        if service is None or row is None or "_course" not in row:
            return
        course = row["_course"]
        after = advanced(course, self._seen(service, row, judged))
        if after == course and not refusal(course):
            return
        service = self._write(service, row, after)
        if reason := refusal(after):
            stop(
                self._state,
                service,
                reason,
                True,
            )
        self._agenda.wake(arn)

    def _seen(
        self,
        service: Service,
        row: ServiceDeployment,
        judged: bool,
    ) -> Seen:
        """What the course goes by."""
        tasks = tasks_of(service, self._state.tasks.all())
        count = {
            "target": 0,
            "source": 0,
            "other": 0,
        }
        for task in tasks:
            if is_live(task):
                count[part_of(row["_course"], row["_target"], task["_revision"])] += 1
        target = [each for each in service["deployments"] if each["_revision"] == row["_target"]]
        whole = bool(target) and self._is_whole(service, target[0], tasks)
        now = self._clock()
        return Seen(
            now,
            whole,
            count["target"],
            count["source"],
            count["other"],
            judged,
        )

    def _write(
        self,
        service: Service,
        row: ServiceDeployment,
        course: Course,
    ) -> Service:
        """The course as it is now, and what it means for its service."""
        now = self._clock()
        key = row["serviceDeploymentArn"]
        changed: ServiceDeployment = {
            **row,
            "_course": course,
            "updatedAt": now,
        }
        with self._state.together():
            self._state.service_deployments.put(key, changed)
            if course["stage"] in (CLEAN_UP, OVER) and not course["back"]:
                service = {
                    **service,
                    "_lastGood": row["_target"],
                }
            if course["stage"] == OVER:
                status = "ROLLBACK_SUCCESSFUL" if course["back"] else "SUCCESSFUL"
                finish(self._state, key, status)
                service = with_event(completed(service, now), STEADY, now)
            elif course["stage"] != CLEAN_UP:
                service = without_gone(service, row, course)
            return self._state.services.put(service["serviceArn"], service)

    # --- the load balancer

    async def _shift(self, arn: str) -> None:
        """The rules as the course wants them: their rows, then HAProxy, then the course knows it.

        Raises OSError where HAProxy does not take it; then the course waits.
        """
        row = self._going_on(self._state.services.get(arn))
        course = row.get("_course") if row is not None else None
        if row is None or course is None or course["shifted"]:
            return
        async with self._changing:
            revision = self._state.revisions.get(row["_target"])
            if revision is None:
                return
            with self._state.together():
                steer(self._state, wanted(course, revision))
            await self._tell_door()
        self._confirm(row["serviceDeploymentArn"], course)
        self._agenda.wake(arn)

    def _confirm(
        self,
        key: str,
        asked: Course,
    ) -> None:
        """The load balancer does what was asked; a course that wants something else by now is told
        nothing."""
        row = self._state.service_deployments.get(key)
        if row is None:
            return
        course = row["_course"]
        same = (course["production"], course["test"]) == (asked["production"], asked["test"])
        if same:
            told: Course = {
                **course,
                "shifted": True,
            }
            self._state.service_deployments.put(
                key,
                {
                    **row,
                    "_course": told,
                },
            )
            log.info(
                "%s has %s permille of the production traffic", row["_target"], course["production"]
            )

    # --- hooks

    async def _ask(
        self,
        row: ServiceDeployment,
        course: Course,
        hook: HookRun,
    ) -> None:
        """Call a function, and write down what it says."""
        arn = row["serviceArn"]
        functions = self._outside(arn.split(":")[3]).functions
        reply: object = None
        try:
            if functions is not None:
                reply = await functions.call(hook["target"], payload(row, course, hook))
        except (AwsError, OSError) as error:
            log.warning("lifecycle hook at %s: %s", hook["stage"], error)
        key = row["serviceDeploymentArn"]
        now = self._state.service_deployments.get(key)
        if now is not None and now["status"] not in FINAL:
            after = answered(
                now["_course"],
                hook["id"],
                reply,
                self._clock(),
            )
            self._state.service_deployments.put(
                key,
                {
                    **now,
                    "_course": after,
                },
            )


def heeded(watch: Watch, seen: Mapping[str, AlarmSeen]) -> Watch:
    """The watch after its alarms were read.

    One that rings when the deployment begins switches the watch off: it may be the reason for the
    deployment (developer guide, "How CloudWatch alarms detect deployment failures").
    """
    rings = sorted(name for name, alarm in seen.items() if alarm.rings)
    if watch["status"] == "":
        bake_s = max((alarm.window_s for alarm in seen.values()), default=0.0)
        return {
            **watch,
            "status": "DISABLED" if rings else "MONITORING",
            "bake_s": bake_s,
        }
    if rings:
        return {
            **watch,
            "status": "TRIGGERED",
            "triggered": rings,
        }
    return watch


def completed(service: Service, now: float) -> Service:
    """The service with its newest deployment alone, which is complete."""
    entry = service["deployments"][0]
    done: Deployment = {
        **entry,
        "rolloutState": "COMPLETED",
        "rolloutStateReason": f"ECS deployment {entry['id']} completed.",
        "updatedAt": now,
    }
    return {
        **service,
        "deployments": [done],
    }


def without_gone(
    service: Service,
    row: ServiceDeployment,
    course: Course,
) -> Service:
    """Once services are reconciled, revisions that are neither of the two are gone."""
    if course["stage"] == "RECONCILE_SERVICE":
        return service
    entries = [
        entry
        for entry in service["deployments"]
        if part_of(course, row["_target"], entry["_revision"]) != "other"
    ]
    return {
        **service,
        "deployments": entries,
    }


def payload(
    row: ServiceDeployment,
    course: Course,
    hook: HookRun,
) -> Plain:
    """What a function is told (developer guide, "Lambda hooks")."""
    event: Plain = {
        "executionDetails": {
            "testTrafficWeights": _weights(row, course, course["test"]),
            "productionTrafficWeights": _weights(row, course, course["production"]),
            "serviceArn": row["serviceArn"],
            "targetServiceRevisionArn": row["_target"],
        },
        "executionId": hook["id"],
        "lifecycleStage": hook["stage"],
        "resourceArn": row["serviceDeploymentArn"],
    }
    if hook["details"] is not None:
        event["hookDetails"] = hook["details"]
    return event


def _weights(
    row: ServiceDeployment,
    course: Course,
    permille: int,
) -> Plain:
    """ARN of a revision -> per cent of the traffic."""
    shares = {
        course["source"]: ALL - permille,
        row["_target"]: permille,
    }
    return {arn: share / 10 for arn, share in shares.items() if arn and share}
