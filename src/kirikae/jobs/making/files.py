"""All files of the new side, and the calls that make what stands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from kirikae.jobs.making import images, roles, services, stores
from kirikae.jobs.making.stack import Definition, Stack, as_file
from kirikae.model.said import Said, said

_MAILS = re.compile(r"\b(mail|mailx|sendmail|mutt|msmtp)\b")


class Call(NamedTuple):
    """``operation``: as the API's reference has it; ``definition``: all that it is given."""

    file: str
    service: str
    operation: str
    definition: Definition


def calls(stack: Stack) -> list[Call]:
    """In the order in which they can be made."""
    return [
        *_stores(stack),
        *_roles(stack),
        *_tasks(stack),
        *(
            Call(f"{name}-alarm.json", "cloudwatch", "PutMetricAlarm", alarm)
            for name, alarm in stores.alarms(stack).items()
        ),
    ]


def _stores(stack: Stack) -> Iterator[Call]:
    yield Call("dead-queue.json", "sqs", "CreateQueue", stores.dead_queue(stack))
    yield Call("queue.json", "sqs", "CreateQueue", stores.queue(stack))
    if stack.table is not None:
        yield Call("table.json", "dynamodb", "CreateTable", stores.table(stack))
        expiry = stores.table_expiry(stack)
        yield Call("table-expiry.json", "dynamodb", "UpdateTimeToLive", expiry)
    yield Call("log-group.json", "logs", "CreateLogGroup", stores.log_group(stack))
    yield Call("log-retention.json", "logs", "PutRetentionPolicy", stores.log_retention(stack))


def _roles(stack: Stack) -> Iterator[Call]:
    for part, statements in roles.parts(stack).items():
        role = {"RoleName": stack.role(part), "AssumeRolePolicyDocument": _text(roles.trust())}
        yield Call(f"{part}-role.json", "iam", "CreateRole", role)
        policy = {
            "RoleName": stack.role(part),
            "PolicyName": part,
            "PolicyDocument": _text(roles.policy(statements)),
        }
        yield Call(f"{part}-policy.json", "iam", "PutRolePolicy", policy)


def _text(document: Definition) -> str:
    """IAM takes documents as text."""
    return as_file(document)


def _tasks(stack: Stack) -> Iterator[Call]:
    """A service of its own for each scheduler: they differ in their offset."""
    definitions = {**services.schedulers(stack), "worker": services.worker(stack)}
    if stack.serves_ledger:
        definitions = {"ledger": services.ledger(stack), **definitions}
    counts = {"worker": stack.new.workers, "ledger": 2}
    for part, definition in definitions.items():
        yield Call(f"{part}-task-def.json", "ecs", "RegisterTaskDefinition", definition)
    for part in definitions:
        service = services.service(stack, part, counts.get(part, 1))
        yield Call(f"{part}-service-def.json", "ecs", "CreateService", service)


_CREATE = "create.sh"


def texts(stack: Stack) -> dict[str, str]:
    """Path from the project file's folder -> text; the same settings give the same bytes."""
    found = {call.file: as_file(call.definition) for call in calls(stack)}
    found[_CREATE] = script(calls(stack))
    found["scheduler.Dockerfile"] = images.scheduler(stack)
    if stack.new.worker_image is not None:
        found["worker.Dockerfile"] = images.worker(stack)
        found[images.COLLECT] = images.packaged(images.COLLECT)
    if stack.new.relay is not None:
        found["relay.Dockerfile"] = images.RELAY
        found[images.RELAY_START] = images.packaged(images.RELAY_START)
    return {f"{stack.folder}/{name}": text for name, text in sorted(found.items())}


# --- what has to be answered first, and what somebody should know


def questions(stack: Stack) -> list[Said]:
    """Nothing is written while one of them is open."""
    new = stack.new
    found = []
    if stack.inside() and new.worker_image is None:
        found.append(said("jobs.write.no_image", jobs=_some(stack.inside())))
    if stack.apart() and new.task_definition is None:
        found.append(said("jobs.write.no_tasks", jobs=_some(stack.apart())))
    if stack.table is None and new.token_secret is None:
        found.append(said("jobs.write.no_token", ledger=stack.settings.ledger))
    if not stack.project.build.subnets:
        found.append(said("jobs.write.no_subnets"))
    mailing = mails(stack)
    if mailing and new.relay is None:
        found.append(said("jobs.write.no_relay", jobs=_some(mailing)))
    return found


def notes(stack: Stack) -> list[Said]:
    """What is written, and what somebody has to add."""
    found = []
    if stack.table is not None and not stack.serves_ledger:
        found.append(said("jobs.write.no_door"))
    elif stack.serves_ledger:
        found.append(said("jobs.write.door", service=stack.role("ledger")))
    if any(each.entry.schedule is None for each in stack.jobs.timed):
        found.append(said("jobs.write.reboot"))
    return found


def mails(stack: Stack) -> list[str]:
    """IDs of jobs whose output cron mails, or that call a mail program themselves."""
    return [
        each.job.id
        for each in stack.jobs.timed
        if each.job.environment.get("MAILTO") or _MAILS.search(each.job.command)
    ]


def _some(names: list[str]) -> str:
    more = f" (+{len(names) - 5})" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


# --- the script

_ONCE = {
    "CreateTable": "ResourceInUseException",
    "CreateRole": "EntityAlreadyExists",
    "CreateLogGroup": "ResourceAlreadyExistsException",
    "UpdateTimeToLive": "already enabled",
}
"""How AWS says that it is there."""


def script(made: list[Call]) -> str:
    """``create.sh``: for whoever has the AWS command line; other tools read the files."""
    return images.packaged(_CREATE) + "".join(f"{line}\n" for call in made for line in _lines(call))


def _lines(call: Call) -> Iterator[str]:
    operation = re.sub(r"(?<!^)([A-Z])", r"-\1", call.operation).lower()
    if call.operation == "CreateService":
        definition = call.definition
        yield f"service {call.file} '{definition['cluster']}' '{definition['serviceName']}'"
    elif call.operation in _ONCE:
        yield f"once {call.service} {operation} {call.file} '{_ONCE[call.operation]}'"
    else:
        yield f"put {call.service} {operation} {call.file}"
    if call.operation == "CreateTable":
        yield f"aws dynamodb wait table-exists --table-name '{call.definition['TableName']}'"
