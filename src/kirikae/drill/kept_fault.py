"""A fault that was made, as data beside its requests: judged and shown anew without a request.

It tells the service as it was then (tasks, addresses in its network, health check), what was done
and what was seen.  What the fault would need to be made or undone is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, TypeAdapter, ValidationError

from kirikae.drill.columns import Record
from kirikae.drill.errors import RunProblem
from kirikae.drill.experiment import Experiment, Ran, judge
from kirikae.drill.faults import Prepared
from kirikae.drill.fleet import Fleet
from kirikae.drill.slo import Limit
from kirikae.drill.targets import Target
from kirikae.drill.watching import Look
from kirikae.drill.windows import Cost, Span
from kirikae.model.said import Said

_Said = Annotated[
    Said,
    PlainSerializer(lambda each: each.to_plain()),
    PlainValidator(lambda raw: raw if isinstance(raw, Said) else Said.from_plain(raw)),
]


@dataclass(frozen=True, slots=True)
class KeptFault:
    """``span``: when it was, seconds since the plan's begin.  ``machine``: doubts that the machine
    of then gave, which requests do not show."""

    experiment: Experiment
    fleet: Fleet
    prepared: Prepared
    span: Span
    looks: tuple[Look, ...]
    timeline: tuple[tuple[float, _Said], ...]
    machine: tuple[_Said, ...]
    stopped: bool

    @classmethod
    def of(cls, experiment: Experiment, fleet: Fleet, prepared: Prepared, ran: Ran) -> KeptFault:
        """Of one that was made: ``ran.cost`` is there."""
        assert ran.cost is not None
        return cls(
            experiment=experiment,
            fleet=fleet,
            prepared=replace(prepared, inject=(), undo=()),
            span=ran.cost.span,
            looks=ran.looks,
            timeline=ran.timeline,
            machine=ran.machine,
            stopped=ran.stopped,
        )

    def to_plain(self) -> dict[str, Any]:
        """Plain data for a kept run; ``from_plain`` reads it back."""
        found: dict[str, Any] = _FORM.dump_python(self, mode="json")
        return found

    @classmethod
    def from_plain(cls, raw: Mapping[str, Any], where: str) -> KeptFault:
        """Raises RunProblem."""
        try:
            return _FORM.validate_python(raw)
        except (ValidationError, KeyError, TypeError) as error:
            raise RunProblem(
                f"{where}: what it says of its fault cannot be read ({error!r}); keep it anew"
            ) from error

    def again(
        self,
        record: Record,
        targets: Sequence[Target],
        limits: Sequence[Limit],
        slow_s: float | None,
    ) -> tuple[Experiment, Ran]:
        """Judged by the limits and the slowness that are told; without any by those of then."""
        experiment = replace(
            self.experiment,
            limits=tuple(limits) or self.experiment.limits,
            slow_s=self.experiment.slow_s if slow_s is None else slow_s,
        )
        return experiment, Ran(
            record=record,
            cost=self._cost(experiment, record, targets),
            looks=self.looks,
            timeline=self.timeline,
            stopped=self.stopped,
            trouble=None,
            machine=self.machine,
        )

    def _cost(self, experiment: Experiment, record: Record, targets: Sequence[Target]) -> Cost:
        return judge(
            experiment,
            self.fleet,
            self.prepared,
            self.span,
            self.looks,
            record,
            targets,
            self.machine,
        )


_FORM = TypeAdapter(KeptFault)
