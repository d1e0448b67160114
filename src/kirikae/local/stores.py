"""The services that are only stores (S3, SSM, Secrets Manager, IAM, STS ...): moto, in a process of
its own that forgets nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import aiohttp

from kirikae.local.errors import AwsError, LocalError, StartFailed
from kirikae.local.files import Daemon
from kirikae.local.patience import Patience
from kirikae.local.plain import Plain
from kirikae.local.wire import ACCOUNT

_LONGEST_START_S = 120
_FAULT = 500
"""From this status on it is the store that failed, not what was asked."""
_UNREADABLE = "ResourceInitializationError: unable to pull secrets or registry auth"
_NO_FILE = "ResourceInitializationError: failed to download env files"


class Stores:
    """Started once and adopted afterwards: it outlives a killed control plane and keeps what was
    put into it."""

    def __init__(
        self,
        directory: Path,
        port: int,
        region: str,
    ) -> None:
        """``directory`` is the instance's state directory; ``port`` is moto's own.

        Nothing is started yet.
        """
        self._directory = directory
        self._port = port
        self._region = region
        self._daemon = Daemon(directory / "stores.pid", str(port))
        self._log = directory / "stores.log"
        self.url = f"http://127.0.0.1:{port}"
        self._http: aiohttp.ClientSession | None = None

    @property
    def http(self) -> aiohttp.ClientSession:
        """Made when it is first asked for, for a session needs a running loop.

        Bodies are passed on as they come (not unpacked).
        """
        if self._http is None:
            self._http = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=120), auto_decompress=False
            )
        return self._http

    async def close(self) -> None:
        """Connections only: moto runs on."""
        if self._http is not None:
            await self._http.close()

    async def assert_running(self) -> bool:
        """True if it had to be started; it then does again what its journal holds before it
        answers."""
        if self._daemon.pid() is not None:
            return False
        process = self._start()
        patience = Patience(_LONGEST_START_S, 0.1)
        while process.poll() is None and await patience.lasts():
            try:
                async with self.http.get(f"{self.url}/moto-api/data.json"):
                    return True
            except (aiohttp.ClientError, OSError):
                continue
        raise LocalError(f"moto did not start on port {self._port}; see {self._log}")

    def _start(self) -> subprocess.Popen[bytes]:
        """moto in a process of its own: its imports take seconds and would hold our loop up.

        The account is told, for ARNs must be the same on both sides.
        """
        module = "kirikae.local.keeper"
        command = [sys.executable, "-m", module, str(self._directory), str(self._port)]
        with self._log.open("ab") as out:
            return self._daemon.start(
                command,
                out,
                out,
                {
                    **os.environ,
                    "MOTO_ACCOUNT_ID": ACCOUNT,
                },
            )

    def stop(self) -> None:
        """Ask it to end; what it holds is in its journal."""
        self._daemon.stop()

    # --- asking it

    def headers(self, service: str, region: str = "") -> dict[str, str]:
        """moto takes service and region from the scope; the signature is not looked at."""
        scope = f"kirikae/20260101/{region or self._region}/{service}/aws4_request"
        return {
            "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
        }

    async def call(
        self,
        service: str,
        target: str,
        params: Mapping[str, object],
        region: str = "",
    ) -> Plain:
        """One call of a JSON service.  Raises AwsError as the store answers, OSError if it does
        not."""
        headers = {
            **self.headers(service, region),
            "X-Amz-Target": target,
            "Content-Type": "application/x-amz-json-1.1",
        }
        try:
            async with self.http.post(self.url, data=json.dumps(params), headers=headers) as answer:
                told: Plain = json.loads(await answer.read() or b"{}")
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise OSError(f"the store of {service} does not answer: {error}") from error
        if answer.status != 200:
            code = str(told.get("__type", answer.status)).rpartition("#")[2]
            message = told.get("message") or told.get("Message") or told
            raise AwsError(code, str(message), answer.status)
        return told

    async def query(
        self,
        service: str,
        params: Mapping[str, str],
        region: str,
    ) -> str:
        """One call of a query service.  Raises AwsError where it is refused, OSError where the
        store does not answer."""
        headers = self.headers(service, region)
        try:
            async with self.http.post(self.url, data=dict(params), headers=headers) as answer:
                told = await answer.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise OSError(f"the store of {service} does not answer: {error}") from error
        if answer.status != 200:
            raise AwsError("InternalFailure", told[:200], answer.status)
        return told

    async def secret(self, value_from: str) -> str:
        """The value that a container definition's ``valueFrom`` names: a parameter's name or ARN,
        or ``secret-ARN[:json-key[:version-stage[:version-id]]]``.  Raises StartFailed; OSError
        where the store does not answer, which is worth another try."""
        try:
            if ":secretsmanager:" in value_from:
                return await self._of_secrets_manager(SecretName.read(value_from))
            return await self._of_ssm(value_from)
        except KeyError as error:
            raise StartFailed(f"{_UNREADABLE}: {value_from}: {error.args[0]}") from error
        except AwsError as error:
            if error.status >= _FAULT:
                raise OSError(str(error)) from error
            raise StartFailed(f"{_UNREADABLE}: {value_from}: {error}") from error
        except ValueError as error:
            raise StartFailed(f"{_UNREADABLE}: {value_from}: {error}") from error

    async def _of_secrets_manager(self, name: SecretName) -> str:
        """Raises KeyError for a key that the secret's JSON has not, ValueError where it is not
        JSON."""
        target = "secretsmanager.GetSecretValue"
        told = await self.call("secretsmanager", target, name.to_params())
        value = str(told["SecretString"])
        if not name.json_key:
            return value
        values = json.loads(value)
        if not isinstance(values, dict) or name.json_key not in values:
            raise KeyError(
                f"retrieved secret from Secrets Manager did not contain json key {name.json_key}"
            )
        return as_go_prints(values[name.json_key])

    async def _of_ssm(self, value_from: str) -> str:
        """A parameter by its name or its ARN."""
        name = value_from
        if ":parameter/" in value_from:
            name = "/" + value_from.partition(":parameter/")[2]
        try:
            return await self._parameter(name)
        except AwsError:
            # In an ARN the leading slash of a name is lost: both are tried.
            if name.count("/") != 1:
                raise
            return await self._parameter(name.removeprefix("/"))

    async def _parameter(self, name: str) -> str:
        """Raises AwsError where there is none of this name."""
        asked = {
            "Name": name,
            "WithDecryption": True,
        }
        told = await self.call("ssm", "AmazonSSM.GetParameter", asked)
        return str(told["Parameter"]["Value"])

    async def object_text(self, arn: str) -> str:
        """An S3 object by its ARN.  Raises StartFailed; OSError where the store does not answer."""
        path = quote(arn.partition(":::")[2])
        try:
            async with self.http.get(f"{self.url}/{path}", headers=self.headers("s3")) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise OSError(f"S3 does not answer: {error}") from error
        if answer.status >= _FAULT:
            raise OSError(f"S3 does not answer: status {answer.status}")
        if answer.status != 200:
            raise StartFailed(f"{_NO_FILE}: {arn}: status {answer.status}")
        return body.decode(errors="replace")

    async def put_object(
        self,
        bucket: str,
        key: str,
        body: bytes,
    ) -> None:
        """Raises OSError if the bucket is not there or the store does not answer."""
        url = f"{self.url}/{bucket}/{quote(key)}"
        try:
            async with self.http.put(url, data=body, headers=self.headers("s3")) as answer:
                told = await answer.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise OSError(f"S3 does not answer: {error}") from error
        if answer.status != 200:
            raise OSError(f"s3://{bucket}/{key} cannot be written: {told[:200]}")


def as_go_prints(value: object) -> str:
    """A value of a secret's JSON as the ECS agent hands it on: Go's ``%v`` (amazon-ecs-agent,
    agent/asm)."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return str(value).lower()
        case float():
            return _go_float(value)
        case int():
            return _go_float(float(value))
        case list():
            return f"[{' '.join(map(as_go_prints, value))}]"
        case dict():
            pairs = sorted(value.items())
            return f"map[{' '.join(f'{key}:{as_go_prints(part)}' for key, part in pairs)}]"
        case _:
            return str(value)


def _go_float(number: float) -> str:
    """Go reads every number of JSON as a float64 and prints the shortest digits, with an exponent
    below -4 and from 6 on: a million is 1e+06 (package strconv, format ``g``)."""
    digits = Decimal(repr(number))
    exponent = digits.adjusted()
    if number == 0 or -4 <= exponent < _EXPONENT_FROM:
        plain = format(digits, "f")
        return plain.rstrip("0").rstrip(".") if "." in plain else plain
    mantissa = format(digits.scaleb(-exponent).normalize(), "f")
    sign = "-" if exponent < 0 else "+"
    return f"{mantissa}e{sign}{abs(exponent):02d}"


_EXPONENT_FROM = 6
_ARN_PARTS = 7
"""Colons divide a secret's own ARN into so many; what follows says which part of which version."""


@dataclass(frozen=True, slots=True)
class SecretName:
    """``secret-ARN[:json-key[:version-stage[:version-id]]]``, as ``valueFrom`` names it."""

    arn: str
    json_key: str = ""
    stage: str = ""
    version: str = ""

    @classmethod
    def read(cls, value_from: str) -> SecretName:
        """Whatever follows the secret's own ARN, in its order; empty parts stay empty."""
        parts = value_from.split(":")
        arn = ":".join(parts[:_ARN_PARTS])
        return cls(arn, *parts[_ARN_PARTS : _ARN_PARTS + 3])

    def to_params(self) -> dict[str, object]:
        """Of GetSecretValue; without stage and version that is the current one."""
        asked: dict[str, object] = {"SecretId": self.arn}
        if self.stage:
            asked["VersionStage"] = self.stage
        if self.version:
            asked["VersionId"] = self.version
        return asked
