"""Certificates that moto keeps, with the keys that no call of AWS's API tells."""

from __future__ import annotations

from typing import Any

from kirikae.local.account import ACCOUNT


def pem_of(arn: str) -> str | None:
    """Certificate, chain and key; None where moto has no such one, or not its key."""
    parts = arn.split(":")
    if ":server-certificate/" in arn:
        return _of_iam(arn)
    return _of_acm(arn, parts[3]) if arn.startswith("arn:aws:acm:") and len(parts) > 5 else None


def _of_acm(arn: str, region: str) -> str | None:
    """Imported ones, and those that moto made itself for RequestCertificate."""
    from moto.acm.models import AWS_ROOT_CA, acm_backends

    found = acm_backends[ACCOUNT][region]._certificates.get(arn)
    if found is None:
        return None
    # moto adds AWS's own root to every chain.
    chain = _text(found.chain).replace(_text(AWS_ROOT_CA), "")
    return _joined(_text(found.cert), chain, _text(found.key))


def _of_iam(arn: str) -> str | None:
    """Of UploadServerCertificate."""
    from moto.iam.models import iam_backends

    for found in iam_backends[ACCOUNT]["aws"].certificates.values():
        if found.arn == arn:
            return _joined(found.cert_body, found.cert_chain or "", found.private_key)
    return None


def _text(part: Any) -> str:
    """moto has some as bytes."""
    return part.decode() if isinstance(part, bytes) else str(part)


def _joined(
    certificate: str,
    chain: str,
    key: str,
) -> str:
    """In the order in which HAProxy reads them."""
    parts = [part.strip() for part in (certificate, chain, key)]
    return "\n".join(part for part in parts if part) + "\n"
