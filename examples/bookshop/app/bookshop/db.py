"""One connection per worker, opened again when the database was away."""

import psycopg2

from bookshop import settings

_connection = None


def _run(sql, values):
    global _connection
    for last in (False, True):
        try:
            if _connection is None or _connection.closed:
                _connection = psycopg2.connect(settings.DATABASE, connect_timeout=3)
                _connection.autocommit = True
            cursor = _connection.cursor()
            cursor.execute(sql, values)
            return cursor.fetchall()
        except psycopg2.OperationalError:
            _connection = None
            if last:
                raise


def all(sql, *values):
    return _run(sql, values)


def one(sql, *values):
    rows = _run(sql, values)
    return rows[0] if rows else None
