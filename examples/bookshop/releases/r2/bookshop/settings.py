"""Everything from the environment; the release ID from the file that every release carries."""

import os

DATABASE = "host=%s dbname=bookshop user=bookshop password=%s" % (
    os.environ["DATABASE_HOST"],
    os.environ["DATABASE_PASSWORD"],
)
BUCKET = os.environ["PICTURE_BUCKET"]
AWS_ENDPOINT = os.environ.get("AWS_ENDPOINT_URL") or None
with open("RELEASE") as file:
    RELEASE_ID = file.read().strip()
