"""Ask targets the project's checks directly, and read the release ID that they report."""

from __future__ import annotations

import http.client
import http.cookies
import os
import urllib.parse
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from kirikae.model.project import Check, SignIn

TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Probe:
    """What one target answered to all checks: the first trouble (empty: none) and its release ID
    (None: it says none)."""

    target: str
    trouble: str
    release: str | None


def probe(address: str, port: int, checks: Iterable[Check], release_header: str | None) -> Probe:
    """Never raises: what goes wrong is the trouble."""
    release = None
    for check in checks:
        try:
            connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT_S)
            try:
                connection.request(
                    "GET", check.get, headers={"User-Agent": "kirikae", "Connection": "close"}
                )
                answer = connection.getresponse()
                body = answer.read(1 << 20).decode(errors="replace")
            finally:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            return Probe(f"{address}:{port}", f"GET {check.get} was not answered: {error}", release)
        if release_header:
            release = answer.getheader(release_header) or release
        if answer.status != check.expect:
            return Probe(
                f"{address}:{port}",
                f"GET {check.get} answered {answer.status}, not {check.expect}",
                release,
            )
        if check.contains is not None and check.contains not in body:
            return Probe(
                f"{address}:{port}", f"GET {check.get} did not contain {check.contains!r}", release
            )
    return Probe(f"{address}:{port}", "", release)


def probe_all(
    targets: Sequence[tuple[str, int]], checks: Sequence[Check], release_header: str | None
) -> list[Probe]:
    """All targets at once (address, port), so that one that hangs does not hold up the others."""
    if not targets:
        return []
    with ThreadPoolExecutor(min(16, len(targets)), "probe") as pool:
        return list(
            pool.map(lambda target: probe(target[0], target[1], checks, release_header), targets)
        )


def sign_in_trouble(there: tuple[str, int], here: tuple[str, int], settings: SignIn) -> str:
    """Sign in at one target and act at another with its cookies; what went wrong, or empty.  Never
    raises."""
    form = {
        key: os.environ.get(value[4:], "") if value.startswith("env:") else value
        for key, value in settings.form.items()
    }
    headers = {"User-Agent": "kirikae", "Connection": "close"}
    try:
        status, given, _ = _ask(
            there,
            "POST",
            settings.post,
            urllib.parse.urlencode(form),
            {**headers, "Content-Type": _FORM},
        )
        if status >= 400:
            return f"POST {settings.post} at {there[0]}:{there[1]} answered {status}"
        if not given:
            return f"POST {settings.post} at {there[0]}:{there[1]} set no cookie"
        cookie = "; ".join(f"{name}={morsel.coded_value}" for name, morsel in given.items())
        status, _, body = _ask(here, "GET", settings.then.get, None, {**headers, "Cookie": cookie})
    except (OSError, http.client.HTTPException) as error:
        return f"not answered: {error}"
    if status != settings.then.expect:
        return (
            f"GET {settings.then.get} at {here[0]}:{here[1]} answered {status}, not "
            f"{settings.then.expect}"
        )
    if settings.then.contains is not None and settings.then.contains not in body:
        return (
            f"GET {settings.then.get} at {here[0]}:{here[1]} did not contain "
            f"{settings.then.contains!r}"
        )
    return ""


_FORM = "application/x-www-form-urlencoded"


def _ask(
    target: tuple[str, int], method: str, path: str, body: str | None, headers: dict[str, str]
) -> tuple[int, http.cookies.SimpleCookie, str]:
    """(status, cookies that were set, body)."""
    connection = http.client.HTTPConnection(*target, timeout=TIMEOUT_S)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        cookies: http.cookies.SimpleCookie = http.cookies.SimpleCookie()
        for header in answer.headers.get_all("Set-Cookie") or ():
            cookies.load(header)
        return answer.status, cookies, answer.read(1 << 20).decode(errors="replace")
    finally:
        connection.close()
