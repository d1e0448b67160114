"""Athena as the shop's people use it.  As a program: one statement on its standard input, as
`readers.apply` gives the view of a move."""

from __future__ import annotations

import sys
import time
from typing import Any

import boto3
from trouble import Trouble

RESULTS = "s3://bookshop-queries/"
_PAUSE_S = 0.05
_OVER = ("SUCCEEDED", "FAILED", "CANCELLED")


class Athena:
    """Statements and queries, one by one."""

    def __init__(self) -> None:
        self._client = boto3.client("athena")

    def run(self, sql: str) -> list[list[str | None]]:
        """Rows without the names of columns.  Raises Trouble with Athena's own words."""
        place = {"OutputLocation": RESULTS}
        begun = self._client.start_query_execution(QueryString=sql, ResultConfiguration=place)
        execution = begun["QueryExecutionId"]
        told = self._ended(execution)
        if told["Status"]["State"] != "SUCCEEDED":
            raise Trouble(f"Athena: {told['Status'].get('StateChangeReason')}: {sql[:200]}")
        found = self._client.get_query_results(QueryExecutionId=execution)
        rows = [
            [each.get("VarCharValue") for each in row["Data"]] for row in found["ResultSet"]["Rows"]
        ]
        return rows[1:]

    def _ended(self, execution: str) -> dict[str, Any]:
        while True:
            asked = self._client.get_query_execution(QueryExecutionId=execution)
            told: dict[str, Any] = asked["QueryExecution"]
            if told["Status"]["State"] in _OVER:
                return told
            time.sleep(_PAUSE_S)


def main() -> int:
    try:
        Athena().run(sys.stdin.read())
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
