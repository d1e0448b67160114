"""Eight hosts of different kinds: driven, surveyed, built, and serving as ECS tasks whose root is
read-only."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from kirikae.console import build, release
from kirikae.console.here import Here
from kirikae.console.smoke import Smoke
from kirikae.release.definitions import render
from tests import built_hosts
from tests.built_hosts import ALL, SECRET, MadeHost
from tests.conftest import Endpoint
from tests.pace import eventually

pytestmark = [pytest.mark.engine, pytest.mark.prove]


@pytest.fixture
def ready(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple]:
    """The host has been looked at and its code packed; it is gone then."""
    host: MadeHost = request.param
    with built_hosts.running(host) as name:
        text = built_hosts.surveyed(name)
        assert SECRET not in text
        here = built_hosts.project_of(
            host, tmp_path, gzip.compress(text.encode(errors="surrogateescape"))
        )
        release.created(here, "r1", built_hosts.release_files(name, host, tmp_path), dry_run=False)
        values = built_hosts.secrets_put(name, here)
        assert values == {place: value.format(SECRET) for place, value in host.secrets.items()}
    yield host, here


@pytest.mark.parametrize("ready", ALL, indirect=True, ids=[host.name for host in ALL])
def test_a_host_is_surveyed_built_and_serves(ready, local: Endpoint) -> None:
    """Nothing by hand but what kirikae asks for; nothing is written where nobody declared it."""
    host, here = ready
    told = build.written(here, force=False, dry_run=False)
    assert told.exit == 0, told.lines
    files = [
        path for path in here.folder.rglob("*") if path.is_file() and ".kirikae/" not in str(path)
    ]
    assert all(SECRET.encode() not in path.read_bytes() for path in files)
    order = build.ImageOrder("r1", built_hosts.container_base(), None)
    made = build.images_made(here, order, dry_run=False)
    with built_hosts.gone_afterwards(made.plain["images"]):
        smoke = build.verified(here, "r1", Smoke((), None))
        assert smoke.exit == 0, smoke.lines
        _serves_on_ecs(host, here.folder, made.plain["images"], local)
        if host is built_hosts.NODE:
            _moves_little(here, made.plain["images"]["app"])


_FIVE_MB = 5_000_000


def _moves_little(here: Here, before: str) -> None:
    """One changed source file: what a registry does not have yet is small."""
    (here.folder / "code/server.js").open("a").write("// changed\n")
    release.created(here, "r2", here.folder / "code", dry_run=False)
    order = build.ImageOrder("r2", built_hosts.container_base(), None)
    made = build.images_made(here, order, dry_run=False).plain
    with built_hosts.gone_afterwards(made["images"]):
        assert built_hosts.bytes_besides(made["images"]["app"], before) < _FIVE_MB


def _serves_on_ecs(host: MadeHost, folder: Path, images: dict[str, str], local: Endpoint) -> None:
    """As `release deploy` registers it, with a root that nobody writes to."""
    ecs = local.client("ecs")
    ssm = local.client("ssm")
    ecs.create_cluster(clusterName="tasks")
    values = {f"IMAGE_{name.upper()}": image for name, image in images.items()}
    text = (folder / "ecs/ecs-task-def.json").read_text()
    task = json.loads(render(text, "t", {**values, "RELEASE_ID": "r1"}))
    for container in task["containerDefinitions"]:
        assert container["readonlyRootFilesystem"]
        for secret in container.get("secrets", ()):
            ssm.put_parameter(
                Name=secret["valueFrom"], Value="x", Type="SecureString", Overwrite=True
            )
            local.scope.add(lambda name=secret["valueFrom"]: ssm.delete_parameter(Name=name))
    ecs.register_task_definition(**{**task, "family": f"built-{host.name}"})
    ec2 = local.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    network = {"awsvpcConfiguration": {"subnets": [subnet]}}
    made = ecs.run_task(
        cluster="tasks",
        taskDefinition=f"built-{host.name}",
        launchType="FARGATE",
        networkConfiguration=network,
    )
    arn = made["tasks"][0]["taskArn"]
    local.scope.add(lambda: ecs.stop_task(cluster="tasks", task=arn))

    def seen() -> dict:
        return ecs.describe_tasks(cluster="tasks", tasks=[arn])["tasks"][0]

    eventually(
        lambda: seen()["lastStatus"] == "RUNNING", lambda: json.dumps(seen(), default=str), 60
    )
    details = {each["name"]: each["value"] for each in seen()["attachments"][0]["details"]}
    address = details["privateIPv4Address"]
    port = next(
        mapping["containerPort"]
        for container in task["containerDefinitions"]
        for mapping in container.get("portMappings", ())
    )
    for path, holds in host.check.items():
        _answers(address, port, path, holds, seen)


def _answers(address: str, port: int, path: str, holds: str, seen: Callable[[], dict]) -> None:
    def told() -> str:
        return f"{_body(address, port, path)} {json.dumps(seen(), default=str)}"

    eventually(lambda: holds in _body(address, port, path), told, 60)


def _body(address: str, port: int, path: str) -> str:
    connection = HTTPConnection(address, port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    except (OSError, HTTPException) as error:
        return repr(error)
    finally:
        connection.close()
