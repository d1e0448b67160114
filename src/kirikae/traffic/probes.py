"""Ask targets the project's checks directly, and read the release ID that they report."""

from __future__ import annotations

import http.client
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from kirikae.model.project import Check

TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Probe:
    """What one target answered to all checks: the first trouble (empty: none) and its release ID (None: it says none)."""

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
                connection.request("GET", check.get, headers={"User-Agent": "kirikae", "Connection": "close"})
                answer = connection.getresponse()
                body = answer.read(1 << 20).decode(errors="replace")
            finally:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            return Probe(f"{address}:{port}", f"GET {check.get} was not answered: {error}", release)
        if release_header:
            release = answer.getheader(release_header) or release
        if answer.status != check.expect:
            return Probe(f"{address}:{port}", f"GET {check.get} answered {answer.status}, not {check.expect}", release)
        if check.contains is not None and check.contains not in body:
            return Probe(f"{address}:{port}", f"GET {check.get} did not contain {check.contains!r}", release)
    return Probe(f"{address}:{port}", "", release)


def probe_all(targets: Sequence[tuple[str, int]], checks: Sequence[Check], release_header: str | None) -> list[Probe]:
    """All targets at once (address, port), so that one that hangs does not hold up the others."""
    if not targets:
        return []
    with ThreadPoolExecutor(min(16, len(targets)), "probe") as pool:
        return list(pool.map(lambda target: probe(target[0], target[1], checks, release_header), targets))
