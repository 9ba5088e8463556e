"""The training loop: one place that steps, logs, validates and saves."""

from __future__ import annotations

import csv
import functools
import io
import math
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from bitcodec.errors import TrainingError, printable
from bitcodec.files import atomic_write
from bitcodec.models.processor import has_bfloat16
from bitcodec.models.torch_model import TorchModel
from bitcodec.models.weights import build, load_weights, save_weights
from bitcodec.training.config import OptimConfig, TrainConfig, dump_config
from bitcodec.training.data import CropSource, centre, load_pictures
from bitcodec.training.graphed import GraphedPass
from bitcodec.training.processes import distributed, patient_group, place
from bitcodec.training.soap import Soap
from bitcodec.training.state import TrainingState
from bitcodec.training.tasks import Task, Validation, make_task

COLUMNS = ("step", "minutes", "lr", "loss", "bpp", "psnr", "valid_score", "valid")


@dataclass
class Result:
    """What :func:`train` returns.

    Attributes:
        steps: steps done in all, earlier runs included.
        best: the best validation score, infinity if nothing was validated.
        skipped: a line for every picture that could not be used.
    """

    steps: int
    best: float
    skipped: list[str]


def learning_rate(step: int, steps: int, config: OptimConfig) -> float:
    """Linear warm-up, constant until ``hold``, cosine down to ``floor``."""
    done = max(0.0, (step / steps - config.hold) / (1 - config.hold)) if config.hold < 1 else 0.0
    decay = config.floor + (1 - config.floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    return config.lr * min(1.0, (step + 1) / max(1, config.warmup)) * decay


def _bf16(config: TrainConfig, device: torch.device) -> bool:
    kind = config.run.precision
    if kind not in ("auto", "fp32", "bf16"):
        raise TrainingError(f"run.precision must be auto, fp32 or bf16, not {kind!r}")
    return kind == "bf16" or (kind == "auto" and has_bfloat16(device))


def _initial_model(config: TrainConfig, task: Task, source: CropSource) -> TorchModel:
    torch.manual_seed(config.run.seed)
    if config.init.endswith(".safetensors"):
        return task.adopt(load_weights(Path(config.init)).float(), config).requires_grad_(True)
    model = task.build(config)
    start = replace(source.config, crop=64, batch=3000 if len(source.pictures) > 20 else 200)
    crops = CropSource(source.pictures, start, config.run.seed, 0)[2**31]
    return task.start(model, config, crops.float() / 255) if config.init else model


class Trainer:
    """A run: data, model, optimiser and folder."""

    def __init__(self, config: TrainConfig, out: Path, device: str, quiet: bool) -> None:
        self.config, self.out = config, out
        self.device = place(device)
        self.rank, self.world = distributed(self.device)
        # Others wait here while rank 0 validates, which may take longer than a collective may.
        self.waiting = patient_group() if self.world > 1 else None
        if config.run.threads:
            torch.set_num_threads(config.run.threads)
        self.task = make_task(config)
        pictures, self.skipped = load_pictures(Path(config.data.dir), config.data.crop)
        self.source = CropSource(pictures, config.data, config.run.seed, self.rank)
        self.valid: list[np.ndarray] = []
        if config.data.valid:
            valid, bad = load_pictures(Path(config.data.valid), 1)
            self.valid = [centre(p, config.data.valid_edge) for p in valid]
            self.skipped += bad
        model = _initial_model(config, self.task, self.source).place(self.device)
        ema = build(model.family, dict(vars(model.config))).place(self.device)
        ema.load_state_dict(model.state_dict())
        ema.eval().requires_grad_(False)
        self.task.prepare(model, ema, self.source.pictures)
        groups = self.task.parameter_groups(model, config.optim.lr)
        betas = (config.optim.beta1, config.optim.beta2)
        optimizer: torch.optim.Optimizer
        if config.optim.method == "soap":
            optimizer = Soap(groups, config.optim.lr, betas)
        else:
            optimizer = torch.optim.Adam(groups, betas=betas, fused=True)
        self.state = TrainingState(model, ema, optimizer)
        self.graphed: GraphedPass | None = None
        self.bf16 = _bf16(config, self.device)
        self.quiet = quiet or self.rank > 0
        self.stderr: TextIO = sys.stderr

    def resume(self) -> None:
        """Load last.pt; nothing else is needed to go on bit for bit."""
        path = self.out / "last.pt"
        try:
            saved = torch.load(path, map_location=self.device, weights_only=True)
            self.state.restore(saved)
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            raise TrainingError(f"{path}: cannot resume: {error}") from error

    def save(self) -> None:
        """Write last.pt atomically."""
        buffer = io.BytesIO()
        torch.save(self.state.dump(), buffer)
        atomic_write(self.out / "last.pt", buffer.getvalue(), overwrite=True)

    def step(self, network: nn.Module, batch: Tensor) -> dict[str, Tensor]:
        """One optimiser step on a uint8 batch; the figures for the log, on the device.

        A GPU is never waited for here, so that the next step is ready when it is done.
        """
        s, o = self.state, self.config.optim
        rng = np.random.default_rng([self.config.run.seed, s.step, self.rank, 1])
        torch.manual_seed(int(rng.integers(2**31)))
        lr = learning_rate(s.step, self.config.run.steps, o)
        for group in s.optimizer.param_groups:
            group["lr"] = lr * group["scale"]
        drawn = self.task.draw(batch.shape, rng)
        if self.device.type == "cuda" and self.world == 1 and self.task.graphed:
            self.graphed = self.graphed or GraphedPass(functools.partial(self._pass, network))
            figures = self.graphed(batch, drawn.pin_memory())
        else:
            figures = self._pass(network, batch.to(self.device), drawn.to(self.device))
        torch.nn.utils.clip_grad_norm_(s.model.parameters(), o.clip)
        s.optimizer.step()
        s.step += 1
        decay = min(o.ema, (1 + s.step) / (10 + s.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(s.ema.parameters()), list(s.model.parameters()), 1 - decay)
            for kept, new in zip(s.ema.buffers(), s.model.buffers(), strict=True):
                kept.copy_(new)
        return {**figures, "lr": torch.tensor(lr)}

    def _pass(self, network: nn.Module, batch: Tensor, drawn: Tensor) -> dict[str, Tensor]:
        """Gradients of one batch, and its figures."""
        x = batch.float().div_(255).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            loss, figures = self.task.loss(network, x, drawn)
        self.state.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        return {"loss": loss.detach(), **figures}

    def validate(self) -> Validation | None:
        """Measure the moving average on real files, and keep it if it is the best so far."""
        if not self.valid or self.rank:
            return None
        model = self.task.deployable(self.state.ema, self.source.pictures)
        result = self.task.validate(model, self.valid)
        if result.score < self.state.best:
            self.state.best = result.score
            save_weights(model, self.out / "best.safetensors")
            if model is not self.state.ema:  # what training can start from again
                save_weights(self.state.ema, self.out / "best-float.safetensors")
        return result

    def means(self) -> dict[str, float]:
        """Of the figures since the last row of the log; TrainingError where one is no number."""
        count = float(self.state.sums.get("count", 1.0))
        means = {k: float(v) / count for k, v in self.state.sums.items()}
        if not all(map(math.isfinite, means.values())):
            loss, step = means["loss"], self.state.step
            raise TrainingError(f"the loss is {loss} near step {step}; last.pt is from before")
        return means

    def log(self, result: Validation | None) -> str:
        """Append a row to log.csv; the means since the last row."""
        s = self.state
        mean = self.means()
        s.sums.clear()
        row: dict[str, Any] = {"step": s.step, "minutes": f"{s.minutes:.2f}"}
        row |= {k: f"{v:.5g}" for k, v in mean.items() if k in COLUMNS}
        if result is not None:
            row["valid_score"] = f"{result.score:.5f}"
            row["valid"] = " ".join(f"{r}:{b:.4f}:{p:.3f}" for r, b, p in result.rows)
        path = self.out / "log.csv"
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            if new:
                writer.writeheader()
            writer.writerow(row)
        return str(row.get("valid", ""))

    def run(self) -> Result:
        """Train to the configured number of steps."""
        s, r = self.state, self.config.run
        network: nn.Module = s.model
        if self.world > 1:
            ids = [self.device.index] if self.device.type == "cuda" else None
            network = DistributedDataParallel(s.model, device_ids=ids, find_unused_parameters=True)
        s.model.train()
        begin, before = time.monotonic(), s.minutes
        hide = self.quiet or not self.stderr.isatty()
        bar = tqdm(total=r.steps, initial=s.step, disable=hide, file=self.stderr, unit="step")
        with bar:
            for batch in self.source.batches(s.step, r.steps, self.device.type == "cuda"):
                figures = self.step(network, batch)
                s.minutes = before + (time.monotonic() - begin) / 60
                for key, value in {**figures, "count": 1.0}.items():
                    s.sums[key] = s.sums.get(key, 0.0) + value
                bar.update()
                if s.step % 10 == 0 and not hide:
                    bar.set_postfix({k: f"{v:.4g}" for k, v in self.means().items()}, refresh=False)
                self._bookkeeping()
        return Result(s.step, s.best, self.skipped)

    def _bookkeeping(self) -> None:
        s, r = self.state, self.config.run
        last = s.step == r.steps
        due = last or s.step % r.valid_every == 0
        saves = last or s.step % r.save_every == 0
        if self.rank == 0:
            self._keep(due, saves)
        if self.waiting is not None and (due or saves):
            torch.distributed.barrier(self.waiting)

    def _keep(self, due: bool, saves: bool) -> None:
        s, r = self.state, self.config.run
        result = self.validate() if due else None
        if due or s.step % r.log_every == 0:
            text = self.log(result)
            if text and not self.quiet:
                tqdm.write(f"step {s.step}: {text}", file=self.stderr)
        if saves:
            self.means()  # nothing is saved after a loss that is no number
            self.save()


def train(
    config: TrainConfig,
    out: Path,
    *,
    resume: bool = False,
    device: str = "auto",
    quiet: bool = False,
) -> Result:
    """Train as configured, into a run folder.

    Args:
        config: from :func:`bitcodec.training.config.load_config`.
        out: folder for config.toml, log.csv, last.pt and best.safetensors.
        resume: go on from last.pt; otherwise a folder with a last.pt is refused.
        device: "auto", "cpu", "cuda" or "cuda:1"; under torchrun each process has its own.
        quiet: nothing on stderr but errors.

    Raises:
        TrainingError: bad configuration, no pictures, nothing to resume, or the loss diverged.
    """
    if resume != (out / "last.pt").exists():
        raise TrainingError(
            f"{out}: nothing to resume" if resume else f"{out}: holds a run; use --resume"
        )
    trainer = Trainer(config, out, device, quiet)
    if not trainer.quiet:
        for line in trainer.skipped:
            print(f"bitcodec: skipped {printable(line)}", file=sys.stderr)
    if trainer.rank == 0:
        out.mkdir(parents=True, exist_ok=True)
        atomic_write(out / "config.toml", dump_config(config).encode(), overwrite=True)
    if resume:
        trainer.resume()
    try:
        return trainer.run()
    finally:
        if trainer.world > 1:
            torch.distributed.destroy_process_group()
