"""`ladder` in ONNX Runtime: on CPUs, without torch."""

from __future__ import annotations

import functools

import numpy as np

from bitcodec.errors import BitcodecError, WeightsError
from bitcodec.models.families import read_config
from bitcodec.models.ladder.activations import check_ranges
from bitcodec.models.ladder.channels import CHANNELS
from bitcodec.models.ladder.coding import HALO, SEARCH_ROUNDS, LadderCoding
from bitcodec.models.ladder.context_integer import ContextKernels, IntegerContext
from bitcodec.models.ladder.quantized import Quantizer
from bitcodec.models.ladder.shapes import tensor_shapes
from bitcodec.models.ladder.step_map import codes_in, codes_of, with_offsets
from bitcodec.models.ladder.steps import steps_of_codes
from bitcodec.models.layers.halo import NO_HALO, Halo
from bitcodec.models.tensors import check_arrays
from bitcodec.models.weights_file import Stored
from bitcodec.runtime.onnx_analysis import OnnxAnalysis
from bitcodec.runtime.onnx_context import OnnxKernels
from bitcodec.runtime.onnx_synthesis import OnnxSynthesis
from bitcodec.runtime.threads import threads

__all__ = ["OnnxLadder"]


class OnnxLadder(LadderCoding):
    """A `ladder` model whose networks are int8 graphs.

    Args:
        stored: what its weights file holds; WeightsError where that does not fit.
    """

    def __init__(self, stored: Stored) -> None:
        self.stored = stored
        self.name, self.model_id = stored.path.stem, stored.model_id
        try:
            self.config = read_config(stored.family, stored.config)
            others = {k: v for k, v in stored.tensors.items() if not k.startswith("context.")}
            check_arrays(others, tensor_shapes(self.config))
            self.context = IntegerContext(stored.part("context."))
            self.context.check()
            ranges = stored.part("ranges.")
            check_ranges(ranges)
        except WeightsError as error:
            raise WeightsError(f"{stored.path}: {error}") from error
        self.halo_in = min(HALO, self.halo_search)
        self._quantizer = Quantizer(stored.part("transform."), ranges)
        self._analyze = OnnxAnalysis(self.config, self._quantizer, threads())
        self._synthesize = OnnxSynthesis(self.config, self._quantizer, threads())

    def make_kernels(self) -> ContextKernels:
        """The context model's layers as graphs."""
        return OnnxKernels(self.context)

    def analyze(self, rgb: np.ndarray, rate: int, offsets: np.ndarray | None = None) -> np.ndarray:
        """uint8 (16 h, 16 w, 3) to latents (768, h, w), float32, in units of the step."""
        codes = rate if offsets is None else codes_of(rate, offsets)
        return with_offsets(self._analyze(rgb, codes), offsets)

    @functools.cached_property
    def _torch(self) -> LadderCoding:
        try:
            from bitcodec.models.weights import torch_model
        except ImportError as error:
            raise BitcodecError("efforts 7 to 9 need torch (pip install torch)") from error
        model = torch_model(self.stored)
        assert isinstance(model, LadderCoding)
        model._coder = self.latent_coder()
        return model

    def search_latents(
        self, rgb: np.ndarray, latents: np.ndarray, rate: int, effort: int
    ) -> np.ndarray:
        """By the gradients of the torch form; BitcodecError where there is no torch."""
        if effort not in SEARCH_ROUNDS:
            return latents
        return self._torch.search_latents(rgb, latents, rate, effort)

    def synthesize_pixels(self, latents: np.ndarray, rate: int, halo: Halo = NO_HALO) -> np.ndarray:
        """int16 (768, h, w) to uint8, (16 h, 16 w, 3) without halo."""
        return self._synthesize(latents[:CHANNELS], codes_in(latents, rate), halo)

    def synthesis_parts(self) -> dict[str, np.ndarray]:
        """See :meth:`OnnxSynthesis.parts`."""
        return self._synthesize.parts()

    def low_pixels(self, latents: np.ndarray, rate: int | np.ndarray, reduce: int) -> np.ndarray:
        """See :class:`LadderCoding`."""
        count, h, w = latents.shape
        edge = 16 // reduce
        kernels = self._quantizer.array("ws")[:count]
        # The mean of a sum of kernels is the sum of their means, so they are averaged instead.
        means = kernels.reshape(count, 3, edge, reduce, edge, reduce).mean((3, 5))
        step = steps_of_codes(rate).reshape(-1, 1)
        gain = np.exp(-self._quantizer.log_gain(step[:, 0])[:, :count]) * step
        rows = latents.reshape(count, -1).T * gain.astype(np.float32)
        x = (rows @ means.reshape(count, -1) + 128).clip(0, 255)
        x = np.rint(x).astype(np.uint8).reshape(h, w, 3, edge, edge)
        return np.ascontiguousarray(x.transpose(0, 3, 1, 4, 2).reshape(h * edge, w * edge, 3))
