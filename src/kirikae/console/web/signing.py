"""Coming in and going out, and the language that is read."""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from kirikae.console.web.door import SIGN_IN
from kirikae.console.web.keys import SESSION_S, Session
from kirikae.console.web.pages import Reader, field_of, reader
from kirikae.model.said import chosen


def sign_in_page(request: Request) -> Response:
    """A guest gets a session of its own, so that the form has a CSRF token, too."""
    read = reader(request)
    session = read.session
    if session is not None and session.person is not None:
        return RedirectResponse("/", HTTPStatus.SEE_OTHER)
    if session is not None:
        return _page(read, "")
    session = read.site.sessions.begin()
    request.state.session = session
    return _with_cookie(
        _page(read, ""),
        read,
        session,
    )


def sign_in(request: Request) -> Response:
    """With a token; a session that was there before it is never the one afterwards."""
    read = reader(request)
    address = request.client.host if request.client is not None else ""
    wait_s = read.site.attempts.wait_s(address)
    if wait_s > 0:
        page = _page(
            read,
            read.word("console.web.sign_in.wait", seconds=wait_s),
            HTTPStatus.TOO_MANY_REQUESTS,
        )
        page.headers["Retry-After"] = f"{wait_s:.0f}"
        return page
    person = read.site.keys.owner(
        field_of(
            request,
            "token",
            1000,
        )
    )
    if person is None:
        read.site.attempts.failed(address)
        return _page(
            read,
            read.word("console.web.sign_in.wrong"),
            HTTPStatus.FORBIDDEN,
        )
    before = read.session
    language = before.language if before is not None else None
    if before is not None:
        read.site.sessions.end(before.id)
    made = read.site.sessions.begin(person, language)
    to = _own_page(
        field_of(
            request,
            "to",
            2000,
        )
    )
    return _with_cookie(
        RedirectResponse(to, HTTPStatus.SEE_OTHER),
        read,
        made,
    )


def _page(read: Reader, trouble: str, status: int = HTTPStatus.OK) -> Response:
    to = _own_page(read.request.query_params.get("to", "/"))
    return read.page(
        "sign_in.html",
        None,
        status,
        trouble=trouble,
        to=to,
    )


def _own_page(to: str) -> str:
    """Never an address of another site: ``//host`` and ``/\\host`` would be one."""
    is_own = to.startswith("/") and not to.startswith(("//", "/\\")) and to.isprintable()
    return to if is_own else "/"


def _with_cookie(response: Response, read: Reader, session: Session) -> Response:
    response.set_cookie(
        read.site.door.cookie,
        session.id,
        max_age=int(SESSION_S),
        path="/",
        secure=read.site.door.secure,
        httponly=True,
        samesite="strict",
    )
    return response


def sign_out(request: Request) -> Response:
    """The session is over for every tab."""
    read = reader(request)
    if read.session is not None:
        read.site.sessions.end(read.session.id)
    response = RedirectResponse(SIGN_IN, HTTPStatus.SEE_OTHER)
    response.delete_cookie(read.site.door.cookie, path="/")
    return response


def language(request: Request) -> Response:
    """For as long as the session lasts; the browser keeps nothing of it."""
    read = reader(request)
    if read.session is not None:
        read.session.language = chosen(field_of(request, "language"), {})
    return RedirectResponse(
        _own_page(
            field_of(
                request,
                "to",
                2000,
            )
        ),
        HTTPStatus.SEE_OTHER,
    )


ROUTES = (
    Route(
        SIGN_IN,
        sign_in_page,
        methods=["GET"],
    ),
    Route(
        SIGN_IN,
        sign_in,
        methods=["POST"],
    ),
    Route(
        f"{SIGN_IN}/language",
        language,
        methods=["POST"],
    ),
    Route(
        "/sign-out",
        sign_out,
        methods=["POST"],
    ),
)
