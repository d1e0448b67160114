"""Logins in the database: every member of every fleet knows them."""

import uuid

from bookshop import db


def begin(user, name):
    sid = uuid.uuid4().hex
    db.one("insert into sessions (sid, user_id, name) values (%s, %s, %s) returning sid", sid, user, name)
    return sid


def user_of(sid):
    return db.one("select user_id, name from sessions where sid = %s", sid) if sid else None
