"""Listeners of HTTPS: certificates as files for HAProxy, and what is written of them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kirikae.local.account import ACCOUNT
from kirikae.local.elb.actions import redirect
from kirikae.local.elb.configuration import Configuration, Places
from kirikae.local.elb.pems import files_of, renewed
from kirikae.local.errors import AwsError
from kirikae.local.keptpems import pem_of
from kirikae.local.state import State


def self_signed(host: str) -> tuple[str, str]:
    """A certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return made.public_bytes(serialization.Encoding.PEM).decode(), plain.decode()


def test_a_certificate_comes_with_its_key():
    """From what moto keeps and no call of AWS's API tells; moto's own root is not among it."""
    from moto.acm.models import acm_backends

    certificate, key = self_signed("shop.example")
    region = "eu-west-3"
    backend = acm_backends[ACCOUNT][region]
    arn = backend.import_certificate(certificate.encode(), key.encode(), None, None, [])
    assert pem_of(arn) == certificate + key
    assert pem_of(arn.replace(region, "eu-west-2")) is None
    assert pem_of(f"{arn}x") is None
    assert pem_of("arn:aws:iam::123456789012:server-certificate/none") is None
    assert pem_of("nonsense") is None


class Kept:
    """The stores' part: ARN -> what is in its file."""

    def __init__(self, **files: str) -> None:
        self.files: dict[str, str] = files

    async def file(self, arn: str) -> str | None:
        return self.files.get(arn)


def test_a_certificate_that_is_not_there_is_refused():
    """With the next step; where there is nobody to ask, a listener is a record."""
    assert asyncio.run(files_of(Kept(a="/a.pem", b="/b.pem"), ["b", "a"])) == ["/b.pem", "/a.pem"]
    assert asyncio.run(files_of(None, ["a"])) == []
    with pytest.raises(AwsError, match="import-certificate"):
        asyncio.run(files_of(Kept(a="/a.pem"), ["a", "b"]))


def state_with(folder: Path, **listener: Any) -> State:
    state = State(folder / "state.db")
    row: Any = {"id": "1", "arn": "l", "balancer": "b", "port": 8443, **listener}
    state.listeners.put("l", row)
    balancer: Any = {"id": "b", "attributes": {}}
    state.balancers.put("b", balancer)
    action = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}
    rule: Any = {
        "id": "r",
        "arn": "r",
        "listener": "l",
        "priority": 0,
        "default": True,
        "conditions": [],
        "actions": [action],
    }
    state.rules.put("r", rule)
    return state


def written(state: State, folder: Path) -> str:
    places = Places(folder, folder / "weights.map", ("127.0.0.1:1",), 2, 3)
    return Configuration(state, places).rendered().text


def test_a_listener_of_https_is_bound_with_its_certificates(tmp_path):
    """The default one first; the policy says the oldest version; targets hear that it was HTTPS.
    One without files stays a record."""
    secure: Any = {
        "protocol": "HTTPS",
        "certificates": ["a", "b"],
        "pems": ["/x y/a.pem", "/b.pem"],
    }
    state = state_with(tmp_path, **secure, policy="ELBSecurityPolicy-TLS13-1-2-2021-06")
    text = written(state, tmp_path)
    bind = 'bind 127.0.0.1:8443 ssl crt "/x y/a.pem" crt "/b.pem" alpn h2,http/1.1'
    assert f"{bind} ssl-min-ver TLSv1.2\n" in text
    assert "set-header X-Forwarded-Proto https\n" in text
    record: Any = {**state.listeners["l"], "pems": []}
    state.listeners.put("l", record)
    assert "8443" not in written(state, tmp_path)


def test_a_renewed_certificate_is_another_file(tmp_path):
    """HAProxy is told of it; one that was deleted stays with those that use it."""
    state = state_with(tmp_path, protocol="HTTPS", certificates=["a", "b"], pems=["/1", "/2"])
    assert not asyncio.run(renewed(state, Kept(a="/1", b="/2")))
    assert asyncio.run(renewed(state, Kept(a="/3")))
    assert state.listeners["l"]["pems"] == ["/3", "/2"]


def test_a_redirect_keeps_the_listener_s_own_scheme():
    """Unless it names another."""
    same = redirect({"StatusCode": "HTTP_302", "Path": "/b"}, "{ x }", "https")
    assert "https://%[req.hdr(host),field(1,:)]" in same[0]
    other = redirect({"StatusCode": "HTTP_301", "Protocol": "HTTPS", "Port": "443"}, "", "http")
    assert "https://%[req.hdr(host),field(1,:)]/" in other[0]
