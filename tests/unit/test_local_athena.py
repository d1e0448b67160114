"""Athena of kirikae local: the DDL and the queries that the logs room writes, over real objects of
S3."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from kirikae.local.athena.api import Athena, Queries, service_of
from kirikae.local.athena.lines import columns_of, pattern_of
from kirikae.local.athena.statements import AddPartitions, Name, statement_of
from kirikae.local.athena.tables import folders_of, strptime_of
from kirikae.local.athena.worker import Worker
from kirikae.local.errors import QueryFailed
from kirikae.local.state import State
from kirikae.logs.layout import Layout
from kirikae.logs.tables import (
    Table,
    View,
    map_statements,
    map_table,
    mapped,
    projection,
    view_sql,
)
from tests.keeper import KeeperProcess

NOW = 1_795_000_000.0
TOKYO = Layout("%Y/%m/%d/%H/", "Asia/Tokyo")
UTC = Layout("%Y/%m/%d/%H/", "UTC")
ARRIVAL = Layout("%Y/%m/%d/%H/", "UTC", writes="arrival")
HOURS = ("2026/11/26/21", "2026/11/26/22", "2026/11/26/23", "2026/11/27/00")


class House:
    """A keeper with a bucket, and a worker beside it."""

    def __init__(self, keeper: KeeperProcess) -> None:
        self.worker = Worker(keeper.port)
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
        url = f"http://127.0.0.1:{keeper.port}"
        self.s3 = boto3.client("s3", "us-east-1", endpoint_url=url, **keys)
        self.glue = boto3.client("glue", "us-east-1", endpoint_url=url, **keys)
        self.s3.create_bucket(Bucket="logs")

    def put(self, key: str, *lines: str) -> None:
        body = "".join(f"{line}\n" for line in lines).encode()
        packed = gzip.compress(body) if key.endswith(".gz") else body
        self.s3.put_object(Bucket="logs", Key=key, Body=io.BytesIO(packed))

    def told(self, sql: str, database: str = "default") -> Any:
        """Rows; an error's words."""
        asked = {"sql": sql, "database": database, "region": "us-east-1"}
        answer = self.worker.answer(asked)
        return answer.get("error") or answer["rows"]

    def number(self, sql: str) -> int:
        [[value]] = self.told(sql)
        return int(value)


def line(hour: str, minute: int, zone: str = "+0000", host: str = "10.0.0.1") -> str:
    """``hour``: 2026/11/26/22."""
    _, _, day, at = hour.split("/")
    stamp = f"{day}/Nov/2026:{at}:{minute:02d}:00 {zone}"
    return f'{host} - - [{stamp}] "GET / HTTP/1.1" 200 5 "-" "curl"'


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    keeper = KeeperProcess(tmp_path_factory.mktemp("athena"))
    found = House(keeper)
    tokyo = ("2026/11/27/06", "2026/11/27/07", "2026/11/27/08", "2026/11/27/09")
    for hour in HOURS:
        found.put(f"utc/{hour}/web-1.gz", line(hour, 1), line(hour, 2), "no time at all")
        found.put(f"arrived/{hour}/web-1.gz", line(hour, 1), line(hour, 2))
    for hour in tokyo:
        found.put(f"jst/{hour}/web.gz", line(hour, 1, "+0900"), line(hour, 2, "+0900"))
        found.put(f"jst/{hour}/_kirikae.json", "{}")
    yield found
    keeper.kill()


def test_a_projected_table_and_its_newest_hours(house):
    """A tree by Japan time whose range ends at NOW would hide nine hours; the room's does not."""
    old = Table("default", "old", "s3://logs/jst/", TOKYO)
    assert house.told(projection(old, "2026/11/27/06", NOW)) == []
    assert house.number("SELECT count(*) FROM old") == 8
    assert house.number("SELECT count(*) FROM old WHERE dt = '2026/11/27/07'") == 2
    found = house.told('SELECT "$path", count(*) FROM old GROUP BY 1 ORDER BY 1')
    assert found[0] == ["s3://logs/jst/2026/11/27/06/web.gz", "2"] and len(found) == 4
    shorter = Table("default", "later", "s3://logs/jst/", TOKYO)
    house.told(projection(shorter, "2026/11/27/08", NOW))
    assert house.number("SELECT count(*) FROM later") == 4


def test_a_line_that_does_not_match_is_a_row(house):
    """Of NULLs: counts stay right.  A new object is seen at once, and one that is replaced."""
    new = Table("default", "utc", "s3://logs/utc/", UTC)
    house.told(projection(new, "2026/11/26/00", NOW))
    assert house.number("SELECT count(*) FROM utc") == 12
    assert house.number("SELECT count(*) FROM utc WHERE host IS NULL") == 4
    house.put("utc/2026/11/26/22/late.gz", line(HOURS[1], 59))
    assert house.number("SELECT count(*) FROM utc") == 13
    house.put("utc/2026/11/26/22/late.gz")
    assert house.number("SELECT count(*) FROM utc") == 12


@pytest.mark.parametrize("share", [0, 250, 500, 750, 1000])
def test_the_view_counts_every_line_once_at_every_share(house, share):
    """Over an old tree by event time and a new one by arrival; kept in Glue as Athena's views
    are."""
    old = Table("logs", "old", "s3://logs/jst/", TOKYO)
    new = Table("logs", "new", "s3://logs/arrived/", ARRIVAL)
    assert house.told("CREATE DATABASE IF NOT EXISTS logs") == []
    for table, first in ((old, "2026/11/27/06"), (new, "2026/11/26/21")):
        assert house.told(projection(table, first, NOW)) == []
    begins = [1_795_726_800 + 3600 * number for number in range(4)]
    boundary = None if share in (0, 1000) else begins[4 * share // 1000]
    assert house.told(view_sql(View("access", old, new, 900, share, boundary))) == []
    assert house.number("SELECT count(*) FROM logs.access") == 8
    assert house.glue.get_table(DatabaseName="logs", Name="access")["Table"]["TableType"] == (
        "VIRTUAL_VIEW"
    )
    shown = house.told("SHOW CREATE VIEW logs.access")
    assert shown[0] == ["CREATE VIEW logs.access AS"] and len(shown) > 1


def test_the_map_without_a_copy(house):
    """UTC hours point to the folders of Japan time; what is not registered is not there."""
    table = Table("default", "mapped", "s3://logs/none/", TOKYO)
    folders = ["2026/11/27/07/", "2026/11/27/08/"]
    rows = [each for each in mapped(TOKYO, UTC, folders) if not isinstance(each, str)]
    assert house.told(map_table(table)) == []
    [sql] = map_statements(table, "s3://logs/jst/", rows)
    assert house.told(sql) == [] and house.told(sql) == []
    assert house.told("SHOW PARTITIONS mapped") == [["dt=2026/11/26/22"], ["dt=2026/11/26/23"]]
    assert house.number("SELECT count(*) FROM mapped") == 4
    assert house.number("SELECT count(*) FROM mapped WHERE dt >= '2026/11/26/23'") == 2


def test_functions_answer_as_athena_s_do(house):
    """Those of the room's queries, where DuckDB's own would differ."""
    known = {
        "regexp_extract('a=1', 'b=(.)', 1) IS NULL": "true",
        "regexp_extract('a=1', 'a=(.)', 1)": "1",
        "from_iso8601_timestamp('2026-11-26T22:00:01+09:00')": "2026-11-26 13:00:01.000 UTC",
        "parse_datetime('26/Nov/2026:22:00:01 +0900', 'dd/MMM/yyyy:HH:mm:ss Z')": (
            "2026-11-26 13:00:01.000 UTC"
        ),
        "try(parse_datetime('x', 'dd/MMM/yyyy:HH:mm:ss Z')) IS NULL": "true",
        "json_extract_scalar('{\"a\": {\"b\": 1}}', '$.a.b')": "1",
        "CAST(sum(x) AS bigint)": "3",
    }
    for sql, value in known.items():
        assert house.told(f"SELECT {sql} FROM (VALUES 1, 2) AS t(x) LIMIT 1")[0] == [value], sql


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("INSERT INTO t SELECT 1", "INSERT INTO t SELECT 1"),
        ("SELECT * FROM nothing", "TABLE_NOT_FOUND"),
        ("SELECT nofunction(1)", "nofunction"),
        ("SELECT 1; SELECT 2", "Only one sql statement"),
        ("SELECT FROM WHERE", "SYNTAX_ERROR"),
        ("MSCK REPAIR TABLE t", "MSCK REPAIR TABLE t"),
        ("CREATE TABLE t AS SELECT 1", "CREATE TABLE"),
        ("SELECT * FROM read_csv('/etc/passwd')", ""),
        (
            "CREATE EXTERNAL TABLE t (a STRING) ROW FORMAT SERDE "
            "'org.openx.data.jsonserde.JsonSerDe' LOCATION 's3://logs/'",
            "JsonSerDe",
        ),
    ],
)
def test_what_is_not_understood_is_refused_by_name(house, sql, words):
    """Nothing is ignored, and no file of this machine is read."""
    told = house.told(sql)
    assert isinstance(told, str) and words in told


def test_columns_without_a_name_are_called_by_their_place(house):
    """Also in a union, and where a column before them has one."""
    sql = (
        "SELECT x, x + 1, count(*) AS n FROM (VALUES 1) AS t(x) GROUP BY 1, 2 UNION SELECT 1, 2, 3"
    )
    asked = {"sql": sql, "database": "default", "region": "us-east-1"}
    assert [name for name, _ in house.worker.answer(asked)["columns"]] == ["x", "_col1", "n"]


def test_partitions_of_a_statement():
    """Also several in one, with quotes of Hive's kind."""
    sql = "ALTER TABLE a.b ADD PARTITION (dt = 'x\\'y') LOCATION 's3://b/(1)/' PARTITION (dt='2')"
    found = statement_of(sql, "default")
    partitions = (({"dt": "x'y"}, "s3://b/(1)/"), ({"dt": "2"}, ""))
    assert found == AddPartitions(Name("a", "b"), False, partitions)
    with pytest.raises(QueryFailed):
        statement_of("ALTER TABLE a ADD PARTITION (dt='1') LOCATE 'x'", "default")


def test_projected_values():
    """Integers with digits, lists, and dates up to nine hours ahead; both ends are in it."""
    parameters = {
        "projection.enabled": "true",
        "projection.host.type": "enum",
        "projection.host.values": "web1,web2",
        "projection.n.type": "integer",
        "projection.n.range": "1,12",
        "projection.n.digits": "2",
        "projection.dt.type": "date",
        "projection.dt.format": "yyyy/MM/dd/HH",
        "projection.dt.range": "NOW-1HOUR,NOW+9HOURS",
        "projection.dt.interval.unit": "HOURS",
        "storage.location.template": "s3://b/l/${host}/${n}/${dt}/",
    }
    now = 1_795_730_400.0  # 2026-11-26T22:00:00Z
    folders = folders_of("s3://b/l/", ("host", "n", "dt"), parameters, (), now)
    assert folders.values("b", "l/web1/01/2026/11/26/21/a.gz") == ("web1", "01", "2026/11/26/21")
    assert folders.values("b", "l/web2/12/2026/11/27/07/deep/a") == ("web2", "12", "2026/11/27/07")
    for key in ("web3/01/2026/11/26/21/a", "web1/1/2026/11/26/21/a", "web1/01/2026/11/27/08/a"):
        assert folders.values("b", f"l/{key}") is None
    assert strptime_of("yyyy'T'MM-dd%") == "%YT%m-%d%%"


def test_lines_end_as_hadoop_s_do():
    """At CR as well; the last one needs no end; a header is skipped; what is no UTF-8 stays a
    row."""
    pattern = pattern_of("^(.*)$", 1)
    assert columns_of(b"#\na\rb\r\nc\n\xff\0", pattern, 1) == [["a", "b", "c", "\ufffd\ufffd"]]
    with pytest.raises(QueryFailed, match="matching groups"):
        pattern_of("(a)(b)", 1)


# --- the API


class Readers:
    """The child process: answers what a test gives it, or hangs."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.asked: list[tuple[str, str, str]] = []

    async def ask(self, sql: str, database: str, region: str) -> Any:
        self.asked.append((sql, database, region))
        if not self.answers:
            await asyncio.Event().wait()
        return self.answers.pop(0)

    async def close(self) -> None:
        """It ends with us."""


class Bucket:
    """S3 and a workgroup."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    async def put_object(self, bucket: str, key: str, body: bytes) -> None:
        self.objects[f"{bucket}/{key}"] = body

    async def call(self, service: str, target: str, params: Any) -> Any:
        place = {"ResultConfiguration": {"OutputLocation": "s3://of-group/"}}
        return {"WorkGroup": {"Configuration": place}}


class Api:
    """Over a state directory that outlives it."""

    def __init__(self, folder: Path) -> None:
        self.readers: Any = Readers()
        self.bucket = Bucket()
        self.state = State(folder / "state.db")
        self.queries = Queries(self.state, folder / "athena", self.readers, self.bucket)
        self._service = service_of(Athena(self.queries, "eu-west-1", lambda: 5.0))

    async def ask(self, operation: str, **params: Any) -> Any:
        headers = {"X-Amz-Target": f"AmazonAthena.{operation}"}
        reply = await self._service.serve(headers, json.dumps(params).encode())
        told = json.loads(reply.body)
        return told if reply.status == 200 else f"{told['__type']}: {told['message']}"

    async def start(self, **more: Any) -> str:
        place = {"ResultConfiguration": {"OutputLocation": "s3://results/a/"}}
        told = await self.ask("StartQueryExecution", **{"QueryString": "SELECT 1", **place, **more})
        return str(told["QueryExecutionId"])

    async def ended(self, execution: str) -> Any:
        while True:
            told = await self.ask("GetQueryExecution", QueryExecutionId=execution)
            if told["QueryExecution"]["Status"]["State"] not in ("QUEUED", "RUNNING"):
                return told["QueryExecution"]
            await asyncio.sleep(0)


ROWS = {
    "kind": "DML",
    "columns": [["host", "varchar"], ["n", "bigint"]],
    "rows": [['a"b', "1"], [None, "2"], ["", "3"]],
    "scanned": 77,
}


def test_a_query_from_its_start_to_its_rows(tmp_path):
    """Also page by page, and as the object that Athena leaves in S3; rows outlive a restart."""

    async def play() -> None:
        api = Api(tmp_path)
        api.readers.answers.append(ROWS)
        execution = await api.start(ClientRequestToken="t" * 32)
        assert execution == await api.start(ClientRequestToken="t" * 32)
        told = await api.ended(execution)
        assert told["Status"]["State"] == "SUCCEEDED"
        assert told["Statistics"]["DataScannedInBytes"] == 77
        asked = {"QueryExecutionId": execution, "MaxResults": 2}
        first = await api.ask("GetQueryResults", **asked)
        second = await api.ask("GetQueryResults", **asked, NextToken=first["NextToken"])
        rows = [*first["ResultSet"]["Rows"], *second["ResultSet"]["Rows"]]
        assert [[each.get("VarCharValue") for each in row["Data"]] for row in rows] == [
            ["host", "n"],
            *ROWS["rows"],
        ]
        csv = b'"host","n"\n"a""b","1"\n,"2"\n"","3"\n'
        assert api.bucket.objects == {f"results/a/{execution}.csv": csv}
        api.state.close()
        again = Api(tmp_path)
        assert "ResultSet" in await again.ask("GetQueryResults", QueryExecutionId=execution)

    asyncio.run(play())


def test_a_query_that_fails_or_is_stopped_or_was_killed_says_so(tmp_path):
    """And has no rows."""

    async def play() -> None:
        api = Api(tmp_path)
        api.readers.answers.append({"error": "TABLE_NOT_FOUND: x"})
        failed = await api.start()
        told = await api.ended(failed)
        assert told["Status"]["StateChangeReason"] == "TABLE_NOT_FOUND: x"
        refused = await api.ask("GetQueryResults", QueryExecutionId=failed)
        assert "Final query state: FAILED" in refused
        stopped = await api.start()
        await api.ask("StopQueryExecution", QueryExecutionId=stopped)
        assert (await api.ended(stopped))["Status"]["State"] == "CANCELLED"
        running = await api.start()
        await asyncio.sleep(0)  # it is with the reader
        api.state.close()
        again = Api(tmp_path)
        assert (await again.ended(running))["Status"]["State"] == "FAILED"

    asyncio.run(play())


def test_results_need_a_place(tmp_path):
    """The request's, or the workgroup's; in AWS's words."""

    async def play() -> None:
        api = Api(tmp_path)
        told = await api.ask("StartQueryExecution", QueryString="SELECT 1")
        assert told.startswith("InvalidRequestException: No output location provided.")
        execution = await api.start(ResultConfiguration={}, WorkGroup="team")
        told = await api.ask("GetQueryExecution", QueryExecutionId=execution)
        place = told["QueryExecution"]["ResultConfiguration"]["OutputLocation"]
        assert place == f"s3://of-group/{execution}.csv"
        assert "not found" in await api.ask("GetQueryExecution", QueryExecutionId="none")
        await api.queries.close()

    asyncio.run(play())
