"""``kirikae survey``: look at the hosts and the AWS side, and read what was found."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import click

from kirikae.aws.session import Aws
from kirikae.console.context import load_project
from kirikae.console.kinds import turned
from kirikae.console.surveyed import (
    amazon_file,
    bundles_of,
    hosts_of,
    shelf_of,
    state_folder,
    survey_findings,
    today,
)
from kirikae.hosts.errors import CommandFailed, HostSilent
from kirikae.hosts.ssh import Host
from kirikae.model.errors import Exit, UsageProblem
from kirikae.model.finding import Finding, Severity
from kirikae.move.kind import LISTENER_RULE
from kirikae.survey import amazon
from kirikae.survey.catalogue import catalogue
from kirikae.survey.collect import collect as collect_from
from kirikae.survey.collect import project_key
from kirikae.survey.errors import BundleProblem, NoSurvey
from kirikae.survey.evidence import traces_of
from kirikae.survey.fleet import drift
from kirikae.survey.view import View

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_COLOURS = {
    Severity.BLOCKS: "red",
    Severity.HIGH: "yellow",
    Severity.WORK: None,
    Severity.HYGIENE: "bright_black",
}


@click.group()
def survey() -> None:
    """Look at the hosts and the AWS side: state, jobs, configuration, dependencies."""


@survey.command()
@click.argument("hosts", nargs=-1)
@_JSON
@click.option("--dry-run", is_flag=True, help="Say which hosts would be looked at.")
@click.pass_context
def collect(ctx: click.Context, hosts: tuple[str, ...], as_json: bool, dry_run: bool) -> None:
    """Look at HOSTS (default: all of the project file) over SSH; nothing is installed or written
    there."""
    project = load_project(ctx.obj)
    known = {h.name: h for part in hosts_of(project) for h in part}
    if unknown := set(hosts) - set(known):
        raise UsageProblem(
            f"{', '.join(sorted(unknown))}: not in the project file; it has: "
            f"{', '.join(known) or 'no hosts'}"
        )
    chosen = [known[name] for name in hosts] if hosts else list(known.values())
    if not chosen:
        raise UsageProblem(
            "the project file names no hosts; add `fleets.old.hosts` or `survey.also`"
        )
    if dry_run:
        for host in chosen:
            click.echo(f"would look at {host.url}")
        return
    keys = project_key(state_folder(ctx.obj, project) / "survey.key")
    shelf = shelf_of(ctx.obj, project)

    def look(host: Host) -> tuple[Host, str, str]:
        try:
            began = time.monotonic()
            file = shelf.put(host.name, collect_from(host, keys))
            return (
                host,
                "",
                f"{file.stat().st_size / 1024:.0f} KiB in {time.monotonic() - began:.1f} s",
            )
        except (HostSilent, CommandFailed, BundleProblem) as error:
            return host, str(error), ""

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(look, chosen))
    failed = [(h.name, trouble) for h, trouble, _ in results if trouble]
    if as_json:
        click.echo(
            json.dumps(
                [{"host": h.name, "trouble": trouble, "kept": kept} for h, trouble, kept in results]
            )
        )
    else:
        for host, trouble, kept in results:
            click.echo(f"{host.name}: {trouble or kept}", err=bool(trouble))
    if failed:
        ctx.exit(Exit.REFUSED if len(failed) == len(results) else Exit.UNFINISHED)


@survey.command()
@_JSON
@click.pass_context
def aws(ctx: click.Context, as_json: bool) -> None:
    """Look at the AWS side (read only): rules, stickiness, security groups, roles, alarms, DNS
    records."""
    project = load_project(ctx.obj)
    reader = Aws(project.region, read_only=True)
    reader.identity(project.account)
    rules = [each.name for each in turned(project) if each.what == LISTENER_RULE]
    seen = amazon.look(reader, project, rules)
    file = amazon_file(ctx.obj, project)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".part")
    partial.write_text(amazon.to_plain(seen), encoding="utf-8")
    partial.replace(file)
    _print(seen, as_json, False)


@survey.command()
@_JSON
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also what is only good to know, and what was accepted.",
)
@click.option(
    "--kind", default="traffic", show_default=True, help="Say what blocks this kind of move."
)
@click.pass_context
def show(ctx: click.Context, as_json: bool, everything: bool, kind: str) -> None:
    """Show the findings of the newest survey, gravest first (exit code 6: something blocks)."""
    found = survey_findings(ctx.obj, load_project(ctx.obj))
    _print(found, as_json, everything)
    in_the_way = [f for f in found if kind in f.blocks]
    if not as_json:
        click.echo(f"{len(found)} findings; {len(in_the_way)} stand in the way of a {kind} move")
    if in_the_way:
        ctx.exit(Exit.FOUND)


def _print(found: Iterable[Finding], as_json: bool, everything: bool) -> None:
    if as_json:
        click.echo(json.dumps([f.to_plain() for f in found], ensure_ascii=False))
        return
    hidden = 0
    for finding in found:
        if not everything and (finding.severity is Severity.HYGIENE or finding.accepted):
            hidden += 1
            continue
        stops = f"  [blocks {', '.join(finding.blocks)}]" if finding.blocks else ""
        head = click.style(f"{finding.severity:8} {finding.code}", fg=_COLOURS[finding.severity])
        click.echo(
            f"{head} {finding.says} ({', '.join(finding.hosts) or 'AWS'}; "
            f"{finding.confidence}){stops}"
        )
        if finding.accepted:
            click.echo(f"         accepted {finding.accepted}")
    if hidden:
        click.echo(f"{hidden} more that are good to know or accepted: --all")


@survey.command()
@click.argument("what")
@_JSON
@click.pass_context
def explain(ctx: click.Context, what: str, as_json: bool) -> None:
    """Everything that is known about WHAT: a code such as ST03, or a path on the hosts."""
    project = load_project(ctx.obj)
    found = survey_findings(ctx.obj, project)
    if what in catalogue():
        chosen = [f for f in found if f.code == what]
    else:
        chosen = [
            f
            for f in found
            if f.where == what
            or f.where.startswith(what + ":")
            or any(t.at == what or t.at.startswith(what + "/") for t in f.evidence)
        ]
        chosen += [
            f
            for f in found
            if f not in chosen and f.where.startswith("/") and what.startswith(f.where + "/")
        ]
    known = (
        []
        if what in catalogue()
        else [
            t
            for part in bundles_of(ctx.obj, project)
            for b in part
            for t in traces_of(View(b), what)
        ]
    )
    if as_json:
        click.echo(
            json.dumps(
                {"findings": [f.to_plain() for f in chosen], "evidence": [str(t) for t in known]},
                ensure_ascii=False,
            )
        )
        return
    if what in catalogue():
        entry = catalogue()[what]
        click.echo(
            f"{what} ({entry.severity}): {entry.title}\n  blocks: "
            f"{', '.join(entry.blocks) or 'nothing'}\n  what to do: {entry.remedy}"
        )
    for finding in chosen:
        click.echo(f"{finding.code} {finding.says}\n  what to do: {finding.remedy}")
        for trace in finding.evidence:
            click.echo(f"  {trace}")
        if finding.accepted:
            click.echo(f"  accepted {finding.accepted}")
    for trace in dict.fromkeys(known):
        click.echo(f"  {trace}")
    if not chosen and not known:
        click.echo(f"nothing was found about {what}")


@survey.command()
@click.argument("first")
@click.argument("second")
@_JSON
@click.pass_context
def diff(ctx: click.Context, first: str, second: str, as_json: bool) -> None:
    """What differs between two surveyed hosts (exit code 6: something does)."""
    shelf = shelf_of(ctx.obj, load_project(ctx.obj))
    found = drift([View(shelf.load(first)), View(shelf.load(second))])
    _print(found, as_json, True)
    if found:
        ctx.exit(Exit.FOUND)
    if not as_json:
        click.echo(f"{first} and {second} do not differ in what matters")


@survey.command()
@_JSON
@click.pass_context
def ask(ctx: click.Context, as_json: bool) -> None:
    """The questions that only a person can answer, with the lines for kirikae.yml that answer
    them."""
    project = load_project(ctx.obj)
    if not any(bundles_of(ctx.obj, project)):
        raise NoSurvey("nothing has been surveyed yet; run `kirikae survey collect` first")
    open_questions = [
        f for f in survey_findings(ctx.obj, project) if f.blocks and not f.code.startswith("SV")
    ]
    if as_json:
        click.echo(json.dumps([f.to_plain() for f in open_questions], ensure_ascii=False))
        return
    until = today().replace(year=today().year + 1, day=min(today().day, 28))
    for finding in open_questions:
        answer = (
            f'{{finding: {finding.code}, where: {json.dumps(finding.where)}, why: "...", by: '
            f'"...", until: {until}}}'
        )
        click.echo(f"{finding.says}: {finding.remedy}?\n    - {answer}")
    click.echo(f"{len(open_questions)} questions" if open_questions else "no open questions")
