"""Who works on objects: threads of this process, processes of this machine, or workers of Dask
elsewhere.  The manifest and the throttle stay with the one owner.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from typing import Any, Protocol

from kirikae import __version__
from kirikae.logs import worker
from kirikae.logs.errors import NotInstalled, TreeTrouble
from kirikae.logs.manifest import Part, Row
from kirikae.logs.worker import Place
from kirikae.model.errors import UsageProblem
from kirikae.model.objects import Listed

Outcome = tuple[Row, list[Part]]
DASK = "dask://"
PORT = 8786
_PATIENCE_S = 120
_ANSWERS_WITHIN_S = 30
_ASKED_EVERY_S = 2.0
_CLOSING_S = 5
_ON_THIS_MACHINE = ("127.0.0.1", "localhost", "[::1]")


class Pool(Protocol):
    """Objects go in, what became of them comes out, in any order.  ``ends``: errors after which it
    takes no more."""

    ends: tuple[type[BaseException], ...]

    def submit(self, listed: Listed) -> Future[Outcome]: ...

    def most(self) -> int:
        """Objects in flight at this moment.  May raise one of ``ends``."""

    def assert_alive(self) -> None:
        """Raises TreeTrouble where nobody is left to work."""

    def explained(self, error: BaseException) -> TreeTrouble:
        """What to do about one of ``ends``."""

    def close(self) -> None: ...


class LocalPool:
    """Threads, or processes."""

    ends: tuple[type[BaseException], ...] = (BrokenExecutor,)

    def __init__(
        self,
        executor: Executor,
        work: Callable[[Listed], Outcome],
        most: int,
    ) -> None:
        self._executor = executor
        self._work = work
        self._most = most

    def submit(self, listed: Listed) -> Future[Outcome]:
        return self._executor.submit(self._work, listed)

    def most(self) -> int:
        return self._most

    def assert_alive(self) -> None:
        """Who is killed breaks the pool at once."""

    def explained(self, error: BaseException) -> TreeTrouble:
        return TreeTrouble(
            "a worker was killed (by the system, for its memory?); run the same command again, "
            "with fewer --workers: what is done is not done twice"
        )

    def close(self) -> None:
        self._executor.shutdown(cancel_futures=True)


def threads(work: Callable[[Listed], Outcome], count: int) -> LocalPool:
    """What S3 copies costs us waiting only."""
    return LocalPool(ThreadPoolExecutor(count, "logs"), work, count)


def processes(place: Place, count: int) -> LocalPool:
    """One for each core."""
    executor = ProcessPoolExecutor(
        count,
        get_context("spawn"),
        worker.begin,
        (place,),
    )
    return LocalPool(executor, worker.moved, 2 * count)


class DaskPool:
    """Workers of a scheduler of Dask.

    One that dies is noticed by the scheduler, which gives its objects to the others: they find what
    was written, and write nothing twice (Dask documentation, "Resilience").
    """

    def __init__(self, place: Place, on: str) -> None:
        """Waits for a first worker.  Raises NotInstalled, TreeTrouble, UsageProblem."""
        self._address = address_of(on)
        _assert_reachable(place, on)
        distributed = _distributed()
        self._killed: type[Exception] = distributed.KilledWorker
        self.ends: tuple[type[BaseException], ...] = (
            self._killed,
            distributed.comm.CommClosedError,
            CancelledError,
        )
        try:
            self._client = distributed.Client(
                self._address,
                timeout=_ANSWERS_WITHIN_S,
                set_as_default=False,
            )
            self._client.wait_for_workers(1, timeout=_PATIENCE_S)
        except (OSError, TimeoutError) as error:
            raise TreeTrouble(
                f"{on}: no scheduler of Dask answers within {_ANSWERS_WITHIN_S} s, or it has no "
                f"worker within {_PATIENCE_S} s; start both, then run this again ({error})"
            ) from error
        self._executor = self._client.get_executor(pure=False)
        self._threads = 1
        self._asked_at = 0.0
        self._last_seen_at = time.monotonic()
        self._work = partial(worker.moved_at, place, __version__)

    def submit(self, listed: Listed) -> Future[Outcome]:
        found: Future[Outcome] = self._executor.submit(self._work, listed)
        return found

    def most(self) -> int:
        """No worker waits for us, wherever they come and go."""
        now = time.monotonic()
        if now - self._asked_at > _ASKED_EVERY_S:
            self._asked_at = now
            self._threads = self._asked()
            if self._threads:
                self._last_seen_at = now
        return max(2, 2 * self._threads)

    def _asked(self) -> int:
        """Threads of all workers that the scheduler knows now.  Raises TreeTrouble."""
        try:
            return sum(self._client.nthreads().values())
        except (OSError, TimeoutError) as error:
            raise self.explained(error) from error

    def assert_alive(self) -> None:
        """Raises TreeTrouble."""
        self.most()
        if time.monotonic() - self._last_seen_at > _PATIENCE_S:
            raise TreeTrouble(
                f"{self._address}: no worker was there for {_PATIENCE_S} s; start some, then run "
                "this again: what is done is not done twice"
            )

    def explained(self, error: BaseException) -> TreeTrouble:
        if isinstance(error, self._killed):
            return TreeTrouble(
                f"workers died, one after the other, over the same object ({error}); give them "
                "more memory, then run this again: what is done is not done twice"
            )
        return TreeTrouble(
            f"{self._address}: the scheduler of Dask is gone; start it, then run this again: "
            "what is done is not done twice"
        )

    def close(self) -> None:
        """The workers stay for the next run."""
        with suppress(OSError, TimeoutError, *self.ends):
            self._client.close(timeout=_CLOSING_S)


def address_of(on: str) -> str:
    """``dask://HOST:PORT`` as Dask itself writes it.  Raises UsageProblem."""
    host, _, port = on.removeprefix(DASK).rpartition(":")
    if not on.startswith(DASK) or not host or not port.isdigit():
        raise UsageProblem(f"--on {on[:80]!r}: write dask://HOST:{PORT}, or ecs:N")
    return f"tcp://{host}:{port}"


def _assert_reachable(place: Place, on: str) -> None:
    """A folder of this machine is another one elsewhere.  Raises UsageProblem."""
    host = on.removeprefix(DASK).rpartition(":")[0]
    if host not in _ON_THIS_MACHINE and not place.old.in_s3:
        raise UsageProblem(
            f"--on {on}: both trees are folders of this machine, which workers elsewhere do not "
            "have; put them into buckets, or use --workers"
        )


def _distributed() -> Any:
    """Raises NotInstalled."""
    try:
        import distributed
        import distributed.comm
    except ImportError as error:
        raise NotInstalled(
            "--on needs Dask, which is not installed; `pip install 'kirikae[logs,scale]'` brings it"
        ) from error
    # It tells at length of connections that end; what matters is told by our own errors.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    return distributed
