"""Jobs that mail: a sendmail for images that have none, and MAILTO's meaning."""

from __future__ import annotations

import io
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from kirikae.jobs.job import Firing, Job, Owner, State
from kirikae.jobs.notices import of_output
from kirikae.jobs.sendmail import NOT_NOW, USAGE, main


@dataclass
class Relay:
    """What it was told, as SMTP has it (RFC 5321)."""

    place: str = ""
    said: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)

    def recipients(self) -> list[str]:
        return [line[8:].strip("<>") for line in self.said if line.upper().startswith("RCPT TO:")]


@pytest.fixture
def relay() -> Iterator[Relay]:
    told = Relay()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 relay\r\n")
            while line := self.rfile.readline().decode().strip():
                told.said.append(line)
                if line.upper() == "DATA":
                    self.wfile.write(b"354 go on\r\n")
                    while (text := self.rfile.readline()) != b".\r\n":
                        told.text.append(text.decode().rstrip("\r\n"))
                self.wfile.write(b"221 bye\r\n" if line.upper() == "QUIT" else b"250 ok\r\n")
                if line.upper() == "QUIT":
                    return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        told.place = f"127.0.0.1:{server.server_address[1]}"
        yield told
        server.shutdown()


MAIL = b"To: a@example.jp, B <b@example.jp>\nBcc: c@example.jp\nSubject: x\n\n.one\ntwo\n"


@pytest.mark.parametrize(
    ("arguments", "recipients"),
    [
        (["-t", "-i"], ["a@example.jp", "b@example.jp", "c@example.jp"]),
        (["-oi", "-f", "me@example.jp", "d@example.jp"], ["d@example.jp"]),
        (["-fme@example.jp", "-F", "Some Body", "--", "d@example.jp"], ["d@example.jp"]),
        (["-t", "d@example.jp"], ["d@example.jp", "a@example.jp", "b@example.jp", "c@example.jp"]),
    ],
)
def test_mail_goes_to_the_relay_as_sendmail_takes_it(relay, arguments, recipients):
    assert main(arguments, io.BytesIO(MAIL), relay.place) == 0
    assert relay.recipients() == recipients
    head, body = "\n".join(relay.text).split("\n\n", 1)
    assert "Bcc" not in head and "Subject: x" in head and "From: " in head
    assert body.splitlines() == ["..one", "two"]
    if any(word.startswith("-f") for word in arguments):
        assert any("me@example.jp" in line for line in relay.said if "MAIL FROM" in line.upper())


def test_a_relay_that_is_away_is_told_so_that_the_sender_may_try_again():
    assert main(["d@example.jp"], io.BytesIO(MAIL), "127.0.0.1:9") == NOT_NOW
    assert main([], io.BytesIO(b"Subject: x\n\n"), "127.0.0.1:9") == USAGE


@pytest.mark.parametrize(
    ("variables", "wrote", "to"),
    [
        ({"MAILTO": "sre@example.jp"}, "out", "sre@example.jp"),
        ({"MAILTO": "a@example.jp,ops"}, "out", "a@example.jp, ops"),
        ({"MAILTO": "sre@example.jp"}, "", None),
        ({"MAILTO": "sre@example.jp"}, " \n", None),
        ({"MAILTO": ""}, "out", None),
        ({}, "out", None),
        ({"MAILTO": "-oQ/tmp"}, "out", None),
        ({"MAILTO": "a@example.jp\nBcc: x@example.jp"}, "out", None),
    ],
)
def test_mailto_means_any_output_to_whom_it_names(variables, wrote, to):
    job = Job("a", "tab:2", "debian", "0 7 * * *", "UTC", "echo  out", environment=variables)
    firing = Firing("a", 29_000_000, Owner.NEW, State.SUCCEEDED, 0.0)
    found = of_output(job, firing, wrote)
    assert (None if found is None else found[0]) == to
    if found is not None:
        assert found[1].endswith("echo out") and found[2].rstrip().endswith("out")
