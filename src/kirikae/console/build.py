"""``kirikae build``: from the survey to images and definitions: plan, write, explain, image,
verify."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import click

from kirikae.build import places
from kirikae.build.plan import Plan
from kirikae.build.plan import plan as plan_of
from kirikae.console.context import load_project, open_store
from kirikae.console.release import releases_of
from kirikae.console.surveyed import bundles_of, survey_findings
from kirikae.model.errors import Exit, KirikaeError
from kirikae.model.project import Project
from kirikae.model.workload import Workload
from kirikae.release.manifest import checked_id
from kirikae.survey.workload import workload

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_DRY = click.option("--dry-run", is_flag=True, help="Say what would be done.")
_RECORD = ".kirikae-written.json"


class CannotBuild(KirikaeError):
    """Something must be answered or made before files can be written or images built."""


class EngineProblem(KirikaeError):
    """The container engine is not there, or said no."""


@click.group()
def build() -> None:
    """Make images and definitions from what the survey found."""


def _planned(ctx: click.Context) -> tuple[Project, Workload, Plan]:
    project = load_project(ctx.obj)
    fleet, _ = bundles_of(ctx.obj, project)
    found = workload(fleet, project.build, project.accepted)
    return project, found, plan_of(found, project)


def _record(ctx: click.Context, project: Project) -> tuple[Path, dict[str, str]]:
    file = ctx.obj.folder / project.build.folder / _RECORD
    return file, dict(json.loads(file.read_text())) if file.exists() else {}


def _states(ctx: click.Context, project: Project, made: Plan) -> dict[str, str]:
    """new, same, changed (by the survey), or edited (by somebody, since kirikae wrote it) for each
    file."""
    _, written = _record(ctx, project)
    out = {}
    for name, text in made.files.items():
        file = ctx.obj.folder / name
        if not file.exists():
            out[name] = "new"
        elif file.read_text(encoding="utf-8") == text:
            out[name] = "same"
        else:
            out[name] = "changed" if written.get(name) == _sha(file.read_bytes()) else "edited"
    return out


def _sha(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


@build.command()
@_JSON
@click.pass_context
def plan(ctx: click.Context, as_json: bool) -> None:
    """Show what `build write` would write, the task's size, what is left out, and what must be
    answered first."""
    project, found, made = _planned(ctx)
    states = _states(ctx, project, made)
    if as_json:
        size = {
            "cpu": made.size.cpu,
            "memory": made.size.memory,
            "why": made.size.why,
            "measured": made.size.measured,
        }
        click.echo(
            json.dumps(
                {
                    "files": states,
                    "size": size,
                    "notes": made.notes,
                    "questions": found.questions,
                    "left_out": dict(found.left_out),
                }
            )
        )
    else:
        for name, state in states.items():
            click.echo(f"{state:8} {name}")
        click.echo(
            f"task size: {made.size.cpu} CPU units, {made.size.memory} MiB\n  "
            + made.size.why.replace("\n", "\n  ")
        )
        for name, why in found.left_out.items():
            click.echo(f"left out: {name} ({why})")
        for note in made.notes:
            click.echo(f"{'QUESTION' if note in found.questions else 'note'}: {note}")
    if found.questions:
        ctx.exit(Exit.FOUND)


@build.command()
@click.option("--force", is_flag=True, help="Also write over files that somebody has edited.")
@_DRY
@_JSON
@click.pass_context
def write(ctx: click.Context, force: bool, dry_run: bool, as_json: bool) -> None:
    """Write Dockerfiles, .dockerignore, definitions, sidecar and sizes; the same survey gives the
    same bytes."""
    ctx.obj.assert_may_change(ctx.command_path.removeprefix("kirikae "), dry_run)
    project, found, made = _planned(ctx)
    if found.questions:
        raise CannotBuild(
            "nothing was written; these must be answered first:\n"
            + "\n".join(f"- {q}" for q in found.questions)
        )
    states = _states(ctx, project, made)
    edited = [name for name, state in states.items() if state == "edited"]
    if edited and not force:
        raise CannotBuild(
            f"nothing was written: {', '.join(edited)} were not written by kirikae, or "
            "were edited since; look at them, then use --force"
        )
    if not dry_run:
        record, written = _record(ctx, project)
        for name, text in made.files.items():
            _replace(ctx.obj.folder / name, text)
            written[name] = _sha(text.encode())
        _replace(record, json.dumps(written, indent=1, sort_keys=True) + "\n")
    changed = {name: state for name, state in states.items() if state != "same"}
    if as_json:
        click.echo(json.dumps({"files": states, "notes": made.notes}))
        return
    for name, state in changed.items():
        click.echo(f"{'would write' if dry_run else 'wrote'} {name} ({state})")
    click.echo(
        f"{len(states) - len(changed)} files are as they were; task size {made.size.cpu} "
        f"CPU units, {made.size.memory} MiB"
    )
    for note in made.notes:
        click.echo(f"note: {note}")


def _replace(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)


@build.command()
@click.argument("path")
@_JSON
@click.pass_context
def explain(ctx: click.Context, path: str, as_json: bool) -> None:
    """Say where PATH of the hosts goes (base, app, web or nowhere) and why (exit code 6: no rule
    knows)."""
    if not path.startswith("/"):
        raise click.BadParameter(f"{path!r} is not an absolute path", param_hint="PATH")
    project, found, _ = _planned(ctx)
    fleet, _ = bundles_of(ctx.obj, project)
    place = places.place_of(
        path.rstrip("/") or "/", fleet[0], found, survey_findings(ctx.obj, project)
    )
    click.echo(
        json.dumps({"path": place.path, "place": place.place, "reason": place.reason})
        if as_json
        else f"{place.place}: {place.reason}"
    )
    if place.place == "unplaced":
        ctx.exit(Exit.FOUND)


# --- images: the only part that runs a container engine


def _engine(*arguments: str, given: bytes | None = None) -> str:
    engine = os.environ.get("KIRIKAE_ENGINE", "docker")
    try:
        done = subprocess.run(
            [engine, *arguments],
            input=given,
            capture_output=True,
            env={**os.environ, "DOCKER_BUILDKIT": "0"},
            check=False,
        )
    except OSError as error:
        raise EngineProblem(
            f"cannot run `{engine}`: {error.strerror}; install a container engine, or "
            "name another with KIRIKAE_ENGINE"
        ) from error
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise EngineProblem(f"`{engine} {' '.join(arguments[:2])}` failed: {said[-1500:]}")
    return done.stdout.decode(errors="replace").strip()


def _exists(name: str) -> bool:
    try:
        _engine("image", "inspect", name)
    except EngineProblem:
        return False
    return True


@build.command()
@click.argument("release_id")
@click.option(
    "--distribution",
    default=None,
    help="Image that the base storey begins with, instead of the Dockerfile's.",
)
@click.option(
    "--repository",
    default=None,
    help="Push to REPOSITORY-app and REPOSITORY-web, and use their digests.",
)
@_DRY
@_JSON
@click.pass_context
def image(
    ctx: click.Context,
    release_id: str,
    distribution: str | None,
    repository: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Build the images of RELEASE_ID: the base storey if its inputs changed, then app and web;
    named by digest, or by image ID."""
    ctx.obj.assert_may_change(ctx.command_path.removeprefix("kirikae "), dry_run)
    checked_id(release_id)
    project = load_project(ctx.obj)
    releases = releases_of(ctx.obj, project, open_store(ctx.obj, project))
    manifest, archive = releases.get(release_id)
    folder = ctx.obj.folder / project.build.folder
    names = ["app", *(["web"] if (folder / "web.Dockerfile").exists() else [])]
    if not (folder / "app.Dockerfile").exists():
        raise CannotBuild(f"{folder} has no app.Dockerfile; `kirikae build write` writes it")
    if (
        "COPY wheelhouse/" in (folder / "base.Dockerfile").read_text()
        and not (folder / "wheelhouse").is_dir()
    ):
        raise CannotBuild(
            "the release needs language packages: "
            f"`pip download -d {folder}/wheelhouse -r requirements.txt`, and copy "
            f"requirements.txt to {folder}"
        )
    if dry_run:
        click.echo(
            f"would build {', '.join(['base', *names])} of {release_id} "
            f"({manifest.files} files) in {folder}"
        )
        return
    with tempfile.TemporaryDirectory() as context_name:
        context = Path(context_name)
        shutil.copytree(folder, context, dirs_exist_ok=True)
        (context / "release").mkdir()
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(context / "release", filter="data")
        (context / "release" / "RELEASE").write_text(f"{release_id}\n")
        base = _base_image(project, context, distribution)
        labels = [
            "--label",
            f"kirikae.release={release_id}",
            "--label",
            f"kirikae.app.inputs={manifest.sha256}",
        ]
        made = {}
        for name in names:
            begins = (
                ["--build-arg", f"BASE={base}"]
                if name == "app"
                else _distribution_argument(folder, distribution)
            )
            tag = f"{repository or project.service}-{name}:{release_id}"
            _engine(
                "build",
                "-q",
                "-t",
                tag,
                "-f",
                str(context / f"{name}.Dockerfile"),
                *begins,
                *labels,
                str(context),
            )
            made[name] = _reference(tag, repository is not None)
    releases.set_images(release_id, made)
    click.echo(
        json.dumps(made) if as_json else "\n".join(f"{name}: {ref}" for name, ref in made.items())
    )


def _distribution_argument(folder: Path, distribution: str | None) -> list[str]:
    if distribution is None:
        match = re.search(
            r"^ARG DISTRIBUTION=(\S+)", (folder / "base.Dockerfile").read_text(), re.M
        )
        distribution = match[1] if match else ""
    return ["--build-arg", f"DISTRIBUTION={distribution}"]


def _base_image(project: Project, context: Path, distribution: str | None) -> str:
    """The base storey of exactly these inputs; built when there is none."""
    inputs = b"".join((context / f).read_bytes() for f in ("base.Dockerfile", "base.packages"))
    inputs += b"".join(
        f.name.encode() + f.read_bytes() for f in sorted((context / "wheelhouse").glob("*"))
    )
    inputs += "".join(_distribution_argument(context, distribution)).encode()
    name = f"{project.service}-base:{_sha(inputs)[:12]}"
    if not _exists(name):
        arguments = _distribution_argument(context, distribution)
        _engine(
            "build",
            "-q",
            "-t",
            name,
            "-f",
            str(context / "base.Dockerfile"),
            *arguments,
            "--label",
            f"kirikae.base.inputs={_sha(inputs)}",
            str(context),
        )
    return name


def _reference(tag: str, pushed: bool) -> str:
    if not pushed:
        return _engine("image", "inspect", "-f", "{{.Id}}", tag)
    _engine("push", "-q", tag)
    digests: list[str] = (
        json.loads(_engine("image", "inspect", "-f", "{{json .RepoDigests}}", tag)) or []
    )
    if not digests:
        raise EngineProblem(f"{tag} was pushed, but the engine knows no digest of it")
    return next((d for d in digests if d.startswith(tag.rpartition(":")[0] + "@")), digests[0])


_NEVER = re.compile(
    r"(^|/)(\.git/|\.env$|id_[a-z0-9]+$|\.npmrc$|\.netrc$|\.pgpass$|\.aws/|ssl-cert-snakeoil\.key$|ssh_host_\w+$)|\.(p12|jks)$|^(home|root|srv|opt|var/www)/.*\.(pem|key)$"
)


@build.command()
@click.argument("release_id")
@_JSON
@click.pass_context
def verify(ctx: click.Context, release_id: str, as_json: bool) -> None:
    """Look into the images of RELEASE_ID for what must not be there: state, secrets, setuid bits
    (exit code 6: found)."""
    project, found, _ = _planned(ctx)
    images = releases_of(ctx.obj, project, open_store(ctx.obj, project)).images(release_id)
    if not images:
        raise CannotBuild(
            f"{release_id} has no images yet; `kirikae build image {release_id}` makes them"
        )
    state = [
        w.path.lstrip("/") for w in found.writable if w.kind not in ("cache", "runtime", "log")
    ]
    troubles: list[dict[str, Any]] = []
    for name, ref in images.items():
        for entry in _entries(ref):
            path = entry.name.removeprefix("./")
            if entry.isfile() and any(path.startswith(s + "/") for s in state):
                troubles.append({"image": name, "path": f"/{path}", "why": "state of the hosts"})
            elif entry.isfile() and _NEVER.search(path):
                troubles.append(
                    {"image": name, "path": f"/{path}", "why": "a secret, or a leftover"}
                )
            elif entry.isfile() and entry.mode & 0o6000:
                troubles.append(
                    {
                        "image": name,
                        "path": f"/{path}",
                        "why": f"setuid or setgid (mode {entry.mode:o})",
                    }
                )
    if as_json:
        click.echo(json.dumps(troubles))
    else:
        for trouble in troubles:
            click.echo(f"{trouble['image']}: {trouble['path']}: {trouble['why']}")
        click.echo(
            f"{len(images)} images of {release_id}: {len(troubles) or 'nothing'} found "
            "that must not be there"
        )
    if troubles:
        ctx.exit(Exit.FOUND)


def _entries(ref: str) -> list[tarfile.TarInfo]:
    """Every entry of the image's file system, streamed, never unpacked."""
    engine = os.environ.get("KIRIKAE_ENGINE", "docker")
    container = _engine("create", ref)
    try:
        export = subprocess.Popen([engine, "export", container], stdout=subprocess.PIPE)
        assert export.stdout is not None
        with tarfile.open(fileobj=export.stdout, mode="r|") as tar:
            entries = list(tar)
        if export.wait():
            raise EngineProblem(f"`{engine} export` of {ref} failed")
        return entries
    finally:
        _engine("rm", "-f", container)
