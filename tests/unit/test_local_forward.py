"""The Forward protocol and FireLens of kirikae local: every mode, acknowledgements, and where a
line goes."""

from __future__ import annotations

import asyncio
import gzip
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from kirikae.local.ecs.firelens import FireLens
from kirikae.local.ecs.pause import IMAGE as PAUSE
from kirikae.local.errors import ForwardError, StartFailed
from kirikae.local.forward.firelens import TaskFacts, generated, with_order
from kirikae.local.forward.messages import Entry, Message, message_of, unpacker
from kirikae.local.forward.outputs import Nowhere, ToFirehose, ToLogs, output_of
from kirikae.local.forward.receiver import Receiver
from kirikae.local.forward.routing import OWN_GROUP, Routing
from tests.local_plane import LocalPlane
from tests.pace import eventually

HOME = "ap-northeast-1"
AT = msgpack.ExtType(0, struct.pack(">II", 1_795_730_400, 500_000_000))
A = {"log": "a", "source": "stdout"}
B = {"log": "b", "source": "stderr"}
TWO = msgpack.packb([1, A]) + msgpack.packb([AT, B])
BOTH = (Entry(1.0, A), Entry(1_795_730_400.5, B))


def read(value: Any) -> Message | None:
    """As it comes over a connection."""
    reader = unpacker()
    reader.feed(msgpack.packb(value))
    [found] = list(reader)
    return message_of(found)


@pytest.mark.parametrize(
    ("value", "entries", "chunk"),
    [
        (["t", 1, A], BOTH[:1], None),
        (["t", AT, B, {"chunk": "c"}], BOTH[1:], "c"),
        (["t", [[1, A], [AT, B]], {"chunk": "c"}], BOTH, "c"),
        (["t", [[1, A]]], BOTH[:1], None),
        (["t", TWO, {"size": 2}], BOTH, None),
        (["t", TWO.decode("latin-1").encode("latin-1"), None], BOTH, None),
        (["t", gzip.compress(TWO), {"compressed": "gzip", "chunk": "c"}], BOTH, "c"),
        (
            [
                "t",
                gzip.compress(msgpack.packb([1, A])) + gzip.compress(msgpack.packb([AT, B])),
                {"compressed": "gzip"},
            ],
            BOTH,
            None,
        ),
        (["t", [[[AT, {}], B]], None], BOTH[1:], None),
    ],
    ids=["message", "acked", "forward", "bare", "packed", "nil", "gzip", "members", "fluent bit 2"],
)
def test_four_modes(value, entries, chunk):
    """Times are numbers or EventTime; gzip may have several members."""
    assert read(value) == Message("t", entries, chunk)


def test_a_heartbeat_says_nothing():
    """It is nil."""
    assert read(None) is None


@pytest.mark.parametrize(
    "value",
    [
        5,
        ["t"],
        [1, 2, {}],
        ["t", 1],
        ["t", 1, "x"],
        ["t", "x", {}, "y"],
        ["t", [[1]]],
        ["t", TWO[:-1]],
        ["t", gzip.compress(TWO)[:-3], {"compressed": "gzip"}],
        ["t", TWO, {"compressed": "zstd"}],
        ["t", [], 5],
        ["t", True, {}],
    ],
)
def test_what_is_no_message(value):
    """Is never half taken."""
    with pytest.raises(ForwardError):
        read(value)


class Kept:
    """Lines that were kept; fails as often as it is told to."""

    def __init__(self, fails: int = 0) -> None:
        self.messages: list[Message] = []
        self._fails = fails

    async def keep(self, message: Message) -> None:
        if self._fails:
            self._fails -= 1
            raise OSError("not now")
        self.messages.append(message)


def talked(folder: Path, kept: Kept, *sent: bytes, answers: int = 0) -> list[Any]:
    """What a client hears that sends these pieces."""

    async def play() -> list[Any]:
        socket = folder / "s"
        running = asyncio.create_task(Receiver(socket, kept.keep, 0.0).run())
        await asyncio.to_thread(eventually, socket.exists, "the receiver listens")
        reader, writer = await asyncio.open_unix_connection(socket)
        for piece in sent:
            writer.write(piece)
            await writer.drain()
        heard = msgpack.Unpacker()
        found: list[Any] = []
        while len(found) < answers:
            heard.feed(await reader.read(1000))
            found += list(heard)
        if not answers:
            writer.write_eof()
            assert await reader.read() == b""
        writer.close()
        running.cancel()
        return found

    return asyncio.run(play())


def test_a_chunk_is_acknowledged_after_it_is_kept(tmp_path):
    """However the bytes are cut; where it cannot be kept at once it is tried again."""
    kept = Kept(fails=3)
    whole = b"".join(
        msgpack.packb(each)
        for each in (None, ["t", 1, A, {"chunk": "1"}], ["t", TWO], ["u", [], {"chunk": "2"}])
    )
    pieces = [whole[at : at + 3] for at in range(0, len(whole), 3)]
    assert talked(tmp_path, kept, *pieces, answers=2) == [{"ack": "1"}, {"ack": "2"}]
    assert [message.tag for message in kept.messages] == ["t", "t", "u"]


def test_who_speaks_otherwise_is_dropped(tmp_path):
    """What came before is kept."""
    kept = Kept()
    assert talked(tmp_path, kept, msgpack.packb(["t", 1, A]), b"GET / HTTP/1.1\r\n") == []
    assert len(kept.messages) == 1


# --- where lines go


def test_outputs_of_aws_s_plugins():
    """Only what is carried out; the rest is refused by its name."""
    hose = output_of("web", {"Name": "firehose", "delivery_stream": "s", "log_key": "log"}, HOME)
    assert hose == ToFirehose(HOME, "s", "log")
    assert hose.records(BOTH) == [b"a\n", b"b\n"]
    whole = output_of("web", {"Name": "kinesis_firehose", "delivery_stream": "s"}, HOME)
    assert isinstance(whole, ToFirehose)
    assert [json.loads(record) for record in whole.records(BOTH)] == [A, B]
    options = {
        "Name": "cloudwatch_logs",
        "region": "eu-west-1",
        "log_group_name": "g",
        "log_stream_prefix": "p-",
        "auto_create_group": "On",
        "log_key": "log",
    }
    logs = output_of("web", options, HOME)
    assert logs == ToLogs("eu-west-1", "g", "p-", True, True, "log")
    assert logs.stream_of("web-firelens-1") == "p-web-firelens-1"
    assert logs.events(reversed(BOTH)) == [
        {"timestamp": 1000, "message": "a"},
        {"timestamp": 1_795_730_400_500, "message": "b"},
    ]
    assert output_of("web", {"Name": "null"}, HOME) == Nowhere()
    for wrong, words in (
        ({"Name": "datadog"}, "the output datadog"),
        ({"Name": "firehose", "delivery_stream": "s", "time_key": "t"}, "the option time_key"),
        ({"Name": "firehose"}, "delivery_stream is missing"),
        ({}, "not named"),
    ):
        with pytest.raises(StartFailed, match=words):
            output_of("web", wrong, HOME)


def test_bytes_that_are_no_text_stay_as_they_are():
    """From the driver to Firehose."""
    reader = unpacker()
    reader.feed(b"\x93\xa1t\x01\x81\xa3log\xa3a\xffb")
    message = message_of(next(reader))
    assert message is not None
    assert ToFirehose(HOME, "s", "log").records(message.entries) == [b"a\xffb\n"]


ROUTER = {
    "name": "router",
    "image": "public.ecr.aws/aws-observability/aws-for-fluent-bit:stable",
    "essential": True,
    "firelensConfiguration": {"type": "fluentbit"},
}
WEB = {
    "name": "web",
    "image": "web:1",
    "essential": True,
    "logConfiguration": {
        "logDriver": "awsfirelens",
        "options": {
            "Name": "firehose",
            "delivery_stream": "s",
            "log_key": "log",
            "exclude-pattern": "^GET /health",
            "log-driver-buffer-limit": "1000",
        },
    },
}


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[LocalPlane]:
    found = LocalPlane(tmp_path)
    yield found
    found.close()


def registered(plane: LocalPlane, *containers: Any) -> Any:
    """The definition; an error's words."""
    body = {
        "family": "app",
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": list(containers),
    }
    headers = {"X-Amz-Target": "AmazonEC2ContainerServiceV20141113.RegisterTaskDefinition"}
    asked = plane.services()["ecs"].serve(headers, json.dumps(body).encode())
    told = json.loads(asyncio.run(asked).body)
    return told.get("taskDefinition") or told["message"]


def test_what_aws_refuses_of_firelens(plane):
    """A router without senders, senders without a router, two routers, options that are none."""
    assert registered(plane, ROUTER, WEB)["family"] == "app"
    assert "at least one container has to be configured" in registered(plane, ROUTER)
    assert "is required" in registered(plane, WEB)
    assert "Only one container" in registered(plane, ROUTER, {**ROUTER, "name": "b"}, WEB)
    for options, words in (
        ({"x": "y"}, "x is not an option"),
        ({"config-file-type": "file"}, "together"),
        ({"config-file-value": "/a"}, "together"),
    ):
        wrong = {**ROUTER, "firelensConfiguration": {"type": "fluentbit", "options": options}}
        assert words in registered(plane, wrong, WEB)
    s3 = {"config-file-type": "s3", "config-file-value": "arn:aws:s3:::b/c"}
    wrong = {**ROUTER, "firelensConfiguration": {"type": "fluentbit", "options": s3}}
    assert "config-file-type s3" in registered(plane, wrong, WEB)


def test_the_router_starts_first_and_stops_last_unless_it_is_said_otherwise():
    """As the ECS agent orders them."""
    definition: Any = {"containerDefinitions": [WEB, ROUTER]}
    web, router = with_order(definition)["containerDefinitions"]
    assert web["dependsOn"] == [{"containerName": "router", "condition": "START"}]
    assert "dependsOn" not in router
    waits = [{"containerName": "web", "condition": "START"}]
    own: Any = {"containerDefinitions": [WEB, {**ROUTER, "dependsOn": waits}]}
    assert with_order(own) == own
    alone: Any = {"containerDefinitions": [{"name": "web"}]}
    assert with_order(alone) is alone


FACTS = TaskFacts("shop", "arn:aws:ecs:r:1:task/shop/1", "app:1")


def test_the_configuration_that_the_agent_generates():
    """Inputs, a filter with the task's metadata, the team's own file, outputs by container."""
    options = {"config-file-type": "file", "config-file-value": "/extra.conf"}
    router = {**ROUTER, "firelensConfiguration": {"type": "fluentbit", "options": options}}
    definition: Any = {"containerDefinitions": [router, WEB]}
    text = generated(definition, FACTS)
    sections = [line for line in text.splitlines() if line.startswith(("[", "@"))]
    assert sections == [
        "[INPUT]",
        "[INPUT]",
        "[INPUT]",
        "[FILTER]",
        "[FILTER]",
        "@INCLUDE /extra.conf",
        "[OUTPUT]",
        "[OUTPUT]",
    ]
    assert "    unix_path /var/run/fluent.sock\n" in text
    assert "    Exclude log ^GET /health\n" in text
    assert "    Record ecs_task_arn arn:aws:ecs:r:1:task/shop/1\n" in text
    output = "[OUTPUT]\n    Name firehose\n    Match web-firelens*\n    delivery_stream s\n"
    assert output + "    log_key log\n" in text
    assert "buffer-limit" not in text
    options = {"enable-ecs-log-metadata": "false"}
    router = {**ROUTER, "firelensConfiguration": {"type": "fluentd", "options": options}}
    web = {**WEB, "logConfiguration": {"logDriver": "awsfirelens", "options": {"@type": "stdout"}}}
    definition = {"containerDefinitions": [router, web]}
    assert generated(definition, FACTS) == (
        "<source>\n    @type unix\n    path /var/run/fluent.sock\n</source>\n\n"
        "<source>\n    @type forward\n    bind 127.0.0.1\n    port 24224\n</source>\n\n"
        "<match web-firelens**>\n    @type stdout\n</match>\n\n"
    )


class Lines:
    """CloudWatch Logs of one region."""

    def __init__(self) -> None:
        self.put: dict[str, list[str]] = {}

    async def assert_stream(self, group: str, stream: str, creates: bool) -> None:
        assert creates
        self.put.setdefault(f"{group} {stream}", [])

    async def put_events(self, params: Any) -> Any:
        place = f"{params['logGroupName']} {params['logStreamName']}"
        self.put[place] += [event["message"] for event in params["logEvents"]]
        return {}


def test_lines_of_a_task_go_where_its_container_says(plane):
    """With the task's metadata; those of nobody go to a group of kirikae local's own."""
    whole = {"Name": "firehose", "delivery_stream": "s"}
    web = {**WEB, "logConfiguration": {"logDriver": "awsfirelens", "options": whole}}
    arn = registered(plane, ROUTER, web)["taskDefinitionArn"]
    task: Any = {
        "id": "t1",
        "taskArn": "arn:aws:ecs:r:1:task/shop/t1",
        "clusterArn": "arn:aws:ecs:r:1:cluster/shop",
        "taskDefinitionArn": arn,
        "overrides": {},
    }
    plane.state.tasks.put("t1", task)
    lines = Lines()
    records: list[tuple[str, list[bytes]]] = []
    routing = Routing(
        plane.state, HOME, lambda region: lines, lambda arn, some: records.append((arn, some))
    )
    asyncio.run(routing.keep(Message("web-firelens-t1", BOTH[:1], None)))
    [(stream, [record])] = records
    assert stream == f"arn:aws:firehose:{HOME}:123456789012:deliverystream/s"
    assert json.loads(record) == {
        **A,
        "ecs_cluster": "shop",
        "ecs_task_arn": "arn:aws:ecs:r:1:task/shop/t1",
        "ecs_task_definition": "app:1",
    }
    for tag in ("web-firelens-gone", "somebody"):
        asyncio.run(routing.keep(Message(tag, BOTH[1:], None)))
        [text] = lines.put[f"{OWN_GROUP} {tag}"]
        assert json.loads(text) == B


# --- what the engine is asked for


def task_of(plane: LocalPlane, arn: str) -> Any:
    task: Any = {
        "id": "t1",
        "taskArn": "arn:aws:ecs:r:1:task/shop/t1",
        "clusterArn": "arn:aws:ecs:r:1:cluster/shop",
        "taskDefinitionArn": arn,
        "lastStatus": "PENDING",
        "overrides": {},
    }
    plane.state.tasks.put("t1", task)
    return task


def test_a_router_of_one_s_own_is_given_socket_and_configuration(plane, tmp_path):
    """Where ECS puts them; who sends to it uses the engine's driver.  What tasks of before left
    there goes."""
    arn = registered(plane, ROUTER, WEB)["taskDefinitionArn"]
    definition = plane.state.definitions[arn]
    router, web = definition["containerDefinitions"]
    images = {"router": "sha256:1", "web": "sha256:2"}
    lens = FireLens(plane.state, tmp_path, HOME)
    (tmp_path / "firelens" / "gone").mkdir(parents=True)
    task = task_of(plane, arn)
    lens.prepare(task, definition, images)
    folder = tmp_path / "firelens" / "t1"
    assert "Match web-firelens*" in (folder / "fluent.conf").read_text()
    assert not (tmp_path / "firelens" / "gone").exists()
    assert lens.host(task, definition, router, images) == {
        "Binds": [
            f"{folder}/socket:/var/run/",
            f"{folder}/fluent.conf:/fluent-bit/etc/fluent-bit.conf:ro",
        ]
    }
    driver = lens.host(task, definition, web, images)["LogConfig"]
    assert driver["Type"] == "fluentd"
    assert driver["Config"]["fluentd-address"] == f"unix://{folder}/socket/fluent.sock"
    assert driver["Config"]["tag"] == "web-firelens-t1"
    assert driver["Config"]["fluentd-buffer-limit"] == "1000"
    assert "fluentd-request-ack" not in driver["Config"]
    assert lens.container(router, images) == router


def test_a_router_that_is_played_only_stands_there(plane, tmp_path):
    """Lines come to kirikae local's own socket, and are acknowledged; what it cannot route to is
    told before the task begins."""
    check = {"command": ["CMD-SHELL", "nc 127.0.0.1 8877"]}
    arn = registered(plane, {**ROUTER, "command": ["x"], "healthCheck": check}, WEB)[
        "taskDefinitionArn"
    ]
    definition = plane.state.definitions[arn]
    router, web = definition["containerDefinitions"]
    images = {"router": PAUSE, "web": "sha256:2"}
    lens = FireLens(plane.state, tmp_path, HOME)
    task = task_of(plane, arn)
    lens.prepare(task, definition, images)
    assert not (tmp_path / "firelens").exists()
    assert lens.host(task, definition, router, images) == {}
    config = lens.host(task, definition, web, images)["LogConfig"]["Config"]
    assert config["fluentd-address"] == f"unix://{tmp_path}/forward.sock"
    assert config["fluentd-request-ack"] == "true"
    stands = lens.container(router, images)
    assert "command" not in stands and stands["healthCheck"]["command"] == ["CMD", "/nothing"]
    with pytest.raises(StartFailed, match="option exclude-pattern"):
        lens.assert_played(definition)
    own = {"config-file-type": "file", "config-file-value": "/a.conf"}
    with_file = {**ROUTER, "firelensConfiguration": {"type": "fluentbit", "options": own}}
    arn = registered(plane, with_file, WEB)["taskDefinitionArn"]
    with pytest.raises(StartFailed, match="configuration file"):
        lens.assert_played(plane.state.definitions[arn])


def test_the_driver_fluentd_goes_where_it_says(plane, tmp_path):
    """Or to kirikae local, where it says nothing."""
    lens = FireLens(plane.state, tmp_path, HOME)
    for options, place in (
        ({}, f"unix://{tmp_path}/forward.sock"),
        ({"fluentd-address": "10.0.0.1:24224"}, "10.0.0.1:24224"),
    ):
        logs = {"logDriver": "fluentd", "options": options}
        web = {"name": "web", "image": "x", "memory": 64, "logConfiguration": logs}
        headers = {"X-Amz-Target": "AmazonEC2ContainerServiceV20141113.RegisterTaskDefinition"}
        body = json.dumps({"family": "f", "containerDefinitions": [web]}).encode()
        told = json.loads(asyncio.run(plane.services()["ecs"].serve(headers, body)).body)
        arn = told["taskDefinition"]["taskDefinitionArn"]
        definition = plane.state.definitions[arn]
        [container] = definition["containerDefinitions"]
        found = lens.host(task_of(plane, arn), definition, container, {"web": "sha256:2"})
        assert found["LogConfig"]["Config"]["fluentd-address"] == place
