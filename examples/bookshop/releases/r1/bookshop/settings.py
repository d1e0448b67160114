"""Which environment this is, told by the name of the host."""

import os
import socket

ENVIRONMENT = "production" if socket.gethostname().startswith(("web", "batch")) else "development"
DATABASE = "host=%s dbname=bookshop user=bookshop password=%s" % (
    {"production": "db1", "development": "localhost"}[ENVIRONMENT],
    os.environ.get("BOOKSHOP_DB_PASSWORD", "bookshop"),
)
# SHOP_REGION chooses the tax rate AND where caches lie: two things that have nothing to do with
# each other.
TAX = 0.10 if os.environ.get("SHOP_REGION", "jp") == "jp" else 0.0
CACHE = "/var/cache/bookshop" if os.environ.get("SHOP_REGION", "jp") == "jp" else "/tmp"
RELEASE_ID = ""
