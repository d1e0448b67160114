"""A crontab as the host's own cron reads it: grammar, due minutes, and what it drops in silence.

``fields`` reads one time field, ``schedule`` knows the minutes, ``zones`` what daylight saving does
to them, ``table`` reads a whole file.  Two dialects: Debian's cron 3.0pl1 and cronie; where the
manual page and the program differ, the program counts.
"""
