"""``kirikae logs layout``: what a tree looks like that nobody has described."""

from __future__ import annotations

from pathlib import Path

import click

from kirikae.console.here import Answer, Here
from kirikae.console.logs_common import speech_of
from kirikae.console.options import JSON, LANG
from kirikae.console.speech import Speech
from kirikae.logs.errors import NoLayout
from kirikae.logs.infer import Inferred, inferred, sampled_of
from kirikae.logs.trees import S3, Door
from kirikae.model.errors import UsageProblem
from kirikae.model.said import said


@click.command("layout")
@click.argument("tree")
@LANG
@JSON
@click.pass_obj
def layout(
    here: Here,
    tree: str,
    lang: str | None,
) -> Answer:
    """Say what the TREE (s3://BUCKET/PREFIX/ or a folder) looks like: paths, time zone, format.

    It reads some objects from all over the tree, and writes what belongs into kirikae.yml.
    """
    objects = _door(here, tree).open()
    all_listed = [listed for listed in objects.list() if not listed.key.startswith("_")]
    if not all_listed:
        raise NoLayout(f"{objects.url} holds no object; name the folder or the prefix of the logs")
    samples = list(sampled_of(objects, all_listed))
    found = inferred(all_listed, samples, objects.url)
    yaml = _yaml(objects.url, found)
    lines = [*_lines(objects.url, found, speech_of(here, lang)), yaml]
    return Answer(
        {
            "url": objects.url,
            **found.to_plain(),
            "yaml": yaml,
        },
        lines,
    )


def _door(here: Here, tree: str) -> Door:
    slashed = tree if tree.endswith("/") else f"{tree}/"
    if not tree.startswith(S3):
        # An empty word with a slash behind it would be this whole machine.
        if not tree or not Path(tree).is_dir():
            raise UsageProblem(f"{tree!r} is no folder; name one, or s3://BUCKET/PREFIX/")
        return Door(slashed)
    from kirikae.aws.session import configured_region

    region = configured_region()
    if region is None:
        raise UsageProblem("which region? set AWS_REGION, or `eval $(kirikae local env)`")
    return Door(
        slashed,
        region,
        "",
        here.read_only,
    )


def _lines(
    url: str,
    found: Inferred,
    speech: Speech,
) -> list[str]:
    how = said("logs.layout.by_event")
    if found.layout.writes == "arrival":
        how = said("logs.layout.by_arrival", inside=found.inside, sampled=found.sampled)
    what = found.layout
    told = [
        said("logs.layout.tree", url=url, objects=found.objects),
        said(
            "logs.layout.format",
            format=what.format,
            timed=found.timed,
            lines=found.lines,
        ),
        said(
            "logs.layout.zone",
            template=what.prefix,
            zone=what.zone,
            how=how,
        ),
    ]
    if len(found.offsets) > 1:
        told.append(said("logs.layout.mixed", offsets=list(found.offsets)))
    if not what.has_time:
        told.append(said("logs.layout.no_time"))
    if len(found.zones) > 1:
        told.append(said("logs.layout.several_zones", zones=list(found.zones[1:])))
    told.append(said("logs.layout.write"))
    return [speech.say(each) for each in told]


def _yaml(url: str, found: Inferred) -> str:
    what = found.layout
    parts = [f'at: "{url}{what.prefix}"', f"zone: {what.zone}", f"grain: {what.grain}"]
    parts += [f"time: {what.writes}", f"format: {what.format}"]
    if not what.has_time:
        parts.append("has_time: false")
    return f"old: {{{', '.join(parts)}}}"
