"""`kirikae drill diff` once more, in other forms: redirects, compression, pictures, CSV, pages in
another code, and the noise that live services have there."""

from __future__ import annotations

import gzip
import json
import random
import uuid

import pytest

from kirikae.drill.fields import Reply
from kirikae.drill.noise import Asked, Comparing

REPEATED = 20
PLANTED = {
    ("GET /old", "header.location", "value"),
    ("GET /data", "header.content-encoding", "presence"),
    ("GET /page", "header.strict-transport-security", "presence"),
    ("GET /page", "header.set-cookie.basket.flags.samesite", "value"),
    ("GET /page", "body.html/head/title/text[]", "value"),
    ("GET /page", "body.html/body/time@datetime[]", "value"),
    ("GET /csv", "body.line2", "value"),
    ("GET /data", "body.middle_name", "presence"),
    ("GET /data", "body.coupons", "type"),
    ("GET /data", "body.order", "type"),
    ("GET /picture", "body.sha256", "value"),
}
"""A lost X-Forwarded-Proto, no gzip, no HSTS, a cookie for all sites, a title in another code, a
time of another zone, a number of another locale, null that is gone, [] that is null, an identity
that is a number now, another picture library."""
NOISY = 20


class Side:
    """One host.  ``new``: with the faults."""

    def __init__(self, name: str, seed: int, new: bool = False) -> None:
        self.name = name
        self.new = new
        self.chance = random.Random(f"{name} {seed}")

    def any(self) -> str:
        return str(uuid.UUID(int=self.chance.getrandbits(128)))

    def old(self) -> Reply:
        scheme = "http" if self.new else "https"
        headers = (("Location", f"{scheme}://shop.example/in"), ("X-Amzn-Trace-Id", self.any()))
        return Reply(302, headers)

    def data(self) -> Reply:
        """Ten noisy fields, and an identity that differs in any case."""
        chance = self.chance
        found = {
            "uptime_s": chance.random() * 1e6,
            "pid": chance.randrange(2, 99999),
            "host": self.name,
            "now": f"2026-11-28T10:{chance.randrange(60):02}:{chance.randrange(60):02}+09:00",
            "hits": chance.randrange(10**6),
            "seen_by": chance.sample(["a", "b", "c", "d", "e"], 5),
            "queue": list(range(chance.randrange(6))),
            "cached": chance.random() < 0.5,
            "debug": {"span": self.any()} if chance.random() < 0.5 else {},
            "offer": chance.choice([None, "10%", 3]),
            "order": chance.randrange(10**9) if self.new else self.any(),
            "coupons": None if self.new else [],
            **({} if self.new else {"middle_name": None}),
        }
        keys = list(found)
        chance.shuffle(keys)
        body = json.dumps({key: found[key] for key in keys}).encode()
        kind = (("Content-Type", "application/json"), ("Server-Timing", f"db;dur={self.any()}"))
        if self.new:
            return Reply(200, kind, body)
        return Reply(200, (*kind, ("Content-Encoding", "gzip")), gzip.compress(body))

    def page(self) -> Reply:
        """Six more: ETag, policy, nonce, token, a signed link, a sentence."""
        nonce = self.any()
        title = "æœ¬å±‹" if self.new else "本屋"
        zone = "01:00Z" if self.new else "10:00Z"
        text = (
            f"<html><head><title>{title}</title><script nonce={nonce}>x()</script></head><body>"
            f"<form><input name=csrf value={self.any()}></form><time datetime=2026-11-28T{zone}>"
            f"</time><img src=https://cdn.example/a.png?sig={self.any()}>"
            f"<p>made in {self.chance.random():.9f} s</p></body></html>"
        )
        hsts = (("Strict-Transport-Security", "max-age=600"),)
        same = "None" if self.new else "Lax"
        headers = (
            ("Content-Type", "text/html; charset=utf-8"),
            ("ETag", f'"{self.name}-1f"'),
            ("Content-Security-Policy", f"script-src 'nonce-{nonce}'"),
            ("Set-Cookie", f"basket={self.any()}; SameSite={same}"),
            *(() if self.new else hsts),
        )
        return Reply(200, headers, text.encode())

    def csv(self) -> Reply:
        price = "1.200" if self.new else '"1,200"'
        text = f"name,price\nchair,{price}\n# by {self.name} at {self.chance.random()}\n"
        return Reply(200, (("Content-Type", "text/csv"),), text.encode())

    def picture(self) -> Reply:
        made = b"\x89PNG\xff" + (b"new" if self.new else b"old")
        return Reply(200, (("Content-Type", "image/png"), ("Age", str(self.chance.random()))), made)


@pytest.mark.parametrize("seed", range(4))
def test_faults_in_other_forms_are_found_and_noise_in_other_forms_is_not_told(seed):
    """Whatever the chance."""
    hosts = (Side("vm1", seed), Side("vm2", seed), Side("new", seed, new=True))
    comparing = Comparing()
    for _ in range(REPEATED):
        for path in ("old", "data", "page", "csv", "picture"):
            replies = [getattr(host, path)() for host in hosts]
            comparing.take(Asked(f"GET /{path}", f"GET /{path}", *replies))
    done = comparing.done()
    found = {(each.route, each.place.field, str(each.place.kind)) for each in done.differences}
    assert found == PLANTED
    assert len({(route, place.field) for route, place in done.noise}) >= NOISY


def test_the_same_faultless_service_has_no_difference():
    """All three hosts are old."""
    hosts = (Side("vm1", 1), Side("vm2", 1), Side("vm3", 1))
    comparing = Comparing()
    for _ in range(REPEATED):
        for path in ("old", "data", "page", "csv", "picture"):
            replies = [getattr(host, path)() for host in hosts]
            comparing.take(Asked(f"GET /{path}", f"GET /{path}", *replies))
    assert comparing.done().differences == []
