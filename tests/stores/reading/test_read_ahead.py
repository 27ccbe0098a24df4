"""stores/reading/read_ahead.py: the same items, the same errors, and no thread left behind."""

from __future__ import annotations

import threading
import time

import pytest

from auglift.stores.reading.read_ahead import read_ahead, require_consumer


def readers() -> int:
    return sum(thread.name == "read-ahead" for thread in threading.enumerate())


def test_items_come_in_order_and_complete():
    assert list(read_ahead(range(1000), depth=3)) == list(range(1000))


def test_an_error_is_raised_where_its_item_would_have_come():
    def items():
        yield 1
        yield 2
        raise OSError("the third")

    ahead = read_ahead(items())
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(OSError, match="the third"):
        next(ahead)
    assert readers() == 0


def test_leaving_early_closes_the_source_and_ends_the_thread():
    closed = threading.Event()

    def items():
        try:
            yield from range(10**9)
        finally:
            closed.set()

    ahead = read_ahead(items(), depth=2)
    assert next(ahead) == 0
    ahead.close()
    assert closed.is_set()
    assert readers() == 0


def test_leaving_ends_a_source_that_is_busy_for_ever_between_two_items():
    closed = threading.Event()

    def items():
        try:
            yield 0
            while True:
                require_consumer()
        finally:
            closed.set()

    ahead = read_ahead(items())
    assert next(ahead) == 0
    ahead.close()
    assert closed.is_set()
    assert readers() == 0
    require_consumer()  # nobody reads ahead here: there is nobody to leave


def test_no_more_than_depth_items_wait():
    made = []

    def items():
        for item in range(100):
            made.append(item)
            yield item

    ahead = read_ahead(items(), depth=2)
    next(ahead)
    time.sleep(0.3)
    # One consumed, two waiting, one in the hands of the thread.
    assert len(made) <= 4
    ahead.close()
