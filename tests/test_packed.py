"""pack and unpack: the bit order that FORMAT.md says, padding, and wrong lengths."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitcodec.entropy.packed import pack, unpack
from bitcodec.errors import ContainerError

SHAPES = st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 9))


def test_by_hand() -> None:
    bits = np.array([1, 0, 1, 1, 0, 0, 0, 0, 1], dtype=bool).reshape(1, 3, 3)
    assert pack(bits) == b"\xb0\x80"


def test_bit_number_is_c_order_from_the_top_bit_down() -> None:
    channels, rows, columns = 3, 4, 5
    for c in range(channels):
        for i in range(rows):
            for j in range(columns):
                bits = np.zeros((channels, rows, columns), dtype=bool)
                bits[c, i, j] = True
                n = (c * rows + i) * columns + j
                expected = bytearray(8)
                expected[n // 8] = 128 >> n % 8
                assert pack(bits) == bytes(expected)


def test_agrees_with_numpy_packbits() -> None:
    bits = np.random.default_rng(1).random((7, 11, 13)) < 0.5
    assert pack(bits) == np.packbits(bits).tobytes()


@given(SHAPES, st.data())
def test_round_trip(shape: tuple[int, int, int], data: st.DataObject) -> None:
    count = shape[0] * shape[1] * shape[2]
    values = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    bits = np.array(values, dtype=bool).reshape(shape)
    packed = pack(bits)
    assert len(packed) == (count + 7) // 8
    back = unpack(packed, shape)
    assert back.dtype == np.bool_
    assert back.flags.writeable
    np.testing.assert_array_equal(back, bits)


def test_array_that_is_not_contiguous() -> None:
    bits = np.random.default_rng(2).random((4, 6, 3)) < 0.5
    np.testing.assert_array_equal(unpack(pack(bits.T), (3, 6, 4)), bits.T)


@pytest.mark.parametrize("extra", [-1, 1])
def test_wrong_length(extra: int) -> None:
    with pytest.raises(ContainerError, match="expected"):
        unpack(bytes(3 + extra), (1, 4, 5))


@pytest.mark.parametrize("bit", range(4))
def test_padding_must_be_zero(bit: int) -> None:
    with pytest.raises(ContainerError, match="padding"):
        unpack(bytes([0, 0, 1 << bit]), (1, 4, 5))
    unpack(bytes([0, 0, 16]), (1, 4, 5))


@pytest.mark.parametrize("bits", [np.zeros((1, 2, 3)), np.zeros((2, 3), dtype=bool)])
def test_pack_refuses_other_arrays(bits: np.ndarray) -> None:
    with pytest.raises(ValueError, match="bool"):
        pack(bits)
