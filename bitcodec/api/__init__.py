"""What a Python user needs: encode and decode as functions, and :class:`Codec`."""

from bitcodec.api.codec import Codec
from bitcodec.api.functions import decode, decode_partial, encode
from bitcodec.runtime.loaded import load_model

__all__ = ["Codec", "decode", "decode_partial", "encode", "load_model"]
