"""Receipts as Japanese customers expect them, without asking the system for a locale that an image may lack."""

import datetime

JAPAN = datetime.timezone(datetime.timedelta(hours=9))


def write(name, book, price):
    day = datetime.datetime.now(JAPAN)
    return "%d年%02d月%02d日  %s  book %d  ¥%s" % (day.year, day.month, day.day, name, book, format(price, ","))
