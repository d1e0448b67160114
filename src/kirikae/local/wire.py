"""AWS's wire protocols: which service and operation a request means, its parameters, and the
answer's bytes.

Shapes come from botocore's service models, the query protocol's XML from moto's protocol layer.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from botocore.validate import ParamValidator
from moto.core.parse import QueryParser
from moto.core.serialize import SerializationContext, get_serializer_class
from moto.core.utils import get_service_model

from kirikae.local.errors import AwsError, LocalError

Params = dict[str, Any]
Operation = Callable[[Params], Awaitable[Params]]

ACCOUNT = "123456789012"


def service_model(name: str) -> Any:
    """botocore's model of the service, with moto's additions for older protocols."""
    return get_service_model(name)


class Json:
    """AWS JSON 1.1 (and 1.0): ECS, CloudWatch."""

    def __init__(self, service: str, invalid: str) -> None:
        self.model = service_model(service)
        self._invalid = invalid
        self._type = f"application/x-amz-json-{self.model.metadata.get('jsonVersion', '1.1')}"

    def operation(self, headers: Mapping[str, str], body: bytes) -> str:
        return headers.get("X-Amz-Target", "").rpartition(".")[2]

    def params(self, operation: str, body: bytes) -> Params:
        try:
            raw = json.loads(body or b"{}")
        except ValueError as error:
            raise AwsError(
                "SerializationException", f"the request body is not JSON: {error}"
            ) from error
        validate(self.model.operation_model(operation).input_shape, raw, self._invalid)
        assert isinstance(raw, dict)
        return raw

    def answer(self, operation: str, result: Params, request_id: str) -> tuple[bytes, str]:
        return json.dumps(result).encode(), self._type

    def error(self, error: AwsError, request_id: str) -> tuple[bytes, str]:
        return json.dumps({"__type": error.code, "message": error.message}).encode(), self._type


class Query:
    """AWS query with XML answers: Elastic Load Balancing, and SQS for older clients."""

    def __init__(self, service: str, invalid: str) -> None:
        self.model = service_model(service)
        self._invalid = invalid
        self._serializer = get_serializer_class(service, "query")

    def operation(self, headers: Mapping[str, str], body: bytes) -> str:
        return dict(parse_qsl(body.decode(), keep_blank_values=True)).get("Action", "")

    def params(self, operation: str, body: bytes) -> Params:
        model = self.model.operation_model(operation)
        values = dict(parse_qsl(body.decode(), keep_blank_values=True))
        try:
            parsed: Params = QueryParser(model).parse({"values": values})
        except ValueError as error:
            raise AwsError(
                self._invalid, f"{operation}: a parameter cannot be read: {error}"
            ) from error
        validate(model.input_shape, parsed, self._invalid)
        return parsed

    def answer(self, operation: str, result: Params, request_id: str) -> tuple[bytes, str]:
        model = self.model.operation_model(operation)
        body = self._serializer(model, context=SerializationContext(request_id)).serialize(result)[
            "body"
        ]
        return (body if isinstance(body, bytes) else body.encode()), "text/xml"

    def error(self, error: AwsError, request_id: str) -> tuple[bytes, str]:
        kind = "Sender" if error.status < 500 else "Receiver"
        return (
            "<ErrorResponse "
            f'xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"><Error><Type>{kind}</Type>'
            f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message></Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>"
        ).encode(), "text/xml"


def validate(shape: Any, params: Any, code: str) -> None:
    """Types, required and unknown members (botocore's validator), then enums and maxima, which it
    leaves out."""
    if shape is None:
        return
    report = ParamValidator().validate(params, shape)
    if report.has_errors():
        raise AwsError(code, report.generate_report())
    unknown = [key for key in params if key not in shape.members]
    if unknown:
        raise AwsError(
            code, f"kirikae local does not know the parameter {unknown[0]} (its client is newer)"
        )
    for problem in _beyond(shape, params, shape.name):
        raise AwsError(code, problem)


def _beyond(shape: Any, value: Any, where: str) -> Iterator[str]:  # noqa: C901
    """Enums, and the largest sizes and numbers of the model."""
    most = shape.metadata.get("max")
    match shape.type_name:
        case "structure":
            members = shape.members
            for key in value:
                if key in members:
                    yield from _beyond(members[key], value[key], f"{where}.{key}")
        case "list":
            for item in value:
                yield from _beyond(shape.member, item, where)
        case "map":
            for item in value.values():
                yield from _beyond(shape.value, item, where)
        case "string" if shape.enum and value not in shape.enum:
            yield f"{where}: {value!r} is not one of {', '.join(shape.enum)}"
    if most is not None and shape.type_name in ("list", "map", "string") and len(value) > most:
        yield f"{where}: {len(value)} long, at most {most}"
    if (
        most is not None
        and shape.type_name in ("integer", "long", "float", "double")
        and value > most
    ):
        yield f"{where}: {value}, at most {most}"


class Service:
    """One AWS service: its protocol and the operations that kirikae local carries out itself.

    ``query_codes`` maps error names to the codes of the query protocol, for services that once
    spoke it (awsQueryCompatible)."""

    def __init__(
        self,
        protocol: Json | Query,
        operations: Mapping[str, Operation],
        unsupported: str,
        query_codes: Mapping[str, str] | None = None,
    ) -> None:
        self.protocol = protocol
        self.operations = operations
        self._unsupported = unsupported
        self._codes = query_codes

    async def serve(
        self, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes, str, dict[str, str]]:
        """Answer one request: status, body, content type, headers."""
        request_id = str(uuid.uuid4())
        told = {"x-amzn-RequestId": request_id}
        try:
            operation = self.protocol.operation(headers, body)
            handler = self.operations.get(operation)
            if handler is None:
                raise AwsError(
                    self._unsupported,
                    f"kirikae local does not carry out {operation or 'this request'}",
                )
            result = await handler(self.protocol.params(operation, body))
            answer, kind = self.protocol.answer(operation, result, request_id)
            return 200, answer, kind, told
        except (AwsError, LocalError, sqlite3.OperationalError) as caught:
            error = (
                caught
                if isinstance(caught, AwsError)
                else AwsError("ServerException", f"kirikae local: {caught}", 500)
            )
            if self._codes is not None:
                code = self._codes.get(error.code, error.code)
                told["x-amzn-query-error"] = (
                    f"{code};{'Sender' if error.status < 500 else 'Receiver'}"
                )
                if isinstance(self.protocol, Query):
                    error = AwsError(code, error.message, error.status)
            answer, kind = self.protocol.error(error, request_id)
            return error.status, answer, kind, told
