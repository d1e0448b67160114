"""Tickets as issues of Jira (REST API v3 of its cloud, v2 of a server of one's own).

Marks are labels: Jira finds by them, and hides nothing in a text.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from kirikae.console.errors import NotSent
from kirikae.console.guard_http import Api, number_of, within
from kirikae.guard.tickets import Act, Deed, Mark, State, Ticket
from kirikae.model.texts import shortened

LABEL = "kirikae-guard"
_MARK = re.compile(r"kg-(\w+)-([0-9a-f]{16})-([0-9a-f]{16})")
_SUM = re.compile(r"kg-sum-([0-9a-f]{16})")
_BY = "kg-by-"
_A_PAGE = 100
_MOST_PAGES = 200


@dataclass(frozen=True, slots=True)
class Jira:
    """The issues of one project.  ``version``: of the API, 2 or 3.  ``kind``: of a new issue."""

    api: Api
    project: str
    version: int
    kind: str

    @classmethod
    def of(
        cls,
        url: str,
        project: str,
        token: str,
        user: str,
        version: int,
        kind: str,
    ) -> Jira:
        """``user``: whose token it is, in the cloud; empty: a server's own token."""
        both = base64.b64encode(f"{user}:{token}".encode()).decode()
        signed = f"Basic {both}" if user else f"Bearer {token}"
        return cls(
            Api(url, {"Authorization": signed}),
            project,
            version,
            kind,
        )

    def there(self) -> list[Ticket]:
        """Those with guard's label and a mark, whatever their status.  Raises NotSent."""
        return list(self._tickets())

    def _tickets(self) -> Iterator[Ticket]:
        asked = {
            "jql": f'project = "{self.project}" AND labels = "{LABEL}"',
            "fields": "labels,status",
            "maxResults": str(_A_PAGE),
        }
        seen = 0
        for _ in range(_MOST_PAGES):
            page = self._page(asked)
            rows = page["issues"]
            for row in rows:
                ticket = _ticket(row)
                if ticket is not None:
                    yield ticket
            seen += len(rows)
            following = page.get("nextPageToken")
            if following:
                asked["nextPageToken"] = str(following)
            elif rows and seen < number_of(page.get("total", 0)):
                asked["startAt"] = str(seen)
            else:
                return
        raise NotSent(f"{self.project} has too many issues with the label {LABEL}")

    def _page(self, asked: dict[str, str]) -> Any:
        """Raises NotSent for what is no page of issues."""
        where = "/search/jql" if self.version == 3 else "/search"
        found = self._asked("GET", f"{where}?{urlencode(asked)}")
        if not isinstance(found, dict) or not isinstance(found.get("issues"), list):
            raise NotSent(f"what came back is no list of issues: {shortened(found)}")
        return found

    def carry_out(
        self,
        act: Act,
        title: str,
        body: str,
    ) -> int:
        """The number of the issue.  Raises NotSent."""
        if act.number is None:
            return self._made(
                act,
                title,
                body,
            )
        key = f"{self.project}-{act.number}"
        if act.deed is Deed.UPDATE:
            self._asked(
                "PUT",
                f"/issue/{key}",
                self._changed(
                    key,
                    act,
                    title,
                    body,
                ),
            )
        else:
            self._move(key, act.deed)
        return act.number

    def _made(
        self,
        act: Act,
        title: str,
        body: str,
    ) -> int:
        fields = {
            "project": {"key": self.project},
            "issuetype": {"name": self.kind},
            "summary": title,
            "description": self._text(body),
            "labels": [LABEL, *_labels(act)],
        }
        made = self._asked(
            "POST",
            "/issue",
            {"fields": fields},
        )
        return number_of(str(within(made, "key")).rpartition("-")[2])

    def _changed(
        self,
        key: str,
        act: Act,
        title: str,
        body: str,
    ) -> dict[str, Any]:
        """All in one call: a remark with the new words, and the labels that say so."""
        issue = self._asked("GET", f"/issue/{key}?fields=labels")
        former = _texts(within(issue, "fields", "labels"))
        ours = [each for each in former if _SUM.fullmatch(each) or each.startswith(_BY)]
        labels = [{"remove": each} for each in ours if each not in _labels(act)]
        labels += [{"add": each} for each in _labels(act) if each not in former]
        remark = [{"add": {"body": self._text(body)}}]
        return {"fields": {"summary": title}, "update": {"labels": labels, "comment": remark}}

    def _move(
        self,
        key: str,
        deed: Deed,
    ) -> None:
        """By the first transition that leads to where it should be.  Raises NotSent."""
        found = self._asked("GET", f"/issue/{key}/transitions")
        wanted = ("done",) if deed is Deed.CLOSE else ("new", "indeterminate")
        rows = within(found, "transitions") or []
        for category in wanted:
            for row in rows:
                if _category(within(row, "to")) == category:
                    chosen = {"transition": {"id": row.get("id")}}
                    self._asked(
                        "POST",
                        f"/issue/{key}/transitions",
                        chosen,
                    )
                    return
        raise NotSent(
            f"{key}: its workflow has no way to {deed.value} it from where it is; do it by hand, "
            "or add a transition"
        )

    def _text(self, body: str) -> Any:
        """Version 3 takes documents, version 2 plain text."""
        if self.version == 2:
            return body
        rows = [part for part in body.split("\n\n") if part.strip()]
        return {
            "type": "doc",
            "version": 1,
            "content": [
                {"type": "paragraph", "content": [{"type": "text", "text": row}]} for row in rows
            ],
        }

    def _asked(
        self,
        method: str,
        path: str,
        body: Any = None,
    ) -> Any:
        return self.api.ask(
            method,
            f"/rest/api/{self.version}{path}",
            body,
        )


def _labels(act: Act) -> list[str]:
    mark = f"kg-{act.mark.code}-{act.mark.thing}-{act.mark.place}"
    if act.state is None:
        return [mark]
    return [mark, f"kg-sum-{act.state.sum}", *(f"{_BY}{each}" for each in act.state.by)]


def _ticket(row: Any) -> Ticket | None:
    """None: it is not guard's."""
    labels = _texts(within(row, "fields", "labels"))
    marks = [found for each in labels if (found := _MARK.fullmatch(each))]
    if not marks:
        return None
    sums = [found[1] for each in labels if (found := _SUM.fullmatch(each))]
    by = sorted(each.removeprefix(_BY) for each in labels if each.startswith(_BY))
    state = State(sums[0], tuple(by)) if len(sums) == 1 else None
    number = number_of(str(within(row, "key")).rpartition("-")[2])
    is_open = _category(within(row, "fields", "status")) != "done"
    return Ticket(
        number,
        Mark(*marks[0].groups()),
        is_open,
        state,
    )


def _texts(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []


def _category(status: Any) -> str:
    return str(within(status, "statusCategory", "key") or "")
