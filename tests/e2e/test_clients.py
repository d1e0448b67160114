"""Tools that nobody here wrote take kirikae local for ECS: each drives the life of a service
unchanged (tests/clients/)."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kirikae.local.files import free_port
from tests.conftest import WEB_IMAGE, Endpoint
from tests.pace import PACE, eventually
from tests.tidy import take_away

pytestmark = [pytest.mark.engine, pytest.mark.shares]

HERE = Path(__file__).parents[1] / "clients"
CLIENTS = Path(__file__).parents[2] / ".cache" / "clients"
LONGEST_S = 200
"""Without a word: the longest that a client waits for one thing."""
PYTHON = str(CLIENTS / "more" / "bin" / "python")
LIVES = {
    "aws-cli": ["sh", str(HERE / "life.sh"), "life-cli", WEB_IMAGE],
    "boto3": [sys.executable, str(HERE / "life_boto3.py"), "life-boto3", WEB_IMAGE],
    "javascript-sdk": ["node", str(HERE / "life.mjs"), "life-js", WEB_IMAGE],
    "celery": [PYTHON, str(HERE / "life_celery.py"), "life-celery"],
    "aioboto3": [PYTHON, str(HERE / "life_aioboto3.py"), "life-aioboto3"],
    "chaos-toolkit": [PYTHON, str(HERE / "life_chaos.py"), "life-chaos", WEB_IMAGE],
    "aws-cli-of-2023": ["sh", str(HERE / "life_former.sh"), "life-former"],
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
        "SLOWNESS": str(math.ceil(PACE.slowness())),
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    started = {}
    local.scope.add(lambda: remove(local))
    for name, command in LIVES.items():
        out = folder / name
        extra = [str(free_port())] if name == "boto3" else []
        own = environment
        if name == "aws-cli-of-2023":
            own = {**environment, "PATH": f"{CLIENTS / 'former' / 'bin'}:{os.environ['PATH']}"}
        with out.open("wb") as file:
            started[name] = (
                subprocess.Popen(command + extra, stdout=file, stderr=file, env=own),
                out,
            )
    yield started
    for process, _ in started.values():
        process.kill()
        process.wait()


def remove(local: Endpoint) -> None:
    """What a client that failed did not come to remove."""
    names = {command[2] for command in LIVES.values()}
    left = {thing for thing in local.look(thoroughly=True) if any(name in thing for name in names)}
    take_away(local, left)


@pytest.mark.parametrize("name", LIVES)
def test_a_client_drives_the_life_of_a_service(lives, name):
    """Create, deploy, a failing deploy that goes back, scale, run a task, delete."""
    process, out = lives[name]
    eventually(
        lambda: process.poll() is not None,
        lambda: f"{name} ends: {out.read_text(errors='replace')[-3000:]}",
        LONGEST_S,
        lambda: out.stat().st_size,
    )
    assert process.poll() == 0, out.read_text(errors="replace")[-3000:]
