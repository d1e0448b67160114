"""The container image of the checkout is built as docs/how-to/install.md says, and answers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kirikae import __version__

pytestmark = [pytest.mark.engine, pytest.mark.prove]
ROOT = Path(__file__).parents[2]
IMAGE = "kirikae-test-image:1"


def docker(*words: str, cwd: Path | None = None) -> str:
    # The classic builder needs no plug-in.
    env = {**os.environ, "DOCKER_BUILDKIT": "0"}
    done = subprocess.run(
        ["docker", *words], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def debian() -> str:
    """Debian 12 as the rehearsal makes it, where no registry of images can be reached."""
    made = docker("images", "-q", "bookshop-debian-container").split()
    return made[0] if made else "debian:12-slim"


def test_the_image_is_built_from_wheels_and_runs_as_no_root(tmp_path: Path):
    """No package index for Python is asked within the build; ssh is there."""
    for name in ("Dockerfile", ".dockerignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--wheel-dir", tmp_path / "wheels", ROOT],
        check=True,
    )
    docker("build", "-q", "--build-arg", f"BASE={debian()}", "-t", IMAGE, ".", cwd=tmp_path)
    try:
        assert __version__ in docker("run", "--rm", IMAGE, "--version")
        assert docker("run", "--rm", "--entrypoint", "id", IMAGE, "-u").strip() == "1000"
        docker("run", "--rm", "--entrypoint", "ssh", IMAGE, "-V")
    finally:
        docker("rmi", "-f", IMAGE)
