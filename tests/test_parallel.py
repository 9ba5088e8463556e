"""Tiles on several threads: the same results, the first error, one call at a time."""

from __future__ import annotations

import threading

import pytest

from bitcodec.codec.parallel import side_by_side


@pytest.fixture(autouse=True)
def _two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with two cores."""
    monkeypatch.setenv("BITCODEC_THREADS", "2")


def test_results_are_in_order_and_really_side_by_side() -> None:
    both = threading.Barrier(2)  # breaks unless two workers meet

    def work(item: int) -> int:
        both.wait(timeout=20)
        return item

    assert side_by_side(work, [3, 1]) == [3, 1]


def test_the_first_error_comes_out() -> None:
    def work(item: int) -> int:
        if item:
            raise ValueError(str(item))
        return item

    with pytest.raises(ValueError, match="^1$"):
        side_by_side(work, [0, 1, 2])
    assert side_by_side(lambda item: item + 1, [0, 1, 2]) == [1, 2, 3]  # nothing stays locked


def test_nested_calls_do_not_multiply() -> None:
    def work(item: int) -> list[int]:
        return side_by_side(lambda inner: threading.get_ident(), [item, item])

    for inner in side_by_side(work, [0, 1]):
        assert inner[0] == inner[1]


def test_one_item_stays_on_the_callers_thread() -> None:
    assert side_by_side(lambda _: threading.get_ident(), [0]) == [threading.get_ident()]
