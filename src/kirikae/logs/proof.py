"""The proof of a folder, beside the data: whoever has the two trees can repeat it without kirikae.

One JSON object a line: first what was proven and how, then every part with the old object that it
came from, its length and tag, and its sums.  A proof is written once; where late parts changed what
is proven, another one is written beside it.
"""

from __future__ import annotations

import io
import json
from typing import Any

from kirikae.logs.carrier import Carrier
from kirikae.logs.folder import digest_of
from kirikae.logs.layout import OURS
from kirikae.logs.manifest import Judged, Manifest, Part
from kirikae.model.errors import Taken

FORMAT = 1
METHOD = "lines, bytes with one newline a line, sum of XXH3-128 of each line modulo 2^128"


def exported(
    carrier: Carrier,
    manifest: Manifest,
    judged: Judged,
) -> tuple[str, bool]:
    """The proof's key, and whether it was written now.  Raises TreeTrouble, AwsRefused."""
    rows = {row.listed.key: row for row in manifest.rows().values()}
    head = {
        "format": FORMAT,
        "folder": judged.label,
        "verdict": judged.verdict,
        "method": METHOD,
        "old": carrier.old.url,
        "new": carrier.new.url,
        "zone": carrier.trees.new.zone,
        "grain": str(carrier.trees.new.grain),
        "codec": manifest.head("codec"),
    }
    lines: list[dict[str, Any]] = [head]
    for part in manifest.parts(judged.label):
        lines.append(_line(part, rows[part.old_key].listed.etag))
    body = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    named = judged.label.strip("/").replace("/", "_")
    key = f"{OURS}proof/{named}-{digest_of(body)}.jsonl"
    try:
        carrier.new.create(key, io.BytesIO(body.encode()))
    except Taken:
        return key, False
    return key, True


def _line(part: Part, old_etag: str) -> dict[str, Any]:
    return {
        "old_key": part.old_key,
        "old_etag": old_etag,
        "new_key": part.new_key,
        "new_etag": part.etag,
        "size": part.size,
        "how": part.mode,
        "sums": None if part.sums is None else part.sums.to_plain(),
    }
