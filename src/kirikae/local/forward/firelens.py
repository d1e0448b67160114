"""FireLens: a container that routes the log lines of its task's others; pure.

ECS developer guide, "Custom log routing" and "FireLens example task definition"; the configuration
is the one that the ECS agent generates: inputs, the task's metadata, the team's own file, and an
output for each container that says ``awsfirelens``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from kirikae.local.ecs.names import refused, unsupported
from kirikae.local.plain import Plain
from kirikae.local.rows import ContainerDefinition, Definition, Dependency

DRIVER = "awsfirelens"
SOCKET = "fluent.sock"
SOCKET_FOLDER = "/var/run/"
"""In the router."""
CONFIGURATION = {
    "fluentbit": "/fluent-bit/etc/fluent-bit.conf",
    "fluentd": "/fluentd/etc/fluent.conf",
}
_AWS_IMAGE = re.compile(r"(.*/)?aws-for-fluent-bit(:.*|@.*)?")
_OPTIONS = ("enable-ecs-log-metadata", "config-file-type", "config-file-value")
_OF_DRIVER = ("log-driver-buffer-limit", "include-pattern", "exclude-pattern")
"""Options of a container that are not the output's own."""
_BUFFER = "log-driver-buffer-limit"
_ENVIRONMENT = {"FLUENT_HOST": "127.0.0.1", "FLUENT_PORT": "24224"}


def router_of(containers: Sequence[ContainerDefinition]) -> ContainerDefinition | None:
    """None where no container routes."""
    found = (each for each in containers if "firelensConfiguration" in each)
    return next(found, None)


def configuration_of(router: ContainerDefinition) -> Plain:
    """Its ``firelensConfiguration``."""
    return cast(Plain, cast(Mapping[str, Any], router)["firelensConfiguration"])


def is_sent(container: ContainerDefinition) -> bool:
    """Do its lines go to the router?"""
    logs = container.get("logConfiguration")
    return logs is not None and logs["logDriver"] == DRIVER


def options_of(container: ContainerDefinition) -> dict[str, str]:
    """What it says of its output."""
    logs = container.get("logConfiguration")
    return {} if logs is None else logs.get("options", {})


def tag_of(container: str, task_id: str) -> str:
    """As the ECS agent names the lines of a container."""
    return f"{container}-firelens-{task_id}"


def is_aws_image(image: str) -> bool:
    """Is it AWS's own router?  Where this machine has it not, kirikae local routes itself."""
    return _AWS_IMAGE.fullmatch(image) is not None


# --- what AWS refuses


def check(family: str, containers: Sequence[ContainerDefinition]) -> None:
    """Raise AwsError for what AWS refuses of a task's FireLens, and for what is not carried out."""
    routers = [each for each in containers if "firelensConfiguration" in each]
    has_senders = any(map(is_sent, containers))
    if len(routers) > 1:
        raise refused(f"{family}: Only one container can have a firelensConfiguration.")
    if has_senders and not routers:
        raise refused(
            f"{family}: When the awsfirelens log driver is used, a container with a "
            "firelensConfiguration object is required."
        )
    if routers and not has_senders:
        raise refused(
            "When a firelensConfiguration object is specified, at least one container has to be "
            "configured with the awsfirelens log driver."
        )
    for router in routers:
        _check_router(f"{family}: {router['name']}", router)


def _check_router(where: str, router: ContainerDefinition) -> None:
    if is_sent(router):
        raise refused(f"{where}: the router's own log cannot go to awsfirelens")
    options = configuration_of(router).get("options", {})
    for name in options:
        if name not in _OPTIONS:
            raise refused(f"{where}: {name} is not an option of firelensConfiguration")
    kind = options.get("config-file-type")
    if kind == "s3":
        raise unsupported(f"{where}: kirikae local does not carry out config-file-type s3")
    if (kind is None) is not ("config-file-value" not in options):
        raise refused(f"{where}: config-file-type and config-file-value must be given together")


# --- what it means for the engine


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """What every line is told with."""

    cluster: str
    task_arn: str
    definition: str

    def to_plain(self) -> dict[str, str]:
        return {
            "ecs_cluster": self.cluster,
            "ecs_task_arn": self.task_arn,
            "ecs_task_definition": self.definition,
        }


def log_driver(
    container: ContainerDefinition, task_id: str, socket: str, is_acknowledged: bool
) -> Plain:
    """The engine's own driver ``fluentd``; ``socket``: of the router on this machine.  What is
    acknowledged outlives a kill of who listens there; the ECS agent asks for no acknowledgement."""
    given = options_of(container)
    more = {"fluentd-buffer-limit": given[_BUFFER]} if _BUFFER in given else {}
    if is_acknowledged:
        more["fluentd-request-ack"] = "true"
    return {
        "Type": "fluentd",
        "Config": {
            "fluentd-address": f"unix://{socket}",
            "fluentd-async": "true",
            "fluentd-sub-second-precision": "true",
            "tag": tag_of(container["name"], task_id),
            **more,
        },
    }


def environment(container: ContainerDefinition) -> dict[str, str]:
    """Where a container that sends by itself finds the router."""
    return dict(_ENVIRONMENT) if is_sent(container) else {}


def with_order(definition: Definition) -> Definition:
    """The router starts before those who send to it and stops after them, unless the definition
    names an order between them (developer guide)."""
    containers = definition["containerDefinitions"]
    router = router_of(containers)
    if router is None:
        return definition
    named = {each["containerName"] for each in router.get("dependsOn", [])}
    waits: Dependency = {"containerName": router["name"], "condition": "START"}
    ordered: list[ContainerDefinition] = []
    for each in containers:
        own = each.get("dependsOn", [])
        knows = each["name"] in named or any(
            other["containerName"] == router["name"] for other in own
        )
        follows = is_sent(each) and not knows
        ordered.append({**each, "dependsOn": [*own, waits]} if follows else each)
    return {**definition, "containerDefinitions": ordered}


def played(router: ContainerDefinition) -> ContainerDefinition:
    """A router that kirikae local plays: the container only stands there."""
    kept = cast(ContainerDefinition, {k: v for k, v in router.items() if k not in _OF_A_PROGRAM})
    if "healthCheck" in router:
        kept["healthCheck"] = {**router["healthCheck"], "command": ["CMD", "/nothing"]}
    return kept


_OF_A_PROGRAM = ("command", "entryPoint", "user", "workingDirectory", "readonlyRootFilesystem")


# --- the configuration


def generated(definition: Definition, facts: TaskFacts) -> str:
    """Of the router's program.  Raises KeyError where nothing routes."""
    containers = definition["containerDefinitions"]
    router = router_of(containers)
    assert router is not None
    configuration = configuration_of(router)
    options = configuration.get("options", {})
    told = facts.to_plain() if options.get("enable-ecs-log-metadata", "true") == "true" else {}
    own = options.get("config-file-value", "")
    senders = [each for each in containers if is_sent(each)]
    write = _for_fluentd if configuration["type"] == "fluentd" else _for_fluent_bit
    return "\n".join(write(told, own, senders)) + "\n"


def _for_fluent_bit(
    told: Mapping[str, str], own: str, senders: Sequence[ContainerDefinition]
) -> Iterator[str]:
    yield from _section("INPUT", {"Name": "forward", "unix_path": f"{SOCKET_FOLDER}{SOCKET}"})
    yield from _section("INPUT", {"Name": "forward", "Listen": "127.0.0.1", "Port": "24224"})
    check = {"Name": "tcp", "Tag": "firelens-healthcheck", "Listen": "127.0.0.1", "Port": "8877"}
    yield from _section("INPUT", check)
    for sender in senders:
        for name, value in options_of(sender).items():
            if name in ("include-pattern", "exclude-pattern"):
                rule = "Regex" if name.startswith("include") else "Exclude"
                grep = {"Name": "grep", "Match": _match(sender), rule: f"log {value}"}
                yield from _section("FILTER", grep)
    if told:
        yield "[FILTER]"
        yield "    Name record_modifier"
        yield "    Match *"
        yield from (f"    Record {name} {value}" for name, value in told.items())
        yield ""
    if own:
        yield f"@INCLUDE {own}"
        yield ""
    yield from _section("OUTPUT", {"Name": "null", "Match": "firelens-healthcheck"})
    for sender in senders:
        if output := _output(sender):
            name = output.pop("Name")
            yield from _section("OUTPUT", {"Name": name, "Match": _match(sender), **output})


def _section(name: str, keys: Mapping[str, str]) -> Iterator[str]:
    yield f"[{name}]"
    yield from (f"    {key} {value}" for key, value in keys.items())
    yield ""


def _match(sender: ContainerDefinition) -> str:
    return f"{sender['name']}-firelens*"


def _output(sender: ContainerDefinition) -> dict[str, str]:
    """Empty where the container leaves its output to the team's own file."""
    found = {key: value for key, value in options_of(sender).items() if key not in _OF_DRIVER}
    name = next((key for key in found if key.lower() in ("name", "@type")), None)
    return {} if name is None else {"Name": found.pop(name), **dict(sorted(found.items()))}


def _for_fluentd(
    told: Mapping[str, str], own: str, senders: Sequence[ContainerDefinition]
) -> Iterator[str]:
    yield from _block("source", {"@type": "unix", "path": f"{SOCKET_FOLDER}{SOCKET}"})
    yield from _block("source", {"@type": "forward", "bind": "127.0.0.1", "port": "24224"})
    if told:
        yield "<filter **>"
        yield "    @type record_transformer"
        yield "    <record>"
        yield from (f"        {name} {value}" for name, value in told.items())
        yield "    </record>"
        yield "</filter>"
        yield ""
    if own:
        yield f"@include {own}"
        yield ""
    for sender in senders:
        if output := _output(sender):
            kind = output.pop("Name")
            name = f"match {sender['name']}-firelens**"
            yield from _block(name, {"@type": kind, **output})


def _block(name: str, keys: Mapping[str, str]) -> Iterator[str]:
    yield f"<{name}>"
    yield from (f"    {key} {value}" for key, value in keys.items())
    yield f"</{name.split()[0]}>"
    yield ""
