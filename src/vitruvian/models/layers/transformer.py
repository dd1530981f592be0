"""The transformer's block, and learnt positions. Sources: Dosovitskiy et al., ICLR 2021, section 3.1 (norms before each
branch); Huang et al., ECCV 2016 (stochastic depth)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TransformerBlock(nn.Module):
    """Attention and a layer of ``hidden`` numbers, each behind a norm and beside a shortcut: (B, T, C) -> same.

    Parameters
    ----------
    width, heads : C, a multiple of ``heads``.
    drop : chance with which each branch is left out for a picture in training.
    hidden : of the second branch; None for four times the width.
    """

    def __init__(self, width: int, heads: int, drop: float = 0.0, hidden: int | None = None) -> None:
        super().__init__()
        hidden = 4 * width if hidden is None else hidden
        self.heads, self.drop = heads, drop
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._kept(self._attend(self.norm1(x)))
        return x + self._kept(self.mlp(self.norm2(x)))

    def start_as_nothing(self) -> None:
        """Both branches begin as 0, so that a trained network into which the block is put begins as it was."""
        for layer in (self.out, self.mlp[2]):
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def _attend(self, x: Tensor) -> Tensor:
        queries, keys, values = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return self.out(F.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2))

    def _kept(self, branch: Tensor) -> Tensor:
        """The branch, left out for some pictures of a batch in training and scaled so that its mean stays."""
        if not self.training or self.drop == 0:
            return branch
        keep = torch.rand(len(branch), 1, 1, device=branch.device) >= self.drop
        return branch * keep.to(branch.dtype) / (1 - self.drop)


def placed(grid: Tensor, positions: Tensor) -> Tensor:
    """(B, C, h, w) features as (B, h w, C) tokens, with learnt positions (1, C, h', w') added.

    Those are interpolated for an input of another size (progressive training).
    """
    if positions.shape[2:] != grid.shape[2:]:
        positions = F.interpolate(positions, size=grid.shape[2:], mode="bicubic", align_corners=False)
    return (grid + positions).flatten(2).transpose(1, 2)
