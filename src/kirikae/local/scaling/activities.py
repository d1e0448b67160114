"""What DescribeScalingActivities tells: each change of a service's desired count, and why a wish
changed nothing.  Pure; rows in, rows out."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence

from kirikae.local.plain import Plain
from kirikae.local.scaling.forms import DIMENSION, NAMESPACE
from kirikae.local.scaling.rows import Activity
from kirikae.model.scaling import NotScaled

MOST = 100
"""Ours: of a service; AWS keeps six weeks."""
BEGUN = "InProgress"
DONE = "Successful"
OVERRIDDEN = "Overridden"
UNFULFILLED = "Unfulfilled"


def change(
    cause: str,
    wanted: int,
    now: float,
) -> Activity:
    """The desired count was set; it is fulfilled when so many tasks run."""
    return {
        "id": str(uuid.uuid4()),
        "description": f"Setting desired count to {wanted}.",
        "cause": cause,
        "began": now,
        "ended": None,
        "status": BEGUN,
        "message": f"Successfully set desired count to {wanted}. "
        "Waiting for change to be fulfilled by ecs.",
        "wanted": wanted,
    }


def bounds_set(
    name: str,
    least: int | None,
    most: int | None,
    now: float,
) -> Activity:
    """A scheduled action has set the bounds."""
    named = (("min", least), ("max", most))
    what = " and ".join(f"{word} capacity to {n}" for word, n in named if n is not None)
    return {
        "id": str(uuid.uuid4()),
        "description": f"Setting {what}",
        "cause": f"scheduled action name {name} was triggered",
        "began": now,
        "ended": now,
        "status": DONE,
        "message": f"Successfully set {what}",
        "wanted": None,
    }


def unchanged(
    cause: str,
    why: Plain,
    now: float,
) -> Activity:
    """A wish that came to nothing."""
    return {
        "id": str(uuid.uuid4()),
        "description": "Attempting to scale due to alarm triggered",
        "cause": cause,
        "began": now,
        "ended": now,
        "status": UNFULFILLED,
        "message": f"Not scaled: {why['Code']}",
        "wanted": None,
        "why": why,
    }


def reason_of(
    code: NotScaled,
    least: int,
    most: int,
    current: int,
) -> Plain:
    """A NotScaledReason."""
    bound = {NotScaled.AT_MOST: {"MaxCapacity": most}, NotScaled.AT_LEAST: {"MinCapacity": least}}
    return {
        "Code": str(code),
        "CurrentCapacity": current,
        **bound.get(code, {}),
    }


def with_new(items: Sequence[Activity], more: Sequence[Activity]) -> list[Activity]:
    """Newest first; what was under way is overridden by another change.  A wish that comes to
    nothing again and again for the same reason is told once."""
    found = list(items)
    for activity in more:
        if _is_told(found, activity):
            continue
        if activity["wanted"] is not None:
            found = [
                _ended(
                    each,
                    OVERRIDDEN,
                    activity["began"],
                )
                for each in found
            ]
        found.insert(0, activity)
    return found[:MOST]


def _is_told(items: Sequence[Activity], activity: Activity) -> bool:
    if "why" not in activity or not items:
        return False
    newest = items[0]
    return newest.get("why") == activity["why"] and newest["cause"] == activity["cause"]


def settled(
    items: Sequence[Activity],
    running: int,
    now: float,
) -> list[Activity]:
    """As many run as were wanted: it is done."""
    return [
        _ended(
            each,
            DONE,
            now,
        )
        if each["wanted"] == running
        else each
        for each in items
    ]


def _ended(
    activity: Activity,
    status: str,
    now: float,
) -> Activity:
    """One that is under way ends so; others stay."""
    if activity["status"] != BEGUN:
        return activity
    begin = activity["message"].partition(".")[0]
    end = "Change successfully fulfilled by ecs." if status == DONE else "Another change came."
    return {
        **activity,
        "status": status,
        "ended": now,
        "message": f"{begin}. {end}",
    }


def shown(
    resource: str,
    items: Sequence[Activity],
    with_unscaled: bool,
) -> Iterator[Plain]:
    """As the API tells them."""
    for each in items:
        if "why" in each and not with_unscaled:
            continue
        told: Plain = {
            "ActivityId": each["id"],
            "ServiceNamespace": NAMESPACE,
            "ResourceId": resource,
            "ScalableDimension": DIMENSION,
            "Description": each["description"],
            "Cause": each["cause"],
            "StartTime": each["began"],
            "StatusCode": each["status"],
            "StatusMessage": each["message"],
        }
        if each["ended"] is not None:
            told["EndTime"] = each["ended"]
        if "why" in each:
            told["NotScaledReasons"] = [each["why"]]
        yield told
