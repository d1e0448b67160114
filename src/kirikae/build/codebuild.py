"""Projects of CodeBuild as Terraform has them: what runs the buildspecs that are written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kirikae.build.ci import jobs_of
from kirikae.build.facts import Facts
from kirikae.build.hcl import label
from kirikae.model.project import Project

_IMAGES = {
    "x86_64": ("LINUX_CONTAINER", "aws/codebuild/amazonlinux-x86_64-standard:5.0"),
    "arm64": ("ARM_CONTAINER", "aws/codebuild/amazonlinux-aarch64-standard:3.0"),
}
"""CodeBuild user guide, "Docker images provided by CodeBuild"."""


@dataclass(frozen=True, slots=True)
class BuildProject:
    """``nightly``: the clock starts it; otherwise each commit."""

    label: str
    name: str
    says: str
    buildspec: str
    nightly: bool


def is_wanted(project: Project) -> bool:
    """Does the project file ask for CodeBuild?"""
    ci = project.build.ci
    return ci is not None and "codebuild" in ci.systems


def values(facts: Facts) -> Mapping[str, Any] | None:
    """For ``codebuild.tf``; None where nothing runs there."""
    project = facts.project
    ci = project.build.ci
    if ci is None or not is_wanted(project):
        return None
    machine, image = _IMAGES[project.build.architecture]
    return {
        "projects": list(projects_of(facts)),
        "branch": ci.branch,
        "location": f"https://github.com/{ci.repository}.git",
        "pattern": f"^refs/heads/{re.escape(ci.branch)}$",
        "machine": machine,
        "image": image,
        "zone": project.time_zone,
    }


def projects_of(facts: Facts) -> Iterator[BuildProject]:
    """One for each buildspec."""
    for job in jobs_of(facts):
        yield BuildProject(
            label=label(job.name),
            name=f"{facts.project.service}-{job.name}",
            says="The base storey, every night." if job.nightly else "Images, at each commit.",
            buildspec=f"buildspec-{job.name}.yml",
            nightly=job.nightly,
        )
