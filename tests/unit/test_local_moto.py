"""moto's internals that kirikae local stands on: which, with which parameters, and what breaks
without them.

moto promises none of them.  After a raise of its version, a failure here names what to mend before
anything else is looked at."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import kirikae.local
from kirikae.local.wire import Query

SOURCE = Path(kirikae.local.__path__[0])


@dataclass(frozen=True)
class Used:
    """``parameters``: those that are given by name or place."""

    module: str
    name: str
    parameters: tuple[str, ...]
    breaks: str


USED = (
    *(
        Used(module, name, (), "keptpems.py: listeners of HTTPS get no certificate")
        for module, name in (
            ("moto.acm.models", "AWS_ROOT_CA"),
            ("moto.acm.models", "acm_backends"),
            ("moto.iam.models", "iam_backends"),
        )
    ),
    Used(
        "moto.core.utils",
        "get_service_model",
        ("service_name",),
        "wire.py: no shape of ECS, ELB, SQS and CloudWatch is known; every call is refused",
    ),
    Used(
        "moto.core.parse",
        "QueryParser",
        ("operation_model",),
        "wire.py: Elastic Load Balancing cannot be asked, nor SQS by older clients",
    ),
    Used(
        "moto.core.serialize",
        "get_serializer_class",
        ("service_name", "protocol"),
        "wire.py: their answers cannot be written as XML",
    ),
    Used(
        "moto.core.serialize",
        "SerializationContext",
        ("request_id",),
        "wire.py: their answers bear no request ID",
    ),
    Used(
        "moto.moto_api._internal",
        "mock_random",
        (),
        "keeper.py: identifiers differ when the journal is done again",
    ),
    Used(
        "moto.moto_server.werkzeug_app",
        "DomainDispatcherApplication",
        ("create_app",),
        "keeper.py: S3, SSM, Secrets Manager and the other stores do not start",
    ),
    Used(
        "moto.moto_server.werkzeug_app",
        "create_backend_app",
        ("service",),
        "keeper.py: S3, SSM, Secrets Manager and the other stores do not start",
    ),
    Used(
        "moto.moto_server.werkzeug_app",
        "MotoRequestHandler",
        (),
        "keeper.py: bodies in chunks (aws s3 cp) are not understood",
    ),
)


def imported() -> Iterator[tuple[str, str]]:
    """(module, name) of everything that the room takes from moto."""
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("moto"):
                yield from ((node.module or "", alias.name) for alias in node.names)
            elif isinstance(node, ast.Import):
                yield from ((a.name, "") for a in node.names if a.name.startswith("moto"))


def test_nothing_else_of_moto_is_used():
    """Whoever takes more of it names it above."""
    assert set(imported()) == {(used.module, used.name) for used in USED}


@pytest.mark.parametrize("used", USED, ids=lambda used: used.name)
def test_it_is_there_with_its_parameters(used):
    """By name and by place as they are given."""
    found = getattr(importlib.import_module(used.module), used.name, None)
    assert found is not None, f"moto has no {used.module}.{used.name} any more. {used.breaks}"
    if used.parameters:
        known = tuple(inspect.signature(found).parameters)
        same = known[: len(used.parameters)] == used.parameters
        assert same, f"{used.name} takes {known}, not {used.parameters}. {used.breaks}"


def test_the_query_protocol_goes_both_ways():
    """``parse({"values": ...})`` gives nested parameters, ``serialize`` a body as XML."""
    elb = Query("elbv2", "ValidationError")
    params = elb.params("DescribeTags", b"ResourceArns.member.1=a&ResourceArns.member.2=b")
    assert params == {"ResourceArns": ["a", "b"]}
    tags = {"TagDescriptions": [{"ResourceArn": "a", "Tags": [{"Key": "k", "Value": "<v>"}]}]}
    body, kind = elb.answer("DescribeTags", tags, "request-1")
    assert kind == "text/xml"
    assert b"<Key>k</Key><Value>&lt;v&gt;</Value>" in body and b"request-1" in body


SEEDED = """
from moto.moto_api._internal import mock_random
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.test import Client

client = Client(DomainDispatcherApplication(create_backend_app))
assert client.get("/moto-api/data.json").status_code == 200
mock_random.seed(7)


def answer(service, **form):
    scope = f"AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/{service}/aws4_request"
    return client.post("/", data=form, headers={"Authorization": scope}).get_data(as_text=True)


vpc = answer("ec2", Action="CreateVpc", CidrBlock="10.0.0.0/16", Version="2016-11-15")
who = answer("sts", Action="GetCallerIdentity", Version="2011-06-15")
print(vpc.partition("<vpcId>")[2].partition("<")[0], "111122223333" in who)
"""


def test_what_is_seeded_comes_out_the_same_and_the_account_is_ours():
    """``mock_random.seed`` rules identifiers, MOTO_ACCOUNT_ID the account, and
    ``/moto-api/data.json`` says that it is up."""
    said = [
        subprocess.run(
            [sys.executable, "-c", SEEDED],
            capture_output=True,
            text=True,
            check=True,
            env={"MOTO_ACCOUNT_ID": "111122223333"},
        ).stdout.split()
        for _ in range(2)
    ]
    assert said[0] == said[1]
    vpc, account_is_ours = said[0]
    assert vpc.startswith("vpc-") and account_is_ours == "True"
