"""Ask targets the project's checks directly, and read the release ID that they report."""

from __future__ import annotations

import http.client
import http.cookies
import os
import urllib.parse
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from kirikae.model.checks import unmet
from kirikae.model.project import Check, SignIn
from kirikae.model.said import Said, said

TIMEOUT_S = 3.0
_BODY = 1 << 20
_FORM = "application/x-www-form-urlencoded"


class Target(NamedTuple):
    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"


class Answered(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    cookies: http.cookies.SimpleCookie
    body: str


@dataclass(frozen=True, slots=True)
class Probe:
    """What one target answered to all checks: the first trouble (None: none) and its release ID
    (None: it says none)."""

    target: str
    trouble: Said | None
    release: str | None


def probe(target: Target, checks: Sequence[Check], release_header: str | None) -> Probe:
    """Never raises: what goes wrong is the trouble."""
    release = None
    for check in checks:
        try:
            answer = _ask(target, "GET", check.get)
        except (OSError, http.client.HTTPException) as error:
            trouble = said(
                "traffic.probe.not_answered",
                path=check.get,
                error=str(error),
            )
            return Probe(str(target), trouble, release)
        if release_header:
            release = answer.headers.get(release_header) or release
        failed = unmet(check, answer.status, answer.body)
        if failed is not None:
            return Probe(str(target), failed, release)
    return Probe(str(target), None, release)


def probe_all(
    targets: Sequence[Target],
    checks: Sequence[Check],
    release_header: str | None,
) -> list[Probe]:
    """All targets at once, so that one that hangs does not hold up the others."""
    if not targets:
        return []
    with ThreadPoolExecutor(min(16, len(targets)), "probe") as pool:
        return list(
            pool.map(
                lambda target: probe(target, checks, release_header),
                targets,
            )
        )


def sign_in_trouble(there: Target, here: Target, settings: SignIn) -> Said | None:
    """Sign in at one target and act at another with its cookies; what went wrong, or None.  Never
    raises."""
    try:
        signed = _ask(
            there,
            "POST",
            settings.post,
            _form(settings.form),
            {"Content-Type": _FORM},
        )
        refused = _refused(signed, there, settings.post)
        if refused is not None:
            return refused
        cookie = "; ".join(f"{name}={m.coded_value}" for name, m in signed.cookies.items())
        answer = _ask(
            here,
            "GET",
            settings.then.get,
            None,
            {"Cookie": cookie},
        )
    except (OSError, http.client.HTTPException) as error:
        return said("traffic.probe.sign_in_silent", error=str(error))
    trouble = unmet(settings.then, answer.status, answer.body)
    if trouble is None:
        return None
    return said("traffic.probe.at", trouble=trouble, target=str(here))


def _form(fields: Mapping[str, str]) -> str:
    """``env:NAME`` is read from the environment."""
    values = {}
    for key, value in fields.items():
        secret = value.startswith("env:")
        values[key] = os.environ.get(value.removeprefix("env:"), "") if secret else value
    return urllib.parse.urlencode(values)


def _refused(answer: Answered, target: Target, path: str) -> Said | None:
    if answer.status >= 400:
        return said(
            "traffic.probe.sign_in_refused",
            path=path,
            target=str(target),
            status=answer.status,
        )
    if not answer.cookies:
        return said(
            "traffic.probe.sign_in_no_cookie",
            path=path,
            target=str(target),
        )
    return None


def _ask(
    target: Target,
    method: str,
    path: str,
    body: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answered:
    """Raises OSError, HTTPException."""
    always = {"User-Agent": "kirikae", "Connection": "close"}
    connection = http.client.HTTPConnection(*target, timeout=TIMEOUT_S)
    try:
        connection.request(
            method,
            path,
            body,
            {**always, **(headers or {})},
        )
        answer = connection.getresponse()
        cookies: http.cookies.SimpleCookie = http.cookies.SimpleCookie()
        for header in answer.headers.get_all("Set-Cookie") or ():
            cookies.load(header)
        text = answer.read(_BODY).decode(errors="replace")
        return Answered(
            answer.status,
            answer.headers,
            cookies,
            text,
        )
    finally:
        connection.close()
