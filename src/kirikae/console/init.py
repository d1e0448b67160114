"""``kirikae init``: see what is there, and write the first project file."""

from __future__ import annotations

from pathlib import Path

import click

from kirikae.aws.session import Aws, configured_region
from kirikae.console import kinds
from kirikae.console.first_file import FirstFile, Names, first_file, service_name
from kirikae.console.first_look import Wanted, look_around
from kirikae.console.here import DRY_RUN, Answer, Here
from kirikae.console.options import DRY, JSON, LANG
from kirikae.console.progress import Progress
from kirikae.console.speech import Speech
from kirikae.console.surveyed import today
from kirikae.hosts.files import create_durably
from kirikae.model.errors import Exit, UsageProblem
from kirikae.model.said import said

_READABLE = 0o644


def _region(asked: str | None, balancer: str | None) -> str:
    """As it was asked for, as the load balancer's ARN says, or as the environment says."""
    if asked:
        return asked
    if balancer is not None and balancer.startswith("arn:"):
        parts = balancer.split(":")
        if len(parts) > 3 and parts[3]:
            return parts[3]
    found = configured_region()
    if found is None:
        raise UsageProblem("no region is known here; say --region NAME, or set AWS_REGION")
    return found


def _written(path: Path, made: FirstFile, speech: Speech) -> Answer:
    """Never over a file that is there, whoever wrote it meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not create_durably(path, made.text, _READABLE):
        return _is_there(path, speech)
    told = said("console.init.wrote", file=str(path), n=len(made.questions))
    lines = [speech.say(told), speech.say(said("console.init.next"))]
    return Answer({"file": str(path), **made.to_plain(speech)}, lines)


def _is_there(path: Path, speech: Speech) -> Answer:
    message = speech.say(said("console.init.is_there", file=str(path)))
    return Answer({"message": message}, (), Exit.REFUSED, "", (message,))


@click.command()
@click.option("--load-balancer", "balancer", help="Its name or ARN (default: the only one).")
@click.option("--rule", help="The rule's tag Name or ARN (default: the only one that forwards).")
@click.option(
    "--host",
    "hosts",
    multiple=True,
    help="ssh://name of an old host, several times (default: those that EC2 knows).",
)
@click.option("--service", help="What kirikae shall call it (default: like the load balancer).")
@click.option("--environment", default="production", show_default=True, help="Such as staging.")
@click.option("--region", help="Default: that of the environment or profile.")
@LANG
@JSON
@DRY
@click.pass_obj
def init(
    here: Here,
    balancer: str | None,
    rule: str | None,
    hosts: tuple[str, ...],
    service: str | None,
    environment: str,
    region: str | None,
    lang: str | None,
    dry_run: bool,
) -> Answer:
    """Look at a load balancer and its hosts, and write a first kirikae.yml.

    Only reading calls are sent. What cannot be seen stands in the file as a question, `# ?`; a file
    that is there is never written over.
    """
    here.assert_may_change("init", dry_run)
    speech = Speech(here.language(lang))
    path = Path(here.project_file)
    if path.exists() and not dry_run:
        return _is_there(path, speech)
    at = _region(region, balancer)
    seen = look_around(Aws(at, read_only=True), at, Wanted(balancer, rule, hosts), Progress())
    names = Names(service_name(seen, service), environment, today().isoformat())
    made = first_file(seen, names, speech)
    # What is written must be what every other verb can read.
    kinds.read_project(made.text, str(path))
    if dry_run:
        return Answer(made.to_plain(speech), made.text.rstrip("\n").split("\n"), outcome=DRY_RUN)
    return _written(path, made, speech)
