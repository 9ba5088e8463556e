"""A forward and backward pass as one CUDA graph.

A pass launches thousands of small kernels, and a processor takes longer to launch them than a GPU
to run them. A graph is recorded once and launched as a whole.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["GraphedPass"]

_WARM_UP = 3  #: passes before recording: libraries choose their algorithms in them


class GraphedPass:
    """Calls a function of tensors by replaying what it did.

    Args:
        run: (inputs) to tensors by name, on one CUDA device, inputs of the same shapes at every
            call. It may write gradients; it must not wait for the device.
    """

    def __init__(self, run: Callable[..., dict[str, Tensor]]) -> None:
        self.run = run
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: list[Tensor] = []
        self.outputs: dict[str, Tensor] = {}

    def __call__(self, *inputs: Tensor) -> dict[str, Tensor]:
        """What ``run`` returns; the inputs may be in pinned memory."""
        if self.graph is None:
            self._record(inputs)
        for kept, new in zip(self.inputs, inputs, strict=True):
            kept.copy_(new, non_blocking=True)
        assert self.graph is not None
        self.graph.replay()
        return {name: value.clone() for name, value in self.outputs.items()}

    def _record(self, inputs: tuple[Tensor, ...]) -> None:
        self.inputs = [value.cuda() for value in inputs]
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UP):
                self.run(*self.inputs)
        torch.cuda.current_stream().wait_stream(aside)
        self.graph = torch.cuda.CUDAGraph()
        # Other threads may use the device meanwhile, as the one that pins memory does.
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            self.outputs = self.run(*self.inputs)
