"""Everything from the environment."""

import os

DATABASE = "host=%s dbname=bookshop user=bookshop password=%s" % (os.environ["DATABASE_HOST"], os.environ["DATABASE_PASSWORD"])
BUCKET = os.environ["PICTURE_BUCKET"]
AWS_ENDPOINT = os.environ.get("AWS_ENDPOINT_URL") or None
RELEASE_ID = os.environ["RELEASE_ID"]
