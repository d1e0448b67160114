"""From one changed file to the first answer that has it: `release create`, `build image` and
`release deploy` on kirikae local, against `docker build` and `docker run` of the same layers, on a
base of 300 MB, in the same run.

    python benchmarks/commit_to_serving.py [ROUNDS]

Rounds alternate, so that both meet the same machine.  What the engine alone does is no deploy: it
has no release that could be put back, no health check, no load balancer and no former container
that is drained.  So the parts of ours are told one by one.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.conftest import WEB_IMAGE
from tests.e2e.test_command_line import SERVICE, TASK, User
from tests.shop import Shop

from bench import local_endpoint, result

ROUNDS = 3
_MB = 1_000_000
_BASE_MB = 300
_POLL_S = 0.02
_PORT = 8000
_DISTRIBUTION = "kirikae-bench-300mb:1"
_BARE = "kirikae-bench-commit-bare"
_IMAGES = "kirikae-bench-commit"
_APP = """ARG BASE
FROM ${BASE}
COPY layers/vendor/ /srv/shop/
COPY layers/assets/ /srv/shop/
COPY layers/code/ /srv/shop/
CMD ["httpd", "-f", "-p", "8000", "-h", "/srv/shop"]
"""


class Ours(NamedTuple):
    """Seconds: of each verb, and until the first answer of the new release."""

    create: float
    build: float
    deploy: float
    first: float


def docker(*words: str) -> str:
    environment = {**os.environ, "DOCKER_BUILDKIT": "0"}
    done = subprocess.run(
        ["docker", *words], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def large_base(folder: Path) -> None:
    """300 MB that no compression makes smaller."""
    place = folder / "large"
    place.mkdir()
    with (place / "weight").open("wb") as file:
        for _ in range(_BASE_MB):
            file.write(os.urandom(_MB))
    (place / "Dockerfile").write_text(f"FROM {WEB_IMAGE}\nCOPY weight /usr/lib/weight\n")
    docker("build", "-q", "-t", _DISTRIBUTION, str(place))
    (place / "weight").unlink()


def answers(url: str, text: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:
            return bool(answer.read().decode().strip() == text)
    except OSError:
        return False


def until(url: str, text: str) -> float:
    """The moment of the first answer."""
    while not answers(url, text):
        time.sleep(_POLL_S)
    return time.perf_counter()


def prepared(user: User) -> Path:
    """Definitions, Dockerfiles, and the code; the answer is where that lies."""
    [container] = TASK["containerDefinitions"]  # type: ignore[misc]
    own = {key: value for key, value in container.items() if key != "command"}
    task = {**TASK, "containerDefinitions": [{**own, "image": "{{ must_env `IMAGE_APP` }}"}]}
    (user.folder / "ecs/ecs-task-def.json").write_text(json.dumps(task))
    (user.folder / "ecs/ecs-service-def.json").write_text(json.dumps(SERVICE))
    image = user.folder / "image"
    image.mkdir()
    (image / "app.Dockerfile").write_text(_APP)
    (image / "base.Dockerfile").write_text("ARG DISTRIBUTION=x\nFROM ${DISTRIBUTION}\n")
    (image / "base.packages").write_text("")
    code = user.folder / "code"
    code.mkdir()
    for number in range(200):
        (code / f"page{number}.html").write_text(f"{number}\n" * 500)
    return code


def by_kirikae(user: User, code: Path, release: str) -> Ours:
    (code / "index.html").write_text(f"{release}\n")
    began = time.perf_counter()
    said(user, "release", "create", release, "--from", str(code))
    created = time.perf_counter()
    said(user, "build", "image", release, "--distribution", _DISTRIBUTION)
    built = time.perf_counter()
    deploying = user.begin("release", "deploy", release, "--to", "new")
    first = until(f"http://127.0.0.1:{user.shop.port}/", release)
    out, err = deploying.communicate()
    assert deploying.returncode == 0, out + err
    return Ours(
        created - began,
        built - created,
        time.perf_counter() - built,
        first - began,
    )


def said(user: User, *words: str) -> None:
    code, out, err = user.run(*words)
    assert code == 0, out + err


def by_docker(context: Path, release: str) -> float:
    """The context lies ready; one file of it changes."""
    (context / "layers/code/index.html").write_text(f"{release}\n")
    began = time.perf_counter()
    tag = f"{_BARE}:{release}"
    docker("build", "-q", "-t", tag, "--build-arg", f"BASE={_DISTRIBUTION}", str(context))
    container = docker("run", "-d", tag)
    try:
        [network] = json.loads(docker("inspect", container))[0]["NetworkSettings"][
            "Networks"
        ].values()
        return until(f"http://{network['IPAddress']}:{_PORT}/", release) - began
    finally:
        docker("rm", "-f", "-v", container)


def context_of(folder: Path, code: Path) -> Path:
    context = folder / "bare"
    for part in ("vendor", "assets", "code"):
        (context / "layers" / part).mkdir(parents=True)
    (context / "Dockerfile").write_text(_APP)
    for file in code.iterdir():
        (context / "layers/code" / file.name).write_bytes(file.read_bytes())
    return context


def main(rounds: int) -> None:
    ours = []
    theirs = []
    with local_endpoint() as local, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        large_base(folder)
        shop = Shop(local, "commit")
        shop.elb.add_tags(ResourceArns=[shop.rule], Tags=[{"Key": "Name", "Value": "main"}])
        shop.weigh(0, 1)
        user = User(folder, local, shop)
        file = folder / "kirikae.yml"
        file.write_text(file.read_text().replace("service: shop\n", f"service: {_IMAGES}\n", 1))
        code = prepared(user)
        context = context_of(folder, code)
        try:
            # The first of each makes what later ones find: layers of the base, the service.
            by_kirikae(user, code, "r0")
            by_docker(context, "r0")
            for number in range(1, rounds + 1):
                theirs.append(by_docker(context, f"r{number}"))
                ours.append(by_kirikae(user, code, f"r{number}"))
        finally:
            names = (_BARE, f"{_IMAGES}-app")
            tags = [f"{name}:r{number}" for name in names for number in range(rounds + 1)]
            remove = ["docker", "rmi", "-f", *tags, _DISTRIBUTION]
            subprocess.run(remove, capture_output=True, check=False)
    create, build, deploy, first = (statistics.median(part) for part in zip(*ours, strict=True))
    alone = statistics.median(theirs)
    figures = (
        f"first answer after {first:.1f} s (median of {rounds}): create {create:.1f}, build "
        f"{build:.1f}, deploy {deploy:.1f} s to its end with health checks and drain; docker build "
        f"and run {alone:.1f} s; {first - alone:.1f} s more; load {os.getloadavg()[0]:.0f}"
    )
    result(f"commit to serving on {_BASE_MB} MB", figures)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
