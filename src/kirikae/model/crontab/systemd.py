"""``OnCalendar=`` of a systemd timer, as far as a crontab can say the same.

Source: systemd.time(7), "Calendar events".  Days and weekdays must both fit, always; seconds,
years, the last days of a month (``~``) and several zones have no form in a crontab.
"""

from __future__ import annotations

import re

from kirikae.model.crontab.fields import DAY, HOUR, MINUTE, MONTH, WEEKDAY, Span

_WORDS = {
    "minutely": "*-*-* *:*:00",
    "hourly": "*-*-* *:00:00",
    "daily": "*-*-* 00:00:00",
    "weekly": "Mon *-*-* 00:00:00",
    "monthly": "*-*-01 00:00:00",
    "quarterly": "*-01,04,07,10-01 00:00:00",
    "semiannually": "*-01,07-01 00:00:00",
    "yearly": "*-01-01 00:00:00",
    "annually": "*-01-01 00:00:00",
}
_FORM = re.compile(
    r"(?:(?P<weekdays>[A-Za-z][A-Za-z.,]*) +)?"
    r"(?:(?:(?P<year>\*)-)?(?P<month>[0-9*,./]+)-(?P<day>[0-9*,./]+)(?: +|$))?"
    r"(?:(?P<hour>[0-9*,./]+):(?P<minute>[0-9*,./]+)(?::(?P<second>0+|00))?)?"
    r"(?: +(?P<zone>UTC|[A-Z][A-Za-z_]+(?:/[A-Za-z_+-]+)+))?"
)
_ITEM = re.compile(r"(?:(?P<star>\*)|(?P<first>\w+)(?:\.\.(?P<last>\w+))?)(?:/(?P<step>[0-9]+))?")


def crontab_times(calendar: str) -> tuple[str, str | None] | None:
    """(five time fields, its own zone); None: a crontab has no such form."""
    text = _WORDS.get(calendar.strip().lower(), calendar.strip())
    found = _FORM.fullmatch(text)
    if found is None or not any(found.group("month", "hour", "weekdays")):
        return None
    words = _fields(found)
    if words is None or (words[2] != "*" and words[4] != "*"):
        # A crontab takes either of day and weekday; a timer wants both.
        return None
    return " ".join(words), found["zone"]


def _fields(found: re.Match[str]) -> list[str] | None:
    """A time that is not given is midnight, a day that is not given every day."""
    fields = [
        _field(found["minute"] or "0", MINUTE),
        _field(found["hour"] or "0", HOUR),
        _field(found["day"] or "*", DAY),
        _field(found["month"] or "*", MONTH),
        _field(found["weekdays"] or "*", WEEKDAY),
    ]
    words = [field for field in fields if field is not None]
    return words if len(words) == len(fields) else None


def _field(text: str, span: Span) -> str | None:
    items = [_item(item, span) for item in text.split(",")]
    words = [item for item in items if item is not None]
    return ",".join(words) if len(words) == len(items) else None


def _item(text: str, span: Span) -> str | None:
    found = _ITEM.fullmatch(text)
    if found is None or found["step"] == "0":
        return None
    step = f"/{int(found['step'])}" if found["step"] else ""
    if found["star"]:
        return f"*{step}"
    first = _value(found["first"], span)
    last = _last(found, first, span)
    if first is None or last is None or first > last:
        return None
    return str(first) if first == last and not step else f"{first}-{last}{step}"


def _last(found: re.Match[str], first: int | None, span: Span) -> int | None:
    """A step without an end goes on to the highest value."""
    if found["last"]:
        return _value(found["last"], span)
    return span.high if found["step"] else first


def _value(word: str, span: Span) -> int | None:
    value = span.names.get(word[:3].lower()) if word.isalpha() else _number(word)
    if value is None or not span.low <= value <= span.high:
        return None
    # Timers know no second Sunday; their week ends with it.
    return 7 if span is WEEKDAY and value == 0 else value


def _number(word: str) -> int | None:
    return int(word) if word.isdigit() and len(word) < 5 else None
