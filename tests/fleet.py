"""Stand-ins for a fleet of hosts and for an ECS service (a reason: hundreds of kills would take
hours over a network and over AWS).

Real sshd and real systemd are in the rehearsal, real ECS operations in ``kirikae local``."""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from kirikae.move.sqlite_store import SqliteStore
from kirikae.release.ahead import Around
from kirikae.release.ledger import Ledger
from kirikae.release.manifest import Releases


def around_of(folder: Path, ledger: Ledger) -> Around:
    """What a deploy of the shop has around it: no hook, no lock, no schema."""
    store = SqliteStore(folder / "around.db")
    releases = Releases(store, "test", "shop", folder / "releases")
    return Around(store, "test", "shop", "me", releases, ledger, folder, {}, 5.0)


SSH = """#!{python}
import os, socket, subprocess, sys
folder = {folder!r}
arguments = sys.argv[1:]
if "-W" in arguments:
    host = arguments[-1]
    port = int(open(os.path.join(folder, host, "port")).read())
    try:
        link = socket.create_connection(("127.0.0.1", port), 5)
    except OSError:
        sys.exit(255)
    link.sendall(os.read(0, 65536))
    while (got := link.recv(65536)):
        os.write(1, got)
    sys.exit(0)
host, command = arguments[-2], arguments[-1]
place = os.path.join(folder, host).encode()
if not os.path.isdir(place) or os.path.exists(place + b"/silent"):
    sys.stderr.write("no route to host\\n")
    sys.exit(255)
given = sys.stdin.buffer.read().replace(b"@HOST@", place)
shell = ["sh", "-c", command.replace("@HOST@", place.decode())]
sys.exit(subprocess.run(shell, input=given).returncode)
"""


class StandInHosts:
    """Hosts named here, and ``command`` for KIRIKAE_SSH.

    Each host is a folder; ``@HOST@`` in a path becomes that folder.  A small server per host
    answers with what ``current`` holds: its release in a header, status 500 where the release has a
    file BROKEN.
    """

    def __init__(self, folder: Path, *names: str) -> None:
        self.folder = folder
        self.names = names
        self._servers = []
        folder.mkdir(parents=True, exist_ok=True)
        script = folder / "ssh"
        script.write_text(SSH.format(python=sys.executable, folder=str(folder)))
        script.chmod(0o755)
        self.command = str(script)
        for name in names:
            self._add(name)

    def _add(self, name: str) -> None:
        root = self.folder / name / "srv"
        (root / "releases/r1").mkdir(parents=True)
        (root / "current").symlink_to(root / "releases/r1")

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                current = root / "current"
                self.send_response(500 if (current / "BROKEN").exists() else 200)
                if (current / "RELEASE").exists():
                    self.send_header("X-Release-Id", (current / "RELEASE").read_text().strip())
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        (self.folder / name / "port").write_text(str(server.server_address[1]))
        self._servers.append(server)

    def current(self, name: str) -> str:
        return (self.folder / name / "srv/current").resolve().name

    def serving(self) -> list[str]:
        return [self.current(name) for name in self.names]

    def leftovers(self, name: str) -> list[str]:
        srv = self.folder / name / "srv"
        return sorted(f.name for f in [*srv.glob(".*"), *(srv / "releases").glob(".*")])

    def reloads(self, name: str) -> int:
        log = self.folder / name / "reloads"
        return len(log.read_text().splitlines()) if log.exists() else 0

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


TARGET_GROUP = "arn:aws:elasticloadbalancing:ap-northeast-1:123456789012:targetgroup/shop/1"
_TASKS = "arn:aws:ecs:ap-northeast-1:123456789012:task-definition/"
Row = dict[str, Any]


class StandInService:
    """What ``kirikae.aws`` asks of AWS for one ECS service, kept in a file: it outlives a killed
    process.

    A deployment is done at the second look.  One whose image is called ``broken`` fails there, and
    ECS goes back to what served before.
    """

    def __init__(self, file: Path, exists: bool = True) -> None:
        self._file = file
        if not file.exists():
            first = self._arn("shop", 1)
            tasks = {first: {"family": "shop", "containerDefinitions": [{"image": "r1"}]}}
            service = self._service(self._deployment(1, first, "COMPLETED")) if exists else None
            self._write({"tasks": tasks, "service": service, "looks": 0})

    def client(self, _: str) -> StandInService:
        """Every client that is asked for."""
        return self

    def serving(self) -> str | None:
        """The image of what serves; None: there is no service."""
        state = self._read()
        if state["service"] is None:
            return None
        running = [
            row for row in state["service"]["deployments"] if row["rolloutState"] != "FAILED"
        ]
        arn = running[-1]["taskDefinition"]
        return str(state["tasks"][arn]["containerDefinitions"][0]["image"])

    def revisions(self) -> int:
        return len(self._read()["tasks"])

    # the operations

    def register_task_definition(self, **definition: Any) -> Row:
        state = self._read()
        arn = self._arn(definition["family"], len(state["tasks"]) + 1)
        state["tasks"][arn] = definition
        self._write(state)
        return {"taskDefinition": {"taskDefinitionArn": arn}}

    def create_service(self, taskDefinition: str, **_: Any) -> Row:
        state = self._read()
        assert state["service"] is None
        state["service"] = self._service(self._deployment(1, taskDefinition, "IN_PROGRESS"))
        self._write(state)
        return {"service": state["service"]}

    def update_service(self, taskDefinition: str, **_: Any) -> Row:
        state = self._read()
        rows = state["service"]["deployments"]
        if rows[0]["taskDefinition"] == taskDefinition and rows[0]["rolloutState"] != "FAILED":
            # Nothing changes, so ECS begins no deployment.
            return {"service": state["service"]}
        number = state["service"]["made"] + 1
        state["service"]["made"] = number
        rows.insert(0, self._deployment(number, taskDefinition, "IN_PROGRESS"))
        state["looks"] = 0
        self._write(state)
        return {"service": state["service"]}

    def describe_services(self, **_: Any) -> Row:
        state = self._read()
        if state["service"] is None:
            return {"services": []}
        state["looks"] += 1
        if state["looks"] > 1:
            self._settle(state)
        self._write(state)
        return {"services": [state["service"]]}

    def tag_resource(self, resourceArn: str, tags: list[dict[str, str]]) -> Row:
        self._set_tags({**self.tags(), **{each["key"]: each["value"] for each in tags}})
        return {}

    def untag_resource(self, resourceArn: str, tagKeys: list[str]) -> Row:
        left = {key: value for key, value in self.tags().items() if key not in tagKeys}
        self._set_tags(left)
        return {}

    def tags(self) -> dict[str, str]:
        """Key -> value, of the service."""
        return {each["key"]: each["value"] for each in self._read()["service"].get("tags", ())}

    def _set_tags(self, tags: dict[str, str]) -> None:
        state = self._read()
        rows = [{"key": key, "value": value} for key, value in tags.items()]
        self._write({**state, "service": {**state["service"], "tags": rows}})

    def describe_scalable_targets(self, **_: Any) -> Row:
        found = self._read().get("scaling")
        return {"ScalableTargets": [found] if found else []}

    def register_scalable_target(self, **asked: Any) -> Row:
        """What is not given stays."""
        state = self._read()
        self._write({**state, "scaling": {**state.get("scaling", {}), **asked}})
        return {"ScalableTargetARN": "arn"}

    def get_paginator(self, operation: str) -> StandInService:
        assert operation == "list_tasks"
        return self

    def paginate(self, desiredStatus: str, **_: Any) -> list[Row]:
        """Every deployment of a broken image has left one task."""
        assert desiredStatus == "STOPPED"
        arns = [f"arn:aws:ecs:x:1:task/c/{each['startedBy']}" for each in self._dead()]
        return [{"taskArns": arns}]

    def describe_tasks(self, tasks: list[str], **_: Any) -> Row:
        return {"tasks": self._dead()}

    def describe_task_definition(self, taskDefinition: str) -> Row:
        return {"taskDefinition": self._read()["tasks"][taskDefinition]}

    def describe_clusters(self, clusters: list[str]) -> Row:
        return {"clusters": [{"clusterName": name, "status": "ACTIVE"} for name in clusters]}

    def describe_target_groups(self, **_: Any) -> Row:
        return {"TargetGroups": [{"TargetGroupArn": TARGET_GROUP}]}

    def describe_target_group_attributes(self, **_: Any) -> Row:
        return {"Attributes": []}

    # how ECS goes on

    def _settle(self, state: Row) -> None:
        rows = state["service"]["deployments"]
        if rows[0]["rolloutState"] != "IN_PROGRESS":
            return
        image = state["tasks"][rows[0]["taskDefinition"]]["containerDefinitions"][0]["image"]
        if image != "broken":
            state["service"]["deployments"] = [{**rows[0], "rolloutState": "COMPLETED"}]
        elif len(rows) > 1:
            rows[0]["rolloutState"] = "FAILED"
            rows.insert(0, {**rows[-1], "id": f"{rows[0]['id']}-back"})
        state["service"]["taskDefinition"] = state["service"]["deployments"][0]["taskDefinition"]

    def _dead(self) -> list[Row]:
        rows = self._read()["service"]["deployments"]
        return [
            {
                "taskArn": "arn:aws:ecs:x:1:task/c/0a1b",
                "taskDefinitionArn": row["taskDefinition"],
                "startedBy": row["id"],
                "stopCode": "EssentialContainerExited",
                "stoppedReason": "Essential container in task exited",
                "containers": [{"name": "app", "exitCode": 3}],
            }
            for row in rows
            if row["rolloutState"] == "FAILED"
        ]

    def _arn(self, family: str, revision: int) -> str:
        return f"{_TASKS}{family}:{revision}"

    def _service(self, deployment: Row) -> Row:
        return {
            "status": "ACTIVE",
            "taskDefinition": deployment["taskDefinition"],
            "deployments": [deployment],
            "events": [],
            "made": 1,
        }

    def _deployment(self, number: int, task_definition: str, state: str) -> Row:
        return {
            "id": f"ecs-svc/{number}",
            "taskDefinition": task_definition,
            "rolloutState": state,
            "rolloutStateReason": "tasks failed to start.",
            "runningCount": 1,
            "pendingCount": 0,
            "desiredCount": 1,
            "createdAt": number,
        }

    def _read(self) -> Row:
        return dict(json.loads(self._file.read_text()))

    def _write(self, state: Row) -> None:
        partial = self._file.with_suffix(".partial")
        partial.write_text(json.dumps(state))
        partial.replace(self._file)
