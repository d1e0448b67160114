"""Workflows of three CI systems: as their published schemas want them, with the same steps, pinned,
and with no key that lasts."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from kirikae.build.plan import plan
from kirikae.console import build
from kirikae.console.build_needs import needs_of
from kirikae.console.kinds import read_project
from kirikae.survey.workload import workload
from tests.command import run
from tests.unit.test_build import ORDER, calls, here, image_of, release_made
from tests.unit.test_build_kinds import _PHP_SITE, _POOL, _PROJECT, fpm, own, two

__all__ = ["here"]
_SCHEMAS = Path(__file__).parents[1] / "data/schemas"
_CI = (
    ", ci: {systems: [github-actions, circleci, codebuild], repository: shop/shop, "
    "organization: 01234567-89ab-cdef-0123-456789abcdef%s}"
)
_TWO = ", services: {app: {unit: shop}, worker: {unit: worker}, admin: {unit: admin}}"
_BASE = ".github/workflows/kirikae-base.yml"
_IMAGES = ".github/workflows/kirikae-images.yml"


def written(machine=None, more="", ci=""):
    project = read_project(_PROJECT % (_CI % ci + more), "kirikae.yml")
    found = workload([(machine or fpm(_POOL, _PHP_SITE)).bundle()], project.build, ())
    return plan(found, project).files


def read(text):
    return YAML(typ="safe", pure=True).load(text)


def schema(name):
    text = gzip.decompress((_SCHEMAS / f"{name}.json.gz").read_bytes()).decode()
    # A class of ECMA's regular expressions that Python's have no word for: control characters.
    return json.loads(text.replace("\\\\p{Cc}", "\\\\x00-\\\\x1f"))


VARIANTS = {
    "php": written(),
    "several": written(two(), _TWO),
    "arm": written(own("/usr/bin/node a.js --port 3000"), ", architecture: arm64"),
    "elsewhere": written(ci=", branch: release/1, source: web, registry: registry.example.com/a/b"),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_each_system_s_published_schema_takes_it(name):
    files = VARIANTS[name]
    for path in (_BASE, _IMAGES):
        jsonschema.validate(read(files[path]), schema("github-workflows"))
    jsonschema.validate(read(files[".circleci/config.yml"]), schema("circle-ci"))
    jsonschema.validate(read(files["image/compose.yaml"]), schema("compose-spec"))
    for path in ("buildspec-base.yml", "buildspec-images.yml"):
        assert _is_buildspec(read(files[path])), path


def _is_buildspec(plain):
    """CodeBuild user guide, "Build specification reference": there is no published schema."""
    assert plain["version"] == 0.2 and set(plain) <= {"version", "env", "phases"}
    commands = plain["phases"]["build"]["commands"]
    assert plain["env"]["shell"] == "bash" and plain["phases"]["build"]["on-failure"] == "ABORT"
    return all(isinstance(each, str) for each in commands)


def steps(files, system, job="images"):
    """The lines that each system runs, without what it needs itself."""
    match system:
        case "github":
            plain = read(files[f".github/workflows/kirikae-{job}.yml"])
            found = [each.get("run", "") for each in plain["jobs"][job]["steps"]]
        case "circleci":
            plain = read(files[".circleci/config.yml"])
            rows = [each["run"] for each in plain["jobs"][job]["steps"] if "run" in each]
            found = [each["command"] for each in rows]
        case _:
            found = read(files[f"buildspec-{job}.yml"])["phases"]["build"]["commands"]
    lines = [line.strip() for each in found for line in each.splitlines()]
    return [line for line in lines if line and not line.startswith(("export", "echo"))]


def test_all_three_take_the_same_steps_and_prove_what_they_built():
    """Guard before anything is built, the base by its inputs, images, and the proof at the end."""
    for job in ("base", "images"):
        first = steps(VARIANTS["php"], "github", job)
        assert first == steps(VARIANTS["php"], "circleci", job)
        assert first == steps(VARIANTS["php"], "codebuild", job)
    lines = steps(VARIANTS["php"], "github")
    verbs = [" ".join(line.split()[1:3]) for line in lines if line.startswith("kirikae")]
    assert verbs == ["guard check", "release create", "build base", "build image", "build verify"]
    assert "--if-stale" in lines[4] and "--base" in lines[6]
    assert lines[5].startswith("FORMER=$(aws ecr describe-images") and "shop-app" in lines[5]
    assert lines[6].endswith('${FORMER:+--cache-from "$FORMER"}')
    elsewhere = steps(VARIANTS["elsewhere"], "github")
    assert not any("FORMER" in line for line in elsewhere)
    nightly = steps(VARIANTS["php"], "github", "base")
    assert nightly[-1].startswith("kirikae build base") and "--if-stale" not in nightly[-1]


def test_every_step_of_kirikae_is_a_command_that_there_is():
    """With the options that it has."""
    for files in VARIANTS.values():
        for line in [*steps(files, "github"), *steps(files, "github", "base")]:
            if not line.startswith("kirikae"):
                continue
            words = line.split()
            answer = run(*words[1:3], "--help")
            assert answer.exit_code == 0, line
            for option in re.findall(r"(?<= )--[a-z-]+", line):
                assert option in answer.stdout, (option, line)


@pytest.mark.parametrize(("tag", "words"), [("r41", "--cache-from r41"), ("None", ""), ("", "")])
def test_the_newest_images_take_part_where_there_are_any(tmp_path, tag, words):
    """The step as a shell runs it, with a client that says which image is the newest."""
    lines = steps(VARIANTS["php"], "codebuild")
    at = next(number for number, line in enumerate(lines) if line.startswith("FORMER="))
    for name, said in (("aws", tag), ("kirikae", "$*"), ("jq", "base")):
        (tmp_path / name).write_text(f'#!/bin/sh\n[ -z "{said}" ] || echo "{said}"\n')
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "RELEASE_ID": "r42"}
    text = "set -eo pipefail\n" + "\n".join(lines[at : at + 2])
    done = subprocess.run(["bash", "-c", text], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith(f"--base base {words}".strip())


def test_a_shallow_checkout_a_role_and_actions_by_commit():
    for path in (_BASE, _IMAGES):
        text = VARIANTS["php"][path]
        assert re.findall(r"uses: (?!\S+@[0-9a-f]{40} # v\d)", text) == []
        assert "fetch-depth: 1" in text and "id-token: write" in text
        assert "arn:aws:iam::123456789012:role/shop-deploy" in text and "secrets." not in text
    circle = VARIANTS["php"][".circleci/config.yml"]
    assert "assume-role-with-web-identity" in circle and "docker_layer_caching: true" in circle
    assert "cron" in VARIANTS["php"][_BASE]
    assert "ubuntu-24.04-arm" in VARIANTS["arm"][_IMAGES]
    assert 'branches: ["release/1"]' in VARIANTS["elsewhere"][_IMAGES]


def test_the_same_input_gives_the_same_bytes_and_nothing_is_written_unasked():
    assert VARIANTS["php"] == written()
    project = read_project(_PROJECT % "", "kirikae.yml")
    found = workload([fpm(_POOL, _PHP_SITE).bundle()], project.build, ())
    paths = plan(found, project, None, needs_of(project)).files
    assert not [path for path in paths if path.startswith((".", "buildspec"))]


def test_a_base_that_the_repository_has_is_not_built_again(here):
    """A runner of CI begins without any image."""
    build.written(here, force=False, dry_run=False)
    release_made(here)
    pulling(here)
    order = build.BaseOrder("r2", None, "registry/shop", if_stale=True)
    made = build.base_made(here, order, dry_run=False).plain["base"]
    assert made == "registry/shop-base@sha256:d"
    assert calls(here, "pull") and not calls(here, "build")


def pulling(here):
    """An engine that finds in a registry whatever it is asked for."""
    engine = here.folder / "engine"
    pulls = 'match words:\n    case ["pull", "-q", tag]:\n        pass'
    engine.write_text(engine.read_text().replace("match words:", pulls))


def test_a_base_for_others_begins_with_one_digest_and_says_which(here):
    """One for this machine alone begins with what is here."""
    build.written(here, force=False, dry_run=False)
    release_made(here)
    pulling(here)
    build.base_made(here, build.BaseOrder("r2", None, "registry/shop", False), dry_run=False)
    build.base_made(here, build.BaseOrder("r2", None, None, False), dry_run=False)
    pushed, kept = calls(here, "build")
    assert "DISTRIBUTION=debian@sha256:d" in pushed
    assert "kirikae.base.distribution=debian@sha256:d" in pushed
    assert "DISTRIBUTION=debian:12-slim" in kept


def test_images_are_proven_where_there_is_no_survey(here, monkeypatch):
    """By what `build write` wrote down of the hosts' state."""
    build.written(here, force=False, dry_run=False)
    text = (here.folder / "image/state-of-hosts").read_text()
    assert "var/lib/bookshop/uploads" in text
    release_made(here)
    build.images_made(here, ORDER, dry_run=False)
    image_of(here, ("./var/lib/bookshop/uploads/1", 0o644))
    with_survey = build.verified(here, "r2")
    assert with_survey.exit == 6
    for host in ("web1", "web2"):
        for file in (here.folder / ".kirikae/bundles" / host).iterdir():
            file.unlink()
        (here.folder / ".kirikae/bundles" / host).rmdir()
    assert build.verified(here, "r2").plain == with_survey.plain


def test_written_twice_and_never_over_what_was_there(here):
    """A config of CircleCI that somebody has already stays; the new one is put beside it."""
    file = here.folder / "kirikae.yml"
    asks = f"build: {{subnets: [subnet-1], terraform: {{vpc: vpc-1}}{_CI % ''}}}"
    file.write_text(file.read_text().replace("build: {subnets: [subnet-1]}", asks))
    theirs = here.folder / ".circleci/config.yml"
    theirs.parent.mkdir()
    theirs.write_text("version: 2.1\n")
    first = build.written(here, force=False, dry_run=False)
    assert first.exit == 6 and first.plain["beside"] == [".circleci/config.yml"]
    assert (here.folder / ".circleci/config.yml.new").exists()
    assert (here.folder / _IMAGES).exists() and (here.folder / "terraform/roles.tf").exists()
    assert theirs.read_text() == "version: 2.1\n"
    again = build.written(here, force=False, dry_run=False)
    assert again.plain["beside"] == [] and again.exit == 0
