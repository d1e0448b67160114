"""The agent and a bucket, without the AWS CLI: curl signs what it asks, as S3 wants it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from kirikae.aws.s3_shelf import shelf_at
from kirikae.aws.session import Aws
from kirikae.release.agent.place import AgentPlace
from kirikae.release.agent.report import Came
from kirikae.release.agent.script import script
from tests.unit.test_release_agent import World

REGION = "ap-northeast-1"
KEYS = Credentials("AKIDEXAMPLE", "secret/with+odd=signs", "token==")
SIGNS_ALL_HEADERS = (7, 87)
"""The first curl whose signature S3 takes."""


def curl_version() -> tuple[int, ...]:
    if shutil.which("curl") is None:
        return (0,)
    said = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in re.findall(r"\d+", said)[:2])


def signed_again(method: str, url: str, headers: dict[str, str]) -> str:
    """By botocore, of what was sent."""
    words = headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    assert {"host", "x-amz-content-sha256", "x-amz-security-token"} <= set(words)
    request = AWSRequest(method, url, {name: headers[name] for name in words})
    request.context["timestamp"] = headers["x-amz-date"]
    auth = S3SigV4Auth(KEYS, "s3", REGION)
    return str(
        auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    )


class Handler(BaseHTTPRequestHandler):
    """A bucket that takes nothing which is not signed."""

    objects: dict[str, bytes]

    def _is_signed(self) -> bool:
        headers = {name.lower(): value for name, value in self.headers.items()}
        url = f"http://{headers['host']}{self.path}"
        sent = headers["authorization"].split("Signature=")[1]
        return sent == signed_again(self.command, url, headers)

    def do_GET(self) -> None:
        body = self.objects.get(self.path)
        self._answer(403 if not self._is_signed() else 404 if body is None else 200, body or b"")

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        signed = self._is_signed()
        if signed:
            self.objects[self.path] = body
        self._answer(200 if signed else 403, b"")

    def do_HEAD(self) -> None:
        body = self.objects.get(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("content-length", str(len(body or b"")))
        self.end_headers()

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("etag", '"a"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.skipif(curl_version() < SIGNS_ALL_HEADERS, reason="curl is missing or too old")
def test_a_host_fetches_and_reports_with_curl_alone(tmp_path, monkeypatch):
    """Keys stand in no command line, and what is wrong with the bucket is told."""
    handler = type("Bucket", (Handler,), {"objects": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    keys = {
        "AWS_ACCESS_KEY_ID": KEYS.access_key,
        "AWS_SECRET_ACCESS_KEY": KEYS.secret_key,
        "AWS_SESSION_TOKEN": KEYS.token or "",
    }
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    world = World(tmp_path)
    place = AgentPlace(shelf_at(Aws(REGION), "s3://shop/agents/"))
    manifest, archive = world.releases.get("r2")
    assert place.offer(manifest, archive) and not place.offer(manifest, archive)
    world.order("r2")
    handler.objects["/shop/agents/desired"] = world.agents.read("web1/desired") or b""
    conf = tmp_path / "agent.conf"
    conf.write_text(f"place=s3://shop/agents\nname=web1\nregion={REGION}\nendpoint={url}\n")

    def once() -> subprocess.CompletedProcess[str]:
        file = tmp_path / "agent"
        file.write_text(script())
        # A PATH on which no AWS CLI is.
        path = f"{world.agents.folder / 'bin'}:{tmp_path / 'tools'}"
        command = [shutil.which("sh") or "sh", str(file), "-f", str(conf), "once"]
        given = {**os.environ, "PATH": path}
        return subprocess.run(command, env=given, capture_output=True, text=True, check=False)

    tools = tmp_path / "tools"
    tools.mkdir()
    needed = "awk cat chmod curl cut date dirname find grep head hostname ln ls mkdir mktemp mv"
    more = "readlink rm sed sh sha256sum sort tail tar tee timeout touch tr gzip"
    for name in f"{needed} {more}".split():
        (tools / name).symlink_to(shutil.which(name) or name)
    assert once().returncode == 0
    report = place.report("web1")
    assert report is not None and report.outcome is Came.SERVES
    assert world.hosts.current("web1") == "r2"
    del handler.objects["/shop/agents/desired"]
    done = once()
    assert done.returncode == 75 and "404" in done.stderr
    assert KEYS.secret_key not in done.stderr
    world.close()
    server.shutdown()
    server.server_close()
