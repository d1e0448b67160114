"""``kirikae doctor``: where am I, which account, what could be changed, what is missing; the answer stands in the first three lines."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import click

from kirikae import __version__
from kirikae.aws import ecs, elbv2
from kirikae.aws.session import Aws
from kirikae.console.context import load_project
from kirikae.console.surveyed import hosts_of, shelf_of, survey_findings
from kirikae.hosts.errors import CommandFailed, HostSilent
from kirikae.model.errors import Exit, KirikaeError
from kirikae.model.finding import blocking
from kirikae.model.project import Project

# ruff: noqa: E501
_WORDS = {
    "en": {
        "where": "where:   {service} ({environment}), {file}; {at}",
        "local": "kirikae local at {url}",
        "aws": "AWS, region {region}",
        "who": "who:     {who}; could change: {could}",
        "nobody": "nobody that AWS knows ({why})",
        "nothing": "nothing (--read-only)",
        "could": "the rule {rules}, the service {service}{hosts}",
        "hosts": ", releases on {names}",
        "missing": "missing: {missing}",
        "all": "nothing; you can begin",
    },
    "ja": {
        "where": "場所:   {service}（{environment}）、{file}、{at}",
        "local": "kirikae local（{url}）",
        "aws": "AWS リージョン {region}",
        "who": "権限:   {who}、変更できるもの: {could}",
        "nobody": "AWSが認識できない利用者（{why}）",
        "nothing": "なし（--read-only）",
        "could": "ルール {rules}、サービス {service}{hosts}",
        "hosts": "、{names} 上のリリース",
        "missing": "不足:   {missing}",
        "all": "なし。始められます",
    },
}
_GONE = {
    "ssh": ("the OpenSSH client", "OpenSSHクライアント"),
    "engine": (
        "a container engine (for `build image` and local)",
        "コンテナエンジン（build image と local に必要）",
    ),
    "hosts": ("fleets.old.hosts in the project file", "プロジェクトファイルの fleets.old.hosts"),
    "checks": ("checks in the project file", "プロジェクトファイルの checks"),
    "survey": ("a survey (`kirikae survey collect`)", "調査（kirikae survey collect）"),
    "rule": ("the listener rule {0}", "リスナールール {0}"),
    "target_group": ("the target group {0}", "ターゲットグループ {0}"),
    "cluster": ("the cluster {0}", "クラスター {0}"),
    "aws": ("an answer of AWS", "AWSの応答"),
    "silent": ("an answer of {0}", "{0} の応答"),
    "blocking": (
        "answers to {0} findings (`kirikae survey show`)",
        "{0} 件の調査結果への対応（kirikae survey show）",
    ),
    "definitions": (
        "definitions in {0} (`kirikae build write`)",
        "{0} の定義ファイル（kirikae build write）",
    ),
}


@dataclass
class Seen:
    who: str = ""
    why_nobody: str = ""
    missing: list[tuple[str, str]] = field(default_factory=list)


@click.command()
@click.option(
    "--lang",
    type=click.Choice(["en", "ja"]),
    default=None,
    help="Default: the language of the environment (LANG).",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor(ctx: click.Context, lang: str | None, as_json: bool) -> None:
    """Say where I am, which account this is, what could be changed, and what is missing (exit code 6: something is)."""
    lang = lang or (
        "ja" if os.environ.get("LC_ALL", os.environ.get("LANG", "")).startswith("ja") else "en"
    )
    project = load_project(ctx.obj)
    seen = _look(ctx, project)
    words = _WORDS[lang]
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    told = [_GONE[kind][lang == "ja"].format(what) for kind, what in seen.missing]
    if as_json:
        plain = {
            "version": __version__,
            "service": project.service,
            "environment": project.environment,
            "region": project.region,
            "endpoint": endpoint,
            "account": project.account,
            "who": seen.who,
            "read_only": ctx.obj.read_only,
            "missing": [{"kind": k, "what": w} for k, w in seen.missing],
        }
        click.echo(json.dumps(plain))
    else:
        at = (
            words["local"].format(url=endpoint)
            if endpoint
            else words["aws"].format(region=project.region)
        )
        click.echo(
            words["where"].format(
                service=project.service,
                environment=project.environment,
                file=ctx.obj.project_file,
                at=at,
            )
        )
        click.echo(
            words["who"].format(
                who=seen.who or words["nobody"].format(why=seen.why_nobody),
                could=_could(ctx, project, words),
            )
        )
        click.echo(words["missing"].format(missing="; ".join(told) or words["all"]))
    if seen.missing:
        ctx.exit(Exit.FOUND)


def _could(ctx: click.Context, project: Project, words: dict[str, str]) -> str:
    if ctx.obj.read_only:
        return words["nothing"]
    records = [m.router.record.name for m in project.moves.values() if m.router.record is not None]
    rules = ", ".join([*project.rules, *records]) or "-"
    names = ", ".join(h.name for h in hosts_of(project)[0])
    hosts = words["hosts"].format(names=names) if project.fleets.old.deployer and names else ""
    return words["could"].format(
        rules=rules,
        service=f"{project.fleets.new.cluster}/{project.fleets.new.ecs_service}",
        hosts=hosts,
    )


def _look(ctx: click.Context, project: Project) -> Seen:  # noqa: C901
    seen = Seen()

    def miss(kind: str, what: str = "") -> None:
        seen.missing.append((kind, what))

    if shutil.which("ssh") is None:
        miss("ssh")
    if shutil.which(os.environ.get("KIRIKAE_ENGINE", "docker")) is None:
        miss("engine")
    if not project.checks:
        miss("checks")
    _look_at_aws(ctx, project, seen)
    fleet, _ = hosts_of(project)
    if not fleet:
        miss("hosts")
    for host in fleet:
        try:
            host.run("true", timeout_s=15)
        except (HostSilent, CommandFailed):
            miss("silent", host.name)
    shelf = shelf_of(ctx.obj, project)
    if any(
        (age := shelf.age_s(h.name, time.time())) is None or age > project.survey.max_age
        for h in fleet
    ):
        miss("survey")
    elif fleet and (in_the_way := blocking(survey_findings(ctx.obj, project), "traffic")):
        miss("blocking", str(len(in_the_way)))
    from kirikae.release.definitions import TASK_FILE

    if not (ctx.obj.folder / project.fleets.new.definitions / TASK_FILE).exists():
        miss("definitions", project.fleets.new.definitions)
    return seen


def _look_at_aws(ctx: click.Context, project: Project, seen: Seen) -> None:
    aws = Aws(project.region, read_only=True)
    try:
        seen.who = aws.identity(project.account)
    except KirikaeError as error:
        seen.why_nobody = str(error)
        seen.missing.append(("aws", ""))
        return
    fleets = project.fleets
    looks: list[tuple[str, str, Callable[[], object]]] = [
        (
            "target_group",
            fleets.old.target_group,
            lambda: elbv2.target_group(aws, fleets.old.target_group),
        ),
        (
            "target_group",
            fleets.new.target_group,
            lambda: elbv2.target_group(aws, fleets.new.target_group),
        ),
        ("cluster", fleets.new.cluster, lambda: ecs.cluster_exists(aws, fleets.new.cluster)),
        *(("rule", rule, partial(elbv2.find_rule, aws, rule)) for rule in project.rules),
    ]
    for kind, what, look in looks:
        try:
            look()
        except KirikaeError:
            seen.missing.append((kind, what))
