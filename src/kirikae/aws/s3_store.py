"""The store port on an S3 bucket, for a team: conditional writes make every entry written once.

``If-None-Match: *`` and ``If-Match`` on PutObject:
docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html (412 PreconditionFailed: the
condition does not hold; 409 ConditionalRequestConflict: another write of the key was under way).
"""

from __future__ import annotations

import uuid

from kirikae.aws.errors import AwsRefused, NotThere
from kirikae.aws.session import Aws, told
from kirikae.model.errors import AwsUnreachable, Changed, KirikaeError, StoreBroken, Taken
from kirikae.model.store import Stored

_TRIES = 5
_NONCE = "kirikae-write"


class S3Store:
    """Keys below ``s3://BUCKET/PREFIX``.  A tag is the object's ETag: writing the very same body
    again does not change it."""

    def __init__(
        self,
        aws: Aws,
        bucket: str,
        prefix: str = "",
        owner: str = "",
        of: str = "the journal",
    ) -> None:
        """``owner``: the account that the bucket must belong to, if given.  ``of``: what is kept
        there, in words."""
        self._of = of
        self._whose = {"ExpectedBucketOwner": owner} if owner else {}
        self._aws = aws
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    def get(self, key: str) -> Stored | None:
        """Raises StoreBroken where the bucket is not there."""
        try:
            with told():
                answer = self._aws.client("s3").get_object(
                    Bucket=self._bucket,
                    Key=self._prefix + key,
                    **self._whose,
                )
                return Stored(answer["Body"].read().decode(), answer["ETag"])
        except NotThere as error:
            if error.code == "NoSuchBucket":
                raise self._no_bucket(error) from error
            return None
        except AwsRefused as error:
            raise self._broken("read", error) from error

    def list(self, prefix: str) -> list[str]:
        """Raises StoreBroken where the bucket is not there."""
        keys: list[str] = []
        try:
            with told():
                pages = self._aws.client("s3").get_paginator("list_objects_v2")
                for page in pages.paginate(
                    Bucket=self._bucket,
                    Prefix=self._prefix + prefix,
                    **self._whose,
                ):
                    found = [entry["Key"] for entry in page.get("Contents", ())]
                    # Who makes a "folder" in the console makes an empty object that ends so.
                    keys += [key[len(self._prefix) :] for key in found if not key.endswith("/")]
        except NotThere as error:
            raise self._no_bucket(error) from error
        except AwsRefused as error:
            raise self._broken("read", error) from error
        return sorted(keys)

    def create_if_absent(self, key: str, body: str) -> str:
        """Raises Taken where somebody was first, StoreBroken where S3 does not let it be written.

        Where no answer came and the write did not land, AwsUnreachable: it may be asked again.
        """
        return self._put(
            key,
            body,
            Taken,
            {"IfNoneMatch": "*"},
        )

    def replace_if_match(self, key: str, body: str, tag: str) -> str:
        """Raises Changed where somebody else wrote meanwhile; otherwise as ``create_if_absent``."""
        return self._put(
            key,
            body,
            Changed,
            {"IfMatch": tag},
        )

    def _put(
        self,
        key: str,
        body: str,
        beaten: type[KirikaeError],
        condition: dict[str, str],
    ) -> str:
        """Write under the condition.  An answer that did not come is looked for: the object says
        which write made it."""
        nonce = uuid.uuid4().hex
        for attempt in range(_TRIES):
            try:
                with told():
                    answer = self._aws.client("s3").put_object(
                        Bucket=self._bucket,
                        Key=self._prefix + key,
                        Body=body.encode(),
                        ContentType="application/json",
                        Metadata={_NONCE: nonce},
                        **condition,
                        **self._whose,
                    )
                return str(answer["ETag"])
            except AwsUnreachable:
                if tag := self._landed(key, nonce):
                    return tag
                raise
            except NotThere as error:
                if error.code == "NoSuchBucket":
                    raise self._no_bucket(error) from error
                raise beaten(f"{key} is not there any more") from error
            except AwsRefused as error:
                if error.code == "ConditionalRequestConflict" and attempt + 1 < _TRIES:
                    continue
                if error.code in ("PreconditionFailed", "ConditionalRequestConflict"):
                    raise beaten(f"{key} was written by somebody else") from error
                raise self._broken("written", error) from error
        raise AssertionError("the last attempt returns or raises")

    def _landed(self, key: str, nonce: str) -> str:
        """The tag of this very write if it arrived although its answer did not; else empty."""
        with told():
            try:
                answer = self._aws.client("s3").head_object(
                    Bucket=self._bucket,
                    Key=self._prefix + key,
                    **self._whose,
                )
            except self._aws.client("s3").exceptions.ClientError:
                return ""
        return str(answer["ETag"]) if answer["Metadata"].get(_NONCE) == nonce else ""

    def _broken(self, what: str, error: AwsRefused) -> StoreBroken:
        where = f"s3://{self._bucket}/{self._prefix}"
        return StoreBroken(f"{self._of} {where} cannot be {what}: {error}")

    def _no_bucket(self, error: NotThere) -> StoreBroken:
        """The error (not raised yet) that says how to get one."""
        return StoreBroken(
            f"there is no bucket {self._bucket} for {self._of} ({error}); create it "
            "(with versioning), or correct its name",
        )


def store_at(aws: Aws, url: str, owner: str = "", of: str = "the journal") -> S3Store:
    """The store of ``s3://BUCKET/PREFIX``; ``of``: what is kept there, in words."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    return S3Store(
        aws,
        bucket,
        prefix,
        owner,
        of,
    )
