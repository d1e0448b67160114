"""A project file with a move of logs between two folders, and everything that its verbs need."""

from __future__ import annotations

import time
from functools import cached_property
from pathlib import Path
from typing import Any

from kirikae.console import kinds
from kirikae.logs.thing import LogsThing
from kirikae.move.journal import Journal
from kirikae.move.kind import Bench
from kirikae.move.sqlite_store import SqliteStore
from tests.command import Ran, run
from tests.logs_world import LogsWorld

PROJECT = """\
service: shop
environment: test
account: "123456789012"
fleets:
  old: {target_group: a, hosts: ["ssh://web1"]}
  new: {cluster: c, ecs_service: b, target_group: b}
moves:
  web:
    kind: logs
    old: {at: "old/%Y/%m/%d/", zone: Asia/Tokyo, grain: day, writer: fluentd}
    new: {at: "new/%Y/%m/%d/%H/"}
    readers: {file: views/access.sql, view: access, old: access_old, new: access_new}
    bake: 0s
    advance: auto
"""


class LogsPlace(LogsWorld):
    """The folder of the project file holds both trees."""

    def __init__(self, folder: Path, more: str = "") -> None:
        super().__init__(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "kirikae.yml").write_text(PROJECT + more)

    def run(self, *words: str) -> Ran:
        return run("--project", str(self.folder / "kirikae.yml"), *words)

    def json(self, *words: str) -> Any:
        return self.run(*words, "--json").json

    @cached_property
    def journal(self) -> Journal:
        return Journal(SqliteStore(self.folder / "state.db"), "test", "shop", "me", "here")

    @cached_property
    def thing(self) -> LogsThing:
        project = kinds.read_project((self.folder / "kirikae.yml").read_text(), "kirikae.yml")
        settings = project.moves["web"]
        bench = Bench("web", project, None, self.journal, time.time, self.folder)
        thing = kinds.kind_of(settings).open(settings, bench)
        assert isinstance(thing, LogsThing)
        return thing

    def backfill_and_verify(self) -> None:
        assert self.run("logs", "backfill", "web").exit_code == 0
        assert self.run("logs", "verify", "web").exit_code == 0
