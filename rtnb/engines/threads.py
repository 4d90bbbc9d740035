"""A blocking producer turned into an iterator that can be left at any time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Any

__all__ = ["Pump"]

_PULSE = 0.05  # seconds between two looks at ``stopped`` while nothing comes


class Pump:
    """Runs one producer at a time on a thread of its own.

    ``daemon`` says whether the interpreter may end while the producer still runs, which native code that
    calls back does not survive.
    """

    def __init__(self, name: str, *, daemon: bool) -> None:
        self._name, self._daemon = name, daemon
        self._worker: threading.Thread | None = None

    def run(
        self, produce: Callable[[Callable[[Any], bool]], None], stopped: Callable[[], bool]
    ) -> Iterator[Any]:
        """Yield what ``produce(put)`` puts, until it returns or ``stopped()`` is true.

        ``put`` returns True once nobody wants more; the producer then ends soon. What it raises is raised
        here.
        """
        items: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        left = threading.Event()

        def put(item: Any) -> bool:
            items.put(("item", item))
            # An iterator that nobody closed must not hold up the interpreter's end.
            return left.is_set() or stopped() or not threading.main_thread().is_alive()

        def work() -> None:
            try:
                produce(put)
            except Exception as error:
                items.put(("error", error))
            items.put(("end", None))

        self.join()
        self._worker = threading.Thread(target=work, name=self._name, daemon=self._daemon)
        self._worker.start()
        try:
            while not stopped():
                try:
                    kind, item = items.get(timeout=_PULSE)
                except Empty:
                    continue
                if kind == "end":
                    return
                if kind == "error":
                    raise item
                yield item
        finally:
            left.set()

    def join(self) -> None:
        """Wait for the last producer, which has been told to end; a daemon is not waited for."""
        if self._worker is not None and not self._daemon:
            self._worker.join()
        self._worker = None
