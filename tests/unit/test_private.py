"""Private keys, passwords and environment files are known by name, in whatever case, and by what
they hold, however it is written."""

from __future__ import annotations

import json
from pathlib import PurePath

import pytest

from kirikae.model.private import why_by_content, why_by_name

LINE = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
PEM = f"-----BEGIN PRIVATE KEY-----\n{LINE}\n{LINE}\n-----END PRIVATE KEY-----\n"
DER = b"\x30\x82\x01\x00\x02\x01\x00\x30\x0d" + b"x" * 251
PKCS12 = b"\x30\x82\x01\x00\x02\x01\x03\x30\x82" + b"x" * 251

KEYS = {
    "PEM": PEM,
    "CRLF": PEM.replace("\n", "\r\n"),
    "CR alone": PEM.replace("\n", "\r"),
    "the mark of an editor": "\ufeff" + PEM,
    "indented, as YAML has it": "key: |\n" + PEM.replace("-----B", "  -----B").replace("M", "  M"),
    "JSON of a service account": json.dumps({"type": "service_account", "private_key": PEM}),
    "a value in quotes": 'PRIVATE_KEY="' + PEM.replace("\n", "\\n") + '"\n',
    "in a program": f'KEY = """{PEM}"""\n',
    "behind a certificate": "-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+g\n" + PEM,
    "behind a megabyte": "x" * (1 << 20) + "\n" + PEM,
    "PGP": "-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v2\n\n" + LINE,
    "SSH2": "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nComment: rsa-key\n" + LINE,
    "encrypted": "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n" + LINE,
    "PuTTY": "PuTTY-User-Key-File-3: ssh-ed25519\n",
    "age": "# created: 2026\nAGE-SECRET-KEY-1" + "Q" * 58,
}
BYTES = {
    "UTF-16": PEM.encode("utf-16"),
    "DER": DER,
    "PKCS#12": PKCS12,
    "JKS": b"\xfe\xed\xfe\xed\x00\x00\x00\x02",
}
HARMLESS = {
    "nothing": b"",
    "a certificate": b"-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIEbXvG\n",
    "a public key": b"-----BEGIN PUBLIC KEY-----\n" + LINE.encode(),
    "a program that looks for keys": b"const begins = '-----BEGIN PRIVATE KEY-----\\n';\n",
    "a text about keys": b"-----BEGIN PRIVATE KEY-----\nstands at the top of a key\n",
    "other DER": DER + b"more",
}


@pytest.mark.parametrize("form", KEYS | BYTES)
def test_a_private_key_is_known_in_every_form(form):
    """Whatever the file is called."""
    body = (KEYS | BYTES)[form]
    found = why_by_content("notes.txt", body if isinstance(body, bytes) else body.encode())
    assert found == "it holds a private key"


@pytest.mark.parametrize("form", HARMLESS)
def test_what_is_no_key_is_not_taken_for_one(form):
    """A service may need it."""
    assert why_by_content("file", HARMLESS[form]) == ""


def test_npm_s_password_is_known_and_its_registry_is_kept():
    """`npm ci` needs the one; a value from the environment is no secret."""
    for body, why in (
        ("//registry.example/:_authToken=abc\n", "it holds a password"),
        ("_auth = YWJj\n", "it holds a password"),
        ("//registry.example/:_authToken=${NPM_TOKEN}\n", ""),
        ("registry=https://registry.example/\n# _auth=x\n", ""),
    ):
        assert why_by_content(".npmrc", body.encode()) == why


PRIVATE = """
.env .ENV .Env.Local .env-prod .env~ .envrc prod.env id_rsa ID_RSA id_rsa.bak id_rsa_deploy
id_ed25519
id_ecdsa_sk site.p12 site.PFX a.jks a.jceks a.kdbx secring.gpg .netrc _netrc .pgpass .my.cnf .pypirc
.dockercfg .git-credentials .vault_pass .vault_pass.txt credentials.json client_secret_123.json
application_default_credentials.json terraform.tfstate terraform.tfstate.backup master.key .ssh .aws
.azure .gnupg .kube .docker/config.json .bash_history .psql_history
"""
NOT_PRIVATE = """
environment.js env.js id_rsa.pub id_map.json ids.txt identity.py ca.pem site.crt credentials.yml.enc
.docker/nginx.conf config.json .github .gitignore .npmrc key.py secrets.py ssh terraform.tf
"""


@pytest.mark.parametrize("name", PRIVATE.split())
def test_it_is_known_by_name(name):
    """In small letters and in capitals."""
    assert why_by_name(PurePath("deploy") / name)
    assert why_by_name(PurePath(name.upper()))


@pytest.mark.parametrize("name", NOT_PRIVATE.split())
def test_other_names_are_let_through(name):
    """What a service may need."""
    assert why_by_name(PurePath("deploy") / name) == ""
