"""Hosts: how they are named, what ``ssh`` is asked, and what is said when one does not answer."""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kirikae.hosts import ssh
from kirikae.hosts.errors import CommandFailed, HostSilent
from kirikae.hosts.ssh import Host
from kirikae.model.errors import UsageProblem

CLIENT = """#!/bin/sh
for word in "$@"; do printf '%s\\n' "$word" >>{folder}/words; done
case "$*" in *" -W "*) dd bs=65536 count=1 >/dev/null 2>&1;; esac  # the request, as ssh reads it
cat {folder}/answer
cat {folder}/complaint >&2
exit $(cat {folder}/code)
"""


@pytest.fixture
def client(tmp_path, monkeypatch):
    """An ``ssh`` that notes its words, and answers as it is told to."""
    script = tmp_path / "ssh"
    script.write_text(CLIENT.format(folder=tmp_path))
    script.chmod(0o755)
    monkeypatch.setenv("KIRIKAE_SSH", f"{script} -F config")

    def answers(answer="", complaint="", code=0):
        (tmp_path / "answer").write_text(answer)
        (tmp_path / "complaint").write_text(complaint)
        (tmp_path / "code").write_text(str(code))
        return lambda: (tmp_path / "words").read_text().splitlines()

    return answers


@pytest.mark.parametrize(
    "url",
    [
        "web1",
        "http://web1",
        "ssh://",
        "ssh://web1/path",
        "ssh://-oProxyCommand=x",
        "ssh://web1:port",
        "ssh://web1:99999",
        "ssh://web1:0",
        "ssh://web1:٢٢",
        "ssh://-oProxyCommand=touch%20x@web1",
        "ssh://-lroot@web1",
        "ssh://user:password@web1",
        "ssh://.",
        "ssh://..",
        "ssh://a/../b",
        "ssh://web1?x",
        "ssh://web1#x",
        "ssh://web 1",
        "ssh://web1\n",
        "ssh://web1;id",
        "ssh://$(id)",
        "ssh://[::1",
        "ssh://x]",
        "ssh://\ud800",
        "",
    ],
)
def test_what_is_no_host_is_refused_with_what_to_write(url):
    """Also what ssh would take for an option."""
    with pytest.raises(UsageProblem, match=r"is no host; write ssh://name"):
        Host(url)


@pytest.mark.parametrize("url", ["ssh://[::1]", "ssh://u@[2001:db8::1]:22", "ssh://2001:db8::1"])
def test_an_ipv6_address_is_told_how_to_be_written(url):
    """The ssh configuration gives it a name; a bundle's folder is named after that."""
    with pytest.raises(UsageProblem, match=r"give an IPv6 address a name in your ssh config"):
        Host(url)


URLS = st.one_of(
    st.text(max_size=20),
    st.text(alphabet="sh:/@[]-.%?#oab19\x00\n", max_size=20),
    st.text(alphabet=":@[]-.%?#ab19_", max_size=12).map("ssh://{}".format),
)


@given(URLS)
def test_any_url_is_a_host_or_refused(url):
    """Never a traceback; what is taken is a name for a folder, and no option of ssh."""
    try:
        host = Host(url)
    except UsageProblem:
        return
    assert not host.name.startswith((".", "-")) and "/" not in host.name
    assert not host._login.startswith("-")


def test_user_port_and_case_reach_ssh_as_they_were_written(client):
    """A name in the user's ssh configuration need not be lower case."""
    words = client("ok")
    host = Host("ssh://Deploy@Web1:2222/")
    assert host.name == "Web1" and host.run("true") == b"ok"
    asked = words()
    assert asked[:2] == ["-F", "config"] and "BatchMode=yes" in asked
    assert asked[asked.index("-p") + 1] == "2222" and "Deploy@Web1" in asked


def test_a_command_that_says_no_is_told_by_its_last_words(client):
    """Of the error stream, else of what it wrote, else by its exit status."""
    for answered, says in (
        ({"complaint": "1\n2\n3\n4"}, "web1: 2 / 3 / 4"),
        ({"answer": "out"}, "web1: out"),
        ({}, "web1: exit status 7"),
    ):
        client(**answered, code=7)
        with pytest.raises(CommandFailed) as caught:
            Host("ssh://web1").run("false")
        assert str(caught.value) == says and caught.value.code == 7


def test_a_host_that_cannot_be_reached_is_another_thing_than_a_failed_command(client, monkeypatch):
    """Nothing was done there, and the message says how to try."""
    client(complaint="no route", code=255)
    with pytest.raises(HostSilent) as caught:
        Host("ssh://deploy@Web1:2222").run("true")
    # The same user, port and options: another command might try something else.
    tried = re.search(r"^Web1: no route; try `(.*)`$", str(caught.value))
    assert tried is not None
    assert tried[1] == f"{os.environ['KIRIKAE_SSH']} -p 2222 deploy@Web1 true"
    client(complaint="Host key verification failed.", code=255)
    with pytest.raises(HostSilent, match=r"run `.* web1 true` once by hand, and accept its key"):
        Host("ssh://web1").run("true")
    monkeypatch.setenv("KIRIKAE_SSH", "not-there")
    host = Host("ssh://web1")
    for ask in (lambda: host.run("true"), lambda: host.get(80, "/")):
        with pytest.raises(HostSilent, match=r"cannot run `not-there`.*install the OpenSSH client"):
            ask()


CHANGED = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
Someone could be eavesdropping on you right now (man-in-the-middle attack)!
It is also possible that a host key has just been changed.
The fingerprint for the ED25519 key sent by the remote host is
SHA256:gSHMrO5HgVLyZ2kgcfPvZP1yfXNY5LQmLq0oPO7iT5k.
Please contact your system administrator.
Add correct host key in /home/me/.ssh/known_hosts to get rid of this message.
Offending ED25519 key in /home/me/.ssh/known_hosts:3
Host key for [web1]:2222 has changed and you have requested strict checking.
Host key verification failed.
"""


def test_a_host_with_another_key_than_before_is_not_told_like_an_unknown_one(client):
    """By hand ssh would refuse it as well: the former key has to be forgotten, where that is
    right."""
    client(complaint=CHANGED, code=255)
    with pytest.raises(HostSilent) as caught:
        Host("ssh://web1:2222").run("true")
    told = str(caught.value)
    assert "(Offending ED25519 key in /home/me/.ssh/known_hosts:3)" in told and "@@" not in told
    assert "`ssh-keygen -R '[web1]:2222'`" in told and "accept its key" not in told


def test_a_port_is_asked_through_the_connection(client):
    """Status, headers in lower case, body; what is no HTTP answer is a failure of that port."""
    words = client("HTTP/1.1 201 Made\r\nX-Release-Id: r2\r\nContent-Length: 2\r\n\r\nok")
    answer = Host("ssh://web1").get(8080, "/health")
    assert (answer.status, answer.body, answer.headers["x-release-id"]) == (201, "ok", "r2")
    assert "127.0.0.1:8080" in words()
    client("SSH-2.0")
    with pytest.raises(CommandFailed, match="port 8080 gave no HTTP answer to /health"):
        Host("ssh://web1").get(8080, "/health")
    client(complaint="open failed", code=1)
    with pytest.raises(CommandFailed, match=r"127\.0\.0\.1:8080 does not answer"):
        Host("ssh://web1").get(8080, "/health")


def test_a_client_that_no_shell_could_read_is_told(monkeypatch):
    """A quote too few in KIRIKAE_SSH."""
    monkeypatch.setenv("KIRIKAE_SSH", "ssh -F 'config")
    with pytest.raises(UsageProblem, match="KIRIKAE_SSH=ssh -F 'config: No closing quotation"):
        Host("ssh://web1")
    monkeypatch.setenv("KIRIKAE_SSH", "")
    assert Host("ssh://web1").name == "web1"


BUSY = """#!/bin/sh
echo again >> {folder}/asked
for word in "$@"; do last=$word; done
[ $(wc -l < {folder}/asked) -gt {times} ] && exec sh -c "$last"
echo 'kex_exchange_identification: read: Connection reset by peer' >&2
exit 255
"""


@pytest.mark.parametrize(("times", "answers"), [(2, True), (3, False)])
def test_a_host_that_takes_no_more_connections_is_asked_again(
    tmp_path, monkeypatch, times, answers
):
    """Nothing was begun there: sshd drops connections beyond MaxStartups before a login."""
    monkeypatch.setattr(ssh, "_PAUSE_S", 0.01)
    script = tmp_path / "ssh"
    script.write_text(BUSY.format(folder=tmp_path, times=times))
    script.chmod(0o755)
    monkeypatch.setenv("KIRIKAE_SSH", str(script))
    host = Host("ssh://web1")
    if answers:
        assert host.run("echo ours") == b"ours\n"
    else:
        with pytest.raises(HostSilent, match="kex_exchange_identification"):
            host.run("echo ours")
    assert len((tmp_path / "asked").read_text().splitlines()) == 3


GREETS = """#!/bin/sh
for word in "$@"; do last=$word; done
exec sh -c 'echo "=== 関係者以外 ==="; printf "no end"; set -e; eval "$0"' "$last"
"""


def test_what_a_login_shell_greets_with_is_no_part_of_the_answer(tmp_path, monkeypatch):
    """An ``echo`` and a ``set -e`` in ``.bashrc``, which the shell that sshd starts reads."""
    greeting = tmp_path / "ssh"
    greeting.write_text(GREETS)
    greeting.chmod(0o755)
    monkeypatch.setenv("KIRIKAE_SSH", str(greeting))
    host = Host("ssh://web1")
    assert host.run("echo ours; false; echo more") == b"ours\nmore\n"
    assert host.run("cat", given=b"\x1f\x8b\n\x00") == b"\x1f\x8b\n\x00"
    with pytest.raises(CommandFailed) as caught:
        host.run("echo ours; exit 7")
    assert str(caught.value) == "web1: ours"
