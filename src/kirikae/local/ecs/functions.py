"""Lambda functions that ECS calls: each is a URL that somebody registered.

Lambda's own runtime interface emulator answers at such a URL, so that a function's image is called
unchanged."""

from __future__ import annotations

import json

import aiohttp

from kirikae.local.ecs.names import invalid
from kirikae.local.errors import AwsError
from kirikae.local.stores import Stores

PARAMETER = "/kirikae/functions/"
"""Where the URL of a function stands in SSM; its name follows."""
_LONGEST_CALL_S = 900
"""Lambda lets no function run longer (Lambda developer guide, "Quotas")."""


def name_of(arn: str) -> str:
    """The function's name, without version or alias."""
    return arn.partition(":function:")[2].partition(":")[0]


class Functions:
    """Of one region."""

    def __init__(
        self,
        stores: Stores,
        region: str,
    ) -> None:
        """URLs are asked for at each call: a function may be registered anew at any time."""
        self._stores = stores
        self._region = region

    async def url(self, arn: str) -> str:
        """Raises AwsError where none is registered, OSError where the store does not answer."""
        name = f"{PARAMETER}{name_of(arn)}"
        try:
            told = await self._stores.call(
                "ssm",
                "AmazonSSM.GetParameter",
                {"Name": name},
                self._region,
            )
        except AwsError as error:
            raise invalid(
                f"kirikae local knows no URL for {arn}: run the function (its image answers at "
                "http://127.0.0.1:PORT/2015-03-31/functions/function/invocations), then `aws ssm "
                f"put-parameter --name {name} --type String --value URL`"
            ) from error
        return str(told["Parameter"]["Value"])

    async def call(
        self,
        arn: str,
        payload: object,
    ) -> object:
        """What the function answers; None for what is no JSON.  Raises AwsError and OSError where
        it cannot be called, or says that it failed."""
        url = await self.url(arn)
        timeout = aiohttp.ClientTimeout(total=_LONGEST_CALL_S)
        headers = {"Content-Type": "application/json"}
        try:
            async with self._stores.http.post(
                url,
                data=json.dumps(payload),
                headers=headers,
                timeout=timeout,
            ) as answer:
                body = await answer.read()
        except (TimeoutError, aiohttp.ClientError, ValueError) as error:
            raise OSError(f"{arn} does not answer at {url}: {error}") from error
        if answer.status != 200:
            raise OSError(f"{arn} answered {answer.status} at {url}")
        try:
            told: object = json.loads(body)
        except (ValueError, RecursionError):
            return None
        return told
