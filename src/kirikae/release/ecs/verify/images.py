"""Whether an image is where its name says, and is made for the task's platform."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kirikae.aws import proofs
from kirikae.aws.session import Aws
from kirikae.release.ecs.verify.checked import GOOD, Reply, ok, remedied, skipped

_ECR = re.compile(r"(\d+)\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/(.+)")
_HUB = "registry-1.docker.io"
_PATIENCE_S = 10.0
_ACCEPT = ", ".join(
    [
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    ]
)
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_LOOPBACK = ("localhost", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class Image:
    """``registry/repository:tag@digest``; a name without a tag is ``latest``."""

    registry: str
    repository: str
    tag: str
    digest: str

    @property
    def reference(self) -> str:
        return self.digest or self.tag


def image_from(name: str) -> Image:
    """A colon in front of the last slash is a port's."""
    rest, _, digest = name.partition("@")
    head, slash, last = rest.rpartition("/")
    bare, _, tag = last.partition(":")
    path = f"{head}{slash}{bare}"
    first, _, more = path.partition("/")
    is_host = bool(more) and ("." in first or ":" in first or first == "localhost")
    if is_host:
        hub = first in ("docker.io", "index.docker.io")
        registry = _HUB if hub else first
        repository = more
    else:
        registry = _HUB
        repository = path
    if registry == _HUB and "/" not in repository:
        repository = f"library/{repository}"
    return Image(
        registry,
        repository,
        tag or "latest",
        digest,
    )


@dataclass(frozen=True, slots=True)
class Platform:
    """``architecture`` and ``system``: as manifests name them."""

    architecture: str
    system: str

    @property
    def says(self) -> str:
        return f"{self.system}/{self.architecture}"


def platform_of(runtime: Mapping[str, str] | None, fargate: bool) -> Platform | None:
    """None: the task does not say, so any will do (API reference, RuntimePlatform)."""
    if not runtime and not fargate:
        return None
    given = runtime or {}
    architecture = "arm64" if given.get("cpuArchitecture") == "ARM64" else "amd64"
    windows = given.get("operatingSystemFamily", "LINUX").startswith("WINDOWS")
    return Platform(architecture, "windows" if windows else "linux")


def checked_image(name: str, platform: Platform | None, aws_of: Callable[[str], Aws]) -> Reply:
    """``aws_of``: AWS of a region, for ECR."""
    if not name:
        return remedied("no_image")
    in_ecr = _ECR.match(name)
    if in_ecr:
        return _in_ecr(
            name,
            in_ecr,
            platform,
            aws_of,
        )
    image = image_from(name)
    try:
        manifest = _Registry(image).manifest(image.reference)
    except urllib.error.HTTPError as error:
        return _refused(name, error)
    except (OSError, ValueError) as error:
        return skipped("registry_silent", registry=image.registry, why=_why(error))
    return _fits(
        name,
        manifest,
        platform,
    )


def _in_ecr(
    name: str,
    found: re.Match[str],
    platform: Platform | None,
    aws_of: Callable[[str], Aws],
) -> Reply:
    account, region, rest = found.groups()
    image = image_from(f"x.y/{rest}")
    key = "imageDigest" if image.digest else "imageTag"
    aws = aws_of(region)
    manifest = proofs.ecr_manifest(
        aws,
        account,
        image.repository,
        {key: image.reference},
    )
    return _fits(
        name,
        manifest,
        platform,
    )


def _why(error: Exception) -> str:
    """In words: urllib wraps what the system said."""
    reason = getattr(error, "reason", error)
    return str(getattr(reason, "strerror", None) or reason)


def _refused(name: str, error: urllib.error.HTTPError) -> Reply:
    if error.code == 404:
        return remedied("image_gone", image=name)
    if error.code == 429:
        return skipped("rate_limit")
    if error.code in (401, 403):
        return skipped("needs_login", image=name, code=error.code)
    return skipped("registry_answers", code=error.code)


def _fits(name: str, manifest: Mapping[str, Any], platform: Platform | None) -> Reply:
    """A list of manifests names its platforms; a single one names none here."""
    if platform is None:
        return GOOD
    rows = manifest.get("manifests")
    if not isinstance(rows, list):
        return ok("single_image", platform=platform.says)
    offered = [each.get("platform") or {} for each in rows if isinstance(each, dict)]
    if any(
        (each.get("architecture"), each.get("os")) == (platform.architecture, platform.system)
        for each in offered
    ):
        return GOOD
    known = [f"{each.get('os')}/{each.get('architecture')}" for each in offered]
    return remedied("platform", image=name, platform=platform.says, offered=known)


@dataclass(frozen=True, slots=True)
class _Registry:
    """Asks a registry for manifests (OCI distribution specification)."""

    image: Image

    def manifest(self, reference: str) -> dict[str, Any]:
        """Raises HTTPError, OSError, ValueError."""
        host = self.image.registry
        scheme = "http" if host.split(":")[0] in _LOOPBACK else "https"
        url = f"{scheme}://{host}/v2/{self.image.repository}/manifests/{reference}"
        try:
            return self._get(url, {})
        except urllib.error.HTTPError as error:
            challenge = error.headers.get("WWW-Authenticate", "")
            if error.code != 401 or not challenge.lower().startswith("bearer"):
                raise
            return self._get(url, {"Authorization": f"Bearer {self._token(challenge)}"})

    def _token(self, challenge: str) -> str:
        asked = dict(_PARAMETER.findall(challenge))
        if "realm" not in asked:
            raise ValueError(f"it does not say where a token is had ({challenge:.80})")
        query = {key: asked[key] for key in ("service", "scope") if key in asked}
        found = self._get(f"{asked['realm']}?{urllib.parse.urlencode(query)}", {})
        return str(found.get("token") or found.get("access_token"))

    def _get(self, url: str, headers: Mapping[str, str]) -> dict[str, Any]:
        request = urllib.request.Request(url, headers={"Accept": _ACCEPT, **headers})
        with urllib.request.urlopen(request, timeout=_PATIENCE_S) as answer:
            found = json.loads(answer.read())
        if not isinstance(found, dict):
            raise ValueError("its answer is no JSON object")
        return found
