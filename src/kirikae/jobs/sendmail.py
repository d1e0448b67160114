"""``sendmail`` for a container that has none: what a job mails goes to the relay beside it.

As much of sendmail(1) as programs use: ``-t``, ``-f`` and recipients; ``-i``, ``-o…``, ``-F`` and
``-q`` are taken and mean nothing here.  Kept small: it starts for each mail.
"""

from __future__ import annotations

import os
import smtplib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import getaddresses
from typing import BinaryIO

USAGE = 64
NOT_NOW = 75
"""sysexits.h; cron and mail programs know them."""
_PLACE = "127.0.0.1:25"
_TIMEOUT_S = 30.0
_WITH_VALUE = ("-F", "-f", "-r", "-B", "-L", "-N", "-R", "-V", "-X", "-O", "-C")


@dataclass(slots=True)
class _Asked:
    sender: str = ""
    of_headers: bool = False
    recipients: tuple[str, ...] = ()


def _read(arguments: Sequence[str]) -> _Asked:
    asked = _Asked()
    left = list(arguments)
    while left:
        word = left.pop(0)
        if word == "--":
            asked.recipients += tuple(left)
            break
        if word[:2] in _WITH_VALUE:
            value = word[2:] or (left.pop(0) if left else "")
            if word[:2] in ("-f", "-r"):
                asked.sender = value
        elif word == "-t":
            asked.of_headers = True
        elif not word.startswith("-"):
            asked.recipients += (word,)
    return asked


def _addresses(message: EmailMessage, *names: str) -> tuple[str, ...]:
    fields = [str(value) for name in names for value in message.get_all(name, [])]
    return tuple(address for _, address in getaddresses(fields) if address)


def main(arguments: Sequence[str], stdin: BinaryIO | None = None, place: str = "") -> int:
    """The exit status."""
    asked = _read(arguments)
    raw = (stdin or sys.stdin.buffer).read()
    message: EmailMessage = message_from_bytes(raw, policy=policy.SMTP)
    recipients = asked.recipients
    if asked.of_headers:
        recipients += _addresses(message, "To", "Cc", "Bcc")
    if not recipients:
        print("sendmail: nobody to send it to", file=sys.stderr)
        return USAGE
    del message["Bcc"]
    senders = _addresses(message, "From")
    sender = asked.sender or (senders[0] if senders else _somebody())
    if "From" not in message:
        message["From"] = sender
    host, _, port = (place or os.environ.get("KIRIKAE_RELAY", _PLACE)).rpartition(":")
    try:
        with smtplib.SMTP(host, int(port), timeout=_TIMEOUT_S) as relay:
            relay.sendmail(sender, list(dict.fromkeys(recipients)), message.as_bytes())
    except (OSError, smtplib.SMTPException) as error:
        print(f"sendmail: the relay at {host}:{port} did not take it: {error}", file=sys.stderr)
        return NOT_NOW
    return 0


def _somebody() -> str:
    return f"{os.environ.get('LOGNAME', 'jobs')}@{os.uname().nodename}"
