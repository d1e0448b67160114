"""Writes to S3 that hold only under a condition: moto looks at few of them, so they are judged
here, under the same lock as the write; pure but for the look at an object.

Amazon S3 user guide, "How to prevent object overwrites with conditional writes", "How to perform
conditional deletes"; API reference, CopyObject (x-amz-copy-source-if-*).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote
from xml.sax.saxutils import escape

Environ = dict[str, Any]
_SOURCE = "HTTP_X_AMZ_COPY_SOURCE"
_OF_SOURCE = f"{_SOURCE}_IF_"
_OF_TARGET = ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH")
_DELETES = re.compile(rb"<ETag>")
_WORDS = {
    "PreconditionFailed": "At least one of the pre-conditions you specified did not hold",
    "NoSuchKey": "The specified key does not exist.",
    "NotImplemented": "A header you provided implies functionality that is not implemented",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """An object as it is now."""

    etag: str
    modified: datetime


Look = Callable[[Environ], Seen | None]
"""Asked with a request's environment: the object that it names; None where there is none."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A write that is not carried out.  ``condition``: the header that did not hold."""

    status: str
    code: str
    condition: str
    more: str = ""

    @property
    def body(self) -> bytes:
        """As S3 writes it."""
        condition = f"<Condition>{escape(self.condition)}</Condition>" if self.condition else ""
        words = escape(self.more or _WORDS[self.code])
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{self.code}</Code><Message>{words}</Message>{condition}</Error>"
        ).encode()


def failed(environ: Environ, body: bytes, look: Look) -> Failed | None:
    """Why this write of S3 is not carried out; None for one whose conditions hold, or that has
    none."""
    if environ["REQUEST_METHOD"] not in ("PUT", "POST", "DELETE"):
        return None
    if _is_of_many(environ) and _DELETES.search(body):
        why = "kirikae local does not carry out DeleteObjects with ETag; ask for each by itself"
        return Failed("501 Not Implemented", "NotImplemented", "", why)
    return _of_source(environ, look) or _of_target(environ, look)


def without_conditions(environ: Environ) -> Environ:
    """They were judged: whoever does the request again must not judge them in another order."""
    if environ["REQUEST_METHOD"] not in ("PUT", "POST", "DELETE"):
        return environ
    return {
        key: value
        for key, value in environ.items()
        if key not in _OF_TARGET and not key.startswith(_OF_SOURCE)
    }


def _is_of_many(environ: Environ) -> bool:
    query = str(environ.get("QUERY_STRING", "")).split("&")
    return environ["REQUEST_METHOD"] == "POST" and any(
        each.partition("=")[0] == "delete" for each in query
    )


# --- the object that is written


def _of_target(environ: Environ, look: Look) -> Failed | None:
    match = environ.get("HTTP_IF_MATCH")
    none = environ.get("HTTP_IF_NONE_MATCH")
    if not (match or none) or not _is_whole(environ):
        return None
    found = look(_asks_for(environ, str(environ["PATH_INFO"]), ""))
    if found is None:
        return _of_nothing(environ) if match else None
    if none and _fits(none, found):
        return _unmet("If-None-Match")
    return _unmet("If-Match") if match and not _fits(match, found) else None


def _of_nothing(environ: Environ) -> Failed:
    """If-Match, and no object is there."""
    if environ["REQUEST_METHOD"] == "DELETE":
        return _unmet("If-Match")
    return Failed("404 Not Found", "NoSuchKey", "")


def _unmet(condition: str) -> Failed:
    return Failed("412 Precondition Failed", "PreconditionFailed", condition)


def _is_whole(environ: Environ) -> bool:
    """Does it make or remove a whole object?  Parts of one have no such conditions."""
    query = str(environ.get("QUERY_STRING", ""))
    return "partNumber=" not in query and not (
        environ["REQUEST_METHOD"] == "DELETE" and "uploadId=" in query
    )


# --- the object that is copied


def _of_source(environ: Environ, look: Look) -> Failed | None:
    source = environ.get(_SOURCE)
    conditions = {
        key.removeprefix(_OF_SOURCE): str(value)
        for key, value in environ.items()
        if key.startswith(_OF_SOURCE)
    }
    if not source or not conditions:
        return None
    place, _, version = str(source).partition("?")
    path = "/" + unquote(place, encoding="latin-1").lstrip("/")  # as WSGI writes a path
    found = look(_asks_for(environ, path, version))
    if found is None:
        return None  # what is not there is moto's to say
    name = _broken(conditions, found)
    if name is None:
        return None
    header = "x-amz-copy-source-If-" + "-".join(part.capitalize() for part in name.split("_"))
    return _unmet(header)


def _broken(conditions: Mapping[str, str], found: Seen) -> str | None:
    """The first that does not hold.  An ETag that fits stands above a time that does not (API
    reference, CopyObject)."""
    broken: dict[str, Callable[[str], bool]] = {
        "MATCH": lambda tag: not _fits(tag, found),
        "NONE_MATCH": lambda tag: _fits(tag, found),
        "UNMODIFIED_SINCE": lambda stamp: found.modified > parsedate_to_datetime(stamp),
        "MODIFIED_SINCE": lambda stamp: found.modified <= parsedate_to_datetime(stamp),
    }
    stands_above = {"UNMODIFIED_SINCE": "MATCH", "MODIFIED_SINCE": "NONE_MATCH"}
    for name, is_broken in broken.items():
        counts = name in conditions and stands_above.get(name) not in conditions
        if counts and is_broken(conditions[name]):
            return name
    return None


def _fits(asked: str, found: Seen) -> bool:
    """One tag, with or without quotes, several, or any."""
    tags = {each.strip().removeprefix("W/").strip('"') for each in str(asked).split(",")}
    return "*" in tags or found.etag.strip('"') in tags


def _asks_for(environ: Environ, path: str, query: str) -> Environ:
    """HEAD of one object, by whoever asks."""
    kept = ("HTTP_AUTHORIZATION", "HTTP_HOST", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL")
    return {
        **{key: environ[key] for key in kept if key in environ},
        "REQUEST_METHOD": "HEAD",
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
        "QUERY_STRING": query,
        "CONTENT_LENGTH": "0",
        "wsgi.url_scheme": "http",
    }
