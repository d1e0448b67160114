"""Where a project keeps what is not in its store."""

from __future__ import annotations

from pathlib import Path

from kirikae.console.here import Here
from kirikae.model.project import Project


def state_folder(here: Here, project: Project) -> Path:
    """Where bundles, keys and archives lie: beside the store's file; ``.kirikae`` for a bucket."""
    beside = (here.folder / project.store).parent
    if not project.store.startswith("s3://") or beside.is_dir():
        # Former versions took a bucket's name for a folder; what they kept there is found again.
        return beside
    return here.folder / ".kirikae"
