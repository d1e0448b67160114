"""A web console in this process, and a browser that is signed in to it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from starlette.testclient import TestClient

from kirikae.console.here import Here
from kirikae.console.web.app import app
from kirikae.console.web.door import Door
from kirikae.console.web.keys import Keys, digest_of
from kirikae.console.web.site import ALONE, Site

ORIGIN = "http://127.0.0.1:8420"
TOKEN = "open-sesame-0123456789"
CSRF = re.compile(r'name="csrf" value="([^"]*)"')


def site_of(project_file: Path, **changed: object) -> Site:
    """Of one project file; ``Here``'s and ``Site``'s fields may be changed by name."""
    here = Here(str(project_file), bool(changed.pop("read_only", False)), {"LANG": "C.UTF-8"})
    keys = Keys({"": digest_of(TOKEN), "hanako": digest_of(f"{TOKEN}-hanako")})
    made = Site({ALONE: here}, Door(frozenset({ORIGIN}), "kirikae-8420"), keys)
    return replace(made, **changed)  # type: ignore[arg-type]


class Browser:
    """As a browser would: Origin with each POST, the session's cookie, the form's token."""

    def __init__(self, site: Site) -> None:
        self.client = TestClient(app(site), base_url=ORIGIN, follow_redirects=False)
        self.csrf = ""

    def get(self, way: str, **headers: str):
        answer = self.client.get(way, headers=headers)
        found = CSRF.search(answer.text)
        if found is not None:
            self.csrf = found[1]
        return answer

    def post(self, way: str, headers: dict[str, str] | None = None, **fields: str):
        form = {"csrf": self.csrf, **fields}
        return self.client.post(way, data=form, headers={"Origin": ORIGIN, **(headers or {})})

    def sign_in(self, token: str = TOKEN) -> Browser:
        self.get("/sign-in")
        answer = self.post("/sign-in", token=token)
        assert answer.status_code == 303, answer.text
        return self
