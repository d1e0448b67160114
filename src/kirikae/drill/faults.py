"""Every fault: what it does, what undoes it, what it should cost at most; nothing is done here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kirikae.drill.acts import Act
from kirikae.drill.errors import CannotBeDone
from kirikae.drill.fleet import Fleet, OneTask


@dataclass(frozen=True, slots=True)
class Asked:
    """What the operator said besides the fault's name.

    ``mark``: of this drill.  ``task``: the one that is meant; empty: the oldest.  ``agent_uri``:
    of the task's fault endpoints.  ``driver``: process ID and start of a move's driver.
    """

    mark: str
    lasts_s: float = 20.0
    task: str = ""
    agent_uri: str = ""
    database: str = ""
    template: str = ""
    driver: tuple[int, str] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A fault that can be made.  ``share``: part of the fleet that it hits.  ``detection_s``: how
    long that part still gets requests, at most; None: nobody can tell.  ``hit``: the tasks."""

    name: str
    inject: tuple[Act, ...]
    undo: tuple[Act, ...] = ()
    share: float = 0.0
    detection_s: float | None = None
    hit: tuple[OneTask, ...] = ()


def prepare(
    name: str,
    fleet: Fleet,
    asked: Asked,
) -> Prepared:
    """Raises CannotBeDone, KeyError for a fault that is none."""
    return FAULTS[name](fleet, asked)


def _one(fleet: Fleet, asked: Asked) -> OneTask:
    """The task that is meant."""
    if not fleet.tasks:
        raise CannotBeDone(f"{fleet.service} has no running task; nothing can be broken there")
    if not asked.task:
        return fleet.one()
    for each in fleet.tasks:
        if asked.task in (each.arn, each.name):
            return each
    raise CannotBeDone(
        f"{asked.task} is no running task of {fleet.service}; it has: "
        f"{', '.join(each.name for each in fleet.tasks)}"
    )


def _share(fleet: Fleet, hit: int = 1) -> float:
    return hit / max(1, len(fleet.tasks))


def _detection(fleet: Fleet) -> float | None:
    return None if fleet.group is None else fleet.group.detection_s


def _container(
    task: OneTask,
    fault: str,
    instead: str,
) -> str:
    """The container as this machine's engine knows it; whether it does is found as it is asked."""
    if not task.engine_id:
        raise CannotBeDone(
            f"{fault}: {task.name} has no container that can be reached from here; {instead}"
        )
    return task.engine_id


def _stop(fleet: Fleet, task: OneTask) -> Act:
    return Act("stop_task", {"cluster": fleet.cluster, "task": task.arn})


def kill_task(fleet: Fleet, asked: Asked) -> Prepared:
    """StopTask: SIGTERM, SIGKILL after stopTimeout.  Its target is drained meanwhile."""
    first = _one(fleet, asked)
    count = int(asked.options.get("count") or 1)
    others = [task for task in fleet.tasks if task != first]
    hit = (first, *others[: count - 1])
    return Prepared(
        "kill-task",
        tuple(_stop(fleet, task) for task in hit),
        share=_share(fleet, len(hit)),
        detection_s=0.0,
        hit=hit,
    )


def crash_task(fleet: Fleet, asked: Asked) -> Prepared:
    """SIGKILL of the main container, as the kernel does that has no memory left."""
    task = _one(fleet, asked)
    container = _container(
        task,
        "crash-task",
        "use an AWS FIS template with aws:ecs:task-kill-process (`kirikae drill fault fis`)",
    )
    return Prepared(
        "crash-task",
        (Act("engine", {"words": ["kill", "-s", "KILL", container]}),),
        share=_share(fleet),
        detection_s=_detection(fleet),
        hit=(task,),
    )


def hang_task(fleet: Fleet, asked: Asked) -> Prepared:
    """Every process of the main container stands still; its connections stay open."""
    task = _one(fleet, asked)
    container = _container(
        task,
        "hang-task",
        "AWS has no such action; nearest is an AWS FIS template with "
        "aws:ecs:task-network-blackhole-port (`kirikae drill fault fis`)",
    )
    return Prepared(
        "hang-task",
        (Act("engine", {"words": ["pause", container]}),),
        (Act("engine_undo", {"container": container, "words": ["unpause", container]}),),
        share=_share(fleet),
        detection_s=_detection(fleet),
        hit=(task,),
    )


def spot_notice(fleet: Fleet, asked: Asked) -> Prepared:
    """A FARGATE_SPOT task is taken away as AWS does: a notice, SIGTERM, SIGKILL."""
    spot = [task for task in fleet.tasks if task.spot]
    if not spot:
        raise CannotBeDone(
            f"{fleet.service} has no task on FARGATE_SPOT; `kirikae drill fault kill-task` stops "
            "one as politely"
        )
    task = _one(fleet, asked) if asked.task else spot[0]
    return Prepared(
        "spot-notice",
        (Act("interrupt_spot", {"task": task.arn}),),
        share=_share(fleet),
        detection_s=0.0,
        hit=(task,),
    )


def drain_target(fleet: Fleet, asked: Asked) -> Prepared:
    """DeregisterTargets: no new request goes there, those under way end."""
    task = _one(fleet, asked)
    if fleet.group is None:
        raise CannotBeDone(f"drain-target: {fleet.service} has no target group to drain from")
    wanted = asked.options.get("group")
    if wanted and f":targetgroup/{wanted}/" not in fleet.group.arn:
        raise CannotBeDone(
            f"drain-target: {fleet.service} is behind {fleet.group.arn}, not {wanted}"
        )
    ports = [each.port for each in fleet.group.targets if each.address == task.address]
    if not ports:
        raise CannotBeDone(f"drain-target: {task.name} is no target of {fleet.group.arn}")
    target = {
        "group": fleet.group.arn,
        "target": task.address,
        "port": ports[0],
    }
    again = {
        "cluster": fleet.cluster,
        "task": task.arn,
        **target,
    }
    return Prepared(
        "drain-target",
        (Act("deregister", target),),
        (Act("register", again),),
        share=_share(fleet),
        detection_s=0.0,
        hit=(task,),
    )


def scale_in(fleet: Fleet, asked: Asked) -> Prepared:
    """One task fewer is wanted; ECS chooses which, and drains it."""
    fewer = fleet.desired - 1
    return Prepared(
        "scale-in",
        (_desired(fleet, fewer),),
        (_desired(fleet, fleet.desired, {"desiredCount": fewer}),),
        share=_share(fleet),
        detection_s=0.0,
    )


def _desired(
    fleet: Fleet,
    count: int,
    only_if: Mapping[str, Any] | None = None,
) -> Act:
    arguments: dict[str, Any] = {
        "cluster": fleet.cluster,
        "service": fleet.service,
        "changes": {"desiredCount": count},
    }
    return Act("set_service", arguments if only_if is None else {**arguments, "only_if": only_if})


def bad_release(fleet: Fleet, asked: Asked) -> Prepared:
    """A revision whose main container cannot start; ECS keeps the old tasks, and takes it back by
    itself if the circuit breaker is on."""
    named = {
        "cluster": fleet.cluster,
        "service": fleet.service,
        "definition": fleet.definition,
        "mark": asked.mark,
    }
    return Prepared(
        "bad-release",
        (Act("release_bad", {**named, "container": fleet.container}),),
        (Act("take_back", named),),
        share=0.0,
        detection_s=0.0,
    )


def db_failover(fleet: Fleet, asked: Asked) -> Prepared:
    """The database goes away and comes again: an Aurora cluster fails over, an instance reboots, a
    container of this machine is killed and started."""
    kind, _, name = asked.database.partition(":")
    if not name or kind not in ("cluster", "instance", "container"):
        raise CannotBeDone(
            "db-failover: say which database: --database cluster:ID (Aurora), instance:ID (RDS) or "
            "container:NAME (of this machine's engine)"
        )
    inject = {
        "cluster": (Act("fail_over", {"cluster": name}),),
        "instance": (Act("reboot", {"instance": name}),),
        "container": (Act("engine", {"words": ["kill", "-s", "KILL", name]}),),
    }[kind]
    start = Act("engine_undo", {"container": name, "words": ["start", name]})
    return Prepared(
        "db-failover",
        inject,
        (start,) if kind == "container" else (),
        share=1.0,
    )


def az_loss(fleet: Fleet, asked: Asked) -> Prepared:
    """Every task of one zone is stopped; ECS may place their successors there again."""
    zones = sorted({task.zone for task in fleet.tasks if task.zone})
    if len(zones) < 2:
        raise CannotBeDone(
            f"az-loss: all tasks of {fleet.service} run in one subnet ({''.join(zones)}); "
            "spread them over subnets of two zones first, else this fault is an outage"
        )
    wanted = asked.options.get("zone") or zones[0]
    hit = tuple(task for task in fleet.tasks if task.zone == wanted)
    if not hit:
        raise CannotBeDone(f"az-loss: no task runs in {wanted}; there are: {', '.join(zones)}")
    return Prepared(
        "az-loss",
        tuple(_stop(fleet, task) for task in hit),
        share=_share(fleet, len(hit)),
        detection_s=0.0,
        hit=hit,
    )


def scheduler_loss(fleet: Fleet, asked: Asked) -> Prepared:
    """One of the redundant schedulers is stopped; the others fire on."""
    if len(fleet.tasks) < 2:
        raise CannotBeDone(
            f"scheduler-loss: {fleet.service} has {len(fleet.tasks)} task; run two schedulers "
            "(docs/how-to/jobs.md), or no job fires meanwhile"
        )
    task = _one(fleet, asked)
    return Prepared(
        "scheduler-loss",
        (_stop(fleet, task),),
        share=0.0,
        detection_s=0.0,
        hit=(task,),
    )


def kirikae_loss(fleet: Fleet, asked: Asked) -> Prepared:
    """SIGKILL of the driver of a move; the share stays, requests never go through it."""
    if asked.driver is None:
        raise CannotBeDone(
            "kirikae-loss: no driver of a move runs on this machine; begin one with "
            "`kirikae move start NAME` and say --move NAME"
        )
    pid, started = asked.driver
    return Prepared(
        "kirikae-loss",
        (Act("kill_process", {"pid": pid, "started": started}),),
        share=0.0,
        detection_s=0.0,
    )


def cpu_hog(fleet: Fleet, asked: Asked) -> Prepared:
    """Endless loops in the main container; each ends by itself when the fault is over."""
    task = _one(fleet, asked)
    container = _container(
        task,
        "cpu-hog",
        "use an AWS FIS template with aws:ecs:task-cpu-stress (`kirikae drill fault fis`)",
    )
    mark = f"kirikae-drill-{asked.mark}"
    hog = {
        "container": container,
        "mark": mark,
        "loops": int(asked.options.get("loops", 2)),
        "seconds": int(asked.lasts_s) + 1,
    }
    return Prepared(
        "cpu-hog",
        (Act("hog", hog),),
        (Act("end_hog", {"container": container, "mark": mark}),),
        share=_share(fleet),
        hit=(task,),
    )


def _net(fault: str, fleet: Fleet, asked: Asked) -> Prepared:
    """To stop a fault the same body is asked for."""
    kind = NET_KINDS[fault]
    task = _one(fleet, asked)
    if not asked.agent_uri:
        raise CannotBeDone(
            f"{fault}: the fault endpoints of {task.name} cannot be reached from here "
            "(ECS_AGENT_URI answers inside its own task only); say --agent-uri, or use an AWS FIS "
            f"template with aws:ecs:task-{kind} (`kirikae drill fault fis --template ID`)"
        )
    body = net_body(kind, fleet, asked.options)
    named = {"uri": asked.agent_uri, "kind": kind}
    detection = _detection(fleet) if kind == "network-blackhole-port" else None
    return Prepared(
        fault,
        (
            Act(
                "net",
                {
                    **named,
                    "verb": "start",
                    "body": body,
                },
            ),
        ),
        (
            Act(
                "net",
                {
                    **named,
                    "verb": "stop",
                    "body": body,
                },
            ),
        ),
        share=_share(fleet),
        detection_s=detection,
        hit=(task,),
    )


def _port(fleet: Fleet) -> int:
    """That of the service's targets."""
    targets = fleet.group.targets if fleet.group is not None else ()
    return targets[0].port if targets else 80


def net_body(kind: str, fleet: Fleet, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the endpoint of this kind takes (ECS developer guide)."""
    sources = list(options.get("sources") or ["0.0.0.0/0"])
    bodies: dict[str, dict[str, Any]] = {
        "network-blackhole-port": {
            "Port": int(options.get("port") or _port(fleet)),
            "Protocol": "tcp",
            "TrafficType": "ingress",
        },
        "network-latency": {
            "DelayMilliseconds": int(options.get("delay_ms", 200)),
            "JitterMilliseconds": 0,
            "Sources": sources,
        },
        "network-packet-loss": {
            "LossPercent": int(options.get("loss_percent", 10)),
            "Sources": sources,
        },
    }
    return bodies[kind]


NET_KINDS: Mapping[str, str] = {
    "net-latency": "network-latency",
    "net-loss": "network-packet-loss",
    "net-blackhole": "network-blackhole-port",
}
"""Fault -> its endpoint."""


def net_latency(fleet: Fleet, asked: Asked) -> Prepared:
    """What one task sends is late."""
    return _net("net-latency", fleet, asked)


def net_loss(fleet: Fleet, asked: Asked) -> Prepared:
    """Part of the packets that one task sends are lost."""
    return _net("net-loss", fleet, asked)


def net_blackhole(fleet: Fleet, asked: Asked) -> Prepared:
    """What is sent to a port of one task disappears."""
    return _net("net-blackhole", fleet, asked)


def fis(fleet: Fleet, asked: Asked) -> Prepared:
    """An experiment template of AWS Fault Injection Service, as it stands."""
    if not asked.template:
        raise CannotBeDone("fis: say which experiment template: --template EXT...")
    named = {"template": asked.template, "token": asked.mark}
    return Prepared(
        "fis",
        (Act("start_fis", named),),
        (Act("stop_fis", named),),
        share=1.0,
    )


FAULTS: Mapping[str, Callable[[Fleet, Asked], Prepared]] = {
    "kill-task": kill_task,
    "crash-task": crash_task,
    "hang-task": hang_task,
    "spot-notice": spot_notice,
    "drain-target": drain_target,
    "scale-in": scale_in,
    "net-latency": net_latency,
    "net-loss": net_loss,
    "net-blackhole": net_blackhole,
    "cpu-hog": cpu_hog,
    "bad-release": bad_release,
    "db-failover": db_failover,
    "az-loss": az_loss,
    "scheduler-loss": scheduler_loss,
    "kirikae-loss": kirikae_loss,
    "fis": fis,
}
