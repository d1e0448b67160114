"""Tickets as issues of GitHub (REST API, version 2022-11-28: issues)."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kirikae.console.errors import NotSent
from kirikae.console.notify import Straight
from kirikae.guard.tickets import Act, Deed, Ticket, mark_in
from kirikae.model.texts import shortened

LABEL = "kirikae-guard"
_TIMEOUT_S = 20.0
_A_PAGE = 100
_MOST_PAGES = 100
_STATES = {Deed.REOPEN: "open", Deed.CLOSE: "closed"}


@dataclass(frozen=True, slots=True)
class GitHub:
    """The issues of one repository.  ``api``: https://api.github.com, or one's own server's."""

    api: str
    repository: str
    token: str

    def there(self) -> list[Ticket]:
        """Open and closed ones that carry guard's label and a mark.  Raises NotSent."""
        return list(self._tickets())

    def _tickets(self) -> Iterator[Ticket]:
        for page in range(1, _MOST_PAGES + 1):
            query = f"?state=all&labels={LABEL}&per_page={_A_PAGE}&page={page}"
            rows = self._asked("GET", f"/issues{query}", None)
            if not isinstance(rows, list):
                raise NotSent(f"what came back is no list of issues: {shortened(rows)}")
            for row in rows:
                mark = mark_in(str(row.get("body") or ""))
                if mark is not None and "pull_request" not in row:
                    yield Ticket(int(row["number"]), mark, row.get("state") == "open")
            if len(rows) < _A_PAGE:
                return
        raise NotSent(
            f"{self.repository} has more than {_MOST_PAGES * _A_PAGE} issues with the label "
            f"{LABEL}; take the label from old ones"
        )

    def carry_out(self, act: Act, title: str, body: str) -> int:
        """The number of the issue.  Raises NotSent."""
        if act.number is None:
            made = self._asked("POST", "/issues", {"title": title, "body": body, "labels": [LABEL]})
            return int(made["number"])
        self._asked("PATCH", f"/issues/{act.number}", {"state": _STATES[act.deed]})
        return act.number

    def _asked(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        """A redirect is not followed: the token would go to whom nobody named."""
        url = f"{self.api.rstrip('/')}/repos/{self.repository}{path}"
        data = None if body is None else json.dumps(body).encode()
        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            "User-Agent": "kirikae",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        try:
            request = urllib.request.Request(url, data, headers, method=method)
            with urllib.request.build_opener(Straight).open(request, timeout=_TIMEOUT_S) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                hint = _HINTS.get(error.code, "")
            raise NotSent(f"{self.api} answered {error.code}{hint}") from error
        except (OSError, http.client.HTTPException) as error:
            raise NotSent(f"{self.api} does not answer ({type(error).__name__})") from error
        except ValueError as error:
            raise NotSent(f"{self.api} is no address of an API, or answered no JSON") from error


_HINTS = {
    401: ": the token is none; make one that may write issues",
    403: ": the token may not, or too much was asked at once; wait, then run it again",
    404: ": there is no such repository, or the token may not see it",
    410: ": the repository has no issues; switch them on in its settings",
    429: ": too much was asked at once; wait, then run it again",
}
