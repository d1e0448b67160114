"""``kirikae jobs serve``: own the ledger of firings, and answer those who ask it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kirikae.console.here import Answer, Here, to_json, would
from kirikae.console.jobs_common import aws_here
from kirikae.console.options import DRY, STREAM
from kirikae.model.errors import Exit, UsageProblem

if TYPE_CHECKING:
    from kirikae.jobs.ledger import Ledger
    from kirikae.jobs.serving import Server

_LEAST_LETTERS = 32
_LISTEN = "127.0.0.1:8062"


@click.command("serve")
@click.option(
    "--ledger",
    "named",
    default=".kirikae/jobs.db",
    show_default=True,
    help="The ledger's file, which no other process opens; or dynamodb://TABLE: then this only "
    "answers for it, and any number may.",
)
@click.option(
    "--listen",
    default=_LISTEN,
    show_default=True,
    help="Address and port.",
)
@DRY
@STREAM
@click.pass_obj
def serve(here: Here, named: str, listen: str, dry_run: bool, as_json: bool) -> Answer:
    """Own the ledger of firings and answer schedulers, workers and guards over HTTP.

    The token that they need stands in the file LEDGER.token, readable by its owner only; for a
    table it is what KIRIKAE_JOBS_TOKEN holds.
    """
    address = _address(listen)
    if dry_run:
        return would([f"would own {named} and answer at http://{address[0]}:{address[1]}"])
    here.assert_may_change("jobs serve")
    with _server(address, _kept(named)) as server:
        return _serve(server, named, as_json)


@dataclass(frozen=True, slots=True)
class _Kept:
    """``token``: made where it is kept in a file."""

    ledger: Ledger
    close: Callable[[], None]
    token: Callable[[], str]


def _kept(named: str) -> _Kept:
    """Raises UsageProblem, LedgerOwned, LedgerAway."""
    from kirikae.jobs.opening import DYNAMO, token_file
    from kirikae.jobs.serving import token_at

    if named.startswith(DYNAMO):
        from kirikae.jobs.dynamo_rows import dynamo_ledger

        table = dynamo_ledger(aws_here(), named.removeprefix(DYNAMO))
        return _Kept(table, table.close, _given_token)
    from kirikae.jobs.sqlite_rows import sqlite_ledger

    file = Path(named)
    ledger = sqlite_ledger(file)
    return _Kept(ledger, ledger.close, lambda: token_at(token_file(file)))


def _given_token() -> str:
    """Several that answer for one table have the same."""
    from kirikae.jobs.opening import TOKEN

    token = os.environ.get(TOKEN, "")
    if len(token) < _LEAST_LETTERS:
        raise UsageProblem(
            f"{TOKEN} holds no token of at least {_LEAST_LETTERS} letters, which those "
            "who ask for the ledger have to know; make one with `openssl rand -hex 32`"
        )
    return token


def _address(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise UsageProblem(f"--listen {listen[:60]!r}: write an address and a port, as {_LISTEN}")
    return host.strip("[]"), int(port)


@contextmanager
def _server(address: tuple[str, int], kept: _Kept) -> Iterator[Server]:
    """The ledger is let go of at the end, whatever happens."""
    from kirikae.jobs.serving import Server

    try:
        token = kept.token()
        try:
            server = Server(address, kept.ledger, token)
        except OSError as error:
            raise UsageProblem(
                f"{address[0]}:{address[1]} cannot be listened at: {error.strerror}; "
                "choose another with --listen"
            ) from error
        with server:
            yield server
    finally:
        kept.close()


def _serve(server: Server, named: str, as_json: bool) -> Answer:
    ended = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: ended.set())
    answering = threading.Thread(
        target=server.serve_forever,
        args=(0.1,),
        daemon=True,
    )
    answering.start()
    url = f"http://{server.server_address[0]!s}:{server.server_port}"
    from kirikae.jobs.opening import TOKEN

    token = TOKEN if "://" in named else f"{named}.token"
    line = f"the ledger {named} answers at {url}; the token is in {token}"
    click.echo(to_json({"url": url, "ledger": named}) if as_json else line)
    ended.wait()
    server.shutdown()
    answering.join()
    return Answer(
        {"url": url},
        (),
        Exit.DONE,
    )
