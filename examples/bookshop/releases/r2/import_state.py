"""Once per host when it leaves r1, and once more when r2 serves: login files into the database, pictures into S3.  May be run again."""

import hashlib
import json
import pathlib

from bookshop import db, sessions, uploads

for file in pathlib.Path(sessions.LEGACY).glob("*"):
    try:
        user, name = json.loads(file.read_text())
    except ValueError:
        continue  # a login that r1 is just writing; the second run finds it
    sessions.add(file.name, user, name)
for file in pathlib.Path(uploads.LEGACY).glob("*"):
    try:
        body = file.read_bytes()
    except FileNotFoundError:
        continue  # its owner has just sent another one
    row = db.one("select picture from users where id = %s", int(file.name))
    if body and row and row[0] != hashlib.sha1(body).hexdigest():
        uploads.put(int(file.name), body)
