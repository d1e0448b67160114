"""AWS's wire protocols: which service and operation a request means, its parameters, and the
answer's bytes.

Shapes come from botocore's service models, the query protocol's XML from moto's protocol layer
(``tests/unit/test_local_moto.py`` names what of it is used).
"""

from __future__ import annotations

import json
import logging
import re
import sqlite3
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from botocore.utils import parse_timestamp
from botocore.validate import ParamValidator
from moto.core.parse import QueryParser
from moto.core.serialize import SerializationContext, get_serializer_class
from moto.core.utils import get_service_model

from kirikae.local import cbor
from kirikae.local.account import ACCOUNT as ACCOUNT
from kirikae.local.errors import AwsError, LocalError
from kirikae.local.plain import Plain

log = logging.getLogger("kirikae.local.wire")

Operation = Callable[[Plain], Awaitable[Plain]]
Owner = TypeVar("Owner")
Handlers = Mapping[str, Callable[[Owner, Plain], Awaitable[Plain]]]
"""Name of an operation -> the method of its owner that carries it out."""

_XMLNS = {
    "elbv2": "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/",
    "sqs": "http://queue.amazonaws.com/doc/2012-11-05/",
    "cloudwatch": "http://monitoring.amazonaws.com/doc/2010-08-01/",
}
"""Service -> the namespace of its answers in the query protocol."""
_FORMER = {"elbv2": {"2012-06-01": "Classic Load Balancers (elb); use elbv2"}}
"""Service -> versions of its API that mean another service."""
_NUMBERS = ("integer", "long", "float", "double")
_CLASSES = {
    r"\p{L}": r"\w",
    r"\p{N}": r"\d",
    r"\p{Z}": " \u00a0\u2000-\u200a\u202f\u205f\u3000",
}
"""Classes of characters that Python spells otherwise."""
_NOT_IN_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""XML 1.0, 2.2: no document may hold these, not even escaped."""
_OLDER_WORDS = frozenset(
    ("ReceiveMessageRequest.AttributeNames", name)
    for name in (
        "SenderId",
        "SentTimestamp",
        "ApproximateReceiveCount",
        "ApproximateFirstReceiveTimestamp",
        "SequenceNumber",
        "MessageDeduplicationId",
        "MessageGroupId",
        "AWSTraceHeader",
        "DeadLetterQueueSourceArn",
    )
)
"""Place and word: what the model's enumeration leaves out, and its text says that AWS takes (SQS
API reference, ReceiveMessage.AttributeNames)."""
_CHECKED_THERE = frozenset(
    (
        "GetQueueAttributesRequest.AttributeNames",
        "RunTaskRequest.launchType",
        "CreateServiceRequest.launchType",
        "CreateTaskSetRequest.launchType",
    )
)
"""Places of words that the service itself looks at: it has an error of its own for unknown ones."""
OPERATION_HEADER = "X-Kirikae-Operation"
"""Set by the gateway where the path names the operation."""
_SMITHY = "smithy-protocol"
RPC_CBOR = "rpc-v2-cbor"
_CBOR_TYPE = "application/cbor"
_SIZED = ("list", "map", "string")


def bound(handlers: Handlers[Owner], owner: Owner) -> dict[str, Operation]:
    """The operations of this owner, ready to be called."""
    return {name: partial(handler, owner) for name, handler in handlers.items()}


def service_model(name: str) -> Any:
    """botocore's model of the service, with moto's additions for older protocols."""
    return get_service_model(name)


class Json:
    """AWS JSON 1.1 (and 1.0): ECS, CloudWatch."""

    def __init__(self, service: str, invalid: str) -> None:
        """``invalid`` is the service's error code for parameters that are not taken."""
        self.model = service_model(service)
        self._invalid = invalid
        self._type = f"application/x-amz-json-{self.model.metadata.get('jsonVersion', '1.1')}"

    def operation(self, headers: Mapping[str, str], body: bytes) -> str:
        """Empty where the request names none."""
        return headers.get("X-Amz-Target", "").rpartition(".")[2]

    def params(self, operation: str, body: bytes) -> Plain:
        """Raises AwsError for a body that is not JSON, and for parameters that the model does not
        know."""
        try:
            raw = json.loads(body or b"{}", parse_constant=_no_number)
            json.dumps(raw, ensure_ascii=False).encode()  # half a character is no text
        except (ValueError, RecursionError) as error:
            raise AwsError(
                "SerializationException", f"the request body is not JSON: {error}"
            ) from error
        shape = self.model.operation_model(operation).input_shape
        validate(shape, raw, self._invalid)
        params: Plain = with_seconds(shape, raw) if shape is not None else {}
        return params

    def answer(
        self,
        operation: str,
        result: Plain,
        request_id: str,
    ) -> tuple[bytes, str]:
        """Body and content type."""
        return json.dumps(result).encode(), self._type

    def error(self, error: AwsError, request_id: str) -> tuple[bytes, str]:
        """Body and content type."""
        return json.dumps(
            {
                "__type": error.code,
                "message": error.message,
            }
        ).encode(), self._type


class Cbor:
    """Smithy's rpc-v2-cbor: CloudWatch for newer clients."""

    def __init__(self, service: str, invalid: str) -> None:
        """``invalid`` is the service's error code for parameters that are not taken."""
        self.model = service_model(service)
        self._invalid = invalid

    def operation(self, headers: Mapping[str, str], body: bytes) -> str:
        """Empty where the request names none; the gateway has taken it from the path."""
        return headers.get(OPERATION_HEADER, "")

    def params(self, operation: str, body: bytes) -> Plain:
        """Raises AwsError for a body that is not CBOR, and for parameters that the model does not
        know."""
        try:
            raw = cbor.decoded(body) if body else {}
        except ValueError as error:
            raise AwsError(
                "SerializationException", f"the request body is not CBOR: {error}"
            ) from error
        shape = self.model.operation_model(operation).input_shape
        validate(shape, raw, self._invalid)
        params: Plain = with_seconds(shape, raw) if shape is not None else {}
        return params

    def answer(
        self,
        operation: str,
        result: Plain,
        request_id: str,
    ) -> tuple[bytes, str]:
        """Body and content type."""
        shape = self.model.operation_model(operation).output_shape
        return cbor.encoded(shape, result) if shape is not None else b"", _CBOR_TYPE

    def error(self, error: AwsError, request_id: str) -> tuple[bytes, str]:
        """Body and content type."""
        return cbor.error_of(error.code, error.message), _CBOR_TYPE


class Query:
    """AWS query with XML answers: Elastic Load Balancing, and SQS for older clients."""

    def __init__(self, service: str, invalid: str) -> None:
        """``invalid`` is the service's error code for parameters that are not taken."""
        self.model = service_model(service)
        self._xmlns = _XMLNS[service]
        self._invalid = invalid
        self._serializer = get_serializer_class(service, "query")
        self._of_former = _FORMER.get(service, {})

    def operation(self, headers: Mapping[str, str], body: bytes) -> str:
        """Empty where the request names none.  Raises AwsError for a request of another service
        that has the same name."""
        form = _form(body)
        if (other := self._of_former.get(form.get("Version", ""))) is not None:
            raise AwsError("InvalidAction", f"kirikae local has no {other}")
        return form.get("Action", "")

    def params(self, operation: str, body: bytes) -> Plain:
        """Raises AwsError for what cannot be read, and for parameters that the model does not
        know."""
        model = self.model.operation_model(operation)
        form = _form(body)
        if any(map(_NOT_IN_XML.search, form.values())):
            raise AwsError(self._invalid, f"{operation}: a parameter holds control characters")
        try:
            parsed: Plain = QueryParser(model).parse({"values": form})
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            # moto's reader trusts its caller, and fails in many ways over names that fit no shape.
            raise AwsError(
                self._invalid, f"{operation}: a parameter cannot be read: {error}"
            ) from error
        validate(model.input_shape, parsed, self._invalid)
        params: Plain = with_seconds(model.input_shape, parsed) if model.input_shape else {}
        return params

    def answer(
        self,
        operation: str,
        result: Plain,
        request_id: str,
    ) -> tuple[bytes, str]:
        """Body and content type."""
        model = self.model.operation_model(operation)
        serializer = self._serializer(model, context=SerializationContext(request_id))
        body = serializer.serialize(result)["body"]
        text = body.decode() if isinstance(body, bytes) else body
        return _NOT_IN_XML.sub("?", text).encode(), "text/xml"

    def error(self, error: AwsError, request_id: str) -> tuple[bytes, str]:
        """Body and content type, as the query protocol writes errors."""
        parts = (
            f"<Type>{_fault(error)}</Type>",
            f"<Code>{escape(error.code)}</Code>",
            f"<Message>{escape(_NOT_IN_XML.sub('?', error.message))}</Message>",
        )
        body = (
            f'<ErrorResponse xmlns="{self._xmlns}"><Error>{"".join(parts)}</Error>'
            f"<RequestId>{request_id}</RequestId></ErrorResponse>"
        )
        return body.encode(), "text/xml"


def _no_number(word: str) -> float:
    """NaN and Infinity are none in JSON (RFC 8259)."""
    raise ValueError(f"{word} is no number")


def _form(body: bytes) -> dict[str, str]:
    """The last of several values of a name counts.  Raises AwsError for what is no form."""
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True))
    except ValueError as error:
        raise AwsError("MalformedQueryString", f"the body is no form: {error}") from error


def own_fault(error: Exception) -> AwsError:
    """The error (not raised yet) for what should never have happened: whoever sees it can look
    further in the log, and can tell us."""
    return AwsError(
        "InternalFailure",
        f"a fault of kirikae local's own ({type(error).__name__}: {error}); "
        "`kirikae local logs` shows where",
        500,
    )


def _fault(error: AwsError) -> str:
    """Whose it is."""
    return "Sender" if error.status < 500 else "Receiver"


def validate(shape: Any, params: Any, code: str) -> None:
    """Types, required and unknown members (botocore's validator), then enums and maxima, which it
    leaves out."""
    if shape is None:
        return
    try:
        report = ParamValidator().validate(params, shape)
    except (RuntimeError, OverflowError) as error:
        # botocore raises for stamps beyond the calendar.
        raise AwsError(code, f"{shape.name}: {error}") from error
    if report.has_errors():
        raise AwsError(code, report.generate_report())
    unknown = [key for key in params if key not in shape.members]
    if unknown:
        raise AwsError(
            code, f"kirikae local does not know the parameter {unknown[0]} (its client is newer)"
        )
    for problem in _beyond(shape, params, shape.name):
        raise AwsError(code, problem)


def _in_seconds(stamp: Any) -> float:
    """moto's reader of the query protocol gives a time of UTC that does not say so."""
    if isinstance(stamp, datetime):
        return (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()
    if isinstance(stamp, (int, float)):
        return float(stamp)
    return float(parse_timestamp(stamp).timestamp())


def with_seconds(shape: Any, value: Any) -> Any:
    """The value with every stamp in it as Unix seconds: clients send numbers, or ISO 8601."""
    match shape.type_name:
        case "timestamp":
            return _in_seconds(value)
        case "structure":
            return {key: with_seconds(shape.members[key], part) for key, part in value.items()}
        case "list":
            return [with_seconds(shape.member, part) for part in value]
        case _:
            return value


def _beyond(shape: Any, value: Any, where: str) -> Iterator[str]:
    """Enums, and the largest sizes and numbers of the model."""
    for member, part, at in _parts(shape, value, where):
        yield from _beyond(member, part, at)
    if shape.type_name == "string":
        yield from _other_text(shape, value, where)
    most = shape.metadata.get("max")
    if most is None:
        return
    if shape.type_name in _SIZED and len(value) > most:
        yield f"{where}: {len(value)} long, at most {most}"
    if shape.type_name in _NUMBERS and value > most:
        yield f"{where}: {value}, at most {most}"


def _other_text(shape: Any, value: str, where: str) -> Iterator[str]:
    """A text that is none of the model's words, or not of its pattern."""
    is_known = not shape.enum or value in shape.enum or (where, value) in _OLDER_WORDS
    if not is_known and where not in _CHECKED_THERE:
        yield f"{where}: {value!r} is not one of {', '.join(shape.enum)}"
    pattern = shape.metadata.get("pattern")
    if pattern and not matches(pattern, value):
        yield f"{where}: {value!r} does not match the pattern {pattern}"


def matches(pattern: str, value: str) -> bool:
    """Is this text, from its first to its last character, of the model's pattern?  One that Python
    cannot read refuses nothing."""
    for theirs, ours in _CLASSES.items():
        pattern = pattern.replace(theirs, ours)
    try:
        return re.fullmatch(pattern, value) is not None
    except re.error:
        return True


def _parts(shape: Any, value: Any, where: str) -> Iterator[tuple[Any, Any, str]]:
    """What is inside of a value: shape, value and place of each."""
    match shape.type_name:
        case "structure":
            for key in [key for key in value if key in shape.members]:
                yield shape.members[key], value[key], f"{where}.{key}"
        case "list":
            for item in value:
                yield shape.member, item, where
        case "map":
            for item in value.values():
                yield shape.value, item, where


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer over HTTP."""

    status: int
    body: bytes
    content_type: str
    headers: dict[str, str] = field(default_factory=dict)


class Service:
    """One AWS service: its protocol and the operations that kirikae local carries out itself.

    ``query_codes`` maps error names to the codes of the query protocol, for services that once
    spoke it (awsQueryCompatible)."""

    def __init__(
        self,
        protocol: Json | Query | Cbor,
        operations: Mapping[str, Operation],
        unsupported: str,
        query_codes: Mapping[str, str] | None = None,
    ) -> None:
        """``unsupported`` is the error code for operations that are not carried out here."""
        self._protocol = protocol
        self._operations = operations
        self._unsupported = unsupported
        self._codes = query_codes

    async def serve(self, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answer one request."""
        request_id = str(uuid.uuid4())
        try:
            operation = self._protocol.operation(headers, body)
            result = await self._carry_out(operation, body)
            content, kind = self._protocol.answer(operation, result, request_id)
            told = {"x-amzn-RequestId": request_id}
            if isinstance(self._protocol, Cbor):
                told[_SMITHY] = RPC_CBOR
            return Reply(200, content, kind, told)
        except AwsError as error:
            return self._refusal(error, request_id)
        except (LocalError, sqlite3.OperationalError) as error:
            ours = AwsError("ServerException", f"kirikae local: {error}", 500)
            return self._refusal(ours, request_id)
        except Exception as error:
            log.exception("a fault of kirikae local's own")
            return self._refusal(own_fault(error), request_id)

    def carries_out(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Is this one of its operations?  Those of some services are in part the stores'."""
        return self._protocol.operation(headers, body) in self._operations

    async def _carry_out(self, operation: str, body: bytes) -> Plain:
        """Raises AwsError for an operation that is not carried out, before its parameters are
        looked at."""
        handler = self._operations.get(operation)
        if handler is None:
            raise AwsError(
                self._unsupported,
                f"kirikae local does not carry out {operation or 'this request'}",
            )
        return await handler(self._protocol.params(operation, body))

    def _refusal(self, error: AwsError, request_id: str) -> Reply:
        """The error in the request's own protocol, with SQS's older code in a header where SDKs
        look for it."""
        headers = {"x-amzn-RequestId": request_id}
        if isinstance(self._protocol, Cbor):
            headers[_SMITHY] = RPC_CBOR
        if self._codes is not None:
            code = self._codes.get(error.code, error.code)
            headers["x-amzn-query-error"] = f"{code};{_fault(error)}"
            if isinstance(self._protocol, Query):
                error = AwsError(code, error.message, error.status)
        content, kind = self._protocol.error(error, request_id)
        return Reply(error.status, content, kind, headers)
