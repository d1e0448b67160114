"""Programs of the user's around a deploy: ``hooks/pre-deploy``, ``migrate`` and ``post-deploy``
beside the project file, those that are there."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kirikae.release.errors import HookFailed, NotFinished

FOLDER = "hooks"
PRE_DEPLOY = "pre-deploy"
MIGRATE = "migrate"
POST_DEPLOY = "post-deploy"
_STDERR = 2


@dataclass(frozen=True, slots=True)
class Hooks:
    """``folder`` is the project file's; ``about`` is what every hook is told of the deploy."""

    folder: Path
    environment: Mapping[str, str]
    timeout_s: float
    about: Mapping[str, str]

    def file(self, name: str) -> Path | None:
        """None: there is none, or it is not meant to run."""
        path = self.folder / FOLDER / name
        return path if path.is_file() and os.access(path, os.X_OK) else None

    @property
    def there(self) -> list[str]:
        return [name for name in (PRE_DEPLOY, MIGRATE, POST_DEPLOY) if self.file(name)]

    def before(self) -> None:
        """Raises HookFailed: nothing was changed yet."""
        why = self._run(PRE_DEPLOY, {})
        if why:
            raise HookFailed(f"{why}; nothing was changed")

    def migrate(self, level: int | None, target: int) -> None:
        """Raises HookFailed where there is none, NotFinished where it did not end well."""
        if self.file(MIGRATE) is None:
            raise HookFailed(
                f"the release brings the database to schema {target}, and there is no program "
                f"{FOLDER}/{MIGRATE} that does it; nothing was changed"
            )
        known = {} if level is None else {"KIRIKAE_SCHEMA_FROM": str(level)}
        why = self._run(MIGRATE, {**known, "KIRIKAE_SCHEMA_TO": str(target)})
        if why:
            raise NotFinished(f"{why}; what it did before is not known, no fleet was changed")

    def after(self, outcome: str) -> str:
        """Why it failed; empty: it did not.  The deploy is over, whatever it says."""
        return self._run(POST_DEPLOY, {"KIRIKAE_OUTCOME": outcome})

    def _run(self, name: str, more: Mapping[str, str]) -> str:
        path = self.file(name)
        if path is None:
            return ""
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        environment = {
            **self.environment,
            **self.about,
            "KIRIKAE_RECORDED_AT": at,
            **more,
        }
        try:
            done = subprocess.run(
                [str(path)],
                cwd=self.folder,
                env=environment,
                stdout=_STDERR,
                timeout=self.timeout_s,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"the hook {name} could not be carried out: {error}"
        return f"the hook {name} ended with {done.returncode}" if done.returncode else ""
