"""An AWS whose every answer a test names, by operation: botocore's own clients, its model of
parameters and its errors, and nothing is sent."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from botocore.validate import validate_parameters

from kirikae.aws.session import Aws

Answers = Mapping[str, Any]
"""Operation -> its answer, a function of the parameters, or a ``Refusal``."""


class Refusal:
    """What AWS says instead of an answer."""

    def __init__(self, code: str, message: str = "no", status: int = 400) -> None:
        self.code = code
        self.message = message
        self.status = status


class _Http:
    """As much of an answer's envelope as botocore looks at."""

    def __init__(self, status: int) -> None:
        self.status_code = status
        self.content = b""
        self.headers: dict[str, str] = {}


class AnsweringAws(Aws):
    """``answers`` may be changed at any time; ``asked`` is what was called, in order."""

    def __init__(self, answers: Answers, read_only: bool = False) -> None:
        super().__init__("eu-west-1", read_only)
        self.answers = dict(answers)
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self._heard: set[str] = set()

    def client(self, service: str) -> Any:
        client = super().client(service)
        if service not in self._heard:
            self._heard.add(service)
            events = client.meta.events
            events.register("provide-client-params", self._keep)
            events.register("before-call", self._answer)
        return client

    def _keep(self, params: Mapping[str, Any], model: Any, **_: Any) -> None:
        self.asked.append((model.name, params))

    def _answer(self, model: Any, **_: Any) -> Any:
        name, parameters = self.asked[-1]
        assert name == model.name
        answer = self.answers[name]
        if callable(answer):
            answer = answer(parameters)
        if isinstance(answer, Refusal):
            about = {"HTTPStatusCode": answer.status}
            error = {"Code": answer.code, "Message": answer.message}
            return _Http(answer.status), {"Error": error, "ResponseMetadata": about}
        if model.output_shape is not None:
            validate_parameters(answer, model.output_shape)
        # botocore takes answers apart in their place.
        return _Http(200), {**deepcopy(answer), "ResponseMetadata": {"HTTPStatusCode": 200}}
