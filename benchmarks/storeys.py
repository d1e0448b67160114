"""One changed source file: what it costs to build its image, against the bare engine with the same
layers; and how many bytes a registry does not have yet.

    python benchmarks/storeys.py [ROUNDS]
"""

from __future__ import annotations

import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.built_hosts import bytes_besides, container_base

from kirikae.console.container_engine import ContainerEngine
from kirikae.console.images import Release, Storeys, make_images
from kirikae.release.manifest import Manifest, pack

_VENDOR_FILES = 3_000
_VENDOR_BYTES = 20_000
_DOCKERFILE = """ARG BASE
FROM ${BASE}
COPY layers/vendor/ /srv/shop/
COPY layers/assets/ /srv/shop/
COPY layers/code/ /srv/shop/
RUN test -f /srv/shop/server.js
USER 1000:1000
"""


def code(folder: Path) -> Path:
    """A Node service whose packages weigh 60 MB."""
    place = folder / "code"
    for number in range(_VENDOR_FILES):
        file = place / f"node_modules/p{number % 300}/f{number}.js"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.urandom(_VENDOR_BYTES))
    (place / "server.js").write_text("// 0\n")
    return place


def release_of(place: Path, name: str) -> Release:
    packed = pack(place)
    manifest = Manifest(name, name, len(packed.archive), packed.files, "", "me", 0.0)
    return Release(manifest, packed.archive)


def bare(folder: Path, base: str, tag: str) -> None:
    """The same layers as the engine alone makes them, from a context that lies ready."""
    words = ["docker", "build", "-q", "-t", tag, "--build-arg", f"BASE={base}", str(folder)]
    environment = {**os.environ, "DOCKER_BUILDKIT": "0"}
    subprocess.run(words, check=True, capture_output=True, env=environment)


def context_of(folder: Path, place: Path) -> Path:
    context = folder / "bare"
    for part in ("vendor", "assets", "code"):
        (context / "layers" / part).mkdir(parents=True)
    (context / "Dockerfile").write_text(_DOCKERFILE)
    packed = pack(place)
    with tarfile.open(fileobj=io.BytesIO(packed.archive)) as tar:
        tar.extractall(context / "layers/vendor", filter="data")
    (context / "layers/vendor/server.js").rename(context / "layers/code/server.js")
    return context


def main(rounds: int) -> None:
    engine = ContainerEngine.of(os.environ)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        place = code(folder)
        image = folder / "image"
        image.mkdir()
        (image / "app.Dockerfile").write_text(_DOCKERFILE)
        (image / "base.Dockerfile").write_text("ARG DISTRIBUTION=x\nFROM ${DISTRIBUTION}\n")
        (image / "base.packages").write_text("")
        storeys = Storeys(image, container_base())
        context = context_of(folder, place)
        ours: list[float] = []
        theirs: list[float] = []
        images = []
        for number in range(rounds + 1):
            (place / "server.js").write_text(f"// {number}\n")
            release = release_of(place, f"r{number}")
            begin = time.monotonic()
            made = make_images(engine, storeys, "kirikae-bench-storeys", None, release)
            mine = time.monotonic() - begin
            images.append(made.images["app"])
            (context / "layers/code/server.js").write_text(f"// bare {number}\n")
            begin = time.monotonic()
            bare(context, made.base, f"kirikae-bench-bare:r{number}")
            if number:
                ours.append(mine)
                theirs.append(time.monotonic() - begin)
        told = {
            "kirikae_s": round(statistics.median(ours), 2),
            "bare_s": round(statistics.median(theirs), 2),
            "ratio": round(statistics.median(a / b for a, b in zip(ours, theirs, strict=True)), 2),
            "moved_bytes": bytes_besides(images[-1], images[0]),
        }
        print(json.dumps(told))
        tags = [f"kirikae-bench-storeys-app:r{n}" for n in range(rounds + 1)]
        tags += [f"kirikae-bench-bare:r{n}" for n in range(rounds + 1)]
        subprocess.run(["docker", "rmi", "-f", *tags, made.base], capture_output=True, check=False)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
