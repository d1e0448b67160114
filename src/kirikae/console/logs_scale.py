"""Where a backfill's workers are: on this machine, in a cluster of Dask, or as tasks of ECS."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kirikae import __version__
from kirikae.aws.light import LightAws
from kirikae.console.here import Answer, Here, would
from kirikae.console.logs_common import LogsDesk
from kirikae.hosts.files import write_durably
from kirikae.logs.on_ecs import Wanted, Workers, definitions
from kirikae.model.errors import UsageProblem

_ECS = "ecs:"
_MOST = 200
_DOCKERFILE = """\
# kirikae for the workers of `logs backfill --on`; build it beside the wheels of the same version:
#   pip wheel --wheel-dir wheels 'kirikae[logs,scale]=={version}' && docker build -t {image} .
ARG BASE=python:3.11-slim
FROM ${{BASE}}
COPY wheels/ /tmp/wheels/
RUN python3 -m venv /opt/kirikae \\
 && /opt/kirikae/bin/pip install --no-cache-dir --no-index --find-links /tmp/wheels \\
    'kirikae[logs,scale]=={version}' \\
 && rm -rf /tmp/wheels && useradd --uid 1000 --create-home kirikae
USER 1000:1000
WORKDIR /home/kirikae
"""


@dataclass(frozen=True, slots=True)
class Crew:
    """``address``: of Dask's scheduler; empty: this machine works."""

    address: str = ""
    keep_up: Callable[[], None] = lambda: None


@contextmanager
def elsewhere(desk: LogsDesk, on: str | None) -> Iterator[Crew]:
    """Tasks that were started for this run end with it.  Raises UsageProblem and what ECS says."""
    if on is None:
        yield Crew()
        return
    if not on.startswith(_ECS):
        yield Crew(on)
        return
    wanted = _wanted(desk)
    if not desk.place.old.in_s3:
        raise UsageProblem(f"--on {on}: tasks of ECS do not have the folders of this machine")
    workers = Workers(LightAws(desk.project.region), wanted, _count(on))
    try:
        yield Crew(workers.start(), workers.keep_up)
    finally:
        workers.stop()


def _count(on: str) -> int:
    text = on.removeprefix(_ECS)
    if not text.isdigit() or not 1 <= int(text) <= _MOST:
        raise UsageProblem(f"--on {on[:60]!r}: write ecs:N, N workers from 1 to {_MOST}")
    return int(text)


def written(
    here: Here,
    desk: LogsDesk,
    on: str | None,
    folder: Path,
    dry_run: bool,
) -> Answer:
    """The files of a run on ECS.  Nothing is overwritten by something else."""
    if on is None or not on.startswith(_ECS):
        raise UsageProblem("--write belongs to --on ecs:N")
    _count(on)
    wanted = _wanted(desk)
    files = {
        name: json.dumps(body, indent=2, ensure_ascii=False) + "\n"
        for name, body in definitions(wanted).items()
    }
    files["Dockerfile"] = _DOCKERFILE.format(image=wanted.image, version=__version__)
    names = [str(folder / name) for name in files]
    if dry_run:
        return would([f"would write {name}" for name in names], {"files": names})
    here.assert_may_change("logs backfill --write")
    _assert_nothing_else(folder, files)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        write_durably(folder / name, text)
    return Answer({"files": names}, [f"written: {name}" for name in names])


def _assert_nothing_else(folder: Path, files: dict[str, str]) -> None:
    """Raises UsageProblem."""
    for name, text in files.items():
        file = folder / name
        if file.exists() and file.read_text("utf-8") != text:
            raise UsageProblem(
                f"{file} is there and says something else; take it away, or name another folder"
            )


def _wanted(desk: LogsDesk) -> Wanted:
    scale = desk.settings.scale
    if scale is None:
        raise UsageProblem(
            f"--on ecs:N needs an image with kirikae[logs,scale]: write `scale: {{image: ...}}` "
            f"for the move {desk.name} in {desk.here.project_file}"
        )
    project = desk.project
    if not project.build.subnets:
        raise UsageProblem(
            "--on ecs:N needs the subnets that its tasks run in: write `build: {subnets: [...], "
            f"security_groups: [...]}}` in {desk.here.project_file}"
        )
    return Wanted(
        f"{project.service}-{project.environment}-{desk.name}-dask",
        project.fleets.new.cluster,
        project.region,
        scale.image,
        scale.cpu,
        scale.memory,
        project.build.subnets,
        project.build.security_groups,
        scale.execution_role,
        scale.task_role,
    )
