"""The range coder's words are part of the format."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitcodec.entropy.rangecoder import UNIT, DecisionDecoder, DecisionEncoder
from bitcodec.errors import ContainerError


def _drawn(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = rng.integers(1, 65536, count) * UNIT
    return rng.random(count) < p, p


def test_golden_words() -> None:
    """These bytes may never change: files of version 1 depend on them."""
    out = DecisionEncoder()
    decisions = np.array([1, 0, 0, 1, 1, 1, 0, 1, 0, 0, 0, 0, 1, 0, 1, 1] * 4)
    out.put(decisions, np.arange(1, 65) * 1000 * UNIT)
    out.put_even(decisions[:5])
    assert out.payload().hex() == "b609b5ff4aa12e9ee670a43d"


@given(st.integers(0, 2**32 - 1), st.integers(0, 400))
def test_round_trip(seed: int, count: int) -> None:
    decisions, p = _drawn(seed, count)
    out = DecisionEncoder()
    out.put(decisions, p)
    source = DecisionDecoder(out.payload())
    assert np.array_equal(source.get(p), decisions)
    source.finish()


def test_extreme_probabilities() -> None:
    p = np.array([1, 65535] * 500) * UNIT
    for decisions in (p == UNIT, p != UNIT):
        out = DecisionEncoder()
        out.put(decisions, p)
        assert np.array_equal(DecisionDecoder(out.payload()).get(p), decisions)


def test_size_is_the_information() -> None:
    decisions, p = _drawn(1, 50000)
    out = DecisionEncoder()
    out.put(decisions, p)
    information = -np.log2(np.where(decisions, p, 1 - p)).sum()
    assert 8 * len(out.payload()) == pytest.approx(information, rel=0.002)


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    out = DecisionEncoder()
    out.put(*_drawn(2, 10))
    assert capfd.readouterr() == ("", "")


def test_payloads_that_no_encoder_made() -> None:
    with pytest.raises(ContainerError, match="whole number"):
        DecisionDecoder(b"abc")
    source = DecisionDecoder(bytes(4000))
    source.get(np.full(10, 0.5))
    with pytest.raises(ContainerError, match="left over"):
        source.finish()
