"""`LitOptimised`: what every module of a recipe has: one network, its optimiser, clipping and schedule."""

from __future__ import annotations

import math
from typing import Any

import lightning as L
import torch

from .recipe import OptimPart


class LitOptimised(L.LightningModule):
    """A network that is trained as ``optim`` says, for ``total_steps`` in all."""

    def __init__(self, network: torch.nn.Module, optim: OptimPart, total_steps: int, steps_per_epoch: int) -> None:
        super().__init__()
        self.network = network
        self.optim, self.total_steps, self.steps_per_epoch = optim, total_steps, steps_per_epoch

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """By norm. Lightning refuses fused optimisers here, for the sake of fp16 scaling, which `_fused` leaves out."""
        if gradient_clip_val and self._fused:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), gradient_clip_val)
        else:
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)

    @property
    def _fused(self) -> bool:
        """Fused Adam is faster, but unscales fp16 gradients out of sight of clipping."""
        return self.optim.name in ("adamw", "adam") and self.trainer.precision != "16-mixed"

    def configure_optimizers(self) -> Any:
        decay = [p for p in self.network.parameters() if p.ndim > 1]
        keep = [p for p in self.network.parameters() if p.ndim <= 1]  # norms and biases are not decayed
        o = self.optim
        groups = [{"params": decay, "weight_decay": o.weight_decay}, {"params": keep, "weight_decay": 0.0}]
        optimizer: torch.optim.Optimizer
        if o.name == "adamw":
            optimizer = torch.optim.AdamW(groups, lr=o.lr, fused=self._fused)
        elif o.name == "adam":
            optimizer = torch.optim.Adam(groups, lr=o.lr, fused=self._fused)
        elif o.name == "rmsprop":
            optimizer = torch.optim.RMSprop(groups, lr=o.lr)
        else:
            optimizer = torch.optim.SGD(groups, lr=o.lr, momentum=0.9, nesterov=o.nesterov)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._lr_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _lr_factor(self, step: int) -> float:
        o = self.optim
        factor = min(1.0, (step + 1) / max(1, o.warmup_steps))
        if o.schedule == "cosine":
            factor *= 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, self.total_steps)))) * 0.99 + 0.01
        elif o.schedule == "step":
            factor *= 0.1 ** sum(step >= m * self.steps_per_epoch for m in o.milestones)
        return factor
