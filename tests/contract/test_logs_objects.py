"""What every tree of objects must keep: one suite for folders and for buckets, and what S3 answers
when it has trouble."""

from __future__ import annotations

import errno
import io
import os
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from moto import mock_aws

from kirikae.aws.s3_copy import Copier
from kirikae.aws.s3_objects import objects_at
from kirikae.aws.s3_store import store_at
from kirikae.aws.session import Aws
from kirikae.logs.backfill import Backfill
from kirikae.logs.errors import TreeTrouble
from kirikae.logs.folder import FolderObjects
from kirikae.logs.manifest import Manifest
from kirikae.logs.owners import Owners
from kirikae.logs.shared import SharedManifest, Shelf
from kirikae.logs.throttle import Throttle
from kirikae.logs.trees import Door
from kirikae.logs.verify import Verifier
from kirikae.logs.work import Trees
from kirikae.logs.worker import Place
from kirikae.model.errors import AwsUnreachable, Changed, Taken
from kirikae.model.objects import Listed, Objects
from tests.logs_made import inflated
from tests.logs_world import DAILY, HOURLY, NOW, UTC_HOURS, LogsWorld

REGION = "ap-northeast-1"
ODD = "a=1/50%+b c/日本.gz"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "x")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    # Here botocore is tried; the quick way has its own server in tests/unit/test_s3_copy.py.
    monkeypatch.setattr(Copier, "copied", lambda copier, copy: None)
    with mock_aws():
        found = Aws(REGION)
        where = {"LocationConstraint": REGION}
        for bucket in ("old-logs", "new-logs"):
            found.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration=where)
        yield found


@pytest.fixture(params=["folder", "s3"])
def trees(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Objects, Objects]:
    if request.param == "folder":
        return FolderObjects(tmp_path / "old"), FolderObjects(tmp_path / "new")
    session = request.getfixturevalue("aws")
    return objects_at(session, "s3://old-logs/logs/"), objects_at(session, "s3://new-logs/utc/")


def read(objects: Objects, listed: Listed) -> bytes:
    return b"".join(objects.read(listed))


def test_what_was_written_is_listed_and_read(trees):
    """Below the tree's root; keys as they are, whatever letters they have."""
    old, _ = trees
    for key in (ODD, "a/1", "b"):
        old.create(key, io.BytesIO(key.encode()))
    assert [listed.key for listed in old.list()] == sorted([ODD, "a/1", "b"])
    assert [listed.key for listed in old.list("a/")] == ["a/1"]
    for listed in old.list():
        assert read(old, listed) == listed.key.encode() and listed.size == len(listed.key.encode())
        assert old.look(listed.key) == listed
    assert old.look("nothing") is None


def test_what_holds_no_lines_is_no_object_of_a_folder(tmp_path):
    """Whoever opened a pipe would wait for ever."""
    for make in (os.mkfifo, partial(os.symlink, "/no/where"), partial(os.symlink, "loop")):
        make(tmp_path / "loop")
        assert list(FolderObjects(tmp_path).list()) == []
        (tmp_path / "loop").unlink()


def test_a_name_that_is_no_utf_8_is_told_before_anything_is_moved(tmp_path):
    (tmp_path / os.fsdecode(b"a\xff.log")).touch()
    with pytest.raises(TreeTrouble, match=r"the name b'a\\xff.log' is no UTF-8: rename"):
        list(FolderObjects(tmp_path).list())


def test_a_file_that_may_not_be_read_keeps_no_other_waiting(tmp_path, monkeypatch):
    """As in S3, it waits for a person."""
    world = LogsWorld(tmp_path)
    world.fill(days=2)
    kept, *_ = FolderObjects(world.old_root).list()

    def opened(path: Path, mode: str, **more: Any) -> Any:
        if path.name == kept.key.rpartition("/")[2] and kept.key in str(path):
            raise PermissionError(errno.EACCES, "Permission denied")
        return open(path, mode)  # noqa: PTH123 - what is replaced

    monkeypatch.setattr(Path, "open", opened)
    done = world.backfill()
    monkeypatch.undo()
    assert done.states == {"done": 1, "special": 1}
    assert Counter(world.verdicts().values()).keys() == {"pass", "unsure"}


def test_nothing_is_overwritten(trees):
    """Neither by what is written nor by what is copied."""
    old, _ = trees
    written = old.create("a", io.BytesIO(b"first"))
    with pytest.raises(Taken):
        old.create("a", io.BytesIO(b"second"))
    assert read(old, written) == b"first"


def test_a_copy_is_the_same_object_under_another_key(trees):
    """With the same tag, so that it is known again."""
    old, new = trees
    source = old.create(ODD, io.BytesIO(b"x" * 5000))
    copied = new.copy_from(old, source, "2026/11/26/22/50%+b.gz")
    assert (copied.size, copied.etag) == (source.size, source.etag)
    assert read(new, copied) == b"x" * 5000


def test_an_object_that_was_replaced_is_not_read_as_the_one_that_was_listed(trees):
    """Nor is one that is gone, and neither is deleted."""
    old, _ = trees
    listed = old.create("a", io.BytesIO(b"first"))
    old.delete(listed)
    for act in (lambda: read(old, listed), lambda: old.delete(listed)):
        if isinstance(old, FolderObjects) or act.__code__.co_names[0] == "read":
            with pytest.raises(Changed):
                act()
    old.create("a", io.BytesIO(b"second"))
    with pytest.raises(Changed):
        read(old, listed)


def test_a_copy_within_s3_is_guarded_on_both_sides(aws):
    """The service that answers here looks at neither condition: what is sent is looked at."""
    old = objects_at(aws, "s3://old-logs/logs/")
    sent: list[dict[str, Any]] = []
    aws.client("s3").meta.events.register(
        "before-send.s3.CopyObject", lambda request, **_: sent.append(dict(request.headers))
    )
    source = old.create("a", io.BytesIO(b"x"))
    objects_at(aws, "s3://new-logs/utc/").copy_from(old, source, "b")
    [headers] = sent
    assert headers["x-amz-copy-source-if-match"] == source.etag.encode()
    assert headers["If-None-Match"] == b"*"
    assert headers["x-amz-storage-class"] == b"STANDARD"


ERROR = b"<Error><Code>%s</Code><Message>please wait</Message></Error>"


class Trouble:
    """Answers the first calls of an operation by itself."""

    def __init__(self, aws: Aws, operation: str, times: int, status: int, code: bytes) -> None:
        self.left = times
        self._answer = (status, ERROR % code)
        aws.client("s3").meta.events.register(f"before-send.s3.{operation}", self._send)

    def _send(self, request: Any, **_: Any) -> AWSResponse | None:
        if not self.left:
            return None
        self.left -= 1
        status, body = self._answer
        raw = io.BytesIO(body)
        raw.stream = lambda *_, **__: iter([body])  # type: ignore[attr-defined]
        return AWSResponse(request.url, status, {"content-type": "application/xml"}, raw)


def test_a_200_with_an_error_in_its_body_is_no_copy(aws):
    """S3 says 200 before a copy is done; asked again it is one."""
    old = objects_at(aws, "s3://old-logs/logs/")
    new = objects_at(aws, "s3://new-logs/utc/")
    source = old.create("a", io.BytesIO(b"x"))
    Trouble(aws, "CopyObject", 1, 200, b"InternalError")
    with pytest.raises(AwsUnreachable):
        new.copy_from(old, source, "b")
    assert new.copy_from(old, source, "b").size == 1


def filled(aws: Aws, folder: Path, layout: Any) -> tuple[LogsWorld, Place]:
    """A world's old tree in a bucket."""
    world = LogsWorld(folder, layout)
    world.fill(days=1)
    objects = objects_at(aws, "s3://old-logs/logs/")
    for file in sorted(world.old_root.rglob("*.GZ")):
        with file.open("rb") as body:
            objects.create(str(file.relative_to(world.old_root)), body)
    trees = Trees(layout, UTC_HOURS, NOW)
    owners = Owners(UTC_HOURS, NOW, 900)
    old = Door("s3://old-logs/logs/", REGION)
    return world, Place(trees, owners, old, Door("s3://new-logs/utc/", REGION))


@pytest.mark.parametrize("layout", [DAILY, HOURLY], ids=["split", "copied"])
def test_a_backfill_within_s3_through_a_storm_of_503(aws, tmp_path, layout):
    """It slows down, goes on, and every line is there once; the second run writes nothing."""
    world, place = filled(aws, tmp_path, layout)
    asked = ("PutObject", "GetObject") if layout is DAILY else ("CopyObject",)
    for operation in asked:
        Trouble(aws, operation, 3, 503, b"SlowDown")
    manifest = Manifest(tmp_path / "logs.db")
    throttle = Throttle(time.monotonic, lambda seconds: None, 1e6)
    run = Backfill(place, manifest, throttle, at_once=4, sleep=lambda seconds: None)
    done = run.run(aws)
    assert done.slowed and set(done.states) == {"done"}
    new = objects_at(aws, "s3://new-logs/utc/")
    lines = [
        line for listed in new.list() for line in inflated(read(new, listed)).split(b"\n")[:-1]
    ]
    assert sorted(lines) == sorted(world.old_lines().elements())
    judged = Verifier(place.carrier(aws), manifest, deep=True).run(NOW)
    assert {each.verdict for each in judged.values()} == {"pass"}
    if layout is HOURLY:
        return  # who answers here copies again, whatever the condition
    before = [listed.modified for listed in new.list()]
    (tmp_path / "logs.db").unlink()
    Backfill(place, Manifest(tmp_path / "logs.db"), throttle).run(aws)
    assert [listed.modified for listed in new.list()] == before


def test_with_the_store_in_a_bucket_another_machine_goes_on(aws, tmp_path):
    """Its file is empty; what the first one did and proved comes from the store."""
    _, place = filled(aws, tmp_path, DAILY)
    shelf = Shelf(store_at(aws, "s3://new-logs/team"), "production/shop/web")
    throttle = Throttle(time.monotonic, lambda seconds: None, 1e6)
    first = SharedManifest(tmp_path / "first.db", shelf)
    assert Backfill(place, first, throttle).run(aws).states == {"done": 1}
    with first.owned():
        judged = Verifier(place.carrier(aws), first, deep=True).run(NOW)
    other = SharedManifest(tmp_path / "other.db", shelf)
    assert other.judged() == judged and {each.verdict for each in judged.values()} == {"pass"}
    assert Backfill(place, other, throttle).run(aws).unchanged == 1


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("AccessDenied", "not authorized to perform: kms:Decrypt"),
        ("KMS.DisabledException", "it is disabled"),
        ("InvalidObjectState", "the storage class does not allow it"),
        ("InvalidRequest", "The object was stored using a form of Server Side Encryption"),
    ],
)
def test_an_object_that_cannot_be_had_is_told_and_keeps_no_other_waiting(
    aws, tmp_path, code, message
):
    """It is for a person: its key is not ours, or it is archived after all."""
    _, place = filled(aws, tmp_path, DAILY)
    objects_at(aws, "s3://old-logs/logs/").create("2026/11/21/a.gz", io.BytesIO(b"no time\n"))
    trouble = Trouble(aws, "GetObject", 1, 403, code.encode())
    trouble._answer = (403, ERROR.replace(b"please wait", message.encode()) % code.encode())
    manifest = Manifest(tmp_path / "logs.db")
    throttle = Throttle(time.monotonic, lambda seconds: None, 1e6)
    done = Backfill(place, manifest, throttle, sleep=lambda seconds: None).run(aws)
    assert done.states == {"special": 1, "done": 1}
    [row] = [row for row in manifest.rows().values() if row.state == "special"]
    assert message in row.error
    assert Backfill(place, manifest, throttle).run(aws).states == {"done": 1}


def test_how_objects_are_encrypted_is_asked_of_some(aws):
    """A listing does not tell; nor does it tell what the new bucket will do."""
    s3 = aws.client("s3")
    kms = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "the-key"}
    s3.put_object(Bucket="old-logs", Key="logs/a", Body=b"x", **kms)
    s3.put_object(Bucket="old-logs", Key="logs/b", Body=b"x", ServerSideEncryption="AES256")
    old = objects_at(aws, "s3://old-logs/logs/")
    kinds = [old.encryption(listed) for listed in old.list()]  # type: ignore[attr-defined]
    assert kinds == ["aws:kms the-key", "AES256"]
    rule = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "another"}
    s3.put_bucket_encryption(
        Bucket="new-logs",
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": rule}],
        },
    )
    assert objects_at(aws, "s3://new-logs/utc/").default_encryption() == "aws:kms another"
    # HEAD has no body; botocore asks once more whether it is the right Region.
    Trouble(aws, "HeadObject", 9, 400, b"")._answer = (400, b"")
    assert old.encryption(next(iter(old.list()))) == "SSE-C"  # type: ignore[attr-defined]


def test_classify_says_whose_keys_there_are(aws, tmp_path, monkeypatch):
    """And what whoever moves them must be allowed; a copy begins its life anew."""
    from tests.logs_place import PROJECT, LogsPlace

    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setattr(Aws, "identity", lambda self, account: "arn:aws:iam::1:user/me")
    place = LogsPlace(tmp_path)
    text = PROJECT.replace('"old/', '"s3://old-logs/logs/').replace('"new/', '"s3://new-logs/utc/')
    (place.folder / "kirikae.yml").write_text(f"region: {REGION}\n{text}")
    kms = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "the-key"}
    aws.client("s3").put_object(Bucket="old-logs", Key="logs/2026/11/20/a.gz", Body=b"x", **kms)
    told = place.run("logs", "classify", "web")
    assert told.exit_code == 0, told.stderr
    assert "aws:kms the-key" in told.stdout and "kms:Decrypt" in told.stdout
    assert "rules of lifecycle count its age from now on" in told.stdout
    plain = place.json("logs", "classify", "web")["encryption"]
    assert plain["sampled"] == 1 and plain["old"] == {"aws:kms the-key": 1}
