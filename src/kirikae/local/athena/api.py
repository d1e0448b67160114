"""The API of Athena that runs queries; workgroups, catalogs and named queries are moto's.

Amazon Athena API reference.  A query that runs while the control plane is killed is FAILED
afterwards: whoever asked asks again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypedDict

from kirikae.hosts.files import write_durably
from kirikae.local.athena.child import Child
from kirikae.local.errors import AwsError, LocalError, QueryFailed
from kirikae.local.files import OURS_ALONE
from kirikae.local.plain import Plain
from kirikae.local.state import State, Table
from kirikae.local.wire import Handlers, Json, Service, bound

log = logging.getLogger("kirikae.local.athena")

KEPT = 1000
"""Executions that are remembered; AWS remembers 45 days of them."""
_PAGE = 1000
_LIST = 50
_OVER = ("SUCCEEDED", "FAILED", "CANCELLED")
_NO_PLACE = (
    "No output location provided. An output location is required either through the Workgroup "
    "result configuration setting or as an API input."
)


class Execution(TypedDict):
    """``kind``: DDL, DML or UTILITY, once it is known; ``scanned``: bytes."""

    id: str
    region: str
    sql: str
    database: str
    group: str
    token: str
    output: str
    state: str
    why: str
    kind: str
    submitted: float
    ended: float
    scanned: int


class Stores(Protocol):
    """moto."""

    async def call(self, service: str, target: str, params: Mapping[str, object]) -> Plain:
        """Raises AwsError, OSError."""
        ...

    async def put_object(self, bucket: str, key: str, body: bytes) -> None:
        """Raises OSError."""
        ...


class Queries:
    """Executions of all regions, and their results in files."""

    def __init__(
        self,
        state: State,
        folder: Path,
        child: Child,
        stores: Stores,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``folder``: of the results.  What ran when we were killed has failed."""
        self.executions: Table[Execution] = Table(state, "query")
        self._folder = folder
        self._child = child
        self.stores = stores
        self._clock = clock
        self._running: dict[str, asyncio.Task[None]] = {}
        for one in self.executions.all():
            if one["state"] not in _OVER:
                self._end(one, "FAILED", "kirikae local was started again meanwhile")

    def begin(self, one: Execution) -> None:
        """Written down, then run."""
        self.executions.put(one["id"], one)
        self._forget_oldest()
        self._running[one["id"]] = asyncio.create_task(self._run(one))

    def _forget_oldest(self) -> None:
        every = sorted(self.executions.all(), key=lambda one: one["submitted"])
        for one in every[: max(0, len(every) - KEPT)]:
            self.executions.drop(one["id"])
            self._file(one["id"]).unlink(missing_ok=True)

    async def _run(self, one: Execution) -> None:
        one = self.executions.put(one["id"], {**one, "state": "RUNNING"})
        try:
            answer = await self._child.ask(one["sql"], one["database"], one["region"])
            if "error" in answer:
                raise QueryFailed(answer["error"])
            one = {**one, "kind": answer["kind"], "scanned": answer["scanned"]}
            await self._keep(one, answer)
            self._end(one, "SUCCEEDED", "")
        except (QueryFailed, OSError) as error:
            self._end(one, "FAILED", str(error))
        except LocalError as error:
            # Not even that can be written down; after a restart it has failed.
            log.error("query %s: %s", one["id"], error)
        finally:
            self._running.pop(one["id"], None)

    async def _keep(self, one: Execution, answer: Plain) -> None:
        """The rows for GetQueryResults, and the object that Athena leaves in S3."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        kept = {"columns": answer["columns"], "rows": answer["rows"]}
        write_durably(self._file(one["id"]), json.dumps(kept), OURS_ALONE)
        bucket, _, key = one["output"].removeprefix("s3://").partition("/")
        await self.stores.put_object(bucket, key, _as_csv(answer).encode())

    def _end(self, one: Execution, state: str, why: str) -> None:
        ended: Execution = {**one, "state": state, "why": why, "ended": self._clock()}
        self.executions.put(one["id"], ended)

    def stop(self, one: Execution) -> None:
        """What is over stays as it is."""
        if one["state"] in _OVER:
            return
        self._end(one, "CANCELLED", "Query cancelled by user")
        if (task := self._running.pop(one["id"], None)) is not None:
            task.cancel()

    def result(self, one: Execution) -> Plain:
        """Columns and rows; a statement has none."""
        found: Plain = json.loads(self._file(one["id"]).read_text())
        return found

    def _file(self, execution: str) -> Path:
        return self._folder / f"{execution}.json"

    async def forget_all(self) -> None:
        """Results too; executions are the state's own to forget."""
        for task in self._running.values():
            task.cancel()
        self._running.clear()
        for file in self._folder.glob("*.json"):
            file.unlink(missing_ok=True)

    async def close(self) -> None:
        """The child ends."""
        for task in self._running.values():
            task.cancel()
        await self._child.close()


class Athena:
    """One region's."""

    def __init__(self, queries: Queries, region: str, clock: Callable[[], float]) -> None:
        self._queries = queries
        self._region = region
        self._clock = clock

    async def start(self, params: Plain) -> Plain:
        """The same token is the same query."""
        token = params.get("ClientRequestToken", "")
        for one in self._mine():
            if token and one["token"] == token:
                return {"QueryExecutionId": one["id"]}
        if params.get("ExecutionParameters"):
            raise _refused("kirikae local does not carry out ExecutionParameters")
        context = params.get("QueryExecutionContext", {})
        catalog = context.get("Catalog", "AwsDataCatalog")
        if catalog.lower() != "awsdatacatalog":
            raise _refused(f"kirikae local has no catalog {catalog}")
        group = params.get("WorkGroup", "primary")
        place = await self._place(params, group)
        execution = str(uuid.uuid4())
        self._queries.begin(
            {
                "id": execution,
                "region": self._region,
                "sql": params["QueryString"],
                "database": context.get("Database", "default").lower(),
                "group": group,
                "token": token,
                "output": f"{place.rstrip('/')}/{execution}.csv",
                "state": "QUEUED",
                "why": "",
                "kind": "",
                "submitted": self._clock(),
                "ended": 0.0,
                "scanned": 0,
            }
        )
        return {"QueryExecutionId": execution}

    async def _place(self, params: Plain, group: str) -> str:
        """Of the results: the request's own, or the workgroup's."""
        place: str = params.get("ResultConfiguration", {}).get("OutputLocation", "")
        if not place and group != "primary":
            asked = {"WorkGroup": group}
            found = await self._queries.stores.call("athena", "AmazonAthena.GetWorkGroup", asked)
            configuration = found["WorkGroup"].get("Configuration", {})
            place = configuration.get("ResultConfiguration", {}).get("OutputLocation", "")
        if not place.startswith("s3://"):
            raise _refused(_NO_PLACE if not place else "outputLocation is not a valid S3 path.")
        return place

    async def get(self, params: Plain) -> Plain:
        """One execution."""
        return {"QueryExecution": _told(self._named(params["QueryExecutionId"]))}

    async def get_many(self, params: Plain) -> Plain:
        """Those that are not there are told apart."""
        known = {one["id"]: one for one in self._mine()}
        asked = params["QueryExecutionIds"]
        missing = [
            {
                "QueryExecutionId": each,
                "ErrorCode": "INVALID_QUERY_EXECUTION_ID",
                "ErrorMessage": f"QueryExecution {each} was not found",
            }
            for each in asked
            if each not in known
        ]
        return {
            "QueryExecutions": [_told(known[each]) for each in asked if each in known],
            "UnprocessedQueryExecutionIds": missing,
        }

    async def list_executions(self, params: Plain) -> Plain:
        """Newest first, of one workgroup."""
        group = params.get("WorkGroup", "primary")
        mine = [one for one in self._mine() if one["group"] == group]
        mine.sort(key=lambda one: one["submitted"], reverse=True)
        shown, more = _page([one["id"] for one in mine], params, _LIST)
        return {"QueryExecutionIds": shown, **more}

    async def results(self, params: Plain) -> Plain:
        """The first row of a SELECT's first page names its columns."""
        one = self._named(params["QueryExecutionId"])
        if one["state"] != "SUCCEEDED":
            raise _refused(
                f"Query has not yet finished. Current state: {one['state']}"
                if one["state"] not in _OVER
                else f"Query did not finish successfully. Final query state: {one['state']}"
            )
        found = self._queries.result(one)
        rows = found["rows"]
        if one["kind"] == "DML":
            rows = [[name for name, _ in found["columns"]], *rows]
        shown, more = _page(rows, params, _PAGE)
        told = {
            "Rows": [{"Data": [_datum(value) for value in row]} for row in shown],
            "ResultSetMetadata": {"ColumnInfo": [_column(*each) for each in found["columns"]]},
        }
        return {"UpdateCount": 0, "ResultSet": told, **more}

    async def stop(self, params: Plain) -> Plain:
        """One that is over stays as it is."""
        self._queries.stop(self._named(params["QueryExecutionId"]))
        return {}

    def _mine(self) -> list[Execution]:
        every = self._queries.executions.all()
        return [one for one in every if one["region"] == self._region]

    def _named(self, execution: str) -> Execution:
        found = self._queries.executions.get(execution)
        if found is None or found["region"] != self._region:
            raise _refused(f"QueryExecution {execution} was not found")
        return found


OPERATIONS: Handlers[Athena] = {
    "StartQueryExecution": Athena.start,
    "GetQueryExecution": Athena.get,
    "BatchGetQueryExecution": Athena.get_many,
    "ListQueryExecutions": Athena.list_executions,
    "GetQueryResults": Athena.results,
    "StopQueryExecution": Athena.stop,
}
PARTLY: Mapping[str, str] = {
    "StartQueryExecution": "SELECT, CREATE EXTERNAL TABLE with the Regex SerDe, ALTER TABLE ADD "
    "PARTITION, CREATE VIEW, CREATE DATABASE, DROP, SHOW; partition projection and registered "
    "partitions; functions are DuckDB's where they answer as Athena's do; needs `kirikae[sql]`; "
    "refused by name, as a failed query: all else, other SerDes, parameters, other catalogs; "
    "results are never reused",
    "GetQueryExecution": "without engine statistics but the bytes of the objects that were asked "
    "for; a query that ran while the control plane was killed is FAILED",
}
"""Operations of which something is missing, and what."""


def service_of(athena: Athena) -> Service:
    """In its protocol; what is not among its operations is moto's."""
    protocol = Json("athena", "InvalidRequestException")
    return Service(protocol, bound(OPERATIONS, athena), "InvalidRequestException")


def _refused(why: str) -> AwsError:
    """The error (not raised yet)."""
    return AwsError("InvalidRequestException", why)


def _page(rows: list[Any], params: Plain, most: int) -> tuple[list[Any], Plain]:
    """NextToken is the number of the next row."""
    token = params.get("NextToken", "0")
    if not token.isdecimal() or int(token) > len(rows):
        raise _refused(f"NextToken {token[:40]!r} is none of ours")
    begin = int(token)
    end = begin + min(most, int(params.get("MaxResults", most)))
    return rows[begin:end], {"NextToken": str(end)} if end < len(rows) else {}


def _told(one: Execution) -> Plain:
    status: Plain = {"State": one["state"], "SubmissionDateTime": one["submitted"]}
    took_ms = 0
    if one["state"] in _OVER:
        status["CompletionDateTime"] = one["ended"]
        took_ms = round(1000 * (one["ended"] - one["submitted"]))
    if one["why"]:
        status["StateChangeReason"] = one["why"]
    return {
        "QueryExecutionId": one["id"],
        "Query": one["sql"],
        **({"StatementType": one["kind"]} if one["kind"] else {}),
        "ResultConfiguration": {"OutputLocation": one["output"]},
        "QueryExecutionContext": {"Database": one["database"], "Catalog": "awsdatacatalog"},
        "Status": status,
        "Statistics": {
            "DataScannedInBytes": one["scanned"],
            "TotalExecutionTimeInMillis": took_ms,
            "EngineExecutionTimeInMillis": took_ms,
        },
        "WorkGroup": one["group"],
        "EngineVersion": {
            "SelectedEngineVersion": "AUTO",
            "EffectiveEngineVersion": "Athena engine version 3",
        },
    }


def _datum(value: str | None) -> Plain:
    """NULL is left out, as Athena leaves it out."""
    return {} if value is None else {"VarCharValue": value}


def _column(name: str, kind: str) -> Plain:
    return {
        "CatalogName": "hive",
        "SchemaName": "",
        "TableName": "",
        "Name": name,
        "Label": name,
        "Type": kind,
        "Precision": 0,
        "Scale": 0,
        "Nullable": "UNKNOWN",
        "CaseSensitive": kind == "varchar",
    }


def _as_csv(answer: Plain) -> str:
    """Every value in quotes; NULL is an empty place without."""
    if not answer["columns"]:
        return ""
    head = [name for name, _ in answer["columns"]]
    return "".join(",".join(map(_quoted, row)) + "\n" for row in [head, *answer["rows"]])


def _quoted(value: str | None) -> str:
    return "" if value is None else '"' + value.replace('"', '""') + '"'
