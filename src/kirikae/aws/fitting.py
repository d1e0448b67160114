"""Fit what files say to the shapes of AWS's own model: names of keys without regard to case, what
no shape knows named, what AWS only answers told from what nobody knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from kirikae.aws.models import input_shape, service_model

Plain = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Unknown:
    """A key that an operation does not take.

    ``answered``: AWS answers it of such a thing, so that it was copied from there.  ``meant``: the
    key that was probably meant; empty: none is near.
    """

    place: str
    answered: bool
    meant: str = ""

    @property
    def says(self) -> str:
        if self.answered:
            return f"{self.place} is what AWS answers and does not take; it is left out"
        guess = f"; did you mean {self.meant}?" if self.meant else ""
        return f"{self.place} is no key that AWS knows{guess}; it is left out"


@dataclass
class _Fit:
    """One fitting; ``unknown`` grows as it goes through the value."""

    unknown: list[Unknown] = field(default_factory=list)

    def of(
        self,
        shape: Any,
        value: Any,
        answered: Any,
        at: str,
    ) -> Any:
        """A value that is not of its shape's kind is left as it is, for ``shapes.problems``."""
        if shape.type_name == "structure" and isinstance(value, dict):
            return self._structure(
                shape,
                value,
                answered,
                at,
            )
        if shape.type_name == "list" and isinstance(value, list):
            inner = None if answered is None else getattr(answered, "member", None)
            return [
                self.of(
                    shape.member,
                    each,
                    inner,
                    f"{at}[{place}]",
                )
                for place, each in enumerate(value)
            ]
        if shape.type_name == "map" and isinstance(value, dict):
            return {key: each for key, each in value.items() if each is not None}
        return value

    def _structure(
        self,
        shape: Any,
        value: Mapping[str, Any],
        answered: Any,
        at: str,
    ) -> Plain:
        found: Plain = {}
        known = {} if answered is None else getattr(answered, "members", {})
        for key, each in value.items():
            place = f"{at}.{key}" if at else key
            name = key if key in shape.members else _in_any_case(key, shape)
            if name is None:
                self._strange(
                    key,
                    place,
                    shape,
                    known,
                )
            elif not _is_unset(shape.members[name], each):
                found[name] = self.of(
                    shape.members[name],
                    each,
                    known.get(name),
                    place,
                )
        return found

    def _strange(
        self,
        key: str,
        place: str,
        shape: Any,
        known: Mapping[str, Any],
    ) -> None:
        answered = key.lower() in {name.lower() for name in known}
        close = get_close_matches(key, list(shape.members), 1)
        self.unknown.append(Unknown(place, answered, "" if answered else "".join(close)))


def _in_any_case(key: str, shape: Any) -> str | None:
    wanted = key.lower()
    return next((name for name in shape.members if name.lower() == wanted), None)


def _is_unset(shape: Any, value: Any) -> bool:
    """``null``, and a word that may only be one of a list and is none: that is how Go writes what
    was never set."""
    return value is None or (value == "" and shape.type_name == "string" and bool(shape.enum))


def fitted(
    service: str, operation: str, plain: Mapping[str, Any], answered: str
) -> tuple[Plain, list[Unknown]]:
    """The parameters of an operation, and what is none of them; ``answered`` names the shape in
    which AWS describes such a thing."""
    fit = _Fit()
    found = fit.of(
        input_shape(service, operation),
        plain,
        service_model(service).shape_for(answered),
        "",
    )
    return dict(found), fit.unknown


def shared(service: str, operation: str, answered: str) -> frozenset[str]:
    """The names that an operation takes and AWS answers alike."""
    shape = service_model(service).shape_for(answered)
    return frozenset(input_shape(service, operation).members) & frozenset(shape.members)


def members(service: str, operation: str) -> Iterator[str]:
    """The names that an operation takes, in the model's order."""
    yield from input_shape(service, operation).members
