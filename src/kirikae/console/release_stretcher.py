"""``kirikae release create --stretcher``: a release of an archive that stretcher would fetch."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from kirikae.aws.session import Aws
from kirikae.console.context import load_project
from kirikae.console.here import Answer, Here
from kirikae.console.release import created
from kirikae.release.manifest import About
from kirikae.release.stretcher import Stretcher, fetched


def created_from(
    here: Here,
    release_id: str | None,
    url: str,
    dry_run: bool,
    about: About,
) -> Answer:
    """As ``created``; also what of the manifest a deploy would not do."""
    project = load_project(here)

    def aws() -> Aws:
        return Aws(project.region, here.read_only)

    text = fetched(url, aws).decode(errors="replace")
    manifest = Stretcher.read(text, url, here.environment)
    with tempfile.TemporaryDirectory(prefix="kirikae-") as name:
        folder = Path(name)
        manifest.unpack(folder, aws)
        answer = created(here, release_id, folder, dry_run, about)
    told = {**answer.plain, "stretcher": manifest.to_plain()}
    remarks = list(manifest.remarks(project.fleets.old.deployer))
    return replace(answer, plain=told, lines=[*answer.lines, *remarks])
