"""Let the user's own ecspresso put a release onto its service, and find out by ourselves how that
ended."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kirikae.aws import ecs
from kirikae.hosts.files import keep_private
from kirikae.release.ecs import config
from kirikae.release.ecs_fleet import EcsFleet
from kirikae.release.errors import DefinitionProblem, NoDeployer, NotFinished
from kirikae.release.fleet import Step
from kirikae.release.ledger import OpenEntry
from kirikae.release.way_back import Good

_LAST_LINES = 5
"""Of its output, in an error."""


@dataclass(frozen=True, slots=True)
class EcspressoFleet:
    """``ours`` knows the service and its files; ``command`` is ecspresso with its options.

    Going back is ours: ecspresso's own `rollback` takes the revision that was registered before,
    which may never have served.
    """

    ours: EcsFleet
    command: str

    @property
    def side(self) -> str:
        return self.ours.side

    def steps(self, release_id: str) -> list[Step]:
        """Raises NoDeployer, and what ``EcsFleet`` raises: it is the same files."""
        words = self._words()
        self.ours.steps(release_id)
        return [Step(f"run `{shlex.join(words)}`, then wait for ECS", "ecspresso deploy")]

    def running(self) -> dict[str, str]:
        return self.ours.running()

    def deploy(self, release_id: str, entry: OpenEntry) -> str:
        """Raises RolledBack, NotFinished."""
        words = self._words()
        variables = self.ours.values(release_id)
        before = _primary(self._service())
        entry.assert_ours()
        log = self.ours.releases.log_file(release_id, "ecspresso")
        self._run(
            words,
            variables,
            log,
        )
        row = self._service()
        now = _primary(row)
        if now is None or row is None:
            raise NotFinished(
                f"ecspresso is done, and there is no service {self._name}{_kept(log)}"
            )
        if before is not None and now["id"] == before["id"]:
            raise NotFinished(
                f"ecspresso is done, and ECS has begun no deployment of {self._name}: the service "
                f"is as it was{_kept(log)}"
            )
        arn = str(now["taskDefinition"])
        entry.note(detail=arn)
        former = entry.now.previous.get("service", "")
        self.ours.wait_for(row, former)
        return arn

    def assert_can_go_back(self, target: Good) -> None:
        self.ours.assert_can_go_back(target)

    def put_back(self, target: Good, entry: OpenEntry) -> str:
        return self.ours.put_back(target, entry)

    @property
    def _name(self) -> str:
        return self.ours.place.ecs_service

    def _service(self) -> dict[str, Any] | None:
        place = self.ours.place
        return ecs.service(
            self.ours.aws,
            place.cluster,
            place.ecs_service,
        )

    def _words(self) -> list[str]:
        """The command line.  Raises NoDeployer, DefinitionProblem."""
        file = config.found_in(self.ours.folder)
        if file is None:
            raise DefinitionProblem(
                f"{self.ours.folder}: ecspresso needs its configuration there ({config.NAME})"
            )
        try:
            own = shlex.split(self.command)
        except ValueError as error:
            raise NoDeployer(f"`fleets.new.deployer.ecspresso`: {error}") from error
        self._binary(own[0])
        # It would wait for whichever deployment is the newest, and end with 1 in every case.
        return [*own, "deploy", "--config", file.name, "--no-wait"]

    def _binary(self, word: str) -> str:
        """Where it is, whichever folder it runs in.  Raises NoDeployer."""
        found = shutil.which(word, path=self.ours.environment.get("PATH", os.defpath))
        if found is None:
            raise NoDeployer(
                f"{word} is not found in PATH; install ecspresso, or correct "
                "`fleets.new.deployer.ecspresso`"
            )
        return str(Path(found).absolute())

    def _run(
        self,
        words: Sequence[str],
        variables: Mapping[str, str],
        log: Path,
    ) -> None:
        """Its output is kept and told.  Raises NotFinished."""
        keep_private(log.parent)
        private = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        begins = log.stat().st_size
        try:
            done = subprocess.run(
                list(words),
                executable=self._binary(words[0]),
                env=dict(variables),
                cwd=self.ours.folder,
                stdin=subprocess.DEVNULL,
                stdout=private,
                stderr=private,
                timeout=self.ours.timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise NotFinished(
                f"ecspresso did not end within {self.ours.timeout_s:.0f} s{_kept(log)}"
            ) from error
        except OSError as error:
            raise NotFinished(f"{words[0]}: {error.strerror}") from error
        finally:
            os.close(private)
        for line in _lines(log, begins):
            self.ours.tell(line)
        if done.returncode:
            raise NotFinished(f"ecspresso ended with exit code {done.returncode}{_kept(log)}")


def _primary(row: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    rows = [] if row is None else row["deployments"]
    return rows[0] if rows else None


def _lines(log: Path, begins: int = 0) -> list[str]:
    with log.open("rb") as opened:
        opened.seek(begins)
        return opened.read().decode(errors="replace").splitlines()


def _kept(log: Path) -> str:
    """The last lines and where all of them are, as the end of a sentence."""
    last = " | ".join(_lines(log)[-_LAST_LINES:])
    said = f"; it said last: {last}" if last else ""
    return f"{said} (all of it: {log})"
