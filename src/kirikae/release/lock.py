"""One release of a service at a time: a lease in the store, which a dead process loses at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from kirikae.model.store import Store
from kirikae.move.errors import Driven, LeaseLost
from kirikae.move.lease import Lease
from kirikae.release.errors import LockLost, UnderWay


@dataclass(frozen=True, slots=True)
class Lock:
    """The lock of one service in one environment."""

    store: Store
    environment: str
    service: str

    @contextmanager
    def held(self) -> Iterator[Callable[[], None]]:
        """Hold it; what is lent is to be called right before each change, and raises LockLost
        once somebody else has taken over.  Raises UnderWay."""
        lease = Lease(self.store, f"release/{self.environment}/{self.service}")
        with ExitStack() as stack:
            try:
                stack.enter_context(lease.held())
            except Driven as error:
                raise UnderWay(
                    f"a release of {self.service} is going on already, by "
                    f"{lease.holder() or 'somebody else'}; wait, or stop that one first"
                ) from error
            yield lambda: self._assert_held(lease)

    def _assert_held(self, lease: Lease) -> None:
        try:
            lease.assert_held()
        except LeaseLost as error:
            raise LockLost(
                f"another release of {self.service} has taken over; this one changes nothing "
                "more, look with `kirikae release status`"
            ) from error
