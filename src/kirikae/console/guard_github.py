"""Tickets as issues of GitHub (REST API, version 2022-11-28: issues)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kirikae.console.errors import NotSent
from kirikae.console.guard_http import Api, number_of, within
from kirikae.guard.tickets import Act, Deed, Ticket, mark_in, state_in
from kirikae.model.texts import shortened

LABEL = "kirikae-guard"
_A_PAGE = 100
_MOST_PAGES = 100
_STATES = {Deed.REOPEN: "open", Deed.CLOSE: "closed"}
_BEGIN = "<!-- kirikae-guard-begin -->"
_OURS = re.compile(
    rf"{_BEGIN}.*<!-- kirikae-guard-state [^>]*-->",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class GitHub:
    """The issues of one repository."""

    api: Api
    repository: str

    @classmethod
    def of(
        cls,
        url: str,
        repository: str,
        token: str,
    ) -> GitHub:
        """``url``: https://api.github.com, or one's own server's."""
        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {token}",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        return cls(Api(url, headers), repository)

    def there(self) -> list[Ticket]:
        """Open and closed ones that carry guard's label and a mark.  Raises NotSent."""
        return list(self._tickets())

    def _tickets(self) -> Iterator[Ticket]:
        for page in range(1, _MOST_PAGES + 1):
            query = f"?state=all&labels={LABEL}&per_page={_A_PAGE}&page={page}"
            rows = self._asked(
                "GET",
                f"/issues{query}",
                None,
            )
            if not isinstance(rows, list):
                raise NotSent(f"what came back is no list of issues: {shortened(rows)}")
            for row in rows:
                body = str(within(row, "body") or "")
                mark = mark_in(body)
                if mark is not None and within(row, "pull_request") is None:
                    is_open = row.get("state") == "open"
                    state = state_in(body) if _OURS.search(body) else None
                    yield Ticket(
                        number_of(row.get("number")),
                        mark,
                        is_open,
                        state,
                    )
            if len(rows) < _A_PAGE:
                return
        raise NotSent(
            f"{self.repository} has more than {_MOST_PAGES * _A_PAGE} issues with the label "
            f"{LABEL}; take the label from old ones"
        )

    def carry_out(
        self,
        act: Act,
        title: str,
        body: str,
    ) -> int:
        """The number of the issue.  Raises NotSent."""
        ours = f"{_BEGIN}\n{body}\n\n{act.mark}\n{act.state}"
        if act.number is None:
            made = self._asked(
                "POST",
                "/issues",
                {
                    "title": title,
                    "body": ours,
                    "labels": [LABEL],
                },
            )
            return number_of(within(made, "number"))
        if act.deed is Deed.UPDATE:
            self._asked(
                "PATCH",
                f"/issues/{act.number}",
                self._anew(
                    act.number,
                    title,
                    ours,
                ),
            )
        else:
            self._asked(
                "PATCH",
                f"/issues/{act.number}",
                {"state": _STATES[act.deed]},
            )
        return act.number

    def _anew(
        self,
        number: int,
        title: str,
        ours: str,
    ) -> dict[str, Any]:
        """What people wrote before and after guard's own words stays."""
        issue = self._asked(
            "GET",
            f"/issues/{number}",
            None,
        )
        body = within(issue, "body")
        if not isinstance(body, str) or not _OURS.search(body):
            raise NotSent(f"issue {number} has no text of guard any more; was it just changed?")
        return {
            "title": title,
            "body": _OURS.sub(
                lambda _: ours,
                body,
                count=1,
            ),
        }

    def _asked(
        self,
        method: str,
        path: str,
        body: Any,
    ) -> Any:
        return self.api.ask(
            method,
            f"/repos/{self.repository}{path}",
            body,
        )
