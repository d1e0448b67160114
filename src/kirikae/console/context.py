"""What the verbs need together: project file, AWS, identity, journal, and the thing that moves."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kirikae.aws.session import Aws
from kirikae.console import kinds
from kirikae.console.here import Here
from kirikae.model.calendar import Calendar
from kirikae.model.errors import StoreBroken, UsageProblem
from kirikae.model.move import Move
from kirikae.model.project import MoveSettings, Project
from kirikae.model.project_overlay import Overlaid, environments_in, is_overlay, overlaid
from kirikae.model.project_yaml import MOST_BYTES, Source, assert_size, source_of
from kirikae.model.store import Store
from kirikae.model.texts import text_from
from kirikae.move.driver import Driver
from kirikae.move.engine import Engine, Rules
from kirikae.move.errors import AnotherSubject, UnknownMove
from kirikae.move.journal import Journal
from kirikae.move.kind import Bench, Kind, Thing
from kirikae.move.late import Patience
from kirikae.move.lease import Lease
from kirikae.move.sqlite_store import SqliteStore

STORE_PATIENCE_S = 30.0
"""How long another process may hold the journal's file locked."""


def load_project(here: Here) -> Project:
    """Raises UsageProblem, ProjectProblem."""
    return kinds.read_source(project_source(here))


def project_source(here: Here, read: Callable[[Path], Source] | None = None) -> Source | Overlaid:
    """The project file as it is written; a file of one environment with what it lies over.

    Raises UsageProblem, ProjectProblem.
    """
    path = Path(here.project_file)
    reading = read or _source
    found = reading(path)
    if not is_overlay(found):
        return found
    for base, environment in environments_in(path):
        if Path(base).is_file():
            return overlaid(reading(Path(base)), found, environment)
    return found


def files_of(here: Here) -> list[Path]:
    """What the project is read from: its file, and the one that it may lie over, there or not."""
    path = Path(here.project_file)
    return [path, *(Path(base) for base, _ in environments_in(path))]


def as_written(here: Here) -> tuple[tuple[int, int] | None, ...]:
    """Another value whenever one of these files was changed, came or went."""
    return tuple(_stamp(path) for path in files_of(here))


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _source(path: Path) -> Source:
    return source_of(text_from(read_bytes(path), str(path)), str(path))


def read_bytes(path: Path) -> bytes:
    """Of a project file; not more than one can have.  Raises UsageProblem, ProjectProblem."""
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UsageProblem(
            f"{path}: {why}; name the project file with --project FILE, "
            "or write a first one with `kirikae init`"
        ) from error
    assert_size(len(raw), str(path))
    return raw


def open_aws(here: Here, project: Project) -> tuple[Aws, str]:
    """AWS and who we are there.  Raises WrongAccount."""
    aws = Aws(project.region, here.read_only)
    return aws, here.signed(aws.identity(project.account))


def open_store(
    here: Here,
    project: Project,
    aws: Aws | None = None,
    patience_s: float = STORE_PATIENCE_S,
) -> Store:
    """The journal's store: a file, or a bucket of the project's own account.

    Raises StoreBroken for a file of another machine: one that is not there looks like no move.
    """
    if project.store.startswith("s3://"):
        from kirikae.aws.s3_store import store_at

        session = aws or Aws(project.region, here.read_only)
        return store_at(session, project.store, project.account)
    if here.copied_from:
        raise StoreBroken(
            f"{here.copied_from}: its journal, {project.store}, is a file on the machine that "
            "moves it and cannot be seen from here; `store: s3://BUCKET/PREFIX` can"
        )
    return SqliteStore(here.folder / project.store, patience_s)


def move_of(here: Here, project: Project, name: str) -> MoveSettings:
    """The settings of a move of the project file.  Raises UsageProblem."""
    if name not in project.moves:
        known = ", ".join(project.moves) or "none"
        raise UsageProblem(f"{here.project_file} has no move {name!r}; it has: {known}")
    return project.moves[name]


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything at hand for one move."""

    name: str
    project: Project
    settings: MoveSettings
    kind: Kind[Any]
    bench: Bench
    aws: Aws
    store: Store
    journal: Journal
    thing: Thing
    lease: Lease
    calendar: Calendar
    who: str

    @property
    def driver(self) -> Driver:
        return Driver(self.engine, self.journal, self.lease, self.name, self.thing.look_every_s)

    @property
    def engine(self) -> Engine:
        rules = Rules(
            ask=self.settings.advance == "ask",
            by_another=self.settings.approver == "another",
            closed=lambda: self.calendar.closed(self.aws.now()),
        )
        patience = Patience(clock=self.aws.now)
        return Engine(self.journal, self.thing, self.lease, rules, patience)

    def read(self) -> Move | None:
        """The move as the journal has it; None: it was never planned."""
        try:
            return self.journal.read(self.name)
        except UnknownMove:
            return None

    def assert_same_subject(self, move: Move | None) -> None:
        """A project file that was changed under a move that is under way must not move another
        thing.  Raises AnotherSubject."""
        if move is None or move.over or not move.subject or move.subject == self.thing.subject:
            return
        raise AnotherSubject(
            f"{self.name} began with {move.subject!r}, but the project file now says "
            f"{self.thing.subject!r}; put the former names back, or end it first: "
            f"`kirikae back-out {self.name}`, then `kirikae move abandon {self.name}`"
        )


def open_desk(here: Here, name: str, clock: Callable[[], float] | None = None) -> Desk:
    """``clock``: by default AWS's own, as far as it is known."""
    project = load_project(here)
    move_of(here, project, name)
    aws, who = open_aws(here, project)
    return desk_of(here, project, name, aws, who, clock=clock)


def desk_of(
    here: Here,
    project: Project,
    name: str,
    aws: Aws,
    who: str,
    store_patience_s: float = STORE_PATIENCE_S,
    clock: Callable[[], float] | None = None,
) -> Desk:
    """Nothing is asked yet, neither AWS nor the store."""
    settings = move_of(here, project, name)
    store = open_store(here, project, aws, store_patience_s)
    now = clock or aws.now
    journal = Journal(
        store,
        project.environment,
        project.service,
        who,
        socket.gethostname(),
        now,
        requests=aws.take_request_ids,
    )
    kind = kinds.kind_of(settings)
    bench = Bench(name, project, aws, journal, now, here.folder)
    return Desk(
        name,
        project,
        settings,
        kind,
        bench,
        aws,
        store,
        journal,
        kind.open(settings, bench),
        Lease(store, f"{project.environment}/{project.service}/{name}"),
        project.calendar_of(name),
        who,
    )
