"""The fault endpoints of the ECS agent, as a client: latency, packet loss, a black hole.

``POST {ECS_AGENT_URI}/fault/v1/{kind}/{start|stop|status}`` (ECS developer guide, "Fault injection
for Amazon ECS"; agent 1.88 and newer, ``enableFaultInjection`` in the task definition).
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kirikae.drill.errors import CannotBeDone

_WAIT_S = 8.0
"""The agent gives its own commands five seconds."""
_PATIENCE_S = 20.0
_AGAIN_S = 1.0
"""One request each five seconds is taken; more are answered 429."""
_MOST = 65_536


def ask(
    uri: str,
    kind: str,
    verb: str,
    body: Mapping[str, Any],
) -> str:
    """The agent's word: ``running``, ``stopped`` or ``not-running``.

    To stop what does not run, or on a task that is gone, does no harm.  Raises CannotBeDone.
    """
    url = f"{uri}/fault/v1/{kind}/{verb}"
    patience = time.monotonic() + _PATIENCE_S
    while True:
        try:
            status, answer = _post(url, body)
        except OSError as error:
            if verb == "stop":
                return "stopped"  # the endpoint ends with its task, and the fault with both
            raise CannotBeDone(_unanswered(url, error)) from error
        if status != 429 or time.monotonic() > patience:
            break
        time.sleep(_AGAIN_S)
    if status == 404 and verb == "stop":
        return "stopped"
    if status != 200:
        raise CannotBeDone(
            f"{url} answers {status}: {answer.get('Error') or answer or 'no fault endpoint'}; "
            "it needs `enableFaultInjection: true` in the task definition, network mode awsvpc or "
            "host, and an agent that has these endpoints"
        )
    return str(answer.get("Status", ""))


def _unanswered(url: str, error: OSError) -> str:
    return (
        f"{url} does not answer: {error}; the agent answers inside its own task only: on AWS use "
        "an AWS FIS template (`kirikae drill fault fis --template ID`)"
    )


def _post(url: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """Raises OSError."""
    asked = urllib.request.Request(
        url,
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
        method="POST",
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(asked, timeout=_WAIT_S) as answer:
            return int(answer.status), _read(answer.read(_MOST))
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _read(error.read(_MOST))


def _read(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def started(pid: int) -> str:
    """When a process of this machine began, in clock ticks since boot (proc(5), stat: field 22);
    empty for one that is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
