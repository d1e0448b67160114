"""Alarms and scaling, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from kirikae.local.alarms import api as alarms
from kirikae.local.alarms.book import Book as AlarmBook
from kirikae.local.alarms.evaluating import Evaluator
from kirikae.local.alarms.figures import Figures
from kirikae.local.alarms.telling import Publish, Teller
from kirikae.local.ecs.agenda import Agenda
from kirikae.local.elb.cloudwatch import CloudWatch
from kirikae.local.scaling import api
from kirikae.local.scaling.autoscaler import Autoscaler
from kirikae.local.scaling.book import Book
from kirikae.local.scaling.datapoints import Datapoints
from kirikae.local.scaling.fleet import Fleet
from kirikae.local.scaling.rounds import Rounds
from kirikae.local.sqs.places import Place
from kirikae.local.state import State, Within
from kirikae.local.wire import Operation, Service, bound

Clock = Callable[[], float]


class Stores(Protocol):
    """moto: figures that others put, and topics."""

    async def query(
        self,
        service: str,
        params: Mapping[str, str],
        region: str,
    ) -> str:
        """Raises AwsError, OSError."""
        ...


@dataclass(frozen=True, slots=True)
class Scaled:
    """What acts by itself upon figures; ``clock`` is the one that figures are filed by."""

    state: State
    agenda: Agenda
    clock: Clock
    home: str

    def alarms(self, region: str) -> dict[str, Operation]:
        """CloudWatch's operations on alarms."""
        state = Within(
            self.state,
            region,
            self.home,
        )
        book = AlarmBook(state, self.clock)
        known = Book(state, self.clock).policies
        found = alarms.Alarms(
            book,
            region,
            lambda arn: known.get(arn) is not None,
        )
        return bound(alarms.OPERATIONS, found)

    def service(self, region: str) -> Service:
        """Application Auto Scaling."""
        state = Within(
            self.state,
            region,
            self.home,
        )
        book = Book(state, self.clock)
        own = AlarmBook(state, self.clock)
        fleet = Fleet(state, self.agenda)
        return api.service_of(
            api.Scaling(
                book,
                own,
                fleet,
                region,
                self.clock,
            )
        )

    def rounds(
        self,
        stores: Stores,
        publish: Publish,
        endpoint: str,
        delay_s: int,
    ) -> Rounds:
        """``endpoint``: of queues' URLs; ``delay_s``: how late figures are seen."""

        def ours(region: str) -> CloudWatch:
            place = Place(
                region,
                self.home,
                endpoint,
            )
            return CloudWatch(
                Within(
                    self.state,
                    region,
                    self.home,
                ),
                0,
                self.clock,
                place,
            )

        book = AlarmBook(self.state, self.clock)
        figures = Figures(ours, stores)
        evaluator = Evaluator(
            book,
            figures,
            delay_s,
        )
        datapoints = Datapoints(
            self.state,
            figures,
            evaluator.latest,
            delay_s > 0,
        )
        fleet = Fleet(self.state, self.agenda)
        autoscaler = Autoscaler(
            Book(self.state, self.clock),
            book,
            datapoints,
            fleet,
        )
        return Rounds(
            self.state,
            self.clock,
            evaluator,
            autoscaler,
            Teller(
                book,
                stores,
                publish,
            ),
        )
