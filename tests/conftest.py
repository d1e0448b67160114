"""Fixtures of the whole suite: one kirikae local on the real engine, and who tidies up.

Around every test, every module and the whole session somebody looks what is there before and after:
a test that leaves something fails (``tests/tidy.py``).  All waits follow the machine
(``tests/pace.py``).
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from hypothesis import settings

from kirikae.console.main import TRACEBACK
from tests.pace import PACE, eventually
from tests.tidy import (
    SESSION,
    Look,
    OnThisMachine,
    Scope,
    containers_of_tasks,
    end_containers,
    processes_left,
    take_away,
)

settings.register_profile("kirikae", deadline=None)  # a figure of speed is no test
settings.load_profile("kirikae")

# Every session of boto3's reads the models of its services again; here hundreds have one reader.
botocore.session.create_loader = cache(botocore.session.create_loader)

# A machine may be told to keep no compiled modules: each process that a test starts would compile
# kirikae anew, which takes a third of its time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

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


class Endpoint:
    """One kirikae local.  ``scope``: who takes away what is made now; whatever is made on the
    endpoint puts its removal there."""

    def __init__(self, directory: Path, status: dict[str, Any]) -> None:
        self.directory = directory
        self.status = status
        self.scope = Scope()
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

    @cached_property
    def look(self) -> Look:
        return Look(self)

    @contextmanager
    def scoped(self) -> Iterator[None]:
        """What is made inside goes at its end."""
        before = self.scope
        self.scope = Scope()
        try:
            yield
        finally:
            mine, self.scope = self.scope, before
            mine.close()


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """One kirikae local for the tests that only talk to it."""
    from kirikae.local import control

    directory = tmp_path_factory.mktemp("local")
    PACE.measure_starting(web_image())
    status = control.up(directory, None, "ap-northeast-1", figures_delay_s=0)
    endpoint = Endpoint(directory, status)
    _ENDPOINTS.append(endpoint)
    try:
        with endpoint.scoped():
            yield endpoint
    finally:
        _ENDPOINTS.remove(endpoint)
        control.down(directory)


# --- who tidies up

_ENDPOINTS: list[Endpoint] = []
"""The long-lived one, once a test has asked for it."""


@pytest.fixture(autouse=True, scope="module")
def tidy_module(request: pytest.FixtureRequest) -> Iterator[None]:
    """Around every module, thoroughly, down to the containers of its tasks."""
    if not _ENDPOINTS and not _uses_the_endpoint(request):
        yield
        return
    endpoint = request.getfixturevalue("local")
    before = endpoint.look(thoroughly=True)
    containers = containers_of_tasks(endpoint)
    with endpoint.scoped():
        yield
    assert_nothing_is_left(endpoint, before, request.node.nodeid, thoroughly=True)

    def stopping() -> set[str]:
        return containers_of_tasks(endpoint) - containers

    if stopping():
        end_containers(stopping())
        eventually(
            lambda: not stopping(), f"{request.node.nodeid} has left nothing", watch=stopping
        )


def _uses_the_endpoint(request: pytest.FixtureRequest) -> bool:
    """Does any test of this module that will run ask for it?"""
    return any(
        "local" in getattr(item, "fixturenames", ())
        for item in request.session.items
        if item.nodeid.startswith(f"{request.node.nodeid}::")
    )


@pytest.fixture(autouse=True)
def tidy_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """Around every test that uses the endpoint.

    ``pytest.mark.shares``: what belongs to tests of a module comes and goes beside each other, so
    it is looked at when all of them are over.
    """
    if "local" not in request.fixturenames or request.node.get_closest_marker("shares"):
        yield
        return
    endpoint = request.getfixturevalue("local")
    before = endpoint.look()
    with endpoint.scoped():
        yield
    assert_nothing_is_left(endpoint, before, request.node.nodeid)


def assert_nothing_is_left(
    endpoint: Endpoint, before: set[str], by: str, thoroughly: bool = False
) -> None:
    left = endpoint.scope.not_owned(endpoint.look(thoroughly) - before)
    if left:
        take_away(endpoint, left)
        pytest.fail(f"{by} left behind: {', '.join(left)} (it is removed now)")


# --- the whole session


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "shares: its tests share what is on the endpoint")
    os.environ[SESSION] = uuid.uuid4().hex
    # A fault of our own must be seen whole here.
    os.environ[TRACEBACK] = "1"
    config.stash[_BEFORE] = OnThisMachine.now()


_BEFORE = pytest.StashKey[OnThisMachine]()
_LEFT = pytest.StashKey[list[str]]()


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """After the last fixture is gone: nothing of the suite's own may be left on this machine."""
    yield
    config = session.config
    before = config.stash[_BEFORE]

    def look() -> list[str]:
        config.stash[_LEFT] = [*OnThisMachine.now().left_since(before), *processes_left()]
        return config.stash[_LEFT]

    # What ends by itself may take a moment; another session's control plane may just be down.
    with suppress(AssertionError):
        eventually(lambda: not look(), "nothing is left", 20)
    if config.stash[_LEFT] and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    terminalreporter.write_line(f"this machine: {PACE.told()}")
    for thing in config.stash.get(_LEFT, []):
        terminalreporter.write_line(f"LEFT BEHIND by the suite: {thing}", red=True)
