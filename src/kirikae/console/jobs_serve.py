"""``kirikae jobs serve``: own the ledger of firings, and answer those who ask it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kirikae.console.here import Answer, Here, to_json, would
from kirikae.console.options import DRY, STREAM
from kirikae.model.errors import Exit, UsageProblem

if TYPE_CHECKING:
    from kirikae.jobs.serving import Server

_LISTEN = "127.0.0.1:8062"


@click.command("serve")
@click.option(
    "--ledger",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path(".kirikae/jobs.db"),
    show_default=True,
    help="The ledger's file; no other process opens it.",
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
def serve(here: Here, file: Path, listen: str, dry_run: bool, as_json: bool) -> Answer:
    """Own the ledger of firings and answer schedulers, workers and guards over HTTP.

    The token that they need stands in the file LEDGER.token, readable by its owner only.
    """
    address = _address(listen)
    if dry_run:
        return would([f"would own {file} and answer at http://{address[0]}:{address[1]}"])
    here.assert_may_change("jobs serve")
    with _server(address, file) as server:
        return _serve(
            server,
            file,
            as_json,
        )


def _address(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise UsageProblem(f"--listen {listen[:60]!r}: write an address and a port, as {_LISTEN}")
    return host.strip("[]"), int(port)


@contextmanager
def _server(address: tuple[str, int], file: Path) -> Iterator[Server]:
    """The ledger is let go of at the end, whatever happens."""
    from kirikae.jobs.opening import token_file
    from kirikae.jobs.serving import Server, token_at
    from kirikae.jobs.sqlite_rows import sqlite_ledger

    ledger = sqlite_ledger(file)
    try:
        token = token_at(token_file(file))
        try:
            server = Server(
                address,
                ledger,
                token,
            )
        except OSError as error:
            raise UsageProblem(
                f"{address[0]}:{address[1]} cannot be listened at: {error.strerror}; "
                "choose another with --listen"
            ) from error
        with server:
            yield server
    finally:
        ledger.close()


def _serve(server: Server, file: Path, as_json: bool) -> Answer:
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
    line = f"the ledger {file} answers at {url}; the token is in {file}.token"
    click.echo(
        to_json(
            {
                "url": url,
                "ledger": str(file),
            }
        )
        if as_json
        else line
    )
    ended.wait()
    server.shutdown()
    answering.join()
    return Answer(
        {"url": url},
        (),
        Exit.DONE,
    )
