"""Schedules and rules are asked of moto, which keeps them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from functools import partial
from urllib.parse import quote, urlencode

import aiohttp

from kirikae.local.errors import AwsError
from kirikae.local.events.clockwork import Listening
from kirikae.local.events.kept import Timed, rule_of, schedule_of, target_of_rule
from kirikae.local.plain import Plain
from kirikae.local.stores import Stores

log = logging.getLogger("kirikae.local.events")


def _read(read: Callable[[Plain], Timed | None], told: Plain) -> Timed | None:
    """What cannot be read does not fire, and keeps nothing else from it."""
    try:
        return read(told)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        log.warning("%s does not fire: %s: %s", told.get("Arn"), type(error).__name__, error)
        return None


class OfMoto:
    """``Kept`` of the clockwork."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    async def timed(self, region: str) -> list[Timed]:
        """Schedules and rules of this region."""
        found = [_read(schedule_of, each) for each in await self._schedules(region)]
        for rule in await self._rules(region):
            if rule.get("ScheduleExpression"):
                targets = await self._targets(region, rule)
                found.append(_read(partial(rule_of, targets=targets), rule))
        return [each for each in found if each is not None]

    async def listening(self, region: str) -> list[Listening]:
        """Rules of this region that wait for events."""
        found = []
        for rule in await self._rules(region):
            if rule.get("EventPattern") and rule.get("State", "ENABLED") == "ENABLED":
                targets = await self._targets(region, rule)
                pattern = json.loads(str(rule["EventPattern"]))
                told = tuple(target_of_rule(each) for each in targets)
                found.append(Listening(str(rule["Arn"]), pattern, told))
        return found

    async def gone(self, region: str, timed: Timed) -> None:
        """ActionAfterCompletion: DELETE."""
        group = timed.arn.split("/")[-2]
        query = urlencode({"groupName": group})
        await self._rest(region, "DELETE", f"/schedules/{quote(timed.name)}?{query}")

    async def _schedules(self, region: str) -> list[Plain]:
        """The list has no targets: each is asked for."""
        listed = await self._rest(region, "GET", "/schedules")
        found = []
        for each in listed.get("Schedules", []):
            query = urlencode({"groupName": each.get("GroupName", "default")})
            path = f"/schedules/{quote(str(each['Name']))}?{query}"
            found.append(await self._rest(region, "GET", path))
        return found

    async def _rules(self, region: str) -> list[Plain]:
        told = await self._events(region, "ListRules", {})
        return list(told.get("Rules", []))

    async def _targets(self, region: str, rule: Plain) -> list[Plain]:
        told = await self._events(region, "ListTargetsByRule", {"Rule": rule["Name"]})
        return list(told.get("Targets", []))

    async def _events(self, region: str, operation: str, asked: Mapping[str, object]) -> Plain:
        headers = {
            **self._stores.headers("events", region),
            "X-Amz-Target": f"AWSEvents.{operation}",
            "Content-Type": "application/x-amz-json-1.1",
        }
        return await self._asked("POST", "/", headers, json.dumps(asked))

    async def _rest(self, region: str, method: str, path: str) -> Plain:
        return await self._asked(method, path, self._stores.headers("scheduler", region), None)

    async def _asked(
        self, method: str, path: str, headers: Mapping[str, str], body: str | None
    ) -> Plain:
        """Raises AwsError, OSError."""
        url = f"{self._stores.url}{path}"
        try:
            async with self._stores.http.request(
                method, url, data=body, headers=dict(headers)
            ) as answer:
                told: Plain = json.loads(await answer.read() or b"{}")
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise OSError(f"the store of schedules does not answer: {error}") from error
        if answer.status >= 400:
            raise AwsError(str(answer.status), str(told)[:200], answer.status)
        return told
