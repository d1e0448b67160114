"""What is asked: targets in vegeta's two forms, taken in turn.

Sources: vegeta's README, "-targets" and "-format" (``http`` and ``json``).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from kirikae.drill.errors import TargetsProblem
from kirikae.model.texts import shortened

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_REQUEST = re.compile(r"([A-Z]+) (\S+)")
MOST_TARGETS = 1_000_000
_OF_FRAMING = {"content-length", "transfer-encoding", "trailer"}
"""Headers that the engine writes itself: what a target says of its own length is left out, as
vegeta's client does (Go, net/http, Request.Write)."""


@dataclass(frozen=True, slots=True)
class Target:
    """One request.  ``headers`` keep their case and order.  ``expected``: status codes that are
    right; empty: 200 to 399, as vegeta counts success.  ``route``: its name, where it is not method
    and path.  ``text``: a right answer has it in its body; empty: whatever it has."""

    method: str
    url: SplitResult
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    expected: frozenset[int] = field(default_factory=frozenset)
    route: str = ""
    text: bytes = b""

    @property
    def origin(self) -> tuple[str, int, bool]:
        """Host, port, and whether it is TLS."""
        tls = self.url.scheme == "https"
        return self.url.hostname or "", self.url.port or (443 if tls else 80), tls

    @property
    def name(self) -> str:
        """Method and path, by which figures are told apart."""
        return self.route or f"{self.method} {self.url.path or '/'}"

    def wire(self) -> bytes:
        """The request as it is sent: HTTP/1.1, the connection stays open."""
        path = self.url.path or "/"
        query = f"?{self.url.query}" if self.url.query else ""
        given = {name.lower() for name, _ in self.headers}
        lines = [f"{self.method} {path}{query} HTTP/1.1"]
        if "host" not in given:
            lines.append(f"Host: {self.url.netloc.rpartition('@')[2]}")
        lines += [
            f"{name}: {value}" for name, value in self.headers if name.lower() not in _OF_FRAMING
        ]
        if self.body:
            lines.append(f"Content-Length: {len(self.body)}")
        elif self.method in ("POST", "PUT", "PATCH"):
            lines.append("Content-Length: 0")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


def target(
    method: str,
    url: str,
    where: str,
    headers: tuple[tuple[str, str], ...] = (),
    body: bytes = b"",
) -> Target:
    """Checked: nothing of it can become another line of the request.  Raises TargetsProblem."""
    if not _TOKEN.fullmatch(method):
        raise TargetsProblem(f"{where}: {shortened(method)} is no method")
    try:
        split = urlsplit(url)
        split.port  # noqa: B018 - raises where it is none
    except ValueError as error:
        raise TargetsProblem(f"{where}: {shortened(url)} is no URL: {error}") from error
    if split.scheme not in ("http", "https") or not split.hostname:
        raise TargetsProblem(
            f"{where}: {shortened(url)} is no absolute URL; write http://host:port/path"
        )
    if not url.isascii() or any(letter <= " " for letter in url):
        raise TargetsProblem(f"{where}: {shortened(url)} has letters that must be %-encoded")
    return Target(
        method,
        split,
        tuple(_header(name, value, where) for name, value in headers),
        body,
    )


def read(path: Path, form: str = "") -> list[Target]:
    """``form``: ``http`` or ``json``; empty: by the first letter.  Raises TargetsProblem."""
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TargetsProblem(f"{path}: cannot be read: {error}") from error
    form = form or ("json" if text.lstrip()[:1] == "{" else "http")
    reader = _json_form if form == "json" else _http_form
    found = list(reader(text.splitlines(), path))
    if not found:
        raise TargetsProblem(f"{path}: no target; write for example `GET http://127.0.0.1:8080/`")
    if len(found) > MOST_TARGETS:
        raise TargetsProblem(f"{path}: more than {MOST_TARGETS:,} targets")
    return found


def _json_form(lines: Iterable[str], path: Path) -> Iterator[Target]:
    """One object a line: method, url, body (base64), header (name -> list of values)."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            raw = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise TargetsProblem(f"{where}: not JSON: {error}") from error
        yield _of_object(raw, where)


def _of_object(raw: object, where: str) -> Target:
    if not isinstance(raw, dict) or not {"method", "url"} <= raw.keys():
        raise TargetsProblem(f'{where}: a target is {{"method": "GET", "url": "http://..."}}')
    if not isinstance(raw["method"], str) or not isinstance(raw["url"], str):
        raise TargetsProblem(f"{where}: method and url are texts")
    unknown = raw.keys() - {"method", "url", "body", "header"}
    if unknown:
        raise TargetsProblem(f"{where}: the key {shortened(min(unknown))} is none of vegeta's")
    headers = raw.get("header") or {}
    if not isinstance(headers, dict):
        raise TargetsProblem(f"{where}: header is an object of lists")
    pairs = [
        _header(
            str(name),
            str(value),
            where,
        )
        for name, values in headers.items()
        for value in (values if isinstance(values, list) else [values])
    ]
    try:
        body = base64.b64decode(raw.get("body") or "", validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise TargetsProblem(f"{where}: body is not base64: {error}") from error
    return target(
        raw["method"],
        raw["url"],
        where,
        headers=tuple(pairs),
        body=body,
    )


def _header(
    name: str,
    value: str,
    where: str,
) -> tuple[str, str]:
    if not _TOKEN.fullmatch(name):
        raise TargetsProblem(f"{where}: {shortened(name)} is no name of a header")
    if any(letter in value for letter in "\r\n\0"):
        raise TargetsProblem(f"{where}: the header {name} holds a line break")
    try:
        value.encode("latin-1")
    except UnicodeEncodeError as error:
        raise TargetsProblem(f"{where}: the header {name} is not latin-1: {error}") from error
    return name, value.strip()


def _http_form(lines: Iterable[str], path: Path) -> Iterator[Target]:
    """``METHOD URL``, headers, ``@body-file``, a blank line; ``#`` begins a comment."""
    reading: _Reading | None = None
    for number, line in enumerate(lines, 1):
        where = f"{path}:{number}"
        text = line.strip()
        if text.startswith("#"):
            continue
        if not text:
            if reading is not None:
                yield reading.done()
            reading = None
        elif reading is None or (reading.bare and _REQUEST.fullmatch(text)):
            if reading is not None:
                yield reading.done()
            reading = _Reading(_request(text, where), path.parent)
        else:
            reading.take(text, where)
    if reading is not None:
        yield reading.done()


def _request(text: str, where: str) -> Target:
    found = _REQUEST.fullmatch(text)
    if found is None:
        raise TargetsProblem(
            f"{where}: {shortened(text)} is no request line; write `GET http://host/path`"
        )
    return target(
        found[1],
        found[2],
        where,
    )


class _Reading:
    """A target whose lines are being read."""

    def __init__(
        self,
        begun: Target,
        folder: Path,
    ):
        self._begun = begun
        self._folder = folder
        self._headers: list[tuple[str, str]] = []
        self._body = b""
        self._ended = False

    @property
    def bare(self) -> bool:
        """Nothing but its request line was read: the blank line after it may be missing."""
        return not self._headers and not self._ended

    def take(
        self,
        text: str,
        where: str,
    ) -> None:
        """One more line of it."""
        if self._ended:
            raise TargetsProblem(f"{where}: after a body's @file comes a blank line")
        if text.startswith("@"):
            file = self._folder / text[1:]
            try:
                if file.exists() and not file.is_file():
                    raise OSError("it is no regular file")
                self._body = file.read_bytes()
            except OSError as error:
                raise TargetsProblem(f"{where}: the body {file} cannot be read: {error}") from error
            self._ended = True
            return
        if _REQUEST.fullmatch(text):
            raise TargetsProblem(
                f"{where}: a request line right after headers; put a blank line before it"
            )
        name, colon, value = text.partition(":")
        if not colon:
            raise TargetsProblem(f"{where}: {shortened(text)} is no header `Name: value`")
        self._headers.append(
            _header(
                name.strip(),
                value,
                where,
            )
        )

    def done(self) -> Target:
        return Target(
            self._begun.method,
            self._begun.url,
            tuple(self._headers),
            self._body,
        )
