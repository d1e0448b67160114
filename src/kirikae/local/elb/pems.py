"""Certificates with their keys, as files that HAProxy reads; they come from the stores' ACM and
IAM."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import aiohttp

from kirikae.hosts.files import write_durably
from kirikae.local.callers import OWN_HEADER
from kirikae.local.errors import AwsError
from kirikae.local.files import OURS_ALONE
from kirikae.local.rows import Listener
from kirikae.local.state import State
from kirikae.local.stores import Stores

PATH = "/_kirikae/certificate"
"""Where the stores tell a certificate to the control plane, and to nobody else."""


class Pems(Protocol):
    """Asked when a listener gets a certificate."""

    async def file(self, arn: str) -> str | None:
        """Path of the certificate with its chain and its key; None where there is no such one.
        Raises OSError where the stores do not answer."""


class StoredPems:
    """Each certificate is a file of its own, named by what is in it: a renewed one is another
    file, which HAProxy is told of as of any change."""

    def __init__(
        self,
        stores: Stores,
        folder: Path,
    ) -> None:
        """``folder`` is the instance's own; it is made where it is missing."""
        self._stores = stores
        self._folder = folder

    async def file(self, arn: str) -> str | None:
        """Written anew where it is not there."""
        text = await self._told(arn)
        if text is None:
            return None
        path = self._folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.pem"
        if not path.exists():
            write_durably(path, text, OURS_ALONE)
        return str(path)

    async def _told(self, arn: str) -> str | None:
        """What the stores have."""
        url = f"{self._stores.url}{PATH}"
        asked = self._stores.http.get(url, params={"arn": arn}, headers={OWN_HEADER: "1"})
        try:
            async with asked as answer:
                text = await answer.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise OSError(f"the store of certificates does not answer: {error}") from error
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise OSError(f"the store of certificates answered {answer.status}")
        return text


async def files_of(pems: Pems | None, arns: Sequence[str]) -> list[str]:
    """Files of these certificates, in their order; none where there is nobody to ask.

    Raises AwsError for one that is not there.
    """
    found = []
    for arn in arns if pems is not None else ():
        try:
            path = await pems.file(arn) if pems is not None else None
        except OSError as error:
            raise AwsError("InternalFailure", str(error), 500) from error
        if path is None:
            raise AwsError(
                "CertificateNotFound",
                f"Certificate {arn} not found; import it first (aws acm import-certificate, with "
                "its private key)",
            )
        found.append(path)
    return found


async def renewed(state: State, pems: Pems) -> bool:
    """Write down the files of certificates that were imported anew; did any change?  One that was
    deleted stays as it is with those that use it."""
    differs = False
    for listener in state.listeners.all():
        before = listener.get("pems", [])
        files = [
            await pems.file(arn) or former
            for arn, former in zip(listener.get("certificates", []), before, strict=False)
        ]
        if before and files != before and state.listeners.get(listener["arn"]) == listener:
            changed: Listener = {
                **listener,
                "pems": files,
            }
            state.listeners.put(listener["arn"], changed)
            differs = True
    return differs
