"""``kirikae iam``: the policy of one duty, as it can be pasted: each role gets what it calls and no
more."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import click

from kirikae.aws.session import Aws
from kirikae.console import policy
from kirikae.console.context import load_project
from kirikae.console.here import Answer, Here
from kirikae.console.options import JSON
from kirikae.console.progress import Progress
from kirikae.console.proofs import Sight
from kirikae.model.errors import UsageProblem
from kirikae.move.kind import Statement

_KINDS = {"jobs": ("jobs", "workers"), "logs": ("logs",)}
"""The kinds of move that a duty has to do with."""


def _survey(here: Here) -> list[Statement]:
    return policy.to_look()


def _deploy(here: Here) -> list[Statement]:
    project = load_project(here)
    if project.fleets.new.deployer is not None:
        raise UsageProblem(
            f"{here.project_file}: `deployer` of the new fleet is a command of yours: what it "
            "calls is not known here; ask its own documentation"
        )
    return policy.to_deploy(project)


def _run(here: Here) -> list[Statement]:
    return policy.to_run(load_project(here))


def _remove(here: Here) -> list[Statement]:
    return policy.to_remove(load_project(here))


def _drive(here: Here) -> list[Statement]:
    sight = _sight(here)
    return policy.to_drive(sight.project, sight.desks())


def _of_kind(duty: str) -> Callable[[Here], list[Statement]]:
    def made(here: Here) -> list[Statement]:
        sight = _sight(here)
        desks = [desk for desk in sight.desks() if desk.kind.name in _KINDS[duty]]
        if not desks:
            wanted = " or ".join(f"`kind: {name}`" for name in _KINDS[duty])
            raise UsageProblem(
                f"{here.project_file}: there is no move of {wanted}; write one, or ask for "
                "`kirikae iam drive`, which has all moves"
            )
        return policy.to_drive(sight.project, desks)

    return made


def _sight(here: Here) -> Sight:
    project = load_project(here)
    aws = Aws(project.region, read_only=True)
    return Sight(here, project, aws, "", Progress(live=False))


_DUTIES: Mapping[str, Callable[[Here], list[Statement]]] = {
    "survey": _survey,
    "drive": _drive,
    "deploy": _deploy,
    "run": _run,
    "remove": _remove,
    "jobs": _of_kind("jobs"),
    "logs": _of_kind("logs"),
}


@click.command()
@click.argument("duty", type=click.Choice(list(_DUTIES)))
@JSON
@click.pass_obj
def iam(here: Here, duty: str) -> Answer:
    """Print the IAM policy of one DUTY, to be pasted.

    survey looks and changes nothing; drive turns every move of the project; jobs and logs only the
    moves of those kinds; deploy puts releases onto the new fleet; run is for `ecs run`, remove for
    `ecs deregister` and `ecs delete`. The tasks' own roles are written by `build write`, `jobs
    write` and `move drive --definition`.
    """
    made = policy.document(_DUTIES[duty](here))
    return Answer({"policy": made}, json.dumps(made, indent=2).split("\n"))
