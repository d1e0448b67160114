"""A move of weeks in small: journal in a bucket, drivers that run as services, a group that is
pinned, people who are told."""

from __future__ import annotations

import http.server
import json
import re
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.test_command_line import User
from tests.e2e.waits import POLL_S, until_phase, until_share
from tests.pace import ended, eventually
from tests.shop import Hammer, Shop

pytestmark = pytest.mark.engine


class Chat(http.server.ThreadingHTTPServer):
    """Answers as Slack's chat.postMessage and as a topic's subscriber, and keeps what it was
    told."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.topic: list[dict[str, Any]] = []
        self.broken = 0
        super().__init__(("127.0.0.1", 0), _Answers)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Answers(http.server.BaseHTTPRequestHandler):
    server: Chat

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/topic":
            self.server.topic.append(body)
        elif self.server.broken:
            self.server.broken -= 1
            self.send_error(503)
            return
        else:
            self.server.messages.append({**body, "token": self.headers["Authorization"]})
        answer = json.dumps(
            {"ok": True, "ts": f"1700000000.{len(self.server.messages):06}"}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def chat() -> Iterator[Chat]:
    found = Chat()
    yield found
    found.shutdown()


@pytest.fixture(scope="module")
def shop(local: Any) -> Iterator[Shop]:
    shop = Shop(local, "long")
    shop.elb.add_tags(ResourceArns=[shop.rule], Tags=[{"Key": "Name", "Value": "main"}])
    shop.serve("a", "shop r1", 1)
    shop.complete("a")
    yield shop


def _group(local: Any) -> Any:
    """An Auto Scaling group of two instances, at most three."""
    scaling = local.client("autoscaling")
    ec2 = local.client("ec2")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    scaling.create_launch_configuration(
        LaunchConfigurationName="shop", ImageId=image, InstanceType="t3.small"
    )
    scaling.create_auto_scaling_group(
        AutoScalingGroupName="shop-web",
        LaunchConfigurationName="shop",
        MinSize=1,
        MaxSize=2,
        DesiredCapacity=2,
        AvailabilityZones=[f"{local.status['region']}a"],
    )
    return lambda: scaling.describe_auto_scaling_groups(AutoScalingGroupNames=["shop-web"])[
        "AutoScalingGroups"
    ][0]


def explained(user: User) -> bool:
    """By figures, or that they are being waited for."""
    said = user.run("move", "explain", "web", "--lang", "ja")[1]
    return re.search(r"リクエストの \d+%|両環境の数値|準備", said) is not None


def test_drivers_come_and_go_and_people_are_told_each_thing_once(local, shop, tmp_path, chat):
    """Two services, one killed: settled, 0 requests lost, every event told once in one thread; the
    group's bounds come back."""
    user = User(tmp_path, local, shop)
    bucket = f"team-{uuid.uuid4().hex[:8]}"
    bounds = _group(local)
    local.client("s3").create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": local.status["region"]}
    )
    sns = local.client("sns")
    address = f"http://127.0.0.1:{chat.server_address[1]}"
    topic = sns.create_topic(Name="moves")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=f"{address}/topic")
    file = tmp_path / "kirikae.yml"
    text = file.read_text().replace(
        "target_group: long-a", "target_group: long-a, autoscaling_group: shop-web"
    )
    file.write_text(
        f"{text}store: s3://{bucket}/moves\n"
        f'notify: {{language: ja, slack: {{token: "env:CHAT_TOKEN", channel: C1, api: '
        f'"{address}"}}, sns: "{topic}"}}\n'
    )
    assert user.run("release", "deploy", "r2", "--to", "new")[0] == 0
    plan = user.json("move", "plan", "web")
    assert plan["extra_cost_per_day_usd"] == pytest.approx(0.37, abs=0.02)
    assert user.run("move", "start", "web", "--detach")[0] == 0
    chat.broken = 1
    drivers = [
        user.begin("move", "drive", "web", "--service", CHAT_TOKEN="xoxb-secret") for _ in range(2)
    ]
    # Without a request there is no verdict: it stays here until somebody has looked.
    until_share(user, "10%")
    with Hammer(shop.port, threads=2) as load:
        assert (bounds()["MinSize"], bounds()["MaxSize"]) == (3, 3)
        status = user.json("move", "status", "web")
        assert (
            status["old_side"]["takes_all"]
            and status["old_side"]["least"] == 3
            and status["old_side"]["added"] == 1
        )
        holder = json.loads(user.run("move", "status", "web", "--json")[1])["driver"]
        next(d for d in drivers if f"process {d.pid} " in holder).kill()
        eventually(lambda: explained(user), "it explains its verdict", poll_s=POLL_S)
        until_share(user, "100%")
        until_phase(user, "settled")
        time.sleep(1)
    for driver in drivers:
        if driver.poll() is None:
            driver.terminate()
    codes = {ended(driver) for driver in drivers}
    assert codes == {0, -9}, [driver.communicate() for driver in drivers]
    assert load.failures == []
    firsts = [message["text"].splitlines()[1] for message in chat.messages]
    assert firsts == [
        "web を 0% で開始しました",
        "合格 · web を進めました：リクエストの 10% が新環境です",
        "合格 · web を進めました：リクエストの 50% が新環境です",
        "合格 · web を進めました：リクエストの 100% が新環境です",
        "合格 · web が完了しました：すべて新環境です",
    ]
    assert {message["token"] for message in chat.messages} == {"Bearer xoxb-secret"}
    assert "thread_ts" not in chat.messages[0] and {
        m.get("thread_ts") for m in chat.messages[1:]
    } == {"1700000000.000001"}
    assert (
        "kirikae back-out web" in chat.messages[2]["text"].splitlines()[3]
        and "有害の証拠" in chat.messages[2]["text"]
    )
    assert len([m for m in chat.topic if m.get("Type") == "Notification"]) == len(firsts)
    beats = local.client("cloudwatch").list_metrics(Namespace="kirikae")["Metrics"]
    assert {d["Value"] for d in beats[0]["Dimensions"]} == {"shop", "test", "web"}
    assert user.run("move", "retire", "web", CHAT_TOKEN="xoxb-secret")[0] == 0
    assert (bounds()["MinSize"], bounds()["MaxSize"]) == (1, 2)
    assert "終了しました" in chat.messages[-1]["text"] and len(chat.messages) == 6


def test_the_files_of_the_service_are_written_and_what_cannot_be_is_said(local, shop, tmp_path):
    """A journal in a file dies with the container."""
    user = User(tmp_path, local, shop)
    code, _, err = user.run("move", "drive", "web", "--service")
    assert code == 2 and "s3://BUCKET/PREFIX" in err
    file = tmp_path / "kirikae.yml"
    file.write_text(file.read_text() + "store: s3://team/moves\nbuild: {subnets: [subnet-1]}\n")
    assert user.run("move", "drive", "web")[0] == 2
    assert user.run("move", "drive", "web", "--definition", "driver", "--image", "ours:1")[0] == 0
    task = json.loads((tmp_path / "driver/driver-task-def.json").read_text())
    local.client("ecs").register_task_definition(**task)
    assert task["containerDefinitions"][0]["command"] == ["move", "drive", "web", "--service"]
    alarm = json.loads((tmp_path / "driver/driver-alarm.json").read_text())
    watch = local.client("cloudwatch")
    watch.put_metric_alarm(**alarm)
    [told] = watch.describe_alarms(AlarmNames=[alarm["AlarmName"]])["MetricAlarms"]
    assert told["TreatMissingData"] == "breaching"
    watch.delete_alarms(AlarmNames=[alarm["AlarmName"]])
    policy = (tmp_path / "driver/driver-policy.json").read_text()
    assert (
        "arn:aws:s3:::team/moves/*" in policy and "autoscaling:UpdateAutoScalingGroup" not in policy
    )
