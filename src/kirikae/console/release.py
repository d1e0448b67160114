"""``kirikae release``: make a release, put it on the fleets, say what is where, and put the former
one back."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from kirikae.aws import ecs, elbv2
from kirikae.aws.session import Aws
from kirikae.console.context import load_project, open_aws, open_store
from kirikae.console.surveyed import state_folder
from kirikae.hosts.ssh import CommandFailed, Host, HostSilent
from kirikae.model.errors import KirikaeError, UsageProblem
from kirikae.model.project import OldDeployer, Project
from kirikae.model.store import Store
from kirikae.move.lease import Lease
from kirikae.release import deploy as deploying
from kirikae.release.definitions import SERVICE_FILE, TASK_FILE, load
from kirikae.release.errors import NotFinished, RolledBack
from kirikae.release.ledger import Deployed, Ledger
from kirikae.release.manifest import Releases, checked_id, new_id
from kirikae.release.old_fleet import OldFleet

_JSON = click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
_DRY = click.option("--dry-run", is_flag=True, help="Say what would be done.")
_TIMEOUT = click.option(
    "--timeout",
    "timeout_s",
    type=float,
    default=600.0,
    show_default=True,
    help="Seconds to wait for each fleet.",
)
_HEALTH_S = 120.0


@click.group()
def release() -> None:
    """Make a release, put it on both fleets under one ID, and put the former one back."""


def releases_of(ctx: click.Context, project: Project, store: Store) -> Releases:
    return Releases(
        store, project.environment, project.service, state_folder(ctx.obj, project) / "releases"
    )


@release.command()
@click.argument("release_id", required=False)
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    default=Path(),
    show_default=".",
    help="Folder of the release's files.",
)
@_JSON
@_DRY
@click.pass_context
def create(
    ctx: click.Context, release_id: str | None, source: Path, as_json: bool, dry_run: bool
) -> None:
    """Pack the files of a folder under RELEASE_ID (default: time and git commit); a release never
    changes afterwards."""
    ctx.obj.assert_may_change(ctx.command_path.removeprefix("kirikae "), dry_run)
    project = load_project(ctx.obj)
    now = time.time()
    chosen = checked_id(release_id) if release_id else new_id(source, now)
    if dry_run:
        from kirikae.release.manifest import pack

        archive, count = pack(source)
        click.echo(f"would create {chosen}: {count} files, {len(archive)} bytes packed")
        return
    import getpass

    manifest = releases_of(ctx, project, open_store(ctx.obj, project)).create(
        chosen, source, f"local user {getpass.getuser()}", now
    )
    text = (
        f"{manifest.id}: {manifest.files} files, {manifest.size} bytes, sha256 "
        f"{manifest.sha256[:12]}"
    )
    click.echo(json.dumps(asdict(manifest)) if as_json else text)


def _fleets(_: click.Context, __: click.Parameter, value: str) -> list[str]:
    chosen = [v.strip() for v in value.split(",") if v.strip()]
    if not chosen or set(chosen) - {"old", "new"} or len(set(chosen)) != len(chosen):
        raise click.BadParameter(
            f"{value!r}: name old, new, or both (old,new), in the order in which they shall change"
        )
    return chosen


_TO = click.option(
    "--to",
    "fleets",
    callback=_fleets,
    required=True,
    help="old, new, or both in the order in which they shall change.",
)


class _Work:
    """What deploying and rolling back need; taken together once."""

    def __init__(self, ctx: click.Context, timeout_s: float) -> None:
        self.ctx = ctx
        self.timeout_s = timeout_s
        self.project = load_project(ctx.obj)
        self.aws, self.who = open_aws(ctx.obj, self.project)
        self.store = open_store(ctx.obj, self.project)
        self.ledger = Ledger(self.store, self.project.environment, self.project.service, self.who)
        self.releases = releases_of(ctx, self.project, self.store)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One deploy of a service at a time.  Raises Driven."""
        with Lease(self.store, f"release/{self.project.environment}/{self.project.service}").held():
            yield

    def old_fleet(self) -> OldFleet:
        old = self.project.fleets.old
        settings = old.deployer
        if settings is None:
            raise UsageProblem(
                "the project file does not say how releases get onto the hosts; add "
                "`fleets.old.deployer`"
            )
        if not old.hosts:
            raise UsageProblem("the project file names no hosts; add `fleets.old.hosts`")
        hosts = [Host(url) for url in old.hosts]
        return OldFleet(
            hosts,
            settings,
            old.port,
            self.project.checks,
            self.project.release_header,
            self._healthy,
            _tell,
        )

    def _healthy(self, hosts: Sequence[Host]) -> None:
        """Wait until no target of the old group is unhealthy: kirikae takes none out, so none may
        fall out."""
        group = elbv2.target_group(self.aws, self.project.fleets.old.target_group)
        deadline = time.monotonic() + _HEALTH_S
        while True:
            states = [t.state for t in elbv2.targets(self.aws, group)]
            if all(s in ("healthy", "draining", "unused") for s in states):
                return
            if time.monotonic() > deadline:
                raise NotFinished(
                    f"after {_HEALTH_S:.0f} s the load balancer does not take "
                    f"{', '.join(h.name for h in hosts)} for healthy: {states}"
                )
            time.sleep(0.5)


def _tell(text: str) -> None:
    click.echo(text, err=True)


@release.command()
@click.argument("release_id")
@_TO
@_TIMEOUT
@_DRY
@_JSON
@click.pass_context
def deploy(
    ctx: click.Context,
    release_id: str,
    fleets: list[str],
    timeout_s: float,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Put RELEASE_ID on the fleets, and wait until it really serves; run again after a crash, it
    goes on."""
    ctx.obj.assert_may_change(ctx.command_path.removeprefix("kirikae "), dry_run)
    checked_id(release_id)
    work = _Work(ctx, timeout_s)
    plans = {"old": _plan_old, "new": _plan_new}
    steps = [plans[fleet](work, release_id) for fleet in fleets]
    if dry_run:
        for lines, _ in steps:
            for line in lines:
                click.echo(
                    json.dumps(line, ensure_ascii=False)
                    if as_json
                    else f"would {line['says']} ({line['operation']})"
                )
        return
    ended = []
    with work.locked():
        for fleet, (_, act) in zip(fleets, steps, strict=True):
            ended.append(_written_down(work.ledger, release_id, fleet, act))
            if not as_json:
                click.echo(
                    f"{release_id} serves on the {fleet} fleet "
                    f"({ended[-1].detail.rpartition('/')[2]})"
                )
    if as_json:
        click.echo(json.dumps(asdict(ended[0]) if len(ended) == 1 else [asdict(e) for e in ended]))


Act = Any  # (entry) -> (entry, detail)


def _written_down(ledger: Ledger, release_id: str, fleet: str, act: Act) -> Deployed:
    entry = ledger.begin(release_id, fleet)
    try:
        entry, detail = act(entry)
    except RolledBack as error:
        ledger.end(_fresh(ledger, entry), "rolled back", str(error))
        raise
    except KirikaeError as error:
        ledger.end(_fresh(ledger, entry), "not finished", str(error))
        raise
    return ledger.end(entry, "done", detail)


def _fresh(ledger: Ledger, entry: Deployed) -> Deployed:
    """The entry as it stands in the ledger: what ran before may have been noted since."""
    return next(e for e in ledger.all() if e.seq == entry.seq)


def _plan_old(work: _Work, release_id: str) -> tuple[list[dict[str, Any]], Act]:
    fleet = work.old_fleet()
    manifest, archive = work.releases.get(release_id)
    if fleet.settings.command is not None:
        command = fleet.settings.command
        lines = [{"says": f"run `{command}`", "operation": "command", "parameters": {}}]
        return lines, lambda entry: (
            entry,
            _by_command(work, command, manifest.id, manifest.sha256, fleet),
        )
    lines = []
    settings: OldDeployer = fleet.settings
    for host in fleet.hosts:
        steps = [
            "install with checksum",
            settings.before,
            f"switch {settings.root}/current",
            settings.reload,
            "wait for the checks",
            settings.after,
        ]
        lines.append(
            {
                "says": f"put {release_id} on {host.name}: " + "; ".join(s for s in steps if s),
                "operation": "ssh",
                "parameters": {"host": host.url},
            }
        )

    def act(entry: Deployed) -> tuple[Deployed, str]:
        return fleet.deploy(manifest, archive, work.ledger, entry), f"{len(fleet.hosts)} hosts"

    return lines, act


def _by_command(
    work: _Work, command: str, release_id: str, sha256: str, fleet: OldFleet | None
) -> str:
    """Run the user's deployer, then ask the members themselves.  Raises NotFinished."""
    environment = {
        **os.environ,
        "RELEASE_ID": release_id,
        "RELEASE_ARCHIVE": str(work.releases.archive_file(release_id)),
        "RELEASE_SHA256": sha256,
    }
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            env=environment,
            cwd=work.ctx.obj.folder,
            stdout=2,
            timeout=work.timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NotFinished(f"`{command}` did not end within {work.timeout_s:.0f} s") from error
    if done.returncode:
        raise NotFinished(
            f"`{command}` ended with exit code {done.returncode}; what it did before is not known"
        )
    for host in fleet.hosts if fleet else ():
        try:
            trouble = fleet.trouble(host, release_id) if fleet else ""
        except HostSilent as error:
            trouble = str(error)
        if trouble:
            raise NotFinished(f"`{command}` says it is done, but {host.name} says: {trouble}")
    return f"by `{command}`"


def _plan_new(work: _Work, release_id: str) -> tuple[list[dict[str, Any]], Act]:
    new = work.project.fleets.new
    if new.deployer is not None:
        command = new.deployer.command
        found = work.releases.find(release_id)
        lines = [{"says": f"run `{command}`", "operation": "command", "parameters": {}}]
        return lines, lambda entry: (
            entry,
            _by_command(work, command, release_id, found.sha256 if found else "", None),
        )
    images = {
        f"IMAGE_{name.upper().replace('-', '_')}": image
        for name, image in work.releases.images(release_id).items()
    }
    values = {
        **os.environ,
        **images,
        "RELEASE_ID": release_id,
        "TARGET_GROUP_ARN": elbv2.target_group(work.aws, new.target_group).arn,
    }
    folder = work.ctx.obj.folder / Path(new.definitions)
    if (
        not images
        and any("IMAGE_" in f.read_text(encoding="utf-8") for f in folder.glob(TASK_FILE))
        and "IMAGE_APP" not in os.environ
    ):
        raise UsageProblem(
            f"{release_id} has no images yet; `kirikae build image {release_id}` makes them"
        )
    task = load(folder, TASK_FILE, values)
    service = load(folder, SERVICE_FILE, values)
    ecs.cluster_exists(work.aws, new.cluster)
    found_service = ecs.service(work.aws, new.cluster, new.ecs_service)
    calls = deploying.plan(found_service is not None, new.cluster, new.ecs_service, task, service)

    def act(entry: Deployed) -> tuple[Deployed, str]:
        if found_service is not None and not entry.previous:
            entry = work.ledger.note(entry, previous={"service": found_service["taskDefinition"]})

        def note(registered: str) -> None:
            nonlocal entry
            entry = work.ledger.note(entry, detail=registered)

        arn, deployment = deploying.apply(
            work.aws, new.cluster, new.ecs_service, calls, entry.detail, note
        )
        _wait(work.aws, new.cluster, new.ecs_service, deployment, work.timeout_s)
        return entry, arn

    return [asdict(call) for call in calls], act


def _wait(aws: Aws, cluster: str, service: str, deployment: str, timeout_s: float) -> None:
    for progress in deploying.wait(aws, cluster, service, deployment, timeout_s):
        for event in progress.events:
            click.echo(event, err=True)


@release.command()
@_TO
@_TIMEOUT
@_DRY
@_JSON
@click.pass_context
def rollback(
    ctx: click.Context, fleets: list[str], timeout_s: float, dry_run: bool, as_json: bool
) -> None:
    """Put back what ran before the last release that was done, as the ledger has it."""
    ctx.obj.assert_may_change(ctx.command_path.removeprefix("kirikae "), dry_run)
    work = _Work(ctx, timeout_s)
    last = {fleet: work.ledger.serving(fleet) for fleet in fleets}
    for fleet, entry in last.items():
        if entry is None or not any(entry.previous.values()):
            raise NothingBefore(
                f"the ledger knows nothing that ran on the {fleet} fleet before; "
                "`kirikae release status` shows it"
            )
    if dry_run:
        for fleet, entry in last.items():
            assert entry is not None
            click.echo(f"would put back {_names(entry)} on the {fleet} fleet")
        return
    ended = []
    with work.locked():
        for fleet, entry in last.items():
            assert entry is not None
            ended.append(
                _written_down(work.ledger, _names(entry), fleet, _rolling_back(work, fleet, entry))
            )
            if not as_json:
                click.echo(f"{_names(entry)} serves on the {fleet} fleet again")
    if as_json:
        click.echo(json.dumps([asdict(e) for e in ended]))


class NothingBefore(KirikaeError):
    """There is no former release to put back."""


def _names(entry: Deployed) -> str:
    """What ran before this entry, in short."""
    return sorted({v.rpartition("/")[2] for v in entry.previous.values()})[0]


def _rolling_back(work: _Work, fleet: str, last: Deployed) -> Act:
    def old(entry: Deployed) -> tuple[Deployed, str]:
        members = work.old_fleet()
        if members.settings.command is not None:
            found = work.releases.get(_names(last))[0]
            return entry, _by_command(
                work, members.settings.command, found.id, found.sha256, members
            )
        if not entry.previous:
            entry = work.ledger.note(
                entry, previous={h.name: members.current(h) for h in members.hosts}
            )
        try:
            members.put_back(last.previous)
        except (CommandFailed, HostSilent) as error:
            raise NotFinished(
                f"{error}; run `kirikae release rollback` again, or look at that host"
            ) from error
        return entry, f"{len(members.hosts)} hosts"

    def new(entry: Deployed) -> tuple[Deployed, str]:
        place = work.project.fleets.new
        if not entry.previous:
            entry = work.ledger.note(entry, previous={"service": last.detail})
        arn = last.previous["service"]
        answer = ecs.update_service(
            work.aws, place.cluster, place.ecs_service, {"taskDefinition": arn}
        )
        _wait(
            work.aws,
            place.cluster,
            place.ecs_service,
            str(answer["deployments"][0]["id"]),
            work.timeout_s,
        )
        return entry, arn

    return old if fleet == "old" else new


@release.command()
@_JSON
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """What was deployed, and what each member says it runs now."""
    work = _Work(ctx, 0)
    entries = work.ledger.all()
    new = work.project.fleets.new
    found = ecs.service(work.aws, new.cluster, new.ecs_service)
    members = (
        {url: _reported(work.project, Host(url)) for url in work.project.fleets.old.hosts}
        if work.project.release_header
        else {}
    )
    if as_json:
        now = (
            {k: found[k] for k in ("taskDefinition", "runningCount", "desiredCount")}
            if found
            else None
        )
        click.echo(
            json.dumps({"ledger": [asdict(e) for e in entries], "service": now, "hosts": members})
        )
        return
    for entry in entries:
        at = datetime.fromtimestamp(entry.at).strftime("%Y-%m-%d %H:%M:%S")
        click.echo(
            f"{entry.seq:4} {at} {entry.release:16} {entry.fleet:4} {entry.outcome:12} "
            f"{entry.detail}"
        )
    for url, says in members.items():
        click.echo(f"{url} reports {says}")
    if found:
        revision = found["taskDefinition"].rpartition("/")[2]
        click.echo(
            f"the service runs {revision}: {found['runningCount']} of {found['desiredCount']} tasks"
        )
    else:
        click.echo("the new fleet has no active service yet")


def _reported(project: Project, host: Host) -> str:
    path = project.checks[0].get if project.checks else "/"
    try:
        return host.get(project.fleets.old.port, path).headers.get(
            (project.release_header or "").lower(), "no release ID"
        )
    except KirikaeError as error:
        return f"nothing: {error}"
