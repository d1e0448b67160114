"""Pictures in S3; their digests in the database.  While a host leaves r1 its pictures are read,
until they are imported."""

import hashlib
import os

import boto3
from botocore.config import Config

from bookshop import db, settings

LEGACY = "/var/lib/bookshop/uploads"
_s3 = boto3.client(
    "s3",
    endpoint_url=settings.AWS_ENDPOINT,
    config=Config(s3={"addressing_style": "path"}, retries={"mode": "standard", "max_attempts": 4}),
)


def keep(user, body):
    put(user, body)
    try:
        os.unlink(os.path.join(LEGACY, str(user)))
    except OSError:
        pass


def put(user, body):
    _s3.put_object(Bucket=settings.BUCKET, Key="pictures/%d" % user, Body=body)
    db.one(
        "update users set picture = %s where id = %s returning id",
        hashlib.sha1(body).hexdigest(),
        user,
    )


def fetch(user):
    body = _from_file(user)
    if body:
        return body
    if digest(user) == "none":
        return b""
    return _s3.get_object(Bucket=settings.BUCKET, Key="pictures/%d" % user)["Body"].read()


def digest(user):
    body = _from_file(user)
    if body:
        return hashlib.sha1(body).hexdigest()
    row = db.one("select picture from users where id = %s", user)
    return row[0] if row and row[0] else "none"


def _from_file(user):
    try:
        with open(os.path.join(LEGACY, str(user)), "rb") as file:
            return file.read()
    except OSError:
        return b""
