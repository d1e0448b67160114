"""``kirikae release``: put a release on a fleet, and what is where."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import click

from kirikae.aws import ecs, elbv2
from kirikae.console.context import load_project, open_aws, open_store, project_folder, refuse_if_read_only
from kirikae.model.errors import UsageProblem
from kirikae.release import deploy as deploying
from kirikae.release.definitions import SERVICE_FILE, TASK_FILE, load
from kirikae.release.errors import NotFinished, RolledBack
from kirikae.release.ledger import Ledger

_RELEASE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@click.group()
def release() -> None:
    """Put a release on a fleet and wait for the truth."""


@release.command()
@click.argument("release_id")
@click.option(
    "--to", "fleet", type=click.Choice(["new"]), required=True, help="The fleet; deploying to the old fleet comes with the release room."
)
@click.option("--timeout", "timeout_s", type=float, default=600.0, show_default=True, help="Seconds to wait.")
@click.option("--dry-run", is_flag=True, help="Print the calls instead of making them.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.pass_context
def deploy(ctx: click.Context, release_id: str, fleet: str, timeout_s: float, dry_run: bool, as_json: bool) -> None:
    """Register the task definition of RELEASE_ID, update the service and wait until it really serves."""
    refuse_if_read_only(ctx, dry_run)
    if not _RELEASE_ID.fullmatch(release_id):
        raise UsageProblem(f"{release_id!r} is not a release ID: letters, digits, dot, underscore and hyphen, 64 at most")
    project = load_project(ctx)
    aws, who = open_aws(ctx, project)
    new = project.fleets.new
    values = {**os.environ, "RELEASE_ID": release_id, "TARGET_GROUP_ARN": elbv2.target_group(aws, new.target_group).arn}
    folder = project_folder(ctx) / Path(new.definitions)
    task, service = load(folder, TASK_FILE, values), load(folder, SERVICE_FILE, values)
    ecs.cluster_exists(aws, new.cluster)
    exists = ecs.service(aws, new.cluster, new.ecs_service) is not None
    calls = deploying.plan(exists, new.cluster, new.ecs_service, task, service)
    if dry_run:
        for call in calls:
            click.echo(json.dumps(asdict(call), ensure_ascii=False) if as_json else f"would {call.says} ({call.operation})")
        return
    ledger = Ledger(open_store(ctx, project), project.environment, project.service, who)
    entry = ledger.begin(release_id, fleet)
    try:
        arn, deployment = deploying.apply(aws, new.cluster, new.ecs_service, calls)
        for progress in deploying.wait(aws, new.cluster, new.ecs_service, deployment, timeout_s):
            for event in progress.events:
                click.echo(event, err=True)
    except RolledBack as error:
        ledger.end(entry, "rolled back", str(error))
        raise
    except NotFinished as error:
        ledger.end(entry, "not finished", str(error))
        raise
    ended = ledger.end(entry, "done", arn)
    revision = arn.rpartition("/")[2]
    click.echo(json.dumps(asdict(ended)) if as_json else f"{release_id} serves on the {fleet} fleet ({revision})")


@release.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """What was deployed, and what the service runs now."""
    project = load_project(ctx)
    aws, who = open_aws(ctx, project)
    entries = Ledger(open_store(ctx, project), project.environment, project.service, who).all()
    found = ecs.service(aws, project.fleets.new.cluster, project.fleets.new.ecs_service)
    if as_json:
        now = {k: found[k] for k in ("taskDefinition", "runningCount", "desiredCount")} if found else None
        click.echo(json.dumps({"ledger": [asdict(e) for e in entries], "service": now}))
        return
    for entry in entries:
        at = datetime.fromtimestamp(entry.at).strftime("%Y-%m-%d %H:%M:%S")
        click.echo(f"{entry.seq:4} {at} {entry.release:16} {entry.fleet:4} {entry.outcome:12} {entry.detail}")
    if found:
        click.echo(
            f"the service runs {found['taskDefinition'].rpartition('/')[2]}: {found['runningCount']} of {found['desiredCount']} tasks"
        )
    else:
        click.echo("the new fleet has no active service yet")
