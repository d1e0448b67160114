"""Tools that nobody here wrote take kirikae local for ECS: each drives the life of a service
unchanged (tests/clients/)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kirikae.local.files import free_port
from tests.conftest import WEB_IMAGE, Endpoint

pytestmark = pytest.mark.engine

HERE = Path(__file__).parents[1] / "clients"
CLIENTS = Path(__file__).parents[2] / ".cache" / "clients"
LONGEST_S = 400
LIVES = {
    "aws-cli": ["sh", str(HERE / "life.sh"), "life-cli", WEB_IMAGE],
    "boto3": [sys.executable, str(HERE / "life_boto3.py"), "life-boto3", WEB_IMAGE],
    "javascript-sdk": ["node", str(HERE / "life.mjs"), "life-js", WEB_IMAGE],
    "ecs-deploy": ["sh", str(HERE / "life_ecs_deploy.sh"), "life-ecs-deploy", WEB_IMAGE],
}


@pytest.fixture(scope="module")
def lives(
    local: Endpoint, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[subprocess.Popen[bytes], Path]]]:
    """All of them at once: that, too, must go well."""
    assert (CLIENTS / "bin" / "aws").exists(), (
        "the clients are missing; run `make test`, which installs them"
    )
    folder = tmp_path_factory.mktemp("lives")
    environment = {
        **os.environ,
        **local.environment,
        "PATH": f"{CLIENTS / 'bin'}:{os.environ['PATH']}",
        "CLIENTS": str(CLIENTS),
        "AWS_PAGER": "",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    started = {}
    for name, command in LIVES.items():
        out = folder / name
        extra = [str(free_port())] if name == "boto3" else []
        with out.open("wb") as file:
            started[name] = (
                subprocess.Popen(command + extra, stdout=file, stderr=file, env=environment),
                out,
            )
    yield started
    for process, _ in started.values():
        process.kill()


@pytest.mark.parametrize("name", LIVES)
def test_a_client_drives_the_life_of_a_service(lives, name):
    """Create, deploy, a failing deploy that goes back, scale, run a task, delete."""
    process, out = lives[name]
    deadline = time.monotonic() + LONGEST_S
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    assert process.poll() == 0, out.read_text(errors="replace")[-3000:]
