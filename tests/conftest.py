"""Fixtures of the whole suite: a world that can be moved, and one kirikae local on the real
engine."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("kirikae", deadline=None)  # a figure of speed is no test
settings.load_profile("kirikae")

WEB_IMAGE = "kirikae-test-web:2"
_COMMANDS = (
    "sh",
    "httpd",
    "sleep",
    "cat",
    "cut",
    "grep",
    "seq",
    "wget",
    "hostname",
    "echo",
    "env",
    "mkdir",
    "false",
    "true",
)


def web_image() -> str:
    """A two-megabyte image with a web server: Debian's static busybox, imported as a tar."""
    if subprocess.run(
        ["docker", "image", "inspect", WEB_IMAGE], capture_output=True, check=False
    ).returncode:
        busybox = shutil.which("busybox")
        assert busybox, "busybox-static is missing; run `make test`, which installs it"
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            entry = tarfile.TarInfo("bin/busybox")
            body = Path(busybox).read_bytes()
            entry.size = len(body)
            entry.mode = 0o755
            tar.addfile(entry, io.BytesIO(body))
            for name in _COMMANDS:
                link = tarfile.TarInfo(f"bin/{name}")
                link.type = tarfile.SYMTYPE
                link.linkname = "busybox"
                tar.addfile(link)
        subprocess.run(
            ["docker", "import", "-", WEB_IMAGE],
            input=out.getvalue(),
            check=True,
            capture_output=True,
        )
    return WEB_IMAGE


def serve(text: str) -> list[str]:
    """A command that answers this text on port 8000."""
    return [
        "sh",
        "-c",
        f"mkdir -p /www; echo {text} >/www/index.html; exec httpd -f -p 8000 -h /www",
    ]


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One kirikae local for the tests that only talk to it."""
    from kirikae.local import control

    directory = tmp_path_factory.mktemp("local")
    web_image()
    status = control.up(directory, None, "ap-northeast-1", figures_delay_s=0)
    yield Endpoint(directory, status)
    control.down(directory)


def eventually(condition: Callable[[], Any], what: str, timeout_s: float = 60) -> Any:
    """The condition's answer as soon as it is true."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.1)
    return found


class Endpoint:
    def __init__(self, directory: Path, status: dict[str, Any]) -> None:
        self.directory = directory
        self.status = status
        self.environment = {
            "AWS_ENDPOINT_URL": status["endpoint"],
            "AWS_REGION": status["region"],
            "AWS_DEFAULT_REGION": status["region"],
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }

    def client(self, service: str, config: Any = None) -> Any:
        import boto3

        return boto3.client(
            service,
            config=config,
            endpoint_url=self.status["endpoint"],
            region_name=self.status["region"],
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
