"""``kirikae ecs``: ECS definitions as ecspresso keeps them, written, rendered, compared, proven and
waited for."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kirikae.console.ecs_delete import delete
from kirikae.console.ecs_deregister import deregister
from kirikae.console.ecs_desk import EcsDesk, Given, aws_opener, common
from kirikae.console.ecs_desk import open_ecs_desk as opened
from kirikae.console.ecs_desk import seconds_of as _seconds
from kirikae.console.ecs_run import run
from kirikae.console.here import Answer, Here, would
from kirikae.console.options import DRY, JSON, Whole
from kirikae.console.progress import Progress, as_json
from kirikae.console.speech import Speech
from kirikae.hosts.files import write_durably
from kirikae.model.errors import Exit, KirikaeError, UsageProblem
from kirikae.model.said import Said, said
from kirikae.release import codedeploy_group
from kirikae.release.codedeploy import CONTROLLER
from kirikae.release.ecs import comparing, initial, remote
from kirikae.release.ecs.comparing import OF_SERVICE, Which
from kirikae.release.ecs.config import DEFAULT_CLUSTER, NAME
from kirikae.release.ecs.difference import Compared
from kirikae.release.ecs.gojson import without_empty, written
from kirikae.release.ecs.initial import Place, as_jsonnet
from kirikae.release.ecs.until import PAUSED, STABLE, Until
from kirikae.release.ecs.verify.bench import Bench
from kirikae.release.ecs.verify.checked import Checked, Result
from kirikae.release.ecs.verify.whole import verified

if TYPE_CHECKING:
    from kirikae.aws.session import Aws
    from kirikae.release.errors import NotFinished, RolledBack
    from kirikae.release.service_deployment import Progress as Look

_LONGEST_S = 30 * 86400.0
_TARGETS = {
    "config": "config",
    "servicedef": "servicedef",
    "service-definition": "servicedef",
    "taskdef": "taskdef",
    "task-definition": "taskdef",
}


@click.group(cls=Whole)
def ecs() -> None:
    """Read ecspresso's files as they are: write, render, compare and prove ECS definitions."""


# --- init


def begun(here: Here, given: Given, place: Place, task: str, force: bool, dry: bool) -> Answer:
    """Write the files of a service that runs, or of a task definition."""
    here.assert_may_change("ecs init", dry)
    aws = aws_opener(here, given)(place.region)
    service = remote.service(aws, place.cluster, place.service) if place.service else None
    if place.service and service is None:
        raise UsageProblem(f"there is no service {place.service} in the cluster {place.cluster}")
    name = task or (service.task_definition if service is not None else "")
    found = remote.task(aws, name)
    if found is None:
        raise UsageProblem(f"there is no task definition {name}")
    speech = Speech(here.language(given.lang))
    region = place.region or aws.client("ecs").meta.region_name
    driven, remarks = _codedeploy(aws, place, service)
    files = initial.files(replace(place, region=region, codedeploy=driven), service, found)
    if dry:
        told = [speech.say(said("release.ecs.would_write", path=str(path))) for path in files]
        return would(told, {"files": list(map(str, files))})
    there = [str(path) for path in files if path.exists()]
    if there and not force:
        raise KirikaeError(
            f"{', '.join(there)}: there already, and nothing was written; --force-overwrite "
            "replaces it"
        )
    for path, text in files.items():
        write_durably(path, text)
    lines = [speech.say(said("release.ecs.written", path=str(path))) for path in files]
    return Answer({"files": list(map(str, files)), "remarks": remarks}, lines, notes=remarks)


def _codedeploy(
    aws: Aws, place: Place, service: remote.Service | None
) -> tuple[dict[str, str] | None, list[str]]:
    """Which group drives the service, where CodeDeploy does; and what is to be known of the
    service."""
    if service is None:
        return None, []
    remarks = [*service.remarks]
    if (service.plain.get("deploymentController") or {}).get("type") != CONTROLLER:
        return None, remarks
    try:
        return codedeploy_group.keys_of(aws, place.cluster, place.service), remarks
    except KirikaeError as error:
        return None, [*remarks, f"`codedeploy` is not written: {error}"]


@ecs.command()
@common
@click.option("--region", default="", help="AWS region (default: the environment's).")
@click.option("--cluster", default=DEFAULT_CLUSTER, show_default=True, help="Of the service.")
@click.option("--service", default="", help="The service that is written down.")
@click.option(
    "--task-definition", "task", default="", help="Instead: a task definition, NAME:REVISION."
)
@click.option("--task-definition-path", "task_file", default="ecs-task-def.json", show_default=True)
@click.option(
    "--service-definition-path", "service_file", default="ecs-service-def.json", show_default=True
)
@click.option("--sort/--no-sort", default=False, help="Sort what has no order of its own.")
@click.option("--jsonnet", is_flag=True, help="Write Jsonnet.")
@click.option("--force-overwrite", "force", is_flag=True, help="Replace files that are there.")
@DRY
@JSON
@click.pass_obj
def init(here: Here, /, given: Given, **options: Any) -> Answer:
    """Write ecspresso.yml and both definitions of a service that runs; read again, they differ
    from it in nothing."""
    service = options.pop("service")
    task = options.pop("task")
    if bool(service) == bool(task):
        raise UsageProblem("name the service with --service, or --task-definition, one of both")
    force = options.pop("force")
    dry = options.pop("dry_run")
    place = Place(service=service, config=given.config or Path(NAME), **options)
    return begun(here, given, place, task, force, dry)


# --- render


def shown(desk: EcsDesk, targets: Sequence[str], jsonnet: bool) -> Answer:
    """The files once every template is carried out."""
    texts = {target: _rendered(desk, target, jsonnet) for target in targets}
    loaded = [text for text, _ in texts.values()]
    plain = {target: value for target, (_, value) in texts.items()}
    lines = [line for text in loaded for line in text.rstrip("\n").splitlines()]
    return Answer({"rendered": plain}, lines, notes=desk.config.remarks)


def _rendered(desk: EcsDesk, target: str, jsonnet: bool) -> tuple[str, Any]:
    if target == "config":
        plain = dict(desk.config.plain)
        return _as_text(plain, jsonnet), plain
    if target != "taskdef" and not desk.config.service:
        raise UsageProblem(f"{desk.config.path} names no service")
    read = comparing.task_of if target == "taskdef" else comparing.service_of
    wanted = read(desk.config)
    return _as_text(wanted.plain, jsonnet), without_empty(wanted.plain)


def _as_text(plain: dict[str, Any], jsonnet: bool) -> str:
    return as_jsonnet(without_empty(plain)) if jsonnet else written(plain)


@ecs.command()
@common
@click.argument("targets", nargs=-1, required=True, type=click.Choice(list(_TARGETS)))
@click.option("--jsonnet", is_flag=True, help="Print Jsonnet.")
@JSON
@click.pass_obj
def render(here: Here, given: Given, targets: Sequence[str], jsonnet: bool) -> Answer:
    """Print the configuration or the definitions after all templates."""
    return shown(opened(here, given), [_TARGETS[each] for each in targets], jsonnet)


# --- diff


def told_apart(
    desk: EcsDesk, with_service: bool, every: bool, exit_code: bool, which: Which = OF_SERVICE
) -> Answer:
    """What a deploy of these files would change, and why each place differs."""
    loaded = comparing.load_all(desk.config)
    found = list(comparing.differences(desk.config, desk.aws, loaded, with_service, which))
    lines = [line for each in found for line in each.text.splitlines()]
    remarks = [*desk.config.remarks, *loaded.remarks]
    plain = {"targets": [each.to_plain() for each in found], "remarks": remarks}
    differs = any(each.differences for each in found)
    notes = [*remarks, *map(desk.speech.say, _reasons(found, every))]
    end = Exit.FOUND if exit_code and differs else Exit.DONE
    return Answer(plain, lines, end, "differs" if differs else "the same", notes)


def _reasons(found: Sequence[Compared], every: bool) -> Iterator[Said]:
    for each in found:
        told = [difference.says for difference in each.differences]
        if every:
            told += [
                said("release.diff.hidden", place=note.place, why=note.why.says)
                for note in each.hidden
            ]
        yield from (said("release.diff.of", target=each.target, what=what) for what in told)


def told_by(
    desk: EcsDesk, command: str, jsonnet: bool, with_service: bool, which: Which = OF_SERVICE
) -> Answer:
    """Let a command of the user's compare: it gets ``remote/X local/X``, target by target."""
    loaded = comparing.load_all(desk.config)
    suffix = ".jsonnet" if jsonnet else ".json"
    with tempfile.TemporaryDirectory(prefix="kirikae-diff-") as folder:
        codes = [
            _external(command, Path(folder), f"{name}{suffix}", *_both_texts(both, jsonnet))
            for name, both in comparing.sides(desk.config, desk.aws, loaded, with_service, which)
        ]
    return Answer({"exit_codes": codes}, silent=not as_json())


def _both_texts(both: tuple[dict[str, Any], dict[str, Any]], jsonnet: bool) -> tuple[str, str]:
    left, right = (_as_text(each, jsonnet) if each else "" for each in both)
    return left, right


def _external(command: str, folder: Path, name: str, left: str, right: str) -> int:
    for side, text in (("remote", left), ("local", right)):
        (folder / side).mkdir(exist_ok=True)
        (folder / side / name).write_text(text)
    words = [*shlex.split(command), f"remote/{name}", f"local/{name}"]
    try:
        return subprocess.run(words, cwd=folder, check=False).returncode
    except OSError as error:
        raise UsageProblem(f"--external {command}: {error.strerror}") from error


@ecs.command()
@common
@click.option("--with-service/--without-service", default=True, show_default=True)
@click.option("--all", "every", is_flag=True, help="Name what is written otherwise and the same.")
@click.option("--exit-code", is_flag=True, help="End with 6 where something differs.")
@click.option(
    "--external", envvar="ECSPRESSO_DIFF_COMMAND", help="Let this command compare the files."
)
@click.option("--jsonnet", is_flag=True, help="With --external: files in Jsonnet.")
@click.option(
    "--revision",
    type=click.IntRange(min=1),
    help="Compare with this revision (default: the one that the service uses).",
)
@click.option(
    "--latest-task-definition", "latest", is_flag=True, help="Compare with the newest revision."
)
@click.option("--skip-task-definition", "skipped", is_flag=True, help="Compare the service alone.")
@JSON
@click.pass_obj
def diff(
    here: Here,
    /,
    given: Given,
    with_service: bool,
    every: bool,
    exit_code: bool,
    external: str | None,
    jsonnet: bool,
    **task: Any,
) -> Answer:
    """Say what a deploy of the files would change of what runs, and why each place differs; no
    difference prints nothing."""
    which = Which(**task)
    _assert_compares(which, with_service)
    desk = opened(here, given)
    if external:
        return told_by(desk, external, jsonnet, with_service, which)
    return told_apart(desk, with_service, every, exit_code, which)


def _assert_compares(which: Which, with_service: bool) -> None:
    """Raises UsageProblem."""
    if len(which.options) > 1:
        raise UsageProblem(f"{' and '.join(which.options)}: name one of them")
    if which.skipped and not with_service:
        raise UsageProblem("--skip-task-definition --without-service: nothing is left to compare")


# --- verify


def proven(desk: EcsDesk, gets_secrets: bool, puts_logs: bool, cache: bool) -> Answer:
    """Every check, in order, each with its result and reason."""
    loaded = comparing.load_all(desk.config)
    # Where AWS does not answer at all, no check is worth anything.
    desk.aws.caller()
    bench, remark = _bench(desk, loaded, gets_secrets, puts_logs)
    progress = Progress()
    found: list[Checked] = []
    for checked in verified(bench, cache):
        progress.step(f"{checked.name}: {checked.said.result}")
        found.append(checked)
    remarks = [*desk.config.remarks, *loaded.remarks, desk.speech.say(remark)]
    return of_checks(found, remarks, desk.speech)


def of_checks(found: Sequence[Checked], remarks: Sequence[str], speech: Speech) -> Answer:
    """People read their own language; programs read English, whoever calls them."""
    rows = [each for checked in found for each in checked.all()]
    bad = [each for each in rows if each.said.result is Result.NG]
    lines = [line for checked in found for line in checked.lines(speech.say)]
    english = Speech()
    counts = {str(result): _count(rows, result) for result in Result}
    lines.append(", ".join(f"{many} {name}" for name, many in counts.items()))
    plain = {
        "checks": [each.to_plain(english.say) for each in rows],
        "counts": counts,
        "remarks": list(remarks),
    }
    return Answer(plain, lines, Exit.FOUND if bad else Exit.DONE, notes=remarks)


def _count(rows: Sequence[Checked], result: Result) -> int:
    return sum(each.said.result is result for each in rows)


def _bench(
    desk: EcsDesk, loaded: comparing.Loaded, gets_secrets: bool, puts_logs: bool
) -> tuple[Bench, Said]:
    """As the task execution role, where the caller may become that."""
    from kirikae.aws.assumed import assumed

    role = loaded.task.plain.get("executionRoleArn")

    def own(region: str) -> Any:
        return desk.open_aws(region)

    execution = own
    became = ""
    remark = said("release.ecs.own_no_role")
    if role:
        try:
            assumed(desk.aws, desk.config.region, role, desk.here.read_only)
        except KirikaeError as error:
            remark = said("release.ecs.own_refused", role=role, why=str(error))
        else:
            remark = said("release.ecs.as_role", role=role)
            became = role

            @cache
            def execution(region: str) -> Any:
                return assumed(desk.aws, region, role, desk.here.read_only)

    bench = Bench(
        config=desk.config,
        loaded=loaded,
        aws=desk.aws,
        execution_of_region=execution,
        execution_role=became,
        gets_secrets=gets_secrets,
        puts_logs=puts_logs and not desk.here.read_only,
    )
    return bench, remark


@ecs.command()
@common
@click.option("--get-secrets/--no-get-secrets", default=True, show_default=True)
@click.option("--put-logs/--no-put-logs", default=True, show_default=True)
@click.option("--cache/--no-cache", default=True, show_default=True)
@JSON
@click.pass_obj
def verify(here: Here, given: Given, get_secrets: bool, put_logs: bool, cache: bool) -> Answer:
    """Ask for all that a deploy will need: OK, NG or SKIP, each with its reason (exit code 6:
    something is NG)."""
    return proven(opened(here, given), get_secrets, put_logs, cache)


# --- wait


def waited(desk: EcsDesk, until: Until, timeout_s: float | None) -> Answer:
    """Until the service's newest deployment has ended; how, is in the answer."""
    from kirikae.aws import ecs_definitions
    from kirikae.release.errors import NotFinished, RolledBack
    from kirikae.release.service_deployment import ServiceDeployment, counts_of, lines_of

    config = desk.config
    row = ecs_definitions.service(desk.aws, config.cluster, config.service)
    if row is None:
        raise UsageProblem(f"there is no service {config.service!r} in {config.cluster}")
    until.assert_can_come(row)
    if until.event:
        from kirikae.console.ecs_wait import event_waited

        return event_waited(desk, until.event, _LONGEST_S if timeout_s is None else timeout_s)
    if until.stage:
        _assert_seen(desk, str(row.get("currentServiceDeployment", "")))
    primary = next((each for each in row["deployments"] if each["status"] == "PRIMARY"), None)
    if primary is None:
        raise UsageProblem(f"ECS tells of no deployment of {config.service}: who deploys it?")
    deployment = ServiceDeployment(
        desk.aws,
        config.cluster,
        config.service,
        str(primary["id"]),
        arn=str(row.get("currentServiceDeployment", "")),
        wants_pause=until.kind == PAUSED,
        until_alone=until.kind == STABLE,
        until_stage=until.stage,
    )
    progress = Progress()
    told = ""
    last = None
    try:
        for look in deployment.wait(_LONGEST_S if timeout_s is None else timeout_s):
            last = look
            for line in [*lines_of(look), *({counts_of(look)} - {told})]:
                progress.step(line)
            told = counts_of(look)
    except (NotFinished, RolledBack) as error:
        return ended(error, config.service)
    return _reached(last, desk)


def _assert_seen(desk: EcsDesk, arn: str) -> None:
    """Who may not look at service deployments would wait for a stage in vain.  Raises
    AwsRefused."""
    from kirikae.aws import ecs_definitions

    if arn:
        ecs_definitions.service_deployment(desk.aws, arn)


def _reached(last: Look | None, desk: EcsDesk) -> Answer:
    """What was waited for is there; a stage or an event is no ending."""
    assert last is not None
    service = desk.config.service
    if last.ending is None:
        return staged(desk, last.stage)
    counts = {key: getattr(last, key) for key in ("running", "desired", "pending")}
    ending = said(f"release.ending.{last.ending}")
    line = said("release.ecs.ended", service=service, ending=ending, **counts)
    return Answer({"ending": last.ending, "service": service}, [desk.speech.say(line)])


def staged(desk: EcsDesk, stage: str) -> Answer:
    """It goes on from here."""
    service = desk.config.service
    line = said("release.ecs.staged", service=service, stage=stage)
    return Answer({"ending": None, "stage": stage, "service": service}, [desk.speech.say(line)])


def ended(error: NotFinished | RolledBack, service: str) -> Answer:
    stopped = list(error.stopped)
    return Answer(
        {
            "ending": error.ending,
            "service": service,
            "message": str(error),
            "stopped": [task.to_plain() for task in stopped],
        },
        (),
        error.exit,
        notes=[str(error), *(line for task in stopped for line in task.lines())],
    )


@ecs.command()
@common
@click.option(
    "--wait-until",
    "until",
    default=STABLE,
    show_default=True,
    metavar="stable|deployed|paused|ecs:STAGE|codedeploy:EVENT",
    help="deployed: the former tasks may still drain; paused: a hook waits for somebody; a stage "
    "of ECS or an event of CodeDeploy: it has come so far, and goes on.",
)
@click.option(
    "--timeout",
    "timeout",
    envvar="ECSPRESSO_TIMEOUT",
    help="Such as 15m (default: the configuration's).",
)
@JSON
@click.pass_obj
def wait(here: Here, given: Given, until: str, timeout: str | None) -> Answer:
    """Wait for the service's newest deployment and say how it ended: succeeded (0), rolled_back
    (4), stopped, superseded, scaled_to_zero, timed_out or paused (3)."""
    wanted = Until.read(until)
    desk = opened(here, given)
    return waited(desk, wanted, desk.config.timeout_s if timeout is None else _seconds(timeout))


# --- exec


def entered(desk: EcsDesk, task: str, container: str, command: str, dry_run: bool) -> Answer:
    """Open a session in a container with the user's own session-manager-plugin."""
    from kirikae.release.ecs import session

    wanted = session.wanted(desk.aws, desk.config, task, container)
    if dry_run:
        what = {"task": wanted.task, "container": wanted.container}
        line = said("release.ecs.would_run", command=command, **what)
        return would([desk.speech.say(line)], what)
    code = session.run(desk.aws, desk.config, wanted, command)
    return Answer({"task": wanted.task, "container": wanted.container, "exit_code": code})


@ecs.command("exec")
@common
@click.option("--id", "task", default="", help="Of a task (default: the newest that runs).")
@click.option("--container", default="", help="Its name (default: the first one).")
@click.option("--command", default="sh", show_default=True, help="What to run, such as a console.")
@DRY
@JSON
@click.pass_obj
def execute(
    here: Here, given: Given, task: str, container: str, command: str, dry_run: bool
) -> Answer:
    """Run a command in a container of the service, where ECS Exec is on; needs AWS's own
    session-manager-plugin."""
    here.assert_may_change("ecs exec", dry_run)
    return entered(opened(here, given), task, container, command, dry_run)


ecs.add_command(run)
ecs.add_command(deregister)
ecs.add_command(delete)
