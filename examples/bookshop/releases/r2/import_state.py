"""Once per host when it leaves r1: login files into the database, pictures into S3.  May be run
again.

Run before r2 serves, it copies; run with ``last`` once r2 serves, it also puts the files aside:
from then on a user may send another picture anywhere, and what r1 left here would be an old one.
"""

import hashlib
import json
import os
import pathlib
import sys

from bookshop import db, sessions, uploads

ASIDE = pathlib.Path("/var/lib/bookshop/left-by-r1")
last = "last" in sys.argv
if last:
    ASIDE.mkdir(mode=0o700, exist_ok=True)


def put_aside(file):
    if last:
        os.rename(file, ASIDE / ("%s-%s" % (file.parent.name, file.name)))


for file in pathlib.Path(sessions.LEGACY).glob("*"):
    try:
        user, name = json.loads(file.read_text())
    except ValueError:
        continue  # a login that r1 is just writing; the second run finds it
    sessions.add(file.name, user, name)
    put_aside(file)
for file in pathlib.Path(uploads.LEGACY).glob("*"):
    try:
        body = file.read_bytes()
        row = db.one("select picture from users where id = %s", int(file.name))
        if body and row and row[0] != hashlib.sha1(body).hexdigest():
            uploads.put(int(file.name), body)
        put_aside(file)
    except FileNotFoundError:
        continue  # its owner has just sent another one
