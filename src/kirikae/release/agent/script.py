"""The agent as one file for a host, of the same pieces that a release over SSH runs there."""

from __future__ import annotations

from importlib import resources

from kirikae.release.on_host import INSTALL, PRUNE, SWITCH

_PIECES = {"@INSTALL@": INSTALL, "@SWITCH@": SWITCH, "@PRUNE@": PRUNE}
CONF = """place={place}
root={root}
region={region}
every=15
"""
UNIT = """[Unit]
Description=Puts the release there that this host shall run
After=network-online.target
Wants=network-online.target

[Service]
ExecStart=/usr/local/bin/kirikae-agent watch
Restart=always
RestartSec=15

[Install]
WantedBy=multi-user.target
"""


def script() -> str:
    text = (resources.files(__package__) / "kirikae-agent").read_text()
    for mark, piece in _PIECES.items():
        text = text.replace(mark, piece)
    return text
