"""``kirikae local``: start, look at and stop the single-machine AWS endpoint."""

from __future__ import annotations

import json
from pathlib import Path

import click

from kirikae.model.errors import Exit, UsageProblem

try:
    from kirikae.local import control
except ModuleNotFoundError as error:  # the extra is not installed
    raise UsageProblem(
        f"kirikae local needs its extra ({error.name} is missing): pip install 'kirikae[local]'"
    ) from error


@click.group()
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="State directory (default .kirikae/local).",
)
@click.pass_context
def local(ctx: click.Context, directory: Path | None) -> None:
    """Run AWS's part on this machine: ECS, load balancer, figures, stores."""
    ctx.meta["kirikae.local"] = directory or control.default_directory()


@local.command()
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=None,
    help="Port of the endpoint on 127.0.0.1 (default: a free one, kept).",
)
@click.option(
    "--region", default="ap-northeast-1", show_default=True, help="The region it pretends to be."
)
@click.option(
    "--figures",
    type=click.Choice(["now", "delayed"]),
    default=None,
    help="Show CloudWatch figures at once and by the second, or whole minutes a minute later "
    "as AWS does (default: delayed; kept).",
)
@click.option("--json", "as_json", is_flag=True, help="Print the status as JSON.")
@click.option("--dry-run", is_flag=True, help="Say what would be started.")
@click.pass_context
def up(
    ctx: click.Context,
    port: int | None,
    region: str,
    figures: str | None,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Start what is not running yet."""
    directory = ctx.meta["kirikae.local"]
    if dry_run:
        running = control.status(directory) is not None
        click.echo(
            "all runs already"
            if running
            else f"would start the control plane, HAProxy and moto for {directory}"
        )
        return
    found = control.up(
        directory,
        port,
        region,
        figures_delay_s=None if figures is None else control.FIGURES_DELAY_S[figures],
    )
    click.echo(
        json.dumps(found)
        if as_json
        else f"kirikae local answers at {found['endpoint']} (network {found['network']}); "
        "`kirikae local env` prints what clients need"
    )


@local.command()
@click.pass_context
def env(ctx: click.Context) -> None:
    """Print exports for AWS clients: eval "$(kirikae local env)"."""
    found = control.status(ctx.meta["kirikae.local"])
    if found is None:
        click.echo("kirikae local is not running; start it with `kirikae local up`", err=True)
        ctx.exit(Exit.REFUSED)
    else:
        values = {
            "AWS_ENDPOINT_URL": found["endpoint"],
            "AWS_REGION": found["region"],
            "AWS_DEFAULT_REGION": found["region"],
            "AWS_ACCESS_KEY_ID": "kirikae",
            "AWS_SECRET_ACCESS_KEY": "kirikae",
        }
        for key, value in values.items():
            click.echo(f"export {key}={value}")


@local.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Say what runs (exit code 1: the control plane does not)."""
    found = control.status(ctx.meta["kirikae.local"])
    if as_json:
        click.echo(json.dumps(found))
    elif found is None:
        click.echo(
            "kirikae local is not running; `kirikae local up` starts it or takes it up again"
        )
    else:
        listeners = ", ".join(found["listeners"]) or "none"
        click.echo(
            f"endpoint {found['endpoint']} · network {found['network']} · "
            f"{found['services']} services · {found['tasks']} tasks · listeners {listeners}"
        )
        if found["registry"]:
            click.echo(f"registry {found['registry']} (docker push {found['registry']}/NAME:TAG)")
        if found["trouble"]:
            click.echo(f"trouble: {found['trouble']}")
    if found is None:
        ctx.exit(Exit.REFUSED)


@local.command()
@click.option(
    "--percent",
    type=click.IntRange(1, 100),
    required=True,
    help="Part of the running FARGATE_SPOT tasks, rounded up.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the tasks as JSON.")
@click.option("--dry-run", is_flag=True, help="Say which tasks would be taken away.")
@click.pass_context
def interrupt_spot(ctx: click.Context, percent: int, as_json: bool, dry_run: bool) -> None:
    """Take running FARGATE_SPOT tasks away, as AWS does when it needs the room."""
    tasks = control.interrupt_spot(ctx.meta["kirikae.local"], percent, dry_run)
    if as_json:
        click.echo(json.dumps({"tasks": tasks}))
        return
    for task in tasks:
        click.echo(f"{'would interrupt' if dry_run else 'interrupted'} {task}")
    if not tasks:
        click.echo("no FARGATE_SPOT task is running")


@local.command()
@click.option("--lines", type=int, default=50, show_default=True, help="How many.")
@click.pass_context
def logs(ctx: click.Context, lines: int) -> None:
    """Print the control plane's last log lines."""
    for line in control.logs(ctx.meta["kirikae.local"], lines):
        click.echo(line)


@local.command()
@click.option("--json", "as_json", is_flag=True, help="Print what was removed as JSON.")
@click.option("--dry-run", is_flag=True, help="Say what would be stopped.")
@click.pass_context
def down(ctx: click.Context, as_json: bool, dry_run: bool) -> None:
    """Stop everything and remove every container, the network and the state."""
    directory = ctx.meta["kirikae.local"]
    if dry_run:
        click.echo(
            f"would stop the processes of {directory}, remove its containers and "
            "network, and delete the folder"
        )
        return
    removed = control.down(directory)
    if as_json:
        click.echo(json.dumps({"removed": removed}))
        return
    click.echo(
        f"stopped; {len(removed)} containers and networks removed"
        if removed
        else "nothing was running"
    )
