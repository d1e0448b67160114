"""Let CodeDeploy put a release onto its ECS service: begun with our AppSpec, watched to one of our
own endings, its hold time told."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kirikae.aws import codedeploy as api
from kirikae.aws import ecs
from kirikae.model.errors import AwsUnreachable
from kirikae.model.project import CodeDeploy
from kirikae.release.codedeploy import (
    CONTROLLER,
    Sight,
    appspec,
    hold_minutes,
    judged,
    primary,
    unsent,
    updates,
)
from kirikae.release.codedeploy_group import Group, Named, found, named_in
from kirikae.release.ecs_fleet import Change, EcsFleet
from kirikae.release.ending import Ending
from kirikae.release.errors import (
    DefinitionProblem,
    NotFinished,
    NothingRuns,
    RolledBack,
    UnderWay,
)
from kirikae.release.fleet import Step
from kirikae.release.ledger import OpenEntry
from kirikae.release.stopped import StoppedTask, Stops
from kirikae.release.way_back import Good

POLL_S = 2.0
_SERVICE = "service"
_BACK = "codeDeployRollback"
"""Who began a deployment that takes another one back (API reference, DeploymentInfo)."""
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CodeDeployFleet:
    """``ours`` knows the service and its files."""

    ours: EcsFleet
    settings: CodeDeploy
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _asked: list[Group] = field(default_factory=list)
    """The group, once it is known."""

    @property
    def side(self) -> str:
        return self.ours.side

    def steps(self, release_id: str) -> list[Step]:
        """Raises DefinitionProblem, UnderWay, and what ``EcsFleet`` raises."""
        service = self._service()
        change = self.ours.change_of(release_id)
        self._assert_free(f"{self._mark(release_id)} ")
        names = "/".join(self._group.pair)
        *ahead, _ = change.steps(self.ours.place)
        definition = self._with_balancer(change, service)
        spec = appspec("(the new revision)", definition, change.hooks)
        says = [f"begin a deployment of {names}", *_remarks(change)]
        return [*ahead, Step("; ".join(says), "CreateDeployment", {"appSpec": spec})]

    def running(self) -> dict[str, str]:
        found = self._found()
        serving = "" if found is None else primary(found)
        return {_SERVICE: serving} if serving else {}

    def deploy(self, release_id: str, entry: OpenEntry) -> str:
        service = self._service()
        change = self.ours.change_of(release_id)
        for remark in _remarks(change):
            self.ours.tell(remark)
        entry.assert_ours()
        arn = self.ours.registered(change.task, entry)
        entry.assert_ours()
        change.tagging.carry_out(self.ours.aws)
        change.scaling.carry_out(self.ours.aws)
        changes = updates(change.service)
        if changes:
            place = self.ours.place
            ecs.update_service(self.ours.aws, place.cluster, place.ecs_service, changes)
        mark = f"{self._mark(release_id)} {arn}"
        spec = appspec(arn, self._with_balancer(change, service), change.hooks)
        identity = self._begun(mark) or self._begin(spec, mark)
        return self._wait(identity, arn, entry.now.previous.get(_SERVICE, ""))

    def assert_can_go_back(self, target: Good) -> None:
        self.ours.assert_can_go_back(target)

    def put_back(self, target: Good, entry: OpenEntry) -> str:
        """While the former tasks are kept, CodeDeploy goes back to them at once."""
        arn = target.task_definition
        mark = f"{self._mark(target.release)} back to {arn}"
        former = entry.now.previous.get(_SERVICE, "")
        identity = self._begun(mark, stops_others=primary(self._service()) != arn)
        service = self._service()
        if not identity:
            if primary(service) == arn:
                return arn
            entry.assert_ours()
            identity = self._begin(appspec(arn, service, None), mark)
        return self._wait(identity, arn, former)

    # --- one deployment at a time

    @property
    def _group(self) -> Group:
        """Raises DefinitionProblem."""
        if not self._asked:
            place = self.ours.place
            self._asked.append(
                found(self.ours.aws, place.cluster, place.ecs_service, self._named())
            )
        return self._asked[0]

    def _named(self) -> Named:
        """By the project file, else by the configuration of ecspresso."""
        ours = self.settings
        said = Named(ours.application or "", ours.group or "", ours.config)
        if said.application and said.group:
            return said
        return said.or_else(named_in(self.ours.configured_codedeploy()))

    def _mark(self, release_id: str) -> str:
        """Tells a deployment of ours from anybody else's, also after a SIGKILL."""
        return f"kirikae {release_id}"

    def _assert_free(self, ours: str) -> None:
        for info in api.going_on(self.ours.aws, self._group.pair):
            if not str(info.get("description", "")).startswith(ours):
                raise UnderWay(
                    f"{info['deploymentId']} of {self._group.name} has not ended "
                    f"({info['status']}{_held_for(info)}): wait, or end it with `aws deploy "
                    f"stop-deployment --deployment-id {info['deploymentId']}`"
                )

    def _begun(self, mark: str, stops_others: bool = False) -> str:
        """The deployment of this mark that a killed run began; empty: there is none.  Another one
        is in the way, or is stopped and taken back.  Raises UnderWay."""
        for info in api.going_on(self.ours.aws, self._group.pair):
            if info.get("description") == mark:
                return str(info["deploymentId"])
        if stops_others:
            self._stop_others()
        self._assert_free(mark)
        return ""

    def _stop_others(self) -> None:
        deadline = self.clock() + self.ours.timeout_s
        while rows := api.going_on(self.ours.aws, self._group.pair):
            backing = any(info.get("creator") == _BACK for info in rows)
            for info in [] if backing else rows:
                self.ours.tell(f"{info['deploymentId']} is stopped and taken back")
                api.stop(self.ours.aws, info["deploymentId"])
            if self.clock() > deadline:
                return
            self.sleep(POLL_S)

    def _begin(self, spec: str, mark: str) -> str:
        identity = api.create(
            self.ours.aws,
            self._group.pair,
            spec,
            mark,
            self._group.rule,
        )
        self.ours.tell(f"CodeDeploy has begun {identity}")
        return identity

    # --- until it has ended

    def _wait(self, identity: str, arn: str, former: str) -> str:
        """Raises RolledBack, NotFinished, NothingRuns."""
        deadline = self.clock() + self.ours.timeout_s
        told = ""
        while True:
            try:
                info, service = self._look(identity)
                ending = judged(self._sight(info, service), arn, former)
                told = self._tell_once(_line(info, service), told)
            except AwsUnreachable:
                # Says nothing about the deployment.
                ending = None
            if ending is Ending.SUCCEEDED:
                self._tell_hold(info)
                return arn
            if ending is not None:
                self._end(ending, info, self._stopped(service, arn))
            if self.clock() > deadline:
                raise NotFinished(
                    f"after {self.ours.timeout_s:.0f} s {identity} is still going on; run the same "
                    "again to go on with it",
                    ending=Ending.TIMED_OUT,
                )
            self.sleep(POLL_S)

    def _look(self, identity: str) -> tuple[Row, Row]:
        return api.deployment(self.ours.aws, identity), self._service()

    def _sight(self, info: Row, service: Row) -> Sight:
        back = (info.get("rollbackInfo") or {}).get("rollbackDeploymentId")
        status = str(info["status"])
        ended = status in ("Succeeded", "Failed", "Stopped")
        return Sight(
            status,
            bool(info.get("instanceTerminationWaitTimeStarted")) and not ended,
            bool(back) and not _is_over(api.deployment(self.ours.aws, str(back))),
            primary(service),
            int(service.get("desiredCount", 0)),
        )

    def _tell_once(self, line: str, told: str) -> str:
        if line != told:
            self.ours.tell(line)
        return line

    def _tell_hold(self, info: Row) -> None:
        minutes = hold_minutes(info)
        if minutes and info["status"] != "Succeeded":
            self.ours.tell(
                f"the former tasks are kept for {minutes} minutes; until then `kirikae release "
                "rollback` goes back to them at once, and CodeDeploy takes no other deployment"
            )

    def _end(self, ending: Ending, info: Row, stopped: tuple[StoppedTask, ...]) -> None:
        """Raises what this ending is."""
        name = info["deploymentId"]
        error = info.get("errorInformation") or {}
        why = f"{error.get('code', info['status'])}: {error.get('message', 'AWS says not why')}"
        because = "".join(f"; {each.says}" for each in stopped[:1])
        if ending is Ending.ROLLED_BACK:
            raise RolledBack(f"{name} failed ({why}){because}", stopped, ending)
        if ending is Ending.SCALED_TO_ZERO:
            raise NothingRuns(
                f"{name} is done, and the desired count is 0: nothing was proven", ending=ending
            )
        says = {
            Ending.PAUSED: f"{name} waits for somebody: `aws deploy continue-deployment "
            f"--deployment-id {name} --deployment-wait-type READY_WAIT`, or stop it",
            Ending.SUPERSEDED: f"{name} is done, and another task definition serves",
        }
        raise NotFinished(
            says.get(ending, f"{name} has ended ({why}); look at what serves{because}"),
            stopped,
            ending,
        )

    def _stopped(self, service: Row, arn: str) -> tuple[StoppedTask, ...]:
        place = self.ours.place
        stops = Stops(self.ours.aws, place.cluster, place.ecs_service)
        own = [row for row in service.get("taskSets", ()) if row["taskDefinition"] == arn]
        return tuple(each for row in own for each in stops.of(str(row["id"])))

    # --- the service

    def _found(self) -> Row | None:
        place = self.ours.place
        return ecs.service(self.ours.aws, place.cluster, place.ecs_service)

    def _service(self) -> Row:
        """Raises DefinitionProblem."""
        found = self._found()
        name = self.ours.place.ecs_service
        if found is None:
            raise DefinitionProblem(
                f"there is no service {name}: create it with the deployment controller "
                f"{CONTROLLER}, then CodeDeploy can drive it"
            )
        kind = (found.get("deploymentController") or {}).get("type", "ECS")
        if kind != CONTROLLER:
            raise DefinitionProblem(
                f"{name} has the deployment controller {kind}, not {CONTROLLER}: leave "
                "`fleets.new.deployer.codedeploy` out"
            )
        return found

    def _with_balancer(self, change: Change, service: Row) -> Row:
        """The file's definition; where it names no balancer, the service's.  Raises
        DefinitionProblem."""
        rows = change.service.get("loadBalancers") or service.get("loadBalancers")
        if not rows:
            raise DefinitionProblem("neither the service nor its file names a load balancer")
        return {**change.service, "loadBalancers": rows}


def _remarks(change: Change) -> list[str]:
    why = {**change.unsent, **unsent(change.service)}
    told = [f"`{key}` is not sent to ECS: {each}" for key, each in why.items()]
    return [*told, *change.scaling.remarks()]


def _is_over(info: Row) -> bool:
    return info["status"] in ("Succeeded", "Failed", "Stopped")


def _held_for(info: Row) -> str:
    if not info.get("instanceTerminationWaitTimeStarted"):
        return ""
    return f"; it keeps the former tasks for {hold_minutes(info)} minutes"


def _line(info: Row, service: Row) -> str:
    sets = [
        f"{row['status']} {str(row['taskDefinition']).rpartition('/')[2]} "
        f"{row.get('runningCount', 0)} of {row.get('computedDesiredCount', 0)}"
        for row in service.get("taskSets", ())
    ]
    return ", ".join([f"CodeDeploy: {info['status']}", *sets])
