"""What the verbs need together: project file, AWS, identity, journal, mover."""

from __future__ import annotations

import getpass
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from kirikae.aws.session import Aws
from kirikae.console.here import Here
from kirikae.model.errors import AwsUnreachable, UsageProblem
from kirikae.model.project import Project, TrafficMove, project_from
from kirikae.model.store import Store
from kirikae.move.engine import Engine
from kirikae.move.journal import Journal
from kirikae.move.lease import Lease
from kirikae.move.sqlite_store import SqliteStore
from kirikae.traffic.mover import TrafficMover


def load_project(here: Here) -> Project:
    """Raises UsageProblem, ProjectProblem."""
    path = Path(here.project_file)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageProblem(
            f"{path}: {error.strerror}; name the project file with --project FILE"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageProblem(
            f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from error
    return project_from(text, str(path))


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything at hand for one move."""

    project: Project
    settings: TrafficMove
    aws: Aws
    store: Store
    journal: Journal
    mover: TrafficMover
    lease: Lease
    engine: Engine
    who: str


def open_aws(here: Here, project: Project) -> tuple[Aws, str]:
    """AWS and who we are there.  Raises WrongAccount."""
    aws = Aws(project.region, here.read_only)
    return aws, aws.identity(project.account)


def open_store(here: Here, project: Project, aws: Aws | None = None) -> Store:
    """The journal's store: a file, or a bucket of the project's own account."""
    if project.store.startswith("s3://"):
        from kirikae.aws.s3_store import store_at

        return store_at(aws or Aws(project.region, here.read_only), project.store, project.account)
    return SqliteStore(here.folder / project.store)


def move_of(here: Here, project: Project, name: str) -> TrafficMove:
    """The settings of a move of the project file.  Raises UsageProblem."""
    if name not in project.moves:
        raise UsageProblem(
            f"{here.project_file} has no move {name!r}; it has: "
            f"{', '.join(project.moves) or 'none'}"
        )
    return project.moves[name]


def open_desk(here: Here, name: str, anyone: bool = False) -> Desk:
    """``anyone``: go on under the local user's name when AWS does not say who we are (the red
    button must work)."""
    project = load_project(here)
    settings = move_of(here, project, name)
    aws = Aws(project.region, here.read_only)
    try:
        who = aws.identity(project.account)
    except AwsUnreachable:
        if not anyone:
            raise
        who = f"local user {getpass.getuser()}"
    store = open_store(here, project, aws)
    journal = Journal(
        store,
        project.environment,
        project.service,
        who,
        socket.gethostname(),
        requests=aws.take_request_ids,
    )
    mover = TrafficMover(aws, project, settings, journal)
    lease = Lease(store, f"{project.environment}/{project.service}/{name}")
    calendar = project.calendar_of(name)
    engine = Engine(
        journal,
        mover,
        lease,
        settings.advance == "ask",
        settings.approver == "another",
        lambda: calendar.closed(time.time()),
    )
    return Desk(project, settings, aws, store, journal, mover, lease, engine, who)
