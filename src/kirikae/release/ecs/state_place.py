"""Where a Terraform state lies: a file, a URL, a bucket; a local state with a backend is followed
there."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kirikae.aws import lookups
from kirikae.aws.session import Aws
from kirikae.release.ecs.tfstate import State, backend_of, state_from
from kirikae.release.errors import TemplateProblem

_PATIENCE_S = 10.0
_DEFAULT_WORKSPACE = "default"
_WORKSPACE_PREFIX = "env:"
"""Of the backend s3 (its argument `workspace_key_prefix`)."""
_ELSEWHERE = {
    "gs": "Google Cloud Storage",
    "azurerm": "Azure",
    "remote": "Terraform Cloud",
}


def read_state(place: str, environment: Mapping[str, str], aws: Callable[[], Aws]) -> State:
    """Raises TemplateProblem, NotThere."""
    body = body_of(place, aws)
    backend = backend_of(body)
    if backend is None:
        return state_from(body, place)
    workspace = _workspace(Path(place).parent, environment)
    followed = _backend_place(
        backend,
        workspace,
        place,
    )
    return state_from(body_of(followed, aws), followed)


def body_of(place: str, aws: Callable[[], Aws]) -> bytes:
    """What lies in a file, a bucket or on the web.  Raises TemplateProblem, NotThere."""
    parts = urlsplit(place)
    if parts.scheme in ("", "file"):
        return _of_file(Path(parts.path if parts.scheme else place))
    if parts.scheme == "s3":
        return lookups.s3_object(
            aws(),
            parts.netloc,
            parts.path.lstrip("/"),
        )
    if parts.scheme in ("http", "https"):
        return _of_web(place)
    where = _ELSEWHERE.get(parts.scheme, f"places called {parts.scheme}:")
    raise TemplateProblem(
        f"{place}: states in {where} are not read; pull it to a file "
        "(`terraform state pull >terraform.tfstate`) and name that with `path`"
    )


def _of_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TemplateProblem(f"{path}: {error.strerror}") from error


def _of_web(place: str) -> bytes:
    try:
        with urllib.request.urlopen(place, timeout=_PATIENCE_S) as answer:
            body: bytes = answer.read()
            return body
    except (OSError, ValueError, urllib.error.URLError) as error:
        raise TemplateProblem(f"{place}: {error}") from error


def _workspace(folder: Path, environment: Mapping[str, str]) -> str:
    named = environment.get("TF_WORKSPACE")
    if named:
        return named
    file = folder / "environment"
    return file.read_text().strip() if file.is_file() else _DEFAULT_WORKSPACE


def _backend_place(backend: Mapping[str, Any], workspace: str, place: str) -> str:
    """Raises TemplateProblem."""
    kind = backend.get("type")
    config = backend.get("config") or {}
    if kind == "s3" and config.get("bucket") and config.get("key"):
        key = config["key"]
        if workspace != _DEFAULT_WORKSPACE:
            key = f"{config.get('workspace_key_prefix') or _WORKSPACE_PREFIX}/{workspace}/{key}"
        return f"s3://{config['bucket']}/{key}"
    if kind == "local" and config.get("path"):
        return str(Path(place).parent / config["path"])
    raise TemplateProblem(
        f"{place} names a backend {kind!r}, which is not read; pull the state to a file "
        "(`terraform state pull >terraform.tfstate`) and name that with `path`"
    )
