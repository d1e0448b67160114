"""Which ledger is meant by a name: a file of one's own, another process's, or a table of AWS."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from kirikae.jobs.errors import NoLedger
from kirikae.jobs.http_ledger import HttpLedger
from kirikae.jobs.ledger import Ledger

TOKEN = "KIRIKAE_JOBS_TOKEN"
DYNAMO = "dynamodb://"
Table = Callable[[str], Ledger]


def token_file(path: Path) -> Path:
    """Of the ledger in this file."""
    return path.with_name(path.name + ".token")


def token_of(named: str | None, environment: Mapping[str, str] | None = None) -> str:
    """``named``: a file.  Without one, what stands in the environment.  Raises NoLedger."""
    if named is None:
        found = (os.environ if environment is None else environment).get(TOKEN, "")
        if not found:
            raise NoLedger(
                "a ledger over HTTP wants a token: name its file with --token-file (`kirikae jobs "
                f"serve` wrote it beside the ledger), or set {TOKEN}"
            )
        return found.strip()
    try:
        return Path(named).read_text("ascii").strip()
    except OSError as error:
        raise NoLedger(
            f"the token file {named} cannot be read: {error.strerror}; it is the copy of what "
            "`kirikae jobs serve` wrote beside the ledger (LEDGER.token)"
        ) from error
    except ValueError as error:
        raise NoLedger(f"the token file {named} holds no token: it is not ASCII") from error


def open_ledger(named: str, token_named: str | None, table: Table) -> Ledger:
    """``table``: opens a table of DynamoDB, by its name.  Raises NoLedger, LedgerAway."""
    if named.startswith(("http://", "https://")):
        return HttpLedger(named, token_of(token_named))
    if named.startswith(DYNAMO):
        return table(named.removeprefix(DYNAMO))
    raise NoLedger(
        f"{named[:80]!r} is no ledger that several processes can ask; write http://HOST:PORT of "
        f"`kirikae jobs serve`, or {DYNAMO}TABLE"
    )
