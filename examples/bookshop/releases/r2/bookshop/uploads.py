"""Pictures in S3; their digests in the database, so that a page needs no download."""

import hashlib

import boto3
from botocore.config import Config

from bookshop import db, settings

_s3 = boto3.client(
    "s3",
    endpoint_url=settings.AWS_ENDPOINT,
    config=Config(s3={"addressing_style": "path"}, retries={"mode": "standard", "max_attempts": 4}),
)


def keep(user, body):
    _s3.put_object(Bucket=settings.BUCKET, Key="pictures/%d" % user, Body=body)
    db.one("update users set picture = %s where id = %s returning id", hashlib.sha1(body).hexdigest(), user)


def fetch(user):
    if digest(user) == "none":
        return b""
    return _s3.get_object(Bucket=settings.BUCKET, Key="pictures/%d" % user)["Body"].read()


def digest(user):
    row = db.one("select picture from users where id = %s", user)
    return row[0] if row and row[0] else "none"
