"""Receipts as Japanese customers expect them, through the system's own locale."""

import locale
import time


def write(name, book, price):
    locale.setlocale(locale.LC_ALL, "ja_JP.UTF-8")
    return "%s  %s  book %d  %s" % (time.strftime("%x"), name, book, locale.currency(price, grouping=True))
