"""kirikae local never loses: moto killed, disk full, containers removed by hand; noticed, told in
plain words, repaired."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import time

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from kirikae.local import control
from kirikae.local.ecs.pause import IMAGE
from tests.conftest import Endpoint
from tests.pace import eventually
from tests.shop import Hammer, Shop

pytestmark = pytest.mark.engine


def test_what_the_stores_keep_is_there_after_a_sigkill(local):
    """S3 with versions, SSM, secrets, logs, ECR, IAM: the same contents and the same
    identifiers."""
    s3, ssm, secrets, logs, ecr, iam = map(
        local.client, ("s3", "ssm", "secretsmanager", "logs", "ecr", "iam")
    )
    where = {"CreateBucketConfiguration": {"LocationConstraint": "ap-northeast-1"}}
    for name in ("kept", "versioned"):
        s3.create_bucket(Bucket=name, **where)
    s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    for n in range(3):
        s3.put_object(Bucket="kept", Key="a b/ü?.txt", Body=f"{n}".encode() * 1000)
        s3.put_object(Bucket="versioned", Key="k", Body=f"{n}".encode())
    s3.copy_object(Bucket="kept", Key="copy", CopySource={"Bucket": "kept", "Key": "a b/ü?.txt"})
    s3.put_object(Bucket="kept", Key="a b/ü?.txt", Body=b"last")
    upload = s3.create_multipart_upload(Bucket="kept", Key="big")["UploadId"]
    part = s3.upload_part(
        Bucket="kept", Key="big", UploadId=upload, PartNumber=1, Body=b"x" * 5_300_000
    )["ETag"]
    ssm.put_parameter(Name="/a/b", Value="v", Type="SecureString")
    arn = secrets.create_secret(Name="s", SecretString="one")["ARN"]
    version = secrets.put_secret_value(SecretId="s", SecretString="two")["VersionId"]
    logs.create_log_group(logGroupName="/g")
    logs.create_log_stream(logGroupName="/g", logStreamName="s")
    logs.put_log_events(
        logGroupName="/g",
        logStreamName="s",
        logEvents=[{"timestamp": int(time.time() * 1000), "message": "line"}],
    )
    ecr.create_repository(repositoryName="shop/web")
    role = iam.create_role(RoleName="app", AssumeRolePolicyDocument="{}")["Role"]["RoleId"]
    versions = [v["VersionId"] for v in s3.list_object_versions(Bucket="versioned")["Versions"]]

    os.kill(int((local.directory / "stores.pid").read_text()), signal.SIGKILL)

    assert s3.get_object(Bucket="kept", Key="a b/ü?.txt")["Body"].read() == b"last"
    assert s3.get_object(Bucket="kept", Key="copy")["Body"].read() == b"2" * 1000
    assert [
        v["VersionId"] for v in s3.list_object_versions(Bucket="versioned")["Versions"]
    ] == versions
    s3.complete_multipart_upload(
        Bucket="kept",
        Key="big",
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]},
    )
    assert s3.head_object(Bucket="kept", Key="big")["ContentLength"] == 5_300_000
    assert ssm.get_parameter(Name="/a/b", WithDecryption=True)["Parameter"]["Value"] == "v"
    told = secrets.get_secret_value(SecretId="s")
    assert (told["ARN"], told["VersionId"], told["SecretString"]) == (arn, version, "two")
    assert [
        e["message"] for e in logs.get_log_events(logGroupName="/g", logStreamName="s")["events"]
    ] == ["line"]
    assert ecr.describe_repositories()["repositories"][0]["repositoryName"] == "shop/web"
    assert iam.get_role(RoleName="app")["Role"]["RoleId"] == role


def test_what_moto_would_carry_out_inside_itself_is_refused(local):
    """S3 notifications, rules and stacks."""
    s3, events, stacks = map(local.client, ("s3", "events", "cloudformation"))
    s3.create_bucket(
        Bucket="notes", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"}
    )
    queue = {
        "QueueArn": "arn:aws:sqs:ap-northeast-1:123456789012:q",
        "Events": ["s3:ObjectCreated:*"],
    }
    with pytest.raises(ClientError, match="kirikae local"):
        s3.put_bucket_notification_configuration(
            Bucket="notes", NotificationConfiguration={"QueueConfigurations": [queue]}
        )
    events.put_rule(Name="r", ScheduleExpression="rate(1 minute)")
    function = "arn:aws:lambda:ap-northeast-1:123456789012:function:f"
    with pytest.raises(ClientError, match="kirikae local does not deliver"):
        events.put_targets(Rule="r", Targets=[{"Id": "1", "Arn": function}])
    template = json.dumps({"Resources": {"C": {"Type": "AWS::ECS::Cluster"}}})
    with pytest.raises(ClientError, match="kirikae local"):
        stacks.create_stack(StackName="s", TemplateBody=template)


def trouble(local: Endpoint) -> str:
    """What the control plane says of itself; empty: all is well."""
    status = control.status(local.directory)
    return status["trouble"] if status is not None else "it does not answer"


def test_a_full_disk_is_told_and_outlived(local):
    """No write gets through: calls say so, traffic goes on, nothing is half done; with room again
    it goes on by itself."""
    shop = Shop(local, "full")
    shop.serve("a", "a", 1)
    shop.complete("a")
    ecs = local.client("ecs", Config(retries={"max_attempts": 1, "mode": "standard"}))
    pid = control.status(local.directory)["pid"]
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))
    try:
        with Hammer(shop.port, 2) as hammer:
            with pytest.raises(ClientError, match="free some disk space"):
                ecs.create_cluster(clusterName="no-room")
            with pytest.raises(ClientError, match="free some disk space"):
                ecs.update_service(cluster="full", service="a", desiredCount=2)
            eventually(
                lambda: (
                    "cannot be written"
                    in (control.status(local.directory) or {}).get("trouble", "")
                ),
                "status tells it",
                20,
            )
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    assert hammer.count and not hammer.failures
    assert (
        shop.service("a")["desiredCount"] == 1
        and ecs.describe_clusters(clusters=["no-room"])["failures"]
    )
    shop.ecs.update_service(cluster="full", service="a", desiredCount=2)
    shop.serving("a", 2)
    # The rarest duty is done once a minute: if it was due just then, its trouble stands that long.
    eventually(lambda: not trouble(local), "the trouble is over", 90, lambda: trouble(local))


def test_containers_removed_by_hand_are_replaced(local):
    """An application's container, a task's network, and the image of such networks."""
    shop = Shop(local, "hands")
    shop.serve("a", "a", 2)
    shop.complete("a")
    tasks = shop.ecs.list_tasks(cluster="hands")["taskArns"]
    for task in tasks:
        name = f"{local.status['instance']}-task-{task.rpartition('/')[2]}-web"
        pause = subprocess.run(
            ["docker", "inspect", "-f", "{{.HostConfig.NetworkMode}}", name],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        victim = name if task == tasks[0] else pause.removeprefix("container:")
        subprocess.run(["docker", "rm", "-f", victim], check=True, capture_output=True)
    eventually(
        lambda: len(shop.ecs.list_tasks(cluster="hands", desiredStatus="STOPPED")["taskArns"]) == 2,
        "both are noticed",
    )
    shop.serving("a", 2)
    stopped = shop.ecs.list_tasks(cluster="hands", desiredStatus="STOPPED")["taskArns"]
    told = [
        t["stoppedReason"] for t in shop.ecs.describe_tasks(cluster="hands", tasks=stopped)["tasks"]
    ]
    assert any("network is gone" in reason for reason in told), told
    subprocess.run(["docker", "rmi", "-f", IMAGE], check=True, capture_output=True)
    shop.ecs.update_service(cluster="hands", service="a", desiredCount=6)
    shop.serving("a", 6)


def test_an_older_state_is_not_guessed_at(tmp_path):
    """Rows of another version: a plain word and the way out."""
    import sqlite3

    from kirikae.local.errors import LocalError
    from kirikae.local.state import State

    State(tmp_path / "state.db").close()
    with sqlite3.connect(tmp_path / "state.db") as database:
        database.execute("update thing set body = '{\"is\": 1}' where id = 'format'")
    with pytest.raises(LocalError, match="kirikae local down"):
        State(tmp_path / "state.db")
