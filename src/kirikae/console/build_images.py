"""Make and prove images: ``build image``, ``build base``, ``build verify``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kirikae.build.contents import STATE, Unwanted, state_in, state_of_hosts, unwanted
from kirikae.build.errors import CannotBuild
from kirikae.console.build_planned import planned
from kirikae.console.container_engine import ContainerEngine
from kirikae.console.context import load_project, open_store
from kirikae.console.here import Answer, Here, would
from kirikae.console.images import OTHER_VERSIONS, base_image, make_images, storeys_in
from kirikae.console.locked import Release
from kirikae.console.progress import Progress
from kirikae.console.release import releases_of
from kirikae.console.smoke import Smoke, smoke_test
from kirikae.model.errors import Exit
from kirikae.model.project import Project
from kirikae.release.manifest import checked_id
from kirikae.survey.errors import NoSurvey


@dataclass(frozen=True, slots=True)
class ImageOrder:
    """Which images shall be made, and how they are named."""

    release_id: str
    distribution: str | None
    repository: str | None
    base: str | None = None
    former: str | None = None
    """A release of the repository whose layers are taken where nothing has changed."""


def images_made(here: Here, order: ImageOrder, dry_run: bool) -> Answer:
    """Make the images of a release, or say which.  Raises CannotBuild, NoRelease,
    EngineProblem."""
    here.assert_may_change("build image", dry_run)
    checked_id(order.release_id)
    if order.former is not None:
        checked_id(order.former)
    project = load_project(here)
    releases = releases_of(here, project, open_store(here, project))
    manifest, archive = releases.get(order.release_id)
    storeys = storeys_in(here.folder / project.build.folder, order.distribution)
    if dry_run:
        names = ["base", *storeys.names]
        line = (
            f"would build {', '.join(names)} of {order.release_id} ({manifest.files} files) in "
            f"{storeys.folder}"
        )
        return would([line], {"release": order.release_id, "images": names})
    engine = ContainerEngine.of(here.environment)
    release = Release(manifest, archive)
    made = make_images(
        engine, storeys, project.service, order.repository, release, order.base, order.former
    )
    images = dict(made.images)
    releases.set_images(order.release_id, images)
    lines = [f"{name}: {reference}" for name, reference in images.items()]
    lines += _versions_told(made.other_versions)
    lines += [f"LEFT OUT: {each}" for each in made.left_out]
    plain = {
        "release": order.release_id,
        "images": images,
        "base": made.base,
        "other_versions": list(made.other_versions),
        "left_out": list(made.left_out),
    }
    return Answer(plain, lines)


def _versions_told(others: Sequence[str]) -> list[str]:
    """What the base storey has in another version than the hosts."""
    if not others:
        return []
    many = f"{len(others)} packages have" if len(others) > 1 else "1 package has"
    return [
        f"{many} the newest version instead of the hosts', which is no longer offered: "
        + ", ".join(others)
    ]


@dataclass(frozen=True, slots=True)
class BaseOrder:
    """Whose locks the base storey holds; empty: none's."""

    release_id: str
    distribution: str | None
    repository: str | None
    if_stale: bool


def base_made(here: Here, order: BaseOrder, dry_run: bool) -> Answer:
    """Make the base storey alone, as every night.  Raises CannotBuild, NoRelease, EngineProblem."""
    here.assert_may_change("build base", dry_run)
    project = load_project(here)
    release = None
    if order.release_id:
        releases = releases_of(here, project, open_store(here, project))
        release = Release(*releases.get(checked_id(order.release_id)))
    storeys = storeys_in(here.folder / project.build.folder, order.distribution)
    if dry_run:
        return would([f"would build the base storey of {storeys.folder}"], {"images": ["base"]})
    engine = ContainerEngine.of(here.environment)
    made = base_image(
        engine,
        storeys,
        project.service,
        release,
        order.repository,
        Progress(),
        fresh=not order.if_stale,
    )
    others = engine.text(made, OTHER_VERSIONS).splitlines()
    return Answer(
        {"base": made, "other_versions": others}, [f"base: {made}", *_versions_told(others)]
    )


def verified(here: Here, release_id: str, smoke: Smoke | None = None) -> Answer:
    """What is in the images of a release and must not be, and what a driven test of them writes
    where nobody declared it; Exit.FOUND where something is.  Raises CannotBuild, EngineProblem."""
    project = load_project(here)
    state = _state(here, project)
    images = releases_of(here, project, open_store(here, project)).images(release_id)
    if not images:
        raise CannotBuild(
            f"{release_id} has no images yet; `kirikae build image {release_id}` makes them",
        )
    engine = ContainerEngine.of(here.environment)
    found: list[Unwanted] = []
    for name, reference in images.items():
        found += unwanted(name, engine.files(reference), state)
    lines = [f"{each.image}: {each.path}: {each.why}" for each in found]
    lines.append(
        f"{len(images)} images of {release_id}: {len(found) or 'nothing'} found "
        "that must not be there",
    )
    plain: dict[str, Any] = {
        "release": release_id,
        "images": images,
        "unwanted": [each.to_plain() for each in found],
    }
    faults = len(found)
    if smoke is not None:
        plan = planned(here).plan
        tried = smoke_test(here, engine, project, plan, images, release_id, smoke)
        plain["smoke"] = tried.to_plain()
        lines += tried.lines()
        faults += 0 if tried.passed else 1
    return Answer(plain, lines, Exit.FOUND if faults else Exit.DONE)


def _state(here: Here, project: Project) -> list[str]:
    """Of the survey; where there is none, as in CI, of the file that `build write` wrote from one.
    Raises NoSurvey where neither is there."""
    try:
        return state_of_hosts(planned(here).workload)
    except NoSurvey:
        file = here.folder / project.build.folder / STATE
        if not file.is_file():
            raise
        return state_in(file.read_text(encoding="utf-8"))
