"""Workflows of CI systems: the base storey every night, images at each commit, each checked and
proven; the same steps in the form of each system."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kirikae.build import roles
from kirikae.build.definitions import is_static
from kirikae.build.facts import Facts
from kirikae.build.texts import text_of
from kirikae.model.build_settings import ContinuousIntegration

_ARM = "arm64"


@dataclass(frozen=True, slots=True)
class Step:
    """``lines`` are of a POSIX shell that ends at the first failure."""

    name: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """``nightly``: by the clock; otherwise at each commit."""

    name: str
    release: str
    nightly: bool
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Action:
    """An action of GitHub's, pinned by its commit (GitHub: "Secure use reference")."""

    name: str
    commit: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}@{self.commit} # {self.version}"


_ACTIONS = {
    "checkout": Action("actions/checkout", "8e8c483db84b4bee98b60c0593521ed34d9990e8", "v6.0.1"),
    "python": Action("actions/setup-python", "e797f83bcb11b83ae66e0230d6156d7c80228e7c", "v6.0.0"),
    "credentials": Action(
        "aws-actions/configure-aws-credentials",
        "61815dcd50bd041e203e49132bacad1fd04d2708",
        "v5.1.1",
    ),
}


def files(facts: Facts) -> dict[str, str]:
    """Paths from the repository's root, which the project file's folder is."""
    settings = facts.project.build.ci
    if settings is None:
        return {}
    return dict(_files(facts, settings))


def _files(facts: Facts, settings: ContinuousIntegration) -> Iterator[tuple[str, str]]:
    jobs = list(_jobs(facts, settings))
    values = {
        **_values(facts, settings),
        "jobs": jobs,
    }
    if "github-actions" in settings.systems:
        for job in jobs:
            text = text_of(
                "ci/github.yml",
                **{
                    **values,
                    "job": job,
                },
            )
            yield f".github/workflows/kirikae-{job.name}.yml", text
    if "circleci" in settings.systems:
        yield ".circleci/config.yml", text_of("ci/circleci.yml", **values)
    if "codebuild" in settings.systems:
        for job in jobs:
            yield (
                f"buildspec-{job.name}.yml",
                text_of(
                    "ci/buildspec.yml",
                    **{
                        **values,
                        "job": job,
                    },
                ),
            )


def _values(facts: Facts, settings: ContinuousIntegration) -> dict[str, Any]:
    project = facts.project
    return {
        "service": project.service,
        "branch": settings.branch,
        "role": roles.deploy_role_arn(project),
        "region": project.region,
        "arm": project.build.architecture == _ARM,
        "actions": _ACTIONS,
    }


def registry_of(facts: Facts, settings: ContinuousIntegration) -> str:
    """What images' names begin with."""
    project = facts.project
    own = f"{project.account}.dkr.ecr.{project.region}.amazonaws.com/{project.service}"
    return settings.registry or own


def jobs_of(facts: Facts) -> list[Job]:
    """What is run; nothing where the project file does not ask for it."""
    settings = facts.project.build.ci
    return list(_jobs(facts, settings)) if settings is not None else []


def _jobs(facts: Facts, settings: ContinuousIntegration) -> Iterator[Job]:
    """A service of files alone has no base storey."""
    has_base = any(not is_static(one) for one in facts.workload.every)
    if has_base:
        yield Job("base", "n", True, tuple(_nightly(facts, settings)))
    yield Job("images", "r", False, tuple(_at_a_commit(facts, settings, has_base)))


def _prepared(facts: Facts, settings: ContinuousIntegration) -> Iterator[Step]:
    host = registry_of(facts, settings).partition("/")[0]
    region = facts.project.region
    yield Step("Install kirikae", (f"python3 -m pip install {shlex.quote(settings.kirikae)}",))
    login = (
        f"aws ecr get-login-password --region {region}"
        f" | docker login --username AWS --password-stdin {host}"
    )
    yield Step("Sign in to the registry", (login,))


def _nightly(facts: Facts, settings: ContinuousIntegration) -> Iterator[Step]:
    """With the language packages that the newest code locks; without locks no release is needed."""
    yield from _prepared(facts, settings)
    release = ""
    if any(one.locks or one.requirements for one in facts.workload.every):
        yield _release(settings)
        release = ' "$RELEASE_ID"'
    registry = registry_of(facts, settings)
    yield Step("Build the base storey", (f"kirikae build base{release} --repository {registry}",))


def _at_a_commit(
    facts: Facts,
    settings: ContinuousIntegration,
    has_base: bool,
) -> Iterator[Step]:
    registry = registry_of(facts, settings)
    yield from _prepared(facts, settings)
    yield Step("Check what is built and run", (f"kirikae guard check {' '.join(_checked(facts))}",))
    yield _release(settings)
    base = ""
    if has_base:
        made = (
            f'kirikae build base "$RELEASE_ID" --if-stale --repository {registry} --json >base.json'
        )
        yield Step("Take the base storey, or build it where its inputs changed", (made,))
        base = ' --base "$(jq -r .base base.json)"'
    images = f'kirikae build image "$RELEASE_ID" --repository {registry}{base}'
    repository = _of_ecr(registry)
    newest = (_newest(facts, repository),) if repository else ()
    former = ' ${FORMER:+--cache-from "$FORMER"}' if repository else ""
    yield Step("Build and push the images", (*newest, images + former))
    yield Step("Prove the images", ('kirikae build verify "$RELEASE_ID"',))


def _of_ecr(registry: str) -> str:
    """The name of a repository of ECR; empty for another registry, which has other clients."""
    host, _, name = registry.partition("/")
    return name if ".dkr.ecr." in host else ""


def _newest(facts: Facts, repository: str) -> str:
    """The release whose image was pushed last; empty where there is none yet."""
    storeys = sorted({one.image for one in facts.workload.every if not is_static(one)})
    name = storeys[0] if storeys else "web"
    query = "sort_by(imageDetails[?imageTags],&imagePushedAt)[-1].imageTags[0]"
    said = (
        f"aws ecr describe-images --region {facts.project.region} --repository-name "
        f"{repository}-{name} --query '{query}' --output text"
    )
    return f'FORMER=$({said} | grep -v "^None$" || true)'


def _release(settings: ContinuousIntegration) -> Step:
    made = f'kirikae release create "$RELEASE_ID" --from {shlex.quote(settings.source)}'
    return Step("Make the release", (made,))


def _checked(facts: Facts) -> Iterator[str]:
    """Of what `build` writes: Dockerfiles of the service, task definitions.  The relay's image is
    left out: its Postfix has to be root."""
    project = facts.project
    folder = project.build.folder.rstrip("/")
    storeys = {one.image for one in facts.workload.every if not is_static(one)}
    names = ["base", *sorted(storeys)] if storeys else []
    if facts.workload.web is not None:
        names.append("web")
    yield from (f"{folder}/{name}.Dockerfile" for name in names)
    yield f"{project.fleets.new.definitions.rstrip('/')}/*-task-def.json"
