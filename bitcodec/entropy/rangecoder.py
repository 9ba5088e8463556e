"""Binary range coding of arrays of decisions, by ``constriction``.

Three choices are part of the format: RangeEncoder/RangeDecoder, ``Bernoulli(perfect=False)``, and
float64 probabilities that are exact multiples of 2**-16 (float32 ones give other bytes).
"""

from __future__ import annotations

import constriction
import numpy as np

from bitcodec.errors import ContainerError

_UNIT = 1.0 / 65536
_MODEL = constriction.stream.model.Bernoulli(perfect=False)
_HALF = 32768


class DecisionEncoder:
    """Collects decisions and gives the payload."""

    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()

    def put(self, decisions: np.ndarray, probability: np.ndarray) -> None:
        """Code an array of decisions.

        Args:
            decisions: bool or 0/1, any shape, taken in C order.
            probability: integers 1..65535, same shape: P(1) in units of 2**-16.
        """
        if decisions.size:
            p = probability.ravel().astype(np.float64) * _UNIT
            self._coder.encode(decisions.ravel().astype(np.int32), _MODEL, p)

    def put_even(self, decisions: np.ndarray) -> None:
        """Code decisions that are as likely 0 as 1."""
        self.put(decisions, np.full(decisions.shape, _HALF))

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
        """Decisions with these probabilities of 1 (integers 1..65535), bool, same shape.

        ContainerError if the payload is not one that an encoder could have made.
        """
        if not probability.size:
            return np.zeros(probability.shape, bool)
        p = probability.ravel().astype(np.float64) * _UNIT
        try:
            out = self._coder.decode(_MODEL, p)
        except BaseException as error:  # a Rust panic is no Exception
            if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
                raise
            raise ContainerError("the payload cannot be decoded") from None
        return np.asarray(out).astype(bool).reshape(probability.shape)

    def get_even(self, count: int) -> np.ndarray:
        """``count`` equally likely decisions."""
        return self.get(np.full(count, _HALF))

    def finish(self) -> None:
        """ContainerError unless the payload is used up."""
        if not self._coder.maybe_exhausted():
            raise ContainerError("data is left over in a payload")
