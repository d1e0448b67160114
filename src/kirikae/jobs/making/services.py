"""Task and service definitions of schedulers, workers and the ledger's door, with the API's own
keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from kirikae.jobs.making.stack import CRONTAB, PORT, Definition, Stack
from kirikae.model.mail import RELAY_WRITES

KIRIKAE = "/opt/kirikae/bin/kirikae"
IN_APPLICATION = "/opt/kirikae-worker/bin/kirikae"
SENDMAIL = "/opt/kirikae-worker/bin/sendmail"
_SMALLEST = ("256", "512")
_TMP = {"containerPath": "/tmp", "size": 64, "mountOptions": ["mode=1777"]}
_RELAY_MIB = 128


def schedulers(stack: Stack) -> dict[str, Definition]:
    """Name of the part -> task definition.  Each has an offset of its own, so that the later ones
    send less; none of them leads."""
    found = {}
    for at in range(stack.new.schedulers):
        part = f"scheduler-{at + 1}"
        container = _container(stack, part, stack.new.image, KIRIKAE, _scheduling(stack, at))
        found[part] = _task(stack, part, "scheduler", [container], _SMALLEST)
    return found


def _scheduling(stack: Stack, at: int) -> list[str]:
    settings = stack.settings
    words = ["jobs", "scheduler", f"{CRONTAB}/{settings.named}", "--name", settings.named]
    words += ["--dialect", settings.dialect, "--zone", settings.time_zone]
    words += ["--system" if settings.system else "--user", "--offset", str(at)]
    return [*words, *_places(stack), "--emf", *_told(stack)]


def _places(stack: Stack) -> list[str]:
    return ["--queue", stack.queue, "--ledger", stack.settings.ledger]


def _told(stack: Stack) -> Iterator[str]:
    for way in stack.new.tell:
        yield from ("--tell", way)


def worker(stack: Stack) -> Definition:
    """In the application's image, or, where all jobs are tasks of their own, in kirikae's."""
    new = stack.new
    entry = KIRIKAE if new.worker_image is None else IN_APPLICATION
    image = new.worker_image or new.image
    container = _container(stack, "worker", image, entry, _working(stack))
    container["stopTimeout"] = int(new.stop_within)
    # Commands write where they like, as on the host.
    container["readonlyRootFilesystem"] = new.worker_image is None
    if new.worker_image is not None:
        del container["linuxParameters"]
        container["environment"] += [
            {"name": name, "value": value}
            for name, value in sorted(stack.project.build.environment.items())
        ]
        container["secrets"] += _secrets(stack.secrets())
    containers = [container]
    if new.relay is not None:
        container["dependsOn"] = [{"containerName": "relay", "condition": "START"}]
        containers.append(_relay(stack))
    return _task(stack, "worker", "worker", containers, (str(new.cpu), str(new.memory)))


def _working(stack: Stack) -> list[str]:
    new = stack.new
    words = ["jobs", "worker", *_places(stack), "--emf", "--at-once", str(new.at_once)]
    words += ["--stop-within", f"{new.stop_within:g}"]
    for pattern in new.passed:
        words += ["--pass", pattern]
    if new.relay is not None:
        words.append("--mail-output")
    if stack.apart() and new.task_definition is not None:
        words += ["--cluster", stack.cluster, "--task-definition", new.task_definition]
        words += ["--container", new.container]
        for subnet in stack.project.build.subnets:
            words += ["--subnet", subnet]
        for group in stack.project.build.security_groups:
            words += ["--security-group", group]
    return [*words, *_told(stack)]


def _relay(stack: Stack) -> Definition:
    """A mail server of the task's own: it takes mail at localhost only, and keeps it while the
    other end is away.  What it keeps is lost with the task."""
    relay = stack.new.relay
    assert relay is not None
    container = _container(stack, "relay", relay.image, "", [])
    for key in ("entryPoint", "command"):
        del container[key]
    container |= {
        "linuxParameters": {"tmpfs": [_TMP, *map(_in_memory, RELAY_WRITES)]},
        "stopTimeout": 120,
        "memoryReservation": _RELAY_MIB,
        "environment": [{"name": "RELAY_TO", "value": relay.to}],
        "secrets": [{"name": "RELAY_LOGIN", "valueFrom": relay.login}],
    }
    return container


def _in_memory(path: str) -> Definition:
    return {"containerPath": path, "size": _RELAY_MIB, "mountOptions": ["mode=0755"]}


def ledger(stack: Stack) -> Definition:
    """Guards speak HTTP: this answers them, and keeps nothing itself."""
    listen = f"0.0.0.0:{PORT}"
    words = ["jobs", "serve", "--ledger", stack.settings.ledger, "--listen", listen]
    container = _container(stack, "ledger", stack.new.image, KIRIKAE, words)
    container["portMappings"] = [{"containerPort": PORT}]
    return _task(stack, "ledger", "ledger", [container], _SMALLEST)


def service(stack: Stack, part: str, count: int) -> Definition:
    """Old tasks end after new ones have begun: two of a kind at once are never wrong here."""
    network: Definition = {
        "subnets": list(stack.project.build.subnets),
        "assignPublicIp": "DISABLED",
    }
    if stack.project.build.security_groups:
        network["securityGroups"] = list(stack.project.build.security_groups)
    return {
        "cluster": stack.cluster,
        "serviceName": stack.role(part),
        "taskDefinition": stack.role(part),
        "desiredCount": count,
        "launchType": "FARGATE",
        "deploymentConfiguration": {
            "minimumHealthyPercent": 100,
            "maximumPercent": 200,
            "deploymentCircuitBreaker": {"enable": True, "rollback": True},
        },
        "networkConfiguration": {"awsvpcConfiguration": network},
    }


def _secrets(places: Mapping[str, str]) -> list[Definition]:
    return [{"name": name, "valueFrom": place} for name, place in places.items()]


def _container(
    stack: Stack, part: str, image: str, entry: str, command: Sequence[str]
) -> Definition:
    secrets = []
    if stack.new.token_secret is not None and part != "relay":
        secrets.append({"name": "KIRIKAE_JOBS_TOKEN", "valueFrom": stack.new.token_secret})
    options = {
        "awslogs-group": stack.log_group,
        "awslogs-region": stack.project.region,
        "awslogs-stream-prefix": part,
    }
    return {
        "name": part,
        "image": image,
        "essential": True,
        "entryPoint": [entry],
        "command": list(command),
        "stopTimeout": 30,
        "readonlyRootFilesystem": True,
        "linuxParameters": {"tmpfs": [_TMP]},
        "environment": [{"name": "AWS_REGION", "value": stack.project.region}],
        "secrets": secrets,
        "logConfiguration": {"logDriver": "awslogs", "options": options},
    }


def _task(
    stack: Stack, part: str, role: str, containers: list[Definition], size: tuple[str, str]
) -> Definition:
    return {
        "family": stack.role(part),
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": size[0],
        "memory": size[1],
        "executionRoleArn": stack.execution_role,
        "taskRoleArn": stack.role_arn(role),
        "containerDefinitions": containers,
    }
