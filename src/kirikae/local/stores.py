"""The services that are only stores (S3, SSM, Secrets Manager, IAM, STS ...): moto, in a process of
its own that forgets nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

from kirikae.local.errors import AwsError, LocalError, StartFailed
from kirikae.local.files import alive, write_durably
from kirikae.local.state import Row

_SECRETS = {"ssm": "AmazonSSM.GetParameter", "secretsmanager": "secretsmanager.GetSecretValue"}


class Stores:
    """Started once and adopted afterwards: it outlives a killed control plane and keeps what was
    put into it."""

    def __init__(self, directory: Path, port: int, region: str) -> None:
        self._directory = directory
        self._port = port
        self._region = region
        self._file = directory / "stores.pid"
        self._log = directory / "stores.log"
        self.url = f"http://127.0.0.1:{port}"
        self._http: aiohttp.ClientSession | None = None

    @property
    def http(self) -> aiohttp.ClientSession:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=120), auto_decompress=False
            )
        return self._http

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()

    def _pid(self) -> int | None:
        return alive(self._file.read_text(), str(self._port)) if self._file.exists() else None

    async def assert_running(self) -> bool:
        """True if it had to be started; it then does again what its journal holds before it
        answers."""
        if self._pid() is not None:
            return False
        with self._log.open("ab") as out:
            process = subprocess.Popen(  # noqa: ASYNC220
                [
                    sys.executable,
                    "-m",
                    "kirikae.local.keeper",
                    str(self._directory),
                    str(self._port),
                ],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                env={**os.environ, "MOTO_ACCOUNT_ID": "123456789012"},
            )
        write_durably(self._file, str(process.pid))
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if process.poll() is not None:
                break
            try:
                async with self.http.get(f"{self.url}/moto-api/data.json"):
                    return True
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(0.1)
        raise LocalError(f"moto did not start on port {self._port}; see {self._log}")

    def stop(self) -> None:
        if (pid := self._pid()) is not None:
            os.kill(pid, signal.SIGTERM)

    # --- asking it

    def _headers(self, service: str) -> dict[str, str]:
        scope = f"kirikae/20260101/{self._region}/{service}/aws4_request"
        return {
            "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
        }

    async def call(self, service: str, target: str, params: Mapping[str, Any]) -> Row:
        """One call of a JSON service.  Raises AwsError as the store answers, OSError if it does
        not."""
        headers = {
            **self._headers(service),
            "X-Amz-Target": target,
            "Content-Type": "application/x-amz-json-1.1",
        }
        try:
            async with self.http.post(self.url, data=json.dumps(params), headers=headers) as answer:
                told = json.loads(await answer.read() or b"{}")
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise OSError(f"the store of {service} does not answer: {error}") from error
        if answer.status != 200:
            code = str(told.get("__type", answer.status)).rpartition("#")[2]
            raise AwsError(
                code, str(told.get("message") or told.get("Message") or told), answer.status
            )
        return dict(told)

    async def secret(self, value_from: str) -> str:
        """The value that a container definition's ``valueFrom`` names: a parameter's name or ARN,
        or ``secret-ARN[:json-key[:version-stage[:version-id]]]``.  Raises StartFailed."""
        kind = "secretsmanager" if ":secretsmanager:" in value_from else "ssm"
        name = value_from
        json_key = ""
        stage = ""
        version = ""
        if kind == "secretsmanager" and value_from.count(":") > 6:
            parts = [*value_from.split(":"), "", ""]
            name, json_key, stage, version = ":".join(parts[:7]), *parts[7:10]
        elif kind == "ssm" and ":parameter/" in value_from:
            name = "/" + value_from.partition(":parameter/")[2]
        asked: Row = {"Name": name, "WithDecryption": True} if kind == "ssm" else {"SecretId": name}
        asked |= {
            key: value for key, value in (("VersionStage", stage), ("VersionId", version)) if value
        }
        try:
            told = (
                await self._parameter(asked)
                if kind == "ssm"
                else await self.call(kind, _SECRETS[kind], asked)
            )
            value = told["Parameter"]["Value"] if kind == "ssm" else told["SecretString"]
            return str(json.loads(value)[json_key]) if json_key else str(value)
        except (AwsError, OSError, ValueError, KeyError) as error:
            raise StartFailed(
                "ResourceInitializationError: unable to pull secrets or registry auth: "
                f"{value_from}: {error}"
            ) from error

    async def _parameter(self, asked: Row) -> Row:
        """By ARN the leading slash of a name is lost: both are tried."""
        try:
            return await self.call("ssm", _SECRETS["ssm"], asked)
        except AwsError:
            if asked["Name"].count("/") != 1:
                raise
            return await self.call(
                "ssm", _SECRETS["ssm"], {**asked, "Name": asked["Name"].removeprefix("/")}
            )

    async def object_text(self, arn: str) -> str:
        """An S3 object by its ARN.  Raises StartFailed."""
        path = quote(arn.partition(":::")[2])
        try:
            async with self.http.get(f"{self.url}/{path}", headers=self._headers("s3")) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise StartFailed(
                f"ResourceInitializationError: failed to download env files: {arn}: {error}"
            ) from error
        if answer.status != 200:
            raise StartFailed(
                f"ResourceInitializationError: failed to download env files: {arn}: "
                f"status {answer.status}"
            )
        return body.decode(errors="replace")

    async def put_object(self, bucket: str, key: str, body: bytes) -> None:
        """Raises OSError if the bucket is not there or the store does not answer."""
        try:
            async with self.http.put(
                f"{self.url}/{bucket}/{quote(key)}", data=body, headers=self._headers("s3")
            ) as answer:
                told = await answer.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise OSError(f"S3 does not answer: {error}") from error
        if answer.status != 200:
            raise OSError(f"s3://{bucket}/{key} cannot be written: {told[:200]}")
