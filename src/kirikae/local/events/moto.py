"""Schedules and rules are asked of moto, which keeps them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar
from urllib.parse import quote, urlencode

import aiohttp

from kirikae.local.errors import AwsError
from kirikae.local.events.clockwork import Listening
from kirikae.local.events.kept import Timed, rule_of, schedule_of, target_of_rule
from kirikae.local.events.patterns import problem_of
from kirikae.local.plain import Plain
from kirikae.local.stores import Stores

log = logging.getLogger("kirikae.local.events")
Read = TypeVar("Read")
_NOT_FOUND = 404


def _read(read: Callable[[Plain], Read | None], told: Plain) -> Read | None:
    """What cannot be read does not fire, and keeps nothing else from it."""
    try:
        return read(told)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        log.warning("%s does not fire: %s: %s", told.get("Arn"), type(error).__name__, error)
        return None


def _listening_of(told: Plain, targets: Sequence[Plain]) -> Listening:
    """Of a rule with a pattern.  Raises what its reading raises."""
    pattern = json.loads(str(told["EventPattern"]))
    if why := problem_of(pattern):
        raise ValueError(why)
    return Listening(str(told["Arn"]), pattern, tuple(map(target_of_rule, targets)))


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
                found.append(_read(partial(_listening_of, targets=targets), rule))
        return [each for each in found if each is not None]

    async def gone(self, region: str, timed: Timed) -> None:
        """ActionAfterCompletion: DELETE."""
        group = timed.arn.split("/")[-2]
        query = urlencode({"groupName": group})
        await self._rest(region, "DELETE", f"/schedules/{quote(timed.name)}?{query}")

    async def _schedules(self, region: str) -> list[Plain]:
        """The list has no targets: each is asked for."""
        found = []
        for each in await self._listed(region):
            query = urlencode({"groupName": each.get("GroupName", "default")})
            path = f"/schedules/{quote(str(each['Name']), safe='')}?{query}"
            try:
                found.append(await self._rest(region, "GET", path))
            except AwsError as error:
                if error.status != _NOT_FOUND:
                    raise
                # Deleted meanwhile, or of a name that no path holds: the others fire all the same.
                log.warning("the schedule %s cannot be read: %s", each["Name"], error)
        return found

    async def _listed(self, region: str) -> list[Plain]:
        """Of all pages."""
        found: list[Plain] = []
        query: dict[str, str] = {}
        while True:
            path = f"/schedules?{urlencode(query)}" if query else "/schedules"
            told = await self._rest(region, "GET", path)
            found += told.get("Schedules", [])
            if not (token := told.get("NextToken")):
                return found
            query = {"NextToken": str(token)}

    async def _rules(self, region: str) -> list[Plain]:
        return await self._all(region, "ListRules", {}, "Rules")

    async def _targets(self, region: str, rule: Plain) -> list[Plain]:
        return await self._all(region, "ListTargetsByRule", {"Rule": rule["Name"]}, "Targets")

    async def _all(
        self, region: str, operation: str, asked: Mapping[str, object], what: str
    ) -> list[Plain]:
        """Of all pages."""
        found: list[Plain] = []
        page: dict[str, object] = {}
        while True:
            told = await self._events(region, operation, {**asked, **page})
            found += told.get(what, [])
            token = told.get("NextToken")
            # moto counts by ARNs: where two are equal, it tells the same page for ever.
            if not token or {"NextToken": token} == page:
                return found
            page = {"NextToken": token}

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
