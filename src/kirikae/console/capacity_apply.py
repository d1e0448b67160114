"""``kirikae capacity apply``: the rules of capacity.yml onto the new side's service."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from kirikae.aws.errors import AwsRefused
from kirikae.aws.service_scaling import There, send, there
from kirikae.aws.session import Aws
from kirikae.capacity.orders import Order, Place, differences, orders_of
from kirikae.capacity.settings import read as read_rules
from kirikae.console.capacity_try import FILE, speech_of
from kirikae.console.context import load_project, open_aws
from kirikae.console.here import DRY_RUN, NOTHING_TO_DO, Answer, Here
from kirikae.console.options import DRY, JSON, LANG
from kirikae.model.errors import Exit, Unfinished
from kirikae.model.said import Said, said

_TOLD = ("PutScalingPolicy", "PutScheduledAction")


@dataclass(frozen=True, slots=True)
class Change:
    """A call that is to be sent, and what it changes."""

    order: Order
    differs: tuple[str, ...]

    def to_plain(self) -> dict[str, Any]:
        """For programs."""
        return {
            "operation": self.order.operation,
            "name": self.order.name,
            "differs": list(self.differs),
            "asked": dict(self.order.asked),
        }


@click.command("apply")
@FILE
@click.option(
    "--requests-of",
    default="",
    metavar="app/NAME/ID/targetgroup/NAME/ID",
    help="Load balancer and target group of rules by requests.",
)
@DRY
@LANG
@JSON
@click.pass_obj
def apply(
    here: Here,
    file: Path,
    requests_of: str,
    dry_run: bool,
    lang: str | None,
) -> Answer:
    """Write the rules of FILE (capacity.yml) to Application Auto Scaling, for the service of
    `fleets.new` in the project file: bounds, policies, alarms of steps, daily floors.

    What is as it is wanted is left alone; policies and scheduled actions that are not in FILE stay
    and are told.
    """
    here.assert_may_change("capacity apply", dry_run)
    rules = read_rules(file)
    project = load_project(here)
    aws, _ = open_aws(here, project)
    new = project.fleets.new
    place = Place(
        new.cluster,
        new.ecs_service,
        requests_of,
    )
    orders = orders_of(rules, place)
    alarms = [each.name for each in orders if each.operation == "PutMetricAlarm"]
    found = there(
        aws,
        place.resource,
        alarms,
    )
    changes = changes_of(orders, found)
    told = [*_told(changes, place), *_staying(orders, found)]
    if changes and not dry_run:
        _send(
            aws,
            changes,
            found,
        )
        told.append(
            said(
                "capacity.apply.done",
                n=len(changes),
                service=place.resource,
            )
        )
    speech = speech_of(here, lang)
    return Answer(
        {
            "service": place.resource,
            "changes": [each.to_plain() for each in changes],
        },
        [speech.say(each) for each in told],
        Exit.DONE,
        DRY_RUN if dry_run else "" if changes else NOTHING_TO_DO,
    )


def changes_of(orders: Sequence[Order], found: There) -> list[Change]:
    """Those that differ from what is there."""
    changes = []
    for order in orders:
        wanted = triggering(order, found)
        differs = differences(wanted, found.get(order.operation, order.name))
        if differs:
            changes.append(Change(wanted, tuple(differs)))
    return changes


def triggering(order: Order, found: There) -> Order:
    """An alarm with its policy among its actions, where the policy is there; other actions
    stay."""
    policy = found.get("PutScalingPolicy", order.triggers)
    if not order.triggers or policy is None:
        return order
    arn = policy["PolicyARN"]
    row = found.get(order.operation, order.name) or {}
    others = [each for each in row.get("AlarmActions", ()) if each != arn]
    asked = {
        **order.asked,
        "AlarmActions": [arn, *others],
    }
    return Order(
        order.operation,
        order.name,
        asked,
        order.triggers,
    )


def _send(
    aws: Aws,
    changes: Sequence[Change],
    found: There,
) -> None:
    """One after the other; all of them may be sent again."""
    rows = dict(found.rows)
    for number, change in enumerate(changes):
        order = triggering(change.order, There(rows))
        try:
            answer = send(
                aws,
                order.operation,
                order.asked,
            )
        except AwsRefused as error:
            if not number:
                raise
            raise Unfinished(
                f"{number} of {len(changes)} changes were made, then {order.operation} "
                f"{order.name} was refused: {error}; mend it and run `kirikae capacity apply` again"
            ) from error
        rows[order.operation, order.name] = {
            **order.asked,
            **answer,
        }


def _told(changes: Sequence[Change], place: Place) -> Iterator[Said]:
    if not changes:
        yield said("capacity.apply.same", service=place.resource)
    for change in changes:
        order = change.order
        yield said(
            "capacity.apply.order",
            operation=order.operation,
            name=order.name,
        )
        for text in change.differs:
            yield said("capacity.apply.differs", text=text)


def _staying(orders: Sequence[Order], found: There) -> Iterator[Said]:
    wanted = {(each.operation, each.name) for each in orders}
    for operation, name in sorted(set(found.rows) - wanted):
        if operation in _TOLD:
            yield said(
                "capacity.apply.stays",
                operation=operation,
                name=name,
            )
