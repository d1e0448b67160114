"""Windows and freezes in the user's time zone, also on days on which clocks change."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from kirikae.model.calendar import Calendar, Freeze, Window, window_from
from kirikae.model.said import Words

EN = Words.of().say


def at(text: str, zone: str = "Asia/Tokyo") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


OFFICE = Calendar(
    "Asia/Tokyo", (window_from("Mon-Thu 10:00-17:00"), window_from("Fri 10:00-12:00"))
)


@pytest.mark.parametrize(
    ("text", "open_"),
    [
        ("2026-11-20 09:59", False),
        ("2026-11-20 10:00", True),
        ("2026-11-20 12:00", False),
        ("2026-11-21 11:00", False),
        ("2026-11-23 16:59", True),
        ("2026-11-23 17:00", False),
    ],
)
def test_a_window_is_in_local_time(text, open_):
    """Friday 20 November 2026 and around it, in Tokyo."""
    assert (OFFICE.closed(at(text)) is None) is open_


def test_a_closed_window_says_when_it_opens():
    """After Friday noon comes Monday."""
    assert (
        EN(OFFICE.closed(at("2026-11-20 12:30")))
        == "outside of the windows; next Mon 2026-11-23 10:00 Asia/Tokyo"
    )


def test_a_window_over_midnight_belongs_to_the_day_it_begins_on():
    """Saturday 22:00 to Sunday 02:00."""
    night = Calendar("Asia/Tokyo", (window_from("Sat 22:00-02:00"),))
    assert [
        night.closed(at(t)) is None
        for t in ("2026-11-21 01:00", "2026-11-21 23:00", "2026-11-22 01:59", "2026-11-22 02:00")
    ] == [
        False,
        True,
        True,
        False,
    ]


def test_a_freeze_closes_what_is_open_and_names_its_reason():
    """Both days included; afterwards the next window counts."""
    frozen = Calendar(
        "Asia/Tokyo",
        OFFICE.windows,
        (Freeze(date(2026, 11, 20), date(2026, 11, 24), "Black Friday"),),
    )
    assert (
        EN(frozen.closed(at("2026-11-23 11:00")))
        == "frozen until 2026-11-24 (Black Friday); next Wed 2026-11-25 10:00 Asia/Tokyo"
    )
    assert EN(
        Calendar(freezes=(Freeze(date(2020, 1, 1), date(2099, 1, 1), "for ever"),)).closed(
            at("2026-11-23 11:00")
        )
    ).endswith("within a year")
    assert Calendar().closed(0) is None


def test_clocks_that_change_do_not_move_a_window():
    """Berlin, 29 March 2026: 02:30 does not exist, so the window of that night opens an hour later
    by the clock."""
    night = Calendar("Europe/Berlin", (window_from("Sun 02:30-04:00"),))
    assert night.closed(at("2026-03-29 03:10", "Europe/Berlin")) is None and night.closed(
        at("2026-03-29 01:59", "Europe/Berlin")
    )
    assert night.opens(at("2026-03-29 00:10", "Europe/Berlin")).strftime("%H:%M") == "03:30"
    office = Calendar("Europe/Berlin", (window_from("Mon-Sun 10:00-11:00"),))
    for day in ("2026-03-28", "2026-03-29", "2026-10-25", "2026-10-26"):
        assert [
            office.closed(at(f"{day} {t}", "Europe/Berlin")) is None
            for t in ("09:59", "10:00", "11:00")
        ] == [False, True, False]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("always", "not a window"),
        ("Mon 10-17", "not a window"),
        ("Mon-Foo 10:00-17:00", "'Mon-Foo' is not a day"),
        ("Mon 10:00-10:00", "different times"),
        ("Mon 10:75-11:00", "10:75 is not a time"),
        (5, "not a window"),
    ],
)
def test_what_cannot_be_read_is_named(text, said):
    """With an example."""
    with pytest.raises(ValueError, match=said):
        window_from(text)


def test_days_may_wrap_around_the_week():
    """Fri-Mon is Friday, Saturday, Sunday, Monday; 24:00 is the end of the day."""
    assert window_from("fri-mon 20:00-24:00") == Window((0, 4, 5, 6), 1200, 1440)
