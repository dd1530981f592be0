"""Order, bounds, errors and the end of the background thread."""

from __future__ import annotations

import threading
import time

import pytest

from vitruvian.predict.prefetch import prefetch


def _threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "vitruvian-prefetch"]


@pytest.mark.parametrize("count", [0, 1, 3, 100])
def test_same_items_in_the_same_order(count):
    assert list(prefetch(iter(range(50)), count, lambda item: 1, 1000)) == list(range(50))
    assert list(prefetch(iter(()), count, lambda item: 1, 1000)) == []
    assert not _threads()


def test_runs_in_another_thread_only_when_asked():
    here = threading.get_ident()
    items = lambda: (threading.get_ident() for _ in range(3))  # noqa: E731
    assert set(prefetch(items(), 0, lambda item: 1, 1000)) == {here}
    assert here not in set(prefetch(items(), 2, lambda item: 1, 1000))


@pytest.mark.parametrize(
    ("count", "size", "max_bytes", "waiting"), [(3, 1, 1000, 3), (100, 10, 25, 2), (100, 99, 25, 1)]
)
def test_bounded_by_number_and_by_bytes(count, size, max_bytes, waiting):
    made = 0

    def items():
        nonlocal made
        while True:
            made += 1
            yield made

    line = prefetch(items(), count, lambda item: size, max_bytes)
    for taken in range(1, 6):
        assert next(line) == taken
        expected = taken + waiting + 1  # and one in the making
        deadline = time.monotonic() + 5
        while made < expected and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.01)
        assert made == expected
    line.close()
    assert not _threads()


def test_an_error_comes_after_the_items_before_it():
    def items():
        yield 1
        yield 2
        raise KeyError("three")

    line = prefetch(items(), 5, lambda item: 1, 1000)
    assert [next(line), next(line)] == [1, 2]
    with pytest.raises(KeyError, match="three"):
        next(line)
    assert not _threads()
