"""Figures as Prometheus reads them (Prometheus, "Exposition formats", text format 0.0.4)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_NO_NAME = re.compile(r"[^a-zA-Z0-9_]+")
_IN_LABEL = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_IN_HELP = str.maketrans({"\\": r"\\", "\n": r"\n"})


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure.  One that is not known is not made at all: missing is not zero."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Family:
    """All figures of one name.  All are gauges: each scrape looks anew, and nothing is summed up
    here."""

    name: str
    says: str
    samples: Sequence[Sample]

    def to_plain(self) -> dict[str, Any]:
        """For ``--json``."""
        samples = [
            {
                "labels": dict(each.labels),
                "value": each.value,
            }
            for each in self.samples
        ]
        return {
            "name": self.name,
            "help": self.says,
            "type": "gauge",
            "samples": samples,
        }


def name_of(*parts: str) -> str:
    """One name of these parts, with no letter that a name cannot have; times say their unit."""
    whole = _NO_NAME.sub("_", "_".join(parts))
    if not whole.endswith("_s"):
        return whole
    return whole.removesuffix("s") + "seconds"


def known(value: float | None, labels: Mapping[str, str]) -> list[Sample]:
    """One sample, or none where the figure is not known."""
    if value is None or math.isnan(value):
        return []
    return [Sample(value, labels)]


def one_of(
    value: str | None, words: Iterable[str], label: str, labels: Mapping[str, str]
) -> list[Sample]:
    """Each word that it may be: 1 for the one that it is, 0 for the others; nothing at all where
    that is not known."""
    if value is None:
        return []
    return [
        Sample(
            float(word == value),
            {**labels, label: word},
        )
        for word in words
    ]


def text_of(families: Iterable[Family]) -> str:
    """What is scraped.  A family without a sample is left out."""
    told: list[str] = []
    for family in families:
        told += _lines(family)
    return "".join(f"{line}\n" for line in told)


def _lines(family: Family) -> Iterator[str]:
    if not family.samples:
        return
    says = family.says.translate(_IN_HELP)
    yield f"# HELP {family.name} {says}"
    yield f"# TYPE {family.name} gauge"
    # The same labels twice would make Prometheus refuse the whole page: the last one stands.
    figures = {}
    for sample in family.samples:
        labels = _labels(sample.labels)
        figures[labels] = _number(sample.value)
    for labels, number in figures.items():
        yield f"{family.name}{labels} {number}"


def _labels(labels: Mapping[str, str]) -> str:
    """Nothing where there are none."""
    told = []
    for name, value in labels.items():
        escaped = value.translate(_IN_LABEL)
        told.append(f'{name}="{escaped}"')
    if not told:
        return ""
    whole = ",".join(told)
    return f"{{{whole}}}"


def _number(value: float) -> str:
    """As Go's ParseFloat reads it."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(value)
