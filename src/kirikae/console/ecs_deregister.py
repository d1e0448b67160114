"""``kirikae ecs deregister``: revisions of the task definition that nothing runs any more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kirikae.aws import ecs_revisions
from kirikae.console.asking import assert_meant
from kirikae.console.ecs_desk import EcsDesk, Given, common
from kirikae.console.ecs_desk import open_ecs_desk as opened
from kirikae.console.here import NOTHING_TO_DO, Answer, Here, would
from kirikae.console.options import DRY, JSON
from kirikae.console.progress import Progress
from kirikae.model.errors import KirikaeError, UsageProblem
from kirikae.model.said import said
from kirikae.release.ecs import revisions
from kirikae.release.ecs.revisions import LATEST, Plan
from kirikae.release.ecs.single import family_of, used_by_service

FORCE = "--force"


def planned(desk: EcsDesk, keeps: int | None, revision: str) -> Plan:
    """Looks, and changes nothing.  Raises UsageProblem, KirikaeError where a revision is used."""
    config = desk.config
    family = family_of(config, used_by_service(desk.aws, config))
    active = ecs_revisions.active(desk.aws, family)
    used = {**_ways_back(desk, family), **revisions.in_use(desk.aws, config.cluster, family)}
    if keeps is None:
        return revisions.one(active, used, family, revision)
    return revisions.beyond(active, used, keeps)


def _ways_back(desk: EcsDesk, family: str) -> dict[str, str]:
    """What `release rollback` would put back, where a project file is."""
    here = desk.here
    if not Path(here.project_file).is_file():
        return {}
    from kirikae.console.context import load_project, open_store
    from kirikae.release.ledger import Ledger
    from kirikae.release.way_back import way_back

    project = load_project(here)
    store = open_store(here, project, desk.aws)
    ledger = Ledger(store, project.environment, project.service, "")
    found = {}
    for fleet in {entry.fleet for entry in ledger.all()}:
        good = way_back(ledger.of(fleet))
        name = revisions.short(good.task_definition) if good is not None else ""
        if name.rpartition(":")[0] == family:
            found[name] = f"`kirikae release rollback --to {fleet}`"
    return found


def done(
    desk: EcsDesk,
    keeps: int | None,
    revision: str,
    deletes: bool,
    force: bool,
    dry_run: bool,
) -> Answer:
    """Deregister what the plan names, once somebody has said so."""
    plan = planned(desk, keeps, revision)
    plain = {"going": list(plan.going), "used": dict(plan.used), "kept": list(plan.kept)}
    stay = [
        desk.speech.say(said("release.ecs.in_use", name=name, by=by))
        for name, by in plan.used.items()
    ]
    if dry_run:
        key = "would_delete" if deletes else "would_deregister"
        told = [desk.speech.say(said(f"release.ecs.{key}", name=name)) for name in plan.going]
        return would([*told, *stay], plain)
    if not plan.going:
        return Answer(plain, [], outcome=NOTHING_TO_DO, notes=stay)
    if not force:
        _ask(desk, plan, deletes)
        if planned(desk, keeps, revision).going != plan.going:
            raise KirikaeError(
                "what is used has changed meanwhile; nothing was changed: look again"
            )
    revisions.deregistered(desk.aws, plan.going, Progress().step)
    if deletes:
        revisions.deleted(desk.aws, plan.going)
    key = "deleted" if deletes else "deregistered"
    lines = [desk.speech.say(said(f"release.ecs.{key}", name=name)) for name in plan.going]
    return Answer({**plain, "deleted": deletes}, lines, notes=stay)


def _ask(desk: EcsDesk, plan: Plan, deletes: bool) -> None:
    key = "ask_delete" if deletes else "ask_deregister"
    names = ", ".join(plan.going)
    assert_meant(desk.speech.say(said(f"release.ecs.{key}", names=names)), FORCE)


def _revision(_: click.Context, __: click.Parameter, value: str) -> str:
    if value and value != LATEST and not (value.isdecimal() and int(value) > 0):
        raise click.BadParameter(f"{value!r}: write a number, or {LATEST}")
    return value


@click.command()
@common
@click.option(
    "--keeps", type=click.IntRange(min=0), help="Keep so many of the newest that nothing uses."
)
@click.option(
    "--revision", default="", callback=_revision, metavar="N|latest", help="Only this one."
)
@click.option("--delete", "deletes", is_flag=True, help="Delete what is deregistered, too.")
@click.option(FORCE, "--yes", "force", is_flag=True, help="Do not ask.")
@DRY
@JSON
@click.pass_obj
def deregister(here: Here, /, given: Given, keeps: int | None, revision: str, **how: Any) -> Answer:
    """Deregister revisions of the task definition; one that a service, a deployment or a task uses,
    or that a rollback would put back, never."""
    here.assert_may_change("ecs deregister", how["dry_run"])
    if (keeps is None) == (not revision):
        raise UsageProblem("say --keeps N or --revision N|latest, one of both")
    return done(opened(here, given), keeps, revision, **how)
