"""A peer's own tests (getmoto/moto: test_ecs, test_sqs, test_elbv2), unchanged, against this API.

``python benchmarks/peer_suites.py CHECKOUT [ecs sqs elbv2]``: CHECKOUT is a folder that holds the
peer's ``tests``; nothing is fetched here.  The tests run in the peer's server mode, one after
another, against an endpoint of their own in the test mode.  There is no engine behind it: a task is
RUNNING at once, and what is asked of it stays what it is.  ``PEER_LIBRARIES``: a folder with what
the peer's tests import beside moto (freezegun).  Left out, for kirikae local refuses it by name or
has it not: CloudFormation, Lambda and real EC2 instances, and the peer's own server."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUITES = ("ecs", "sqs", "elbv2")
LEFT_OUT = ("cloudformation", "integration", "authentication", "test_server")
REGION = "us-east-1"
_OUTCOME = re.compile(r"^(PASSED|FAILED|ERROR|SKIPPED) (.+?)(?: - (.*))?$")
_NUMBER = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{8,}[0-9a-f-]*\b|\d+")


# --- the endpoint


async def _serve(folder: Path) -> None:
    """Until it is ended; says its address on its first line."""
    sys.path.insert(0, str(Path(__file__).parents[1]))  # where our own tests are
    from aiohttp import web
    from tests.local_plane import LocalPlane

    from kirikae.local.files import free_port
    from kirikae.local.stores import Stores

    stores = Stores(folder, free_port(), REGION)
    await stores.assert_running()
    try:
        plane = LocalPlane(folder, REGION, stores, runs_at_once=True)
        runner = web.AppRunner(plane.gateway(test_mode=True).application(), access_log=None)
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        print(f"http://127.0.0.1:{port}", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    finally:
        stores.stop()


@contextmanager
def endpoint() -> Iterator[str]:
    """The address of an endpoint that ends with the block: it reads until we close its input."""
    with tempfile.TemporaryDirectory(prefix="kp") as folder:
        command = [sys.executable, __file__, "--serve", folder]
        log = (Path(folder) / "endpoint.log").open("w")
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, text=True) as process:
            assert process.stdin is not None and process.stdout is not None
            address = process.stdout.readline().strip()
            if not address:
                sys.exit((Path(folder) / "endpoint.log").read_text()[-2000:])
            yield address
            process.stdin.close()


# --- the suites


def run(checkout: Path, suite: str, address: str, only: str) -> list[re.Match[str]]:
    """Each test's line of pytest's summary."""
    folder = checkout / "tests" / f"test_{suite}"
    files = [
        str(file)
        for file in sorted(folder.glob("test_*.py"))
        if not any(word in file.name for word in LEFT_OUT)
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": os.environ.get("PEER_LIBRARIES", ""),
        "TEST_SERVER_MODE": "true",
        "TEST_SERVER_MODE_ENDPOINT": address,
        "AWS_ACCESS_KEY_ID": "peer",
        "AWS_SECRET_ACCESS_KEY": "peer",
        "AWS_DEFAULT_REGION": REGION,
        "COLUMNS": "400",
    }
    pytest = [sys.executable, "-m", "pytest", "-q", "-rA", "--tb=line", "-p", "no:cacheprovider"]
    quiet = ["--timeout", "60", "--show-capture=no", "--color=no"]
    options = [*quiet, *(["-k", only] if only else [])]
    told = subprocess.run(
        [*pytest, *options, *files],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    found = [_OUTCOME.match(line) for line in told.stdout.splitlines()]
    lines = [each for each in found if each is not None]
    if not any("::" in line[2] for line in lines):
        sys.exit(told.stdout[-3000:] + told.stderr[-3000:])
    return lines


def tell(suite: str, lines: list[re.Match[str]], with_names: bool) -> None:
    """How many passed, and why the others did not, the most frequent reason first."""
    outcomes = Counter(line[1] for line in lines)
    run_at_all = len(lines) - outcomes["SKIPPED"]
    print(f"{suite}: {outcomes['PASSED']} of {run_at_all} passed")
    failed = [line for line in lines if line[1] in ("FAILED", "ERROR")]
    reasons = Counter(_NUMBER.sub("N", line[3] or "")[:180] for line in failed)
    for reason, count in reasons.most_common():
        print(f"  {count} x {reason}")
    if with_names:
        for line in failed:
            print(f"    {line[2].partition('::')[2]}: {line[3]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help="ecs, sqs, elbv2; else all")
    parser.add_argument("--only", default="", help="pytest's -k")
    parser.add_argument("--names", action="store_true", help="each test that did not pass")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        asyncio.run(_serve(asked.checkout))
        return
    for suite in asked.suites or SUITES:
        with endpoint() as address:
            tell(suite, run(asked.checkout.resolve(), suite, address, asked.only), asked.names)


if __name__ == "__main__":
    main()
