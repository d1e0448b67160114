"""Alarms in the store: every change of state with its history and its news in one transaction."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator

from kirikae.local.alarms.rows import MISSING, Alarm, History, Item, News, State
from kirikae.local.plain import Plain
from kirikae.local.state import State as Store
from kirikae.local.state import Table
from kirikae.local.wire import ACCOUNT

MOST_ITEMS = 100
"""Ours: of an alarm's history; AWS keeps 30 days."""
_UNCHECKED = "Unchecked: Initial alarm creation"


class Book:
    """Alarms of a region, or of all regions where ``store`` is the whole one."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._clock = clock
        self.alarms: Table[Alarm] = Table(store, "alarm")
        self.histories: Table[History] = Table(store, "alarmhistory")
        self.news: Table[News] = Table(store, "alarmnews")

    def now(self) -> float:
        """Unix seconds of the clock that alarms live by."""
        return self._clock()

    def named(
        self,
        region: str,
        name: str,
    ) -> Alarm | None:
        """By its name, or by its ARN."""
        return self.alarms.get(name if name.startswith("arn:") else arn_of(region, name))

    def put(
        self,
        arn: str,
        kind: str,
        form: Plain,
        tags: dict[str, str],
        owner: str,
    ) -> Alarm:
        """A new one begins with INSUFFICIENT_DATA; of one that is there the state stays."""
        now = self._clock()
        before = self.alarms.get(arn)
        name = str(form["AlarmName"])
        state: State = {
            "value": MISSING,
            "reason": _UNCHECKED,
            "data": "",
            "at": now,
        }
        alarm: Alarm = {
            "arn": arn,
            "name": name,
            "kind": kind,
            "form": form,
            "state": before["state"] if before is not None else state,
            "transitioned": before["transitioned"] if before is not None else now,
            "configured": now,
            "tags": tags if before is None else before["tags"],
            "owner": owner,
        }
        word = "created" if before is None else "updated"
        with self._store.together():
            self.alarms.put(arn, alarm)
            self._note(
                alarm,
                now,
                "ConfigurationUpdate",
                f'Alarm "{name}" {word}',
                {"type": word},
            )
        return alarm

    def drop(self, alarm: Alarm) -> None:
        """Its history stays."""
        data = {"type": "Delete"}
        summary = f'Alarm "{alarm["name"]}" deleted'
        with self._store.together():
            self._note(
                alarm,
                self._clock(),
                "ConfigurationUpdate",
                summary,
                data,
            )
            self.alarms.drop(alarm["arn"])

    def turn(
        self,
        arn: str,
        value: str,
        reason: str,
        at: float,
        data: str = "",
    ) -> None:
        """Into this state; whoever is to hear of it hears of it, if it is another one.  An alarm
        that is gone meanwhile is left alone."""
        before = self.alarms.get(arn)
        if before is None or before["state"]["value"] == value:
            return
        state: State = {
            "value": value,
            "reason": reason,
            "data": data,
            "at": at,
        }
        alarm: Alarm = {
            **before,
            "state": state,
            "transitioned": at,
        }
        former = before["state"]
        summary = f"Alarm updated from {former['value']} to {value}"
        told = {
            "version": "1.0",
            "oldState": _shown(former),
            "newState": _shown(state),
        }
        with self._store.together():
            self.alarms.put(arn, alarm)
            self._note(
                alarm,
                at,
                "StateUpdate",
                summary,
                told,
            )
            news: News = {"alarm": alarm, "before": former}
            self.news.put(uuid.uuid4().hex, news)

    def acted(
        self,
        alarm: Alarm,
        action: str,
        why: str = "",
    ) -> None:
        """An action was executed, or failed for this reason."""
        word = f"Failed to execute action {action}: {why}" if why else _EXECUTED + action
        told = {"actionState": "Failed" if why else "Succeeded", "notificationResource": action}
        self._note(
            alarm,
            self._clock(),
            "Action",
            word,
            told,
        )

    def waiting(self) -> Iterator[tuple[str, News]]:
        """Key and news, the oldest first."""
        found = self._store.of_kind(self.news.kind).items()
        yield from sorted(found, key=lambda each: each[1]["alarm"]["state"]["at"])

    def _note(
        self,
        alarm: Alarm,
        at: float,
        kind: str,
        summary: str,
        told: Plain,
    ) -> None:
        arn = alarm["arn"]
        item: Item = {
            "at": at,
            "kind": kind,
            "summary": summary,
            "data": json.dumps(told),
        }
        before = self.histories.get(arn)
        items = [item, *(before["items"] if before is not None else [])][:MOST_ITEMS]
        history: History = {
            "name": alarm["name"],
            "kind": alarm["kind"],
            "items": items,
        }
        self.histories.put(arn, history)


_EXECUTED = "Successfully executed action "


def _shown(state: State) -> Plain:
    return {"stateValue": state["value"], "stateReason": state["reason"]}


def arn_of(region: str, name: str) -> str:
    """Of an alarm."""
    return f"arn:aws:cloudwatch:{region}:{ACCOUNT}:alarm:{name}"


def region_of(arn: str) -> str:
    """Of any ARN."""
    return arn.split(":", 4)[3]
