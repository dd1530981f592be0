"""`prefetch`: run an iterator in a background thread, a bounded way ahead of its consumer."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")


def prefetch(items: Iterator[T], count: int, bytes_of: Callable[[T], int], max_bytes: int) -> Iterator[T]:
    """The same items in the same order, made ahead of time in a thread.

    At most ``count`` items wait at a time, and no more than ``max_bytes`` of them (a single item may be larger); one
    further item is in the making. Photos differ in size by a factor of a thousand, so a count alone bounds nothing.
    An exception in ``items`` is raised here after the items before it. Closing this generator ends the thread after
    the item in the making. With ``count`` 0 everything runs in the caller's thread.
    """
    if count < 1:
        yield from items
        return
    line = _Line(items, count, bytes_of, max_bytes)
    thread = threading.Thread(target=line.fill, name="vitruvian-prefetch", daemon=True)
    thread.start()
    try:
        yield from line.drain()
    finally:
        line.stop()
        thread.join(timeout=1.0)  # an iterator that waits for a camera may never come back; the thread is a daemon


class _Line:
    """Items waiting between the two threads."""

    def __init__(self, items: Iterator, count: int, bytes_of: Callable, max_bytes: int) -> None:
        self._items, self._count, self._bytes_of, self._max_bytes = items, count, bytes_of, max_bytes
        self._waiting: deque[tuple] = deque()
        self._held = 0
        self._changed = threading.Condition()
        self._stopped = self._finished = False
        self._failure: BaseException | None = None

    def fill(self) -> None:
        """The background thread's work."""
        try:
            for item in self._items:
                if not self._put(item, self._bytes_of(item)):
                    return
                del item  # the next one is long in the making: do not hold this one meanwhile
        except BaseException as error:  # handed to the consumer, whatever it is
            self._failure = error
        finally:
            with self._changed:
                self._finished = True
                self._changed.notify_all()

    def _put(self, item: object, size: int) -> bool:
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._stopped
                    or not self._waiting
                    or (len(self._waiting) < self._count and self._held + size <= self._max_bytes)
                )
            )
            if self._stopped:
                return False
            self._waiting.append((item, size))
            self._held += size
            self._changed.notify_all()
            return True

    def drain(self) -> Iterator:
        """The consumer's side."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._finished)
                if not self._waiting:
                    break
                item, size = self._waiting.popleft()
                self._held -= size
                self._changed.notify_all()
            yield item
            del item
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Let the thread end, whatever it waits for."""
        with self._changed:
            self._stopped = True
            self._waiting.clear()
            self._changed.notify_all()
