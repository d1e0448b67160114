"""What is written for a service, and why: a pure function from the workload and the project file to
texts by path.

The same facts give the same bytes; nothing here asks the network, an engine or the clock.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kirikae.build import definitions, distributions, images, mounts
from kirikae.build.facts import Facts, facts_of
from kirikae.build.needs import Needs
from kirikae.build.outputs import files_of
from kirikae.build.secrets import SecretRow, left_out, rows_of
from kirikae.build.sizes import Size
from kirikae.model.project import Project
from kirikae.model.workload import Workload


@dataclass(frozen=True)
class Plan:
    """``files`` are texts by path (image files below ``build.folder``, definitions below
    ``fleets.new.definitions``)."""

    files: Mapping[str, str]
    size: Size
    notes: tuple[str, ...]
    base_key: str
    """SHA-256 over everything that the base storey is made from."""
    secrets: tuple[SecretRow, ...] = ()
    secrets_left: tuple[tuple[str, str], ...] = ()
    """Variables with a secret that no task is given, and why."""
    questions: tuple[str, ...] = ()
    """What of the plan itself must be answered before anything is written."""


def plan(
    workload: Workload,
    project: Project,
    of_others: Mapping[str, str] | None = None,
    needs: Needs | None = None,
) -> Plan:
    """All files of one service.  ``of_others``: texts for the image folder that other rooms make,
    such as the relay's; ``needs``: what they know of the infrastructure."""
    facts = facts_of(workload, project, needs)
    base = [images.base_dockerfile(workload, project), images.packages_file(workload)]
    questions = [question for one in workload.every for question in one.questions]
    notes = [*questions, *(note for note in _notes(facts) if note not in questions)]
    secrets = rows_of(workload, project, facts.environments, facts.waits)
    files = {**files_of(facts), **_below(project, of_others or {})}
    asked = [question for one in workload.every for question in mounts.questions_on(one, project)]
    if not questions:
        asked += masked_in(files)
    return Plan(
        files=dict(sorted(files.items())),
        size=facts.size,
        notes=tuple(dict.fromkeys(notes)),
        base_key=hashlib.sha256("".join(base).encode()).hexdigest(),
        secrets=tuple(secrets),
        secrets_left=tuple(left_out(workload, {row.name for row in secrets})),
        questions=tuple(dict.fromkeys(asked)),
    )


_MASKED = re.compile(r"(?:<|\\u003c)masked:", re.IGNORECASE)


def masked_in(files: Mapping[str, str]) -> Iterator[str]:
    """A mask is no value: no file may be written with one, wherever it came from."""
    for path, text in files.items():
        for number, line in enumerate(text.splitlines(), 1):
            if _MASKED.search(line):
                yield (
                    f"line {number} of {path} would hold a masked secret of the hosts as if it "
                    "were its value (CF12): give the service a value that is none there "
                    "(`build.environment` in kirikae.yml, or on the hosts), and survey again"
                )


def _below(project: Project, files: Mapping[str, str]) -> dict[str, str]:
    folder = project.build.folder.rstrip("/")
    return {f"{folder}/{name}": text for name, text in files.items()}


def _notes(facts: Facts) -> Iterator[str]:
    project = facts.project
    for one in facts.workload.every:
        yield from one.notes
        yield from definitions.notes_on(one, project, facts.environments[one.name])
        yield from mounts.notes_on(one, project.build)
        if one.uid == 0:
            yield f"{one.unit} runs as root, and so would its container (PR05): give it a user"
        if one.mails and "relay" not in project.build.sidecars:
            yield (
                f"{one.unit} hands mail to a server on its own host (ML01): write `relay` into "
                "`build.sidecars`, or let it speak to the relay of your mail provider"
            )
    if not project.build.subnets:
        yield (
            "no `build.subnets`: ECS makes no service without one; give those of the tasks, in two "
            "zones, and their `build.security_groups`"
        )
    yield from _of_the_front(facts)
    yield from distributions.notes_on(facts.workload, project.build)
    if project.build.terraform is not None and not project.build.security_groups:
        yield (
            "no `build.security_groups`: after `terraform apply` write what `terraform output "
            "security_group` says, or tasks get the network's default group"
        )


def _of_the_front(facts: Facts) -> Iterator[str]:
    """Folders that the web server serves and that no image has."""
    web = facts.workload.web
    others = {one.folder for one in facts.workload.others}
    mounted = facts.project.build.mounts
    for folder in web.elsewhere if web is not None else ():
        if not any(folder == each or folder.startswith(f"{each}/") for each in (*others, *mounted)):
            yield (
                f"nginx serves {folder}, which lies outside of the release (AS01): it is in no "
                "image; bring it into the release, or give it in `build.mounts`"
            )
