"""Logins in the database: every member of every fleet knows them.  While a host leaves r1 its login
files are read, never written."""

import json
import os
import uuid

from bookshop import db

LEGACY = "/var/lib/bookshop/sessions"


def begin(user, name):
    sid = uuid.uuid4().hex
    add(sid, user, name)
    return sid


def add(sid, user, name):
    db.all(
        "insert into sessions (sid, user_id, name) values (%s, %s, %s) on conflict do "
        "nothing returning sid",
        sid,
        user,
        name,
    )


def user_of(sid):
    if not sid.isalnum():
        return None
    known = db.one("select user_id, name from sessions where sid = %s", sid)
    return known or _from_file(sid)


def _from_file(sid):
    try:
        with open(os.path.join(LEGACY, sid)) as file:
            user, name = json.load(file)
    except (OSError, ValueError):
        return None
    add(sid, user, name)
    return user, name
