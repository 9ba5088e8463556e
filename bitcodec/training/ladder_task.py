"""Training `ladder`: rate and distortion at all steps at once.

loss = (bpp + lam D) / (0.3 + 20 / step), lam = 24 / step**2, step log-uniform: dividing makes
all rates weigh alike. D is MSE, or a mixture with MS-SSIM and with S, the weighted sum inside
SSIMULACRA2: (1 - m - e) MSE + 2000 m (1 - MS-SSIM) + e kappa(step) S.
The rate sees latents with uniform noise (Ballé et al. 2017, arXiv 1611.01704, equation 11), the
synthesis rounded ones with straight-through gradients (Theis et al. 2017, arXiv 1703.00395,
equation 4).
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from bitcodec.errors import TrainingError
from bitcodec.models.ladder.likelihood import bits
from bitcodec.models.ladder.model import LadderModel
from bitcodec.models.ladder.rdoq import cheapest_levels
from bitcodec.models.ladder.steps import LAMBDA_SCALE, code_of_step
from bitcodec.models.ladder.trainable import LadderFloatModel
from bitcodec.models.torch_model import TorchModel
from bitcodec.training.config import TrainConfig
from bitcodec.training.similarity import ms_ssim_loss
from bitcodec.training.ssimulacra2 import weighted_sum
from bitcodec.training.tasks import Task, Validation, measure_files

Phase = Literal["joint", "decoder", "context", "finish"]

_MAP_SPREAD = 0.3  #: standard deviation of log(step) over the blocks of a map

#: MSE a unit of 1 - MS-SSIM along the rate-distortion curve, on valid: 1880 at 2 bpp, 2050 at 0.7
MSE_OF_MS_SSIM = 2000.0

#: MSE a unit of S along the rate-distortion curve, on crops of valid, at some steps
MSE_OF_S = {8.0: 17.9, 20.0: 15.0, 50.0: 12.5, 120.0: 9.0, 220.0: 6.8}


def mse_of_s(step: Tensor) -> Tensor:
    """Kappa: :data:`MSE_OF_S` between its steps, linear in log(step)."""
    known = list(MSE_OF_S.items())
    out = torch.full_like(step, known[0][1])
    for (low, first), (high, last) in itertools.pairwise(known):
        out += (last - first) * (torch.log(step / low) / math.log(high / low)).clamp(0, 1)
    return out


def rdoq(y: Tensor, mu: Tensor, s: Tensor, rdoq_weight: float) -> Tensor:
    """Rate-distortion optimised rounding as the encoder does it, but for all passes at once.

    Args:
        y: latents, any shape.
        mu: predicted centres, same shape.
        s: predicted scales, same shape.
        rdoq_weight: of (y - q)**2 against bits.
    """

    def price(level: Tensor) -> Tensor:
        return bits(level, mu, s) + rdoq_weight * (y - level).square()

    levels: Tensor = cheapest_levels(torch, torch.floor(y + 0.5), torch.floor(mu + 0.5), price)
    return levels


def _weigh(x: Tensor, weight: Tensor) -> Tensor:
    """x (N, C, 16 h, 16 w) itself, its gradient multiplied by weight (N, 1, h, w).

    So each block of a map of steps has the lam of its own step in every part of the distortion.
    """
    weight = weight.repeat_interleave(16, 2).repeat_interleave(16, 3)
    return weight * x + ((1 - weight) * x).detach()


@dataclass(frozen=True)
class LadderTask(Task):
    """Options of the rate-distortion loss.

    Attributes:
        phase: "joint" trains everything, "decoder" g_s alone without the rate term, "context"
            the context model alone on rounded latents, "finish" both of these at once.
        rdo: in the phases with a frozen encoder, latents are rounded as the encoder's
            rate-distortion optimisation does with this weight; 0 rounds plainly.
        low: smallest step drawn.
        high: largest step drawn.
        trade: lam is this over step**2.
        similarity: the share m of MS-SSIM in the distortion; crops must then be of 176 pixels
            or more.
        eyes: the share e of SSIMULACRA2's weighted sum in the distortion.
        maps: the share of crops in which every block of 64 pixels has a step of its own.
        gain_rate: the channels' gains learn at this multiple of the learning rate.
        quantized: round the context model as its integer form does (context phase).
        rounded: round the transforms as their int8 form does, by ranges that are measured at the
            start and stay; a frozen g_a is rounded too.
        kernel_rate: the 16x16 kernels learn at this share of the learning rate.
        valid_steps: steps at which validation measures.
        effort: encoder effort of validation.
    """

    phase: Phase = "joint"
    low: float = 8.0
    high: float = 160.0
    trade: float = LAMBDA_SCALE
    similarity: float = 0.0
    eyes: float = 0.0
    maps: float = 0.0
    gain_rate: float = 5.0
    quantized: bool = False
    rounded: bool = False
    rdo: float = 0.0
    kernel_rate: float = 0.02
    valid_steps: tuple[float, ...] = (16.0, 40.0, 96.0)
    effort: int = 5

    def adopt(self, loaded: TorchModel, config: TrainConfig) -> TorchModel:
        """Weights that were shipped are taken back to their trainable form.

        With ``config.model`` the analysis may have more residual blocks than they have; other
        shapes are a TrainingError.
        """
        if not isinstance(loaded, LadderModel) or isinstance(loaded, LadderFloatModel):
            return super().adopt(loaded, config)
        shape = {**vars(loaded.config), **config.model}
        model = cast(LadderFloatModel, self.build(dataclasses.replace(config, model=shape)))
        try:
            model.load_exported(loaded)
        except RuntimeError as error:
            raise TrainingError(f"{config.init} does not fit the model asked for") from error
        return model

    def start(self, model: TorchModel, config: TrainConfig, crops: Tensor) -> TorchModel:
        """``init = "dct"``: the model as it is built."""
        if config.init != "dct":
            raise TrainingError(f"init must be dct or a weights file, not {config.init!r}")
        return model

    def prepare(self, model: TorchModel, ema: TorchModel, pictures: list[np.ndarray]) -> None:
        """Measure the ranges that the networks are rounded by, if they are."""
        net = cast(LadderFloatModel, model)
        net.ranges, net.transform.rounding = {}, None  # of the weights before training
        if self.rounded:
            net.measure(pictures[:24])
            ema.fix(net.fixed())
        if self.quantized:
            net.calibrate(pictures[:24])

    def deployable(self, model: TorchModel, pictures: list[np.ndarray]) -> TorchModel:
        """The integer form; it encodes with the ``rdo`` that this phase trained for, if any."""
        out = cast(LadderFloatModel, model).export(pictures[:24])
        if self.rdo > 0:
            out.config = dataclasses.replace(out.config, rdo=self.rdo)
        return out

    def draw(self, shape: torch.Size, rng: np.random.Generator) -> Tensor:
        """Steps of a batch: float32 (N, 1, 1, 1), or maps (N, 1, H / 16, W / 16)."""
        low, high = math.log(self.low), math.log(self.high)
        middle = rng.uniform(low, high, shape[0])[:, None, None, None]
        if self.maps > 0:
            n, h, w = shape[0], shape[2] // 16, shape[3] // 16
            blocks = rng.normal(0, _MAP_SPREAD, (n, 1, -(-h // 4), -(-w // 4)))
            blocks *= rng.random((n, 1, 1, 1)) < self.maps
            middle = middle + blocks.repeat(4, 2).repeat(4, 3)[:, :, :h, :w]
        return torch.from_numpy(np.exp(middle).astype(np.float32))

    def loss(self, model: nn.Module, x: Tensor, drawn: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch; see the module's text."""
        return cast("tuple[Tensor, dict[str, Tensor]]", model(x, drawn, self))

    def objective(
        self, model: LadderFloatModel, x: Tensor, step: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of one batch, x (N, 3, H, W) in [0, 1]; its parts depend on the phase.

        Under autocast the transforms' residual paths alone run in bfloat16: latents reach hundreds
        of steps, and a context model that is to become integers must not learn around lost bits.
        """
        model.transform.use_bfloat16 = torch.is_autocast_enabled(x.device.type)
        with torch.autocast(x.device.type, enabled=False):
            return self._objective(model, x * 255, step)

    def _objective(
        self, model: LadderFloatModel, x: Tensor, step: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        frozen = self.phase != "joint"
        with torch.set_grad_enabled(not frozen and torch.is_grad_enabled()):
            y = model.transform.analyze(x, step)
        with torch.no_grad():
            level = torch.floor(y + 0.5)
            if frozen and self.rdo > 0:
                mu, s = model.estimator(level, step)
                level = rdoq(y, mu, s, self.rdo)
        q = y + (level - y).detach()
        bpp = mse = torch.zeros((), device=x.device)
        middle = torch.exp(torch.log(step).mean((1, 2, 3)))
        weight = 1 / (0.3 + 20 / middle)
        loss = torch.zeros((), device=x.device)
        if self.phase != "decoder":
            seen = q if frozen else y + torch.rand_like(y) - 0.5
            mu, s = model.estimator(seen, step, self.quantized)
            each = bits(seen, mu, s).flatten(1).sum(1) / (x.shape[2] * x.shape[3])
            loss = loss + (weight * each).mean()
            bpp = each.detach().mean()
        if self.phase != "context":
            x_hat = model.transform.synthesize(q, step)
            if step.shape[2:] != (1, 1):
                x_hat = _weigh(x_hat, (middle[:, None, None, None] / step).square())
            error = (x_hat - x).square().flatten(1).mean(1)
            mse = error.detach().mean()
            error = (1 - self.similarity - self.eyes) * error
            if self.similarity > 0:
                error = error + self.similarity * MSE_OF_MS_SSIM * ms_ssim_loss(x_hat, x)
            if self.eyes > 0:
                error = error + self.eyes * mse_of_s(middle) * weighted_sum(x_hat, x)
            loss = loss + (weight * self.trade / middle.square() * error).mean()
        psnr = 10 * torch.log10(65025 / mse.clamp_min(1e-9))
        return loss, {"bpp": bpp, "psnr": psnr if self.phase != "context" else mse}

    def parameter_groups(self, model: TorchModel, lr: float) -> list[dict[str, Any]]:
        """The phase's parameters; the block transform's kernels learn slowly."""
        net = cast(LadderFloatModel, model)
        t = net.transform
        synthesis = [*t.synthesis_trunk.parameters(), *t.up.parameters()]
        trained: list[nn.Parameter] = []
        slow: list[nn.Parameter] = []
        gains: list[nn.Parameter] = []
        if self.phase in ("context", "finish"):
            trained += net.estimator.parameters()
        if self.phase in ("decoder", "finish"):
            trained += synthesis
            slow = [t.synthesis_kernels]
        if self.phase == "joint":
            trained += synthesis + [*t.analysis_trunk.parameters(), *t.down.parameters()]
            trained += net.estimator.parameters()
            slow, gains = [t.analysis_kernels, t.synthesis_kernels], [t.log_gains]
        chosen = {id(p) for p in trained + slow + gains}
        for p in model.parameters():
            p.requires_grad_(id(p) in chosen)
        return [
            {"params": trained, "lr": lr, "scale": 1.0},
            {"params": slow, "lr": lr, "scale": self.kernel_rate},
            {"params": gains, "lr": lr, "scale": self.gain_rate},
        ]

    def validate(self, model: TorchModel, pictures: list[np.ndarray]) -> Validation:
        """The training loss on real files, mean over the steps, as the score."""
        start = time.monotonic()
        rows, score = [], 0.0
        for step in self.valid_steps:
            code = code_of_step(step)
            got = measure_files(
                model,
                pictures,
                code,
                self.effort,
                similar=self.similarity > 0,
                eyes=self.eyes > 0,
            )
            rows.append((code, got.bpp, got.psnr))
            error = (1 - self.similarity - self.eyes) * got.mse
            error += self.similarity * MSE_OF_MS_SSIM * got.ms_ssim_loss
            error += self.eyes * float(mse_of_s(torch.tensor(step))) * got.s
            score += (got.bpp + self.trade / step**2 * error) / (0.3 + 20 / step)
        return Validation(score / len(self.valid_steps), tuple(rows), time.monotonic() - start)
