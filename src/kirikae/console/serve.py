"""``kirikae serve``: the console in a browser, on this machine alone unless told otherwise."""

from __future__ import annotations

import atexit
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from kirikae.console.context import read_bytes
from kirikae.console.here import Answer, Here, to_json
from kirikae.console.jobs_common import address_of
from kirikae.console.options import STREAM
from kirikae.hosts.files import write_privately
from kirikae.model.errors import UsageProblem
from kirikae.model.shown import clean

if TYPE_CHECKING:
    import uvicorn

    from kirikae.console.web.door import Door
    from kirikae.console.web.keys import Keys

_LIBRARIES = ("starlette", "uvicorn", "python_multipart")
_TOKEN_FILE = Path(".kirikae") / "console-token"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.command()
@click.option(
    "--listen",
    default="127.0.0.1:8420",
    show_default=True,
    metavar="ADDRESS:PORT",
    help="Where; beyond this machine only with --url, behind a proxy that does TLS.",
)
@click.option(
    "--url",
    default=None,
    metavar="https://NAME",
    help="The address that people type, where a proxy with TLS stands in front.",
)
@click.option(
    "--portfolio",
    default=None,
    metavar="FOLDER|s3://BUCKET/PREFIX",
    help="Show every project file (kirikae*.yml) below it instead of one.",
)
@click.option(
    "--people",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="Who may sign in, a line `NAME SHA256-OF-THEIR-TOKEN` each; NAME stands in the journal.",
)
@click.option(
    "--reports",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="Folder of JSON reports of drills and capacity to show (default: `reports`).",
)
@click.option(
    "--docs",
    default=None,
    metavar="https://NAME",
    help="Where your copy of the documentation stands: a link on each page.",
)
@STREAM
@click.pass_obj
def serve(
    here: Here,
    listen: str,
    url: str | None,
    portfolio: str | None,
    people: Path | None,
    reports: Path | None,
    docs: str | None,
    as_json: bool,
) -> Answer:
    """Show moves, findings, releases, jobs and logs in a browser, with hold, approve and the red
    button; whoever opens it needs the token that is told at the start."""
    assert_libraries()
    from kirikae.console.web.app import app
    from kirikae.console.web.site import ALONE, Site

    address, port = address_of(listen)
    if portfolio is None:
        read_bytes(Path(here.project_file))
    _assert_safe(address, url)
    _assert_page(docs)
    places = {ALONE: here} if portfolio is None else _places(portfolio, here)
    with _bound(address, port) as listening:
        door = _door(address, listening.getsockname()[1], url)
        # Only now: a second console on this port must not take the first one's token away.
        keys, told = _keys(here, people)
        site = Site(places, door, keys, reports, (docs or "").rstrip("/"))
        _tell(sorted(door.origins), told, as_json)
        _serve(app(site), listening)
    return Answer({"stopped": True}, ("stopped",))


def _places(portfolio: str, here: Here) -> Mapping[str, Here]:
    """Copies of a bucket's files are for nobody else's eyes, and gone with this process."""
    from kirikae.console.web.places import Places, places_in, places_of_bucket

    if portfolio.startswith("s3://"):
        copies = Path(tempfile.mkdtemp(prefix="kirikae-portfolio-"))
        atexit.register(shutil.rmtree, copies, ignore_errors=True)
        return Places(lambda: places_of_bucket(portfolio, here, copies))
    if not Path(portfolio).is_dir():
        raise UsageProblem(f"--portfolio {portfolio}: name a folder, or s3://BUCKET/PREFIX")
    return Places(lambda: places_in(Path(portfolio), here))


def assert_libraries() -> None:
    """Raises UsageProblem where the extra `web` is not installed."""
    for library in _LIBRARIES:
        if find_spec(library) is None:
            raise UsageProblem(f"the library {library} is missing: pip install 'kirikae[web]'")


def _assert_safe(address: str, url: str | None) -> None:
    """Raises UsageProblem for an address beyond this machine without TLS in front."""
    if url is None and address not in _LOOPBACK:
        raise UsageProblem(
            f"--listen {address}: who listens in between would read the token; put a proxy with "
            "TLS in front and say its address with --url, or use `ssh -L` and leave this out"
        )
    parts = urlsplit(url or "")
    if url is not None and (
        parts.scheme != "https" or not parts.netloc or parts.path not in ("", "/")
    ):
        raise UsageProblem(f"--url {url}: write https:// and a name, such as https://moves.corp")


def _assert_page(docs: str | None) -> None:
    """Raises UsageProblem for what a browser would not open, or would run."""
    if docs is not None and not docs.startswith(("https://", "http://")):
        raise UsageProblem(f"--docs {docs}: write an address that begins with https://")


def _door(address: str, port: int, url: str | None) -> Door:
    """What a browser says of itself that was opened as it should be."""
    from kirikae.console.web.door import Door

    cookie = f"kirikae-{port}"
    if url is not None:
        return Door(frozenset({f"https://{urlsplit(url).netloc.lower()}"}), f"__Host-{cookie}")
    names = (address, "localhost", "127.0.0.1")
    shown = [f"[{name}]" if ":" in name else name for name in names]
    return Door(frozenset(f"http://{name}:{port}" for name in shown), cookie)


def _keys(here: Here, people: Path | None) -> tuple[Keys, dict[str, str]]:
    """Who may come in, and what whoever started the console is told of it."""
    from kirikae.console.web.keys import Keys, digest_of, people_from

    if people is not None:
        return Keys(people_from(people)), {"people": str(people)}
    token = secrets.token_urlsafe(32)
    file = here.folder / _TOKEN_FILE
    write_privately(file, f"{token}\n")
    told = {"token_file": str(file)}
    if sys.stdout.isatty():
        told["token"] = token  # a terminal is read once; a log of a service is kept
    return Keys({"": digest_of(token)}), told


def _tell(origins: list[str], told: dict[str, str], as_json: bool) -> None:
    if as_json:
        plain = {"origins": origins, **{k: v for k, v in told.items() if k != "token"}}
        click.echo(to_json(plain))
        return
    click.echo(clean(f"open {origins[0]}/"))
    if "token" in told:
        click.echo(clean(f"sign in with {told['token']}"))
    else:
        where = told.get("token_file") or told["people"]
        click.echo(clean(f"who may sign in stands in {where}"))


def _bound(address: str, port: int) -> socket.socket:
    """Raises UsageProblem where nobody can listen there."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family)
    except OSError as error:
        raise UsageProblem(
            f"--listen {address}:{port}: {error.strerror}; name another port, or stop what listens "
            "there"
        ) from error


def _serve(served: object, listening: socket.socket) -> None:
    server_of(served).run(sockets=[listening])


def server_of(served: object) -> uvicorn.Server:
    """An ASGI app, served by one parser whatever else is installed: what it takes for the end of a
    request is then what the door takes for it."""
    import uvicorn

    from kirikae.console.web.patience import Impatient

    config = uvicorn.Config(
        served,  # type: ignore[arg-type] # an ASGI app; uvicorn's own type for one is wider
        http=Impatient,
        ws="none",
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=3,
    )
    return uvicorn.Server(config)
