"""What kirikae local knows, in one SQLite file with one owner: rows of JSON, written before any
effect.

Rows are read from memory and written through.  A row is never changed in place: whoever changes
something puts a new one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

from kirikae.local import rows
from kirikae.local.errors import LocalError

FORMAT = 2
"""Of the rows; a change that older rows do not have raises it."""

_SCHEMA = """
create table if not exists thing (
    kind text, id text, body text not null, primary key (kind, id)
) strict, without rowid;
create table if not exists figure (
    subject text, second integer, body text not null, primary key (subject, second)
) strict, without rowid;
"""
_KNOWN_FORMAT = "select body from thing where kind = 'meta' and id = 'format'"
_FIGURES = (
    "select second, body from figure where subject = ? and second >= ? and second < ? "
    "order by second"
)

Row = TypeVar("Row", bound=Mapping[str, object])
Snapshot = Mapping[str, Mapping[str, Any]]
"""Kind -> key -> row."""


class Table(Generic[Row]):
    """All rows of one kind, by key."""

    def __init__(self, state: State, kind: str) -> None:
        """``kind`` names the rows in the file; another name would lose those that are there."""
        self._state = state
        self.kind = kind

    def get(self, key: str) -> Row | None:
        """None where there is no such row."""
        row: Row | None = self._state.row(self.kind, key)
        return row

    def __getitem__(self, key: str) -> Row:
        """Raises KeyError where there is no such row."""
        if (row := self.get(key)) is None:
            raise KeyError(key)
        return row

    def all(self) -> list[Row]:
        """A list of its own: rows may be put and dropped while somebody walks over it."""
        return list(self._rows().values())

    def names(self) -> list[str]:
        """A list of its own, as ``all``."""
        return list(self._rows())

    def put(self, key: str, row: Row) -> Row:
        """Raises LocalError where the disk is full; then nothing has changed."""
        self._state.write(self.kind, key, row)
        return row

    def drop(self, key: str) -> None:
        """One that is not there is no error.  Raises LocalError where the disk cannot be
        written."""
        self._state.erase(self.kind, key)

    def drop_where(self, gone: Callable[[Row], bool]) -> None:
        """Drop every row for which ``gone`` says so."""
        for key in [key for key, row in self._rows().items() if gone(row)]:
            self.drop(key)

    def _rows(self) -> Mapping[str, Row]:
        """Key -> row, live."""
        return self._state.of_kind(self.kind)


class State:
    """WAL is safe here because exactly one process owns the file (the directory is locked)."""

    def __init__(self, path: Path) -> None:
        """Reads all rows into memory.  Raises LocalError for rows of another format."""
        self._path = path
        self._db = _opened(path)
        self._rows: dict[str, dict[str, Any]] = {}
        self._lay_out()
        for kind, key, body in self._db.execute("select kind, id, body from thing"):
            self._rows.setdefault(kind, {})[key] = json.loads(body)
        if self.marks.get("format") is None:
            self.marks.put("format", {"is": FORMAT})

    def _lay_out(self) -> None:
        """One table for each kind of row."""
        self.marks: Table[rows.Mark] = Table(self, "meta")
        self.clusters: Table[rows.Cluster] = Table(self, "cluster")
        self.instances: Table[rows.Instance] = Table(self, "instance")
        self.providers: Table[rows.Provider] = Table(self, "provider")
        self.task_sets: Table[rows.TaskSet] = Table(self, "taskset")
        self.settings: Table[rows.Setting] = Table(self, "setting")
        self.tokens: Table[rows.Token] = Table(self, "token")
        self.tags: Table[rows.Tags] = Table(self, "tags")
        self.definitions: Table[rows.Definition] = Table(self, "definition")
        self.tasks: Table[rows.Task] = Table(self, "task")
        self.pauses: Table[rows.Pause] = Table(self, "pause")
        self.delivered: Table[rows.Delivered] = Table(self, "delivered")
        self.services: Table[rows.Service] = Table(self, "service")
        self.revisions: Table[rows.Revision] = Table(self, "revision")
        self.service_deployments: Table[rows.ServiceDeployment] = Table(self, "servicedeployment")
        self.balancers: Table[rows.Balancer] = Table(self, "balancer")
        self.groups: Table[rows.Group] = Table(self, "group")
        self.listeners: Table[rows.Listener] = Table(self, "listener")
        self.rules: Table[rows.Rule] = Table(self, "rule")
        self.targets: Table[rows.Target] = Table(self, "target")

    @property
    def whole(self) -> State:
        """All that is known, whatever region it is of."""
        return self

    # --- what the tables are made of

    def row(self, kind: str, key: str) -> Any:
        """One row; None where there is none."""
        return self._rows.get(kind, {}).get(key)

    def of_kind(self, kind: str) -> Mapping[str, Any]:
        """Key -> row, live; nobody outside changes it."""
        return self._rows.get(kind, {})

    def write(
        self,
        kind: str,
        key: str,
        row: Mapping[str, object],
    ) -> None:
        """The file first, then memory: where the file cannot be written, nothing has changed."""
        self._write("insert or replace into thing values (?, ?, ?)", kind, key, json.dumps(row))
        self._rows.setdefault(kind, {})[key] = row

    def erase(self, kind: str, key: str) -> None:
        """The file first, then memory."""
        self._write("delete from thing where kind = ? and id = ?", kind, key)
        self._rows.get(kind, {}).pop(key, None)

    def _write(self, statement: str, *values: object) -> None:
        """Raises LocalError where the file cannot be written; whoever asked is told, and may try
        again."""
        try:
            self._db.execute(statement, values)
        except sqlite3.OperationalError as error:
            raise LocalError(
                f"{self._path} cannot be written: {error}; free some disk space, then it "
                "goes on by itself"
            ) from error

    # --- many writes at once

    @contextmanager
    def together(self) -> Iterator[None]:
        """All writes inside are one transaction, also with others inside of it.  Do not await
        inside."""
        if self._db.in_transaction:
            yield
            return
        self._write("begin immediate")
        before = {kind: dict(known) for kind, known in self._rows.items()}
        try:
            yield
            self._write("commit")
        except BaseException:
            # SQLite itself has rolled back where the disk is full.
            with suppress(sqlite3.OperationalError):
                self._db.execute("rollback")
            self._rows = before
            raise

    def snapshot(self, *tables: Table[Any]) -> Snapshot:
        """These tables as they are now, for ``restore``."""
        return {table.kind: dict(self.of_kind(table.kind)) for table in tables}

    def restore(self, snapshot: Snapshot) -> None:
        """Put every row of the snapshot's kinds back as it was."""
        with self.together():
            for kind, known in snapshot.items():
                for key in self.of_kind(kind).keys() - known.keys():
                    self.erase(kind, key)
                for key, row in known.items():
                    if self.of_kind(kind).get(key) != row:
                        self.write(kind, key, row)

    # --- figures

    def put_figure(
        self,
        subject: str,
        second: int,
        body: Mapping[str, object],
    ) -> None:
        """One second (or minute) of a subject; a former one of the same moment is replaced."""
        self._write(
            "insert or replace into figure values (?, ?, ?)", subject, second, json.dumps(body)
        )

    def counted(
        self,
        subject: str,
        since: int,
        until: int,
    ) -> list[tuple[int, rows.Counted]]:
        """Of ``since <= second < until``, oldest first."""
        return [
            (
                second,
                {
                    "counts": body["counts"],
                    "times": _by_number(body["times"]),
                },
            )
            for second, body in self._figures(subject, since, until)
            if "counts" in body
        ]

    def gauged(
        self,
        subject: str,
        since: int,
        until: int,
    ) -> list[tuple[int, rows.Gauge]]:
        """Of ``since <= second < until``, oldest first."""
        return self._figures(subject, since, until)

    def _figures(
        self,
        subject: str,
        since: int,
        until: int,
    ) -> list[tuple[int, Any]]:
        """Of ``since <= second < until``, oldest first."""
        found = self._db.execute(_FIGURES, (subject, since, until))
        return [(second, json.loads(body)) for second, body in found]

    def figure_subjects(self) -> list[str]:
        """Everything of which there are figures."""
        found = self._db.execute("select distinct subject from figure order by subject")
        return [subject for (subject,) in found]

    def forget_figures(self, before: int) -> None:
        """Drop those of before this second."""
        self._db.execute("delete from figure where second < ?", (before,))

    def forget_all(self) -> None:
        """Every row but what we remember of ourselves and of what runs: the format, the last event
        heard, pause containers."""
        with self.together():
            for kind in self._rows.keys() - {self.marks.kind, self.pauses.kind}:
                for key in list(self.of_kind(kind)):
                    self.erase(kind, key)
            self._write("delete from figure")

    def close(self) -> None:
        """What was put is in the file already."""
        self._db.close()


_ARN_KEYED = frozenset(
    (
        "cluster",
        "instance",
        "provider",
        "taskset",
        "tags",
        "definition",
        "service",
        "revision",
        "servicedeployment",
        "listener",
        "rule",
        "alarm",
        "alarmhistory",
        "scalabletarget",
        "scalingpolicy",
        "scheduledaction",
        "scalingactivities",
    )
)
"""Kinds of rows that stand under their ARNs."""
_ARN_MEMBER = {
    "task": "taskArn",
    "balancer": "arn",
    "group": "arn",
}
"""Where the ARN stands in rows that are found by something else."""
_BY_REGION = frozenset(("setting", "token"))
"""Kinds of rows whose keys say nothing of a region."""


class Within(State):
    """What one region sees of it: rows of others are not there.

    The instance's own region finds settings and tokens under their plain keys, others under theirs
    with the region before it.
    """

    def __init__(
        self,
        whole: State,
        region: str,
        home: str,
    ) -> None:
        """Reads and writes the whole one; nothing is kept here."""
        self._whole = whole
        self._path = whole._path
        self._db = whole._db
        self._region = region
        self._begin = "" if region == home else f"{region}|"
        self._lay_out()

    @property
    def whole(self) -> State:
        """All regions."""
        return self._whole

    def _is_here(self, kind: str, key: str, row: Mapping[str, Any]) -> bool:
        """Is this row of our region?"""
        if kind in _BY_REGION:
            own = key.partition("/")[0].rpartition("|")
            return f"{own[0]}{own[1]}" == self._begin
        if kind in _ARN_KEYED:
            return self._is_of_region(key)
        return kind not in _ARN_MEMBER or self._is_of_region(row[_ARN_MEMBER[kind]])

    def _is_of_region(self, arn: str) -> bool:
        """Does the ARN say our region?"""
        return arn.split(":", 4)[3] == self._region

    def _key(self, kind: str, key: str) -> str:
        """Under which key it stands in the whole."""
        return self._begin + key if kind in _BY_REGION else key

    def row(self, kind: str, key: str) -> Any:
        """None also for one of another region."""
        key = self._key(kind, key)
        row = self._whole.row(kind, key)
        return row if row is not None and self._is_here(kind, key, row) else None

    def of_kind(self, kind: str) -> Mapping[str, Any]:
        """Those of our region, by the keys that are known here."""
        begin = self._begin if kind in _BY_REGION else ""
        return {
            key.removeprefix(begin): row
            for key, row in self._whole.of_kind(kind).items()
            if self._is_here(kind, key, row)
        }

    def write(
        self,
        kind: str,
        key: str,
        row: Mapping[str, object],
    ) -> None:
        """Into the whole."""
        self._whole.write(kind, self._key(kind, key), row)

    def erase(self, kind: str, key: str) -> None:
        """From the whole."""
        self._whole.erase(kind, self._key(kind, key))

    @contextmanager
    def together(self) -> Iterator[None]:
        """One transaction of the whole."""
        with self._whole.together():
            yield


def _opened(path: Path) -> sqlite3.Connection:
    """The file of this format.  Raises LocalError for rows of another one."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("pragma journal_mode=wal")
    database.execute("pragma synchronous=normal")
    database.executescript(_SCHEMA)
    told = database.execute(_KNOWN_FORMAT).fetchone()
    is_new = database.execute("select 1 from thing").fetchone() is None
    if is_new or (told is not None and json.loads(told[0])["is"] == FORMAT):
        return database
    raise LocalError(
        f"{path} was written by another version of kirikae; run `kirikae local down`, "
        "then `kirikae local up`"
    )


def _by_number(times: Mapping[str, int]) -> dict[int, int]:
    """JSON makes texts of keys; these are milliseconds."""
    return {int(ms): count for ms, count in times.items()}
