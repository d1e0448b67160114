"""Images in files, made without an engine: what each layer holds is said as rows."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import zstandard

DIGEST = "sha256:" + "b" * 64
KEY = b"-----BEGIN RSA PRIVATE KEY-----\n" + b"A" * 64 + b"\n-----END RSA PRIVATE KEY-----\n"
CONFIG: dict[str, Any] = {
    "config": {
        "User": "999:997",
        "Env": ["PATH=/usr/bin", "SHOP_REGION=jp"],
        "Cmd": ["/srv/app"],
        "ExposedPorts": {"8080/tcp": {}},
        "Labels": {"org.opencontainers.image.base.digest": DIGEST},
    },
    "history": [{"created_by": "COPY /srv /srv # buildkit"}],
}
Row = tuple[str, int, bytes]
"""Path, mode, content; a path that ends in / is a folder."""
LAYERS: list[list[Row]] = [
    [("usr/bin/", 0o755, b""), ("usr/bin/app", 0o755, b"x"), ("tmp/", 0o1777, b"")],
    [("srv/app", 0o755, b"program"), ("etc/shadow", 0o640, b"root:*:1::::::\n")],
]


def layer(rows: Sequence[Row]) -> bytes:
    """A tar of these."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, mode, data in rows:
            info = tarfile.TarInfo(path.rstrip("/"))
            info.mode = mode
            info.type = tarfile.DIRTYPE if path.endswith("/") else tarfile.REGTYPE
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def sum_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def archive(files: dict[str, bytes]) -> bytes:
    """A tar of files."""
    return layer([(name, 0o644, data) for name, data in files.items()])


def plain(data: bytes) -> bytes:
    """A layer without its packing; as it is where that is broken."""
    try:
        if data.startswith(b"\x28\xb5\x2f\xfd"):
            return zstandard.ZstdDecompressor().decompressobj().decompress(data)
        return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    except (OSError, EOFError, zlib.error):
        return data


def complete(config: Any, layers: Sequence[bytes]) -> bytes:
    """A configuration with the digests of its layers, unless it brings its own."""
    if not isinstance(config, dict):
        return json.dumps(config).encode()
    own = {"type": "layers", "diff_ids": [f"sha256:{sum_of(plain(each))}" for each in layers]}
    return json.dumps({"rootfs": own, **config}).encode()


def docker(layers: Sequence[bytes], config: Any = CONFIG, tags: Sequence[str] = ()) -> bytes:
    """As `docker save` of engines up to 24 writes it."""
    named = {f"{sum_of(data)}/layer.tar": data for data in layers}
    row = {
        "Config": "config.json",
        "RepoTags": list(tags),
        "Layers": [f"{sum_of(data)}/layer.tar" for data in layers],
    }
    named["config.json"] = complete(config, layers)
    named["manifest.json"] = json.dumps([row]).encode()
    return archive(named)


def oci_files(
    layers: Sequence[bytes],
    config: Any = CONFIG,
    layer_kind: str = "application/vnd.oci.image.layer.v1.tar",
) -> dict[str, bytes]:
    """An OCI layout with an index of one platform and a builder's note beside it."""
    blobs: dict[str, bytes] = {}

    def put(data: bytes, **more: Any) -> dict[str, Any]:
        blobs[f"blobs/sha256/{sum_of(data)}"] = data
        return {"digest": f"sha256:{sum_of(data)}", "size": len(data), **more}

    manifest = {
        "schemaVersion": 2,
        "config": put(complete(config, layers)),
        "layers": [put(data, mediaType=layer_kind) for data in layers],
    }
    platform = {"os": "linux", "architecture": "amd64"}
    note = {"vnd.docker.reference.type": "attestation-manifest"}
    inner = {
        "manifests": [
            put(json.dumps(manifest).encode(), platform=platform),
            put(b"{}", annotations=note),
        ]
    }
    index = {"manifests": [put(json.dumps(inner).encode())]}
    blobs["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    blobs["index.json"] = json.dumps(index).encode()
    return blobs


def laid_out(folder: Path, files: dict[str, bytes]) -> Path:
    """Written below a folder."""
    for name, data in files.items():
        folder.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        folder.joinpath(name).write_bytes(data)
    return folder


def written(folder: Path, form: str, layers: Sequence[bytes], config: Any = CONFIG) -> Path:
    """In one of the forms; its path."""
    match form:
        case "docker":
            data = docker(layers, config)
        case "docker.gz":
            data = gzip.compress(docker(layers, config))
        case "oci.tar":
            data = archive(oci_files(layers, config))
        case "oci.gz":
            data = archive(oci_files([gzip.compress(each) for each in layers], config))
        case _:
            return laid_out(folder / "layout", oci_files(layers, config))
    path = folder / "image.tar"
    path.write_bytes(data)
    return path


FORMS = ("docker", "docker.gz", "oci.tar", "oci.gz", "oci folder")
