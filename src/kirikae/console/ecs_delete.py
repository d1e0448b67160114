"""``kirikae ecs delete``: a service that runs nothing any more, once its name has been typed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from kirikae.aws import ecs_definitions, ecs_revisions
from kirikae.console.asking import assert_typed
from kirikae.console.drill_production import (
    MEANS_PRODUCTION,
    MEANT,
    OF_THIS_MACHINE,
    is_production,
)
from kirikae.console.ecs_desk import EcsDesk, Given, common
from kirikae.console.ecs_desk import open_ecs_desk as opened
from kirikae.console.here import Answer, Here, would
from kirikae.console.options import DRY, JSON
from kirikae.model.errors import KirikaeError, UsageProblem
from kirikae.model.said import said

_FORCE = "--force"
_TERMINATE = "--terminate"
_DRAINING = "DRAINING"
_NOT_KNOWN = "environment not known"


def done(
    desk: EcsDesk,
    terminates: bool,
    force: bool,
    means_production: bool,
    dry_run: bool,
) -> Answer:
    """Delete the service of the configuration.  Raises UsageProblem, KirikaeError."""
    row = _there(desk)
    config = desk.config
    about = {"service": config.service, "cluster": config.cluster}
    counts = {"running": int(row.get("runningCount", 0)), "desired": int(row["desiredCount"])}
    _assert_empty(row, terminates)
    if dry_run:
        line = said("release.ecs.would_delete_service", **about, running=counts["running"])
        return would([desk.speech.say(line)], {**about, **counts})
    environment = _environment(desk)
    if force:
        _assert_no_production(desk, environment, means_production)
    else:
        question = said(
            "release.ecs.ask_service",
            **about,
            running=counts["running"],
            environment=environment or _NOT_KNOWN,
        )
        assert_typed(desk.speech.say(question), config.service, _FORCE)
    gone = ecs_revisions.delete_service(desk.aws, config.cluster, config.service, terminates)
    status = str(gone.get("status"))
    line = said("release.ecs.deleted_service", **about, status=status)
    return Answer({**about, **counts, "status": status}, [desk.speech.say(line)])


def _there(desk: EcsDesk) -> Mapping[str, Any]:
    config = desk.config
    if not config.service:
        raise UsageProblem(f"{config.path} names no service")
    row = ecs_definitions.service(desk.aws, config.cluster, config.service)
    if row is None:
        raise UsageProblem(f"there is no service {config.service!r} in {config.cluster}")
    if row["status"] == _DRAINING:
        raise KirikaeError(
            f"the service {config.service} is {_DRAINING}: it is being deleted already, and is "
            "gone once its tasks have stopped"
        )
    return row


def _assert_empty(row: Mapping[str, Any], terminates: bool) -> None:
    """AWS itself refuses it, but only after the question.  Raises KirikaeError."""
    desired = row["desiredCount"]
    if desired and not terminates:
        raise KirikaeError(
            f"{row['serviceName']} wants {desired} tasks: set its desired count to 0 first, or say "
            f"{_TERMINATE}, which stops them"
        )


def _environment(desk: EcsDesk) -> str:
    """As the project file names it; empty: there is none."""
    here = desk.here
    if not Path(here.project_file).is_file():
        return ""
    from kirikae.console.context import load_project

    return load_project(here).environment


def _assert_no_production(desk: EcsDesk, environment: str, means_production: bool) -> None:
    """A flag in a script is no question: what may be production needs a second one.  Raises
    KirikaeError."""
    is_local = urlsplit(desk.aws.endpoint).hostname in OF_THIS_MACHINE
    known = bool(environment) or is_local
    if means_production or (known and not is_production(environment, is_local)):
        return
    raise KirikaeError(
        f"the environment is {environment or 'not known (there is no project file)'}: {_FORCE} "
        f"alone deletes nothing there; leave it out and type the service's name, or say {MEANT}"
    )


@click.command()
@common
@click.option(
    _TERMINATE, "terminates", is_flag=True, help="Also while tasks are wanted: they are stopped."
)
@click.option(_FORCE, "force", is_flag=True, help="Do not ask for the service's name.")
@MEANS_PRODUCTION
@DRY
@JSON
@click.pass_obj
def delete(here: Here, /, given: Given, **how: bool) -> Answer:
    """Delete the service, once its name is typed; its desired count must be 0. Task definitions,
    target groups and scaling rules stay."""
    here.assert_may_change("ecs delete", how["dry_run"])
    return done(opened(here, given), **how)
