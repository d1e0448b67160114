"""A tree of objects in a bucket, below a prefix: read and copied only as it was listed, written
only where nothing is.

S3 API reference: CopyObject (``x-amz-copy-source-if-match``, ``If-None-Match``; an error may come
in the body of a 200, which botocore raises), GetObject (``If-Match``), PutObject
(``If-None-Match``), DeleteObject (``If-Match``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from kirikae.aws.errors import AwsRefused, NotThere
from kirikae.aws.s3_copy import Copier, Copy
from kirikae.aws.session import Aws, told
from kirikae.model.errors import Changed, KirikaeError, Taken, Withheld
from kirikae.model.objects import Listed, Objects

_CHUNK = 1 << 20
_CONFLICTS = 5
CUSTOMERS_KEY = "SSE-C"


class S3Objects:
    """``storage``: the class of what is written; empty: that of what is copied."""

    def __init__(
        self,
        aws: Aws,
        bucket: str,
        prefix: str,
        owner: str = "",
    ) -> None:
        """``owner``: the account that the bucket must belong to, if given."""
        self._aws = aws
        self.bucket = bucket
        self.prefix = prefix
        self._whose = {"ExpectedBucketOwner": owner} if owner else {}
        self._copier = Copier(aws)

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    def _named(self, key: str) -> dict[str, Any]:
        return {
            "Bucket": self.bucket,
            "Key": self.prefix + key,
            **self._whose,
        }

    def list(self, prefix: str = "") -> Iterator[Listed]:
        with told():
            pages = self._aws.client("s3").get_paginator("list_objects_v2")
            asked = {
                "Bucket": self.bucket,
                "Prefix": self.prefix + prefix,
                **self._whose,
            }
            for page in pages.paginate(**asked):
                for row in page.get("Contents", ()):
                    # Who makes a "folder" in the console makes an empty object that ends so.
                    if not row["Key"].endswith("/"):
                        yield self._listed(row)

    def _listed(self, row: dict[str, Any]) -> Listed:
        return Listed(
            row["Key"][len(self.prefix) :],
            row["ETag"],
            row["Size"],
            row["LastModified"].timestamp(),
            row.get("StorageClass", "STANDARD"),
        )

    def look(self, key: str) -> Listed | None:
        try:
            with told():
                found = self._aws.client("s3").head_object(**self._named(key))
        except NotThere:
            return None
        except AwsRefused as error:
            if error.code == "404":  # HEAD has no body, and so no word for it
                return None
            raise
        return Listed(
            key,
            found["ETag"],
            found["ContentLength"],
            found["LastModified"].timestamp(),
            found.get("StorageClass", "STANDARD"),
        )

    def read(self, listed: Listed) -> Iterator[bytes]:
        left = listed.size
        with _meant(Changed, listed.key), told():
            asked = {**self._named(listed.key), "IfMatch": listed.etag}
            body = self._aws.client("s3").get_object(**asked)["Body"]
            for chunk in body.iter_chunks(_CHUNK):
                left -= len(chunk)
                yield chunk
        if left:
            raise Changed(f"{self.url}{listed.key} has another length than was listed")

    def create(self, key: str, body: IO[bytes]) -> Listed:
        def put() -> Any:
            body.seek(0)
            return self._aws.client("s3").put_object(
                **self._named(key),
                Body=body,
                IfNoneMatch="*",
            )

        with _meant(Taken, key):
            _again(put)
        return self._there(key)

    def copy_from(self, source: Objects, listed: Listed, key: str) -> Listed:
        """Within S3: no byte of it comes here.  What S3 answers says what lies there now."""
        assert isinstance(source, S3Objects)
        try:
            with _meant(Taken, key):
                etag = _again(lambda: self._copied(source, listed, key))
        except Taken:
            # One status for both conditions: whose was it?
            found = source.look(listed.key)
            if found is None or found.etag != listed.etag:
                raise Changed(f"{source.url}{listed.key} has changed since it was listed") from None
            raise
        return Listed(
            key,
            etag,
            listed.size,
            self._aws.now(),
            listed.storage,
        )

    def _copied(self, source: S3Objects, listed: Listed, key: str) -> str:
        """The tag of the copy.  Quickly, or by botocore where something is out of the ordinary."""
        quick = self._copier.copied(
            Copy(
                source.bucket,
                source.prefix + listed.key,
                listed.etag,
                self.bucket,
                self.prefix + key,
                listed.storage,
                self._whose.get("ExpectedBucketOwner", ""),
            )
        )
        if quick is not None:
            return quick
        answer = self._aws.client("s3").copy_object(
            **self._named(key),
            CopySource={"Bucket": source.bucket, "Key": source.prefix + listed.key},
            CopySourceIfMatch=listed.etag,
            IfNoneMatch="*",
            # Without it the copy would be STANDARD, whatever the source was.
            StorageClass=listed.storage,
        )
        return str(answer["CopyObjectResult"]["ETag"])

    def _there(self, key: str) -> Listed:
        found = self.look(key)
        if found is None:
            raise Changed(f"{self.url}{key} was written and is not there")
        return found

    def encryption(self, listed: Listed) -> str:
        """``AES256``, ``aws:kms KEY``, ``SSE-C`` for a customer's own key, or empty (S3 API
        reference, HeadObject)."""
        try:
            with told():
                found = self._aws.client("s3").head_object(**self._named(listed.key))
        except AwsRefused as error:
            if error.code in ("400", "BadRequest", "InvalidRequest"):
                return CUSTOMERS_KEY
            raise
        kind = str(found.get("ServerSideEncryption", ""))
        return " ".join(filter(None, (kind, found.get("SSEKMSKeyId"))))

    def default_encryption(self) -> str:
        """What a new object of this bucket gets; empty where it is not told."""
        asked = {"Bucket": self.bucket, **self._whose}
        try:
            with told():
                found = self._aws.client("s3").get_bucket_encryption(**asked)
        except AwsRefused:
            return ""
        rules = found["ServerSideEncryptionConfiguration"]["Rules"]
        rule = rules[0].get("ApplyServerSideEncryptionByDefault", {}) if rules else {}
        return " ".join(filter(None, (rule.get("SSEAlgorithm"), rule.get("KMSMasterKeyID"))))

    def delete(self, listed: Listed) -> None:
        with _meant(Changed, listed.key), told():
            asked = {**self._named(listed.key), "IfMatch": listed.etag}
            self._aws.client("s3").delete_object(**asked)


@contextmanager
def _meant(error: type[KirikaeError], key: str) -> Iterator[None]:
    """A condition that did not hold, and an object that is not there, by the name that the port has
    for it."""
    try:
        yield
    except AwsRefused as found:
        if found.code in _NOT_MET or found.code == "NoSuchKey":
            raise error(f"{key}: {found}") from found
        if _withheld(found):
            raise Withheld(f"{key}: {found}") from found
        raise


_NOT_MET = ("PreconditionFailed", "ConditionalRequestConflict")


def _withheld(error: AwsRefused) -> bool:
    """Of this object alone: it is archived, or encrypted by a customer's own key (SSE-C), or by a
    key of KMS that we may not use (S3 API reference, "Error responses")."""
    if error.code == "AccessDenied":
        return "kms:" in str(error)
    about_keys = "encrypt" in str(error).lower()
    customers_key = error.code in ("InvalidRequest", "InvalidArgument") and about_keys
    return customers_key or error.code == "InvalidObjectState" or error.code.startswith("KMS.")


def _again(call: Any) -> Any:
    """409: another conditional write of the key was under way; asked again it is told."""
    for attempt in range(_CONFLICTS):
        try:
            with told():
                return call()
        except AwsRefused as error:
            if error.code != "ConditionalRequestConflict" or attempt + 1 == _CONFLICTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def objects_at(aws: Aws, url: str, owner: str = "") -> S3Objects:
    """The tree of ``s3://BUCKET/PREFIX/``."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    return S3Objects(
        aws,
        bucket,
        prefix,
        owner,
    )
