"""Receipts as Japanese customers expect them; each web server numbers its own series."""

import locale
import socket
import time

SERIES = {"web1": "A", "web2": "B"}


def write(name, book, price):
    locale.setlocale(locale.LC_ALL, "ja_JP.UTF-8")
    series = SERIES[socket.gethostname()]
    return "%s  %s  %s  book %d  %s" % (
        series,
        time.strftime("%x"),
        name,
        book,
        locale.currency(price, grouping=True),
    )
