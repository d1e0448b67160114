"""Receipts as Japanese customers expect them; the series is told by the environment, not by the
host's name."""

import locale
import os
import time


def write(name, book, price):
    locale.setlocale(locale.LC_ALL, "ja_JP.UTF-8")
    series = os.environ.get("RECEIPT_SERIES", "C")
    return "%s  %s  %s  book %d  %s" % (
        series,
        time.strftime("%x"),
        name,
        book,
        locale.currency(price, grouping=True),
    )
