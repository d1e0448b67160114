"""A reset of the test mode, on the real engine: whatever ran is gone, and all of it works again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from kirikae.local import control
from tests.conftest import Endpoint, web_image
from tests.pace import eventually
from tests.shop import Shop

pytestmark = pytest.mark.engine


def containers(local: Endpoint) -> set[str]:
    """Of tasks; those of the pool are nobody's."""
    asked = ["docker", "ps", "-a", "--format", "{{.Names}}"]
    told = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    return {name for name in told.split() if name.startswith(f"{local.status['instance']}-task-")}


def reset(local: Endpoint) -> None:
    url = f"{local.status['endpoint']}/moto-api/reset"
    urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=120).close()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def parameters(local: Endpoint) -> list[str]:
    found: list[dict[str, Any]] = local.client("ssm").describe_parameters()["Parameters"]
    return [each["Name"] for each in found]


def test_a_reset_makes_it_new(tmp_path: Path) -> None:
    """Tasks, listeners, queues and stores; also after the next restart."""
    web_image()
    directory = tmp_path / "l"
    try:
        status: Any = control.up(directory, None, "ap-northeast-1", test_mode=True)
        local = Endpoint(directory, status)
        shop = Shop(local, "reset")
        shop.serve("a", "before")
        shop.serving("a", 1)
        local.client("ssm").put_parameter(Name="/a", Value="b", Type="String")
        local.client("sqs").create_queue(QueueName="q")
        assert containers(local) and listens(shop.port)

        reset(local)
        assert local.client("ecs").list_clusters()["clusterArns"] == []
        assert local.client("sqs").list_queues().get("QueueUrls", []) == []
        assert parameters(local) == [] and containers(local) == set()
        eventually(lambda: not listens(shop.port), "nobody listens any more")

        for name in ("control.pid", "stores.pid"):
            os.kill(int((directory / name).read_text()), signal.SIGKILL)
        control.up(directory, None, "ap-northeast-1")
        assert parameters(local) == []
        again = Shop(local, "reset")
        again.serve("a", "after")
        again.serving("a", 1)
        assert again.get() == "after"
    finally:
        control.down(directory)


def test_what_is_no_instance_for_tests_is_never_reset(local):
    """Neither by the endpoint nor by the stores' own port."""
    cluster = local.client("ecs").create_cluster(clusterName="kept")["cluster"]["clusterArn"]
    local.scope.add(lambda: local.client("ecs").delete_cluster(cluster=cluster))
    local.client("ssm").put_parameter(Name="/kept", Value="b", Type="String", Overwrite=True)
    local.scope.add(lambda: local.client("ssm").delete_parameter(Name="/kept"))
    with pytest.raises(urllib.error.HTTPError, match="403"):
        reset(local)
    stores = control.Settings.load(local.directory).stores_port
    url = f"http://127.0.0.1:{stores}/moto-api/reset"
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=60)
    assert "/kept" in parameters(local)
    assert cluster in local.client("ecs").list_clusters()["clusterArns"]
    with pytest.raises(ClientError):
        local.client("ssm").get_parameter(Name="/never")
