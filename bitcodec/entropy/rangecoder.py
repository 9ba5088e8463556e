"""Binary range coding of arrays of decisions, by ``constriction``.

Three choices are part of the format: RangeEncoder/RangeDecoder, ``Bernoulli(perfect=False)``, and
float64 probabilities that are exact multiples of 2**-16 (float32 ones give other bytes).
"""

from __future__ import annotations

from typing import Any

import constriction
import numpy as np

from bitcodec.errors import ContainerError

UNIT = 1.0 / 65536  #: of probabilities
_MODEL = constriction.stream.model.Bernoulli(perfect=False)
_EVEN = constriction.stream.model.Bernoulli(0.5, perfect=False)  #: the same, twice as fast


class DecisionEncoder:
    """Collects decisions and gives the payload."""

    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()

    def put(self, decisions: np.ndarray, probability: np.ndarray) -> None:
        """Code an array of decisions.

        Args:
            decisions: bool or 0/1, (n,).
            probability: P(1), float64 (n,), whole multiples of 2**-16 in 0..1, both excluded.
        """
        if len(decisions):
            self._coder.encode(decisions.astype(np.int32), _MODEL, probability)

    def put_even(self, decisions: np.ndarray) -> None:
        """Code decisions that are as likely 0 as 1."""
        if len(decisions):
            self._coder.encode(decisions.astype(np.int32), _EVEN)

    def payload(self) -> bytes:
        """All that was put, as little-endian 32-bit words."""
        words: np.ndarray = self._coder.get_compressed()
        return words.astype("<u4").tobytes()


class DecisionDecoder:
    """Takes decisions out of a payload, in the order in which they were put."""

    def __init__(self, payload: bytes) -> None:
        if len(payload) % 4:
            raise ContainerError("a ranged payload is not a whole number of words")
        words = np.frombuffer(payload, "<u4").astype(np.uint32)
        self._coder = constriction.stream.queue.RangeDecoder(words)

    def get(self, probability: np.ndarray) -> np.ndarray:
        """Decisions with these probabilities of 1, as :meth:`DecisionEncoder.put` has them: bool.

        ContainerError if the payload is not one that an encoder could have made.
        """
        return self._decoded(_MODEL, probability) if len(probability) else np.zeros(0, bool)

    def get_even(self, count: int) -> np.ndarray:
        """``count`` equally likely decisions."""
        return self._decoded(_EVEN, count)

    def _decoded(self, model: Any, what: np.ndarray | int) -> np.ndarray:
        try:
            out = self._coder.decode(model, what)
        except BaseException as error:  # a Rust panic is no Exception
            if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
                raise
            raise ContainerError("the payload cannot be decoded") from None
        return np.asarray(out).astype(bool)

    def finish(self) -> None:
        """ContainerError unless the payload is used up."""
        if not self._coder.maybe_exhausted():
            raise ContainerError("data is left over in a payload")
