"""`Draws`: random numbers on a device, for a batch at once."""

from __future__ import annotations

import torch
from torch import Tensor


class Draws:
    """Random numbers on a device, from one generator of that device."""

    def __init__(self, generator: torch.Generator, device: torch.device) -> None:
        self.generator, self.device = generator, device

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """``shape`` float32 from ``low`` to ``high``."""
        return low + (high - low) * torch.rand(shape, generator=self.generator, device=self.device)

    def some(self, count: int, share: float) -> Tensor:
        """(count,) bool."""
        return self.uniform(0, 1, count) < share

    def among(self, count: int, choices: int) -> Tensor:
        """(count,) int64 below ``choices``."""
        return torch.randint(choices, (count,), generator=self.generator, device=self.device)
