"""Whole objects by key below ``s3://BUCKET/PREFIX``, written over as a whole (S3 API reference,
PutObject: a reader sees the former object or the new one)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kirikae.aws.errors import AwsRefused, NotThere
from kirikae.aws.session import Aws, told
from kirikae.model.errors import StoreBroken

_NO_BODY = "404"
"""HEAD has no body, and so no word for what is not there."""


@dataclass(frozen=True, slots=True)
class S3Shelf:
    """``owner``: the account that the bucket must belong to; empty: any."""

    aws: Aws
    bucket: str
    prefix: str
    owner: str = ""

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def read(self, key: str) -> bytes | None:
        """None: there is none.  Raises StoreBroken where the bucket is not there."""
        try:
            with told():
                found = self.aws.client("s3").get_object(**self._named(key))
                return bytes(found["Body"].read())
        except NotThere as error:
            if error.code == "NoSuchBucket":
                raise StoreBroken(
                    f"there is no bucket {self.bucket}: create it, or mend "
                    "`fleets.old.deployer.agent` of the project file"
                ) from error
            return None

    def write(self, key: str, body: bytes) -> None:
        with told():
            self.aws.client("s3").put_object(**self._named(key), Body=body)

    def holds(self, key: str, size: int) -> bool:
        """Whether it lies there in this length, in bytes."""
        try:
            with told():
                found = self.aws.client("s3").head_object(**self._named(key))
        except NotThere:
            return False
        except AwsRefused as error:
            if error.code == _NO_BODY:
                return False
            raise
        return bool(found["ContentLength"] == size)

    def _named(self, key: str) -> dict[str, Any]:
        whose = {"ExpectedBucketOwner": self.owner} if self.owner else {}
        path = f"{self.prefix}/{key}" if self.prefix else key
        return {"Bucket": self.bucket, "Key": path, **whose}


def shelf_at(aws: Aws, url: str, owner: str = "") -> S3Shelf:
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    return S3Shelf(aws, bucket, prefix.strip("/"), owner)
