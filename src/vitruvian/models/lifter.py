"""Lifters: from 2D joints to 3D joints, without looking at the picture.

`MlpLifter`: one pose at a time through residual blocks of wide layers (Martinez et al., "A simple yet effective
baseline for 3d human pose estimation", ICCV 2017, section 3.2). `TemporalLifter`: a row of poses through dilated
convolutions over time (Pavllo et al., "3D human pose estimation in video with temporal convolutions and
semi-supervised training", CVPR 2019, section 3).

Both take the inputs of `vitruvian.transforms.lifting` and are in their own table, since they take no picture.

Adding a lifter: a module here with the attribute ``frames`` (how many neighbouring poses one result needs), and an
entry in `LIFTERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ShapeError, VitruvianError
from ..transforms.lifting import INPUT_JOINTS, OUTPUT_JOINTS
from .layers import whole_numbers

_UNIT_MM = 300.0  # about the standard deviation of joints around the pelvis, so that outputs are of order 1


class _Head(nn.Module):
    """Features (B, C, T) to the joints of ``h36m17`` (B, T, 17, 3) in mm; the pelvis, joint 0, is at 0."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(width, 3 * (len(OUTPUT_JOINTS) - 1), 1)

    def forward(self, features: Tensor) -> Tensor:
        offsets = self.linear(features).transpose(1, 2).unflatten(2, (len(OUTPUT_JOINTS) - 1, 3)) * _UNIT_MM
        return F.pad(offsets, (0, 0, 1, 0))


class MlpLifter(nn.Module):
    """Linear, then ``blocks`` residual blocks of two linear layers, each with batch norm, ReLU and dropout.

    Parameters
    ----------
    width : units of the layers; 1024 in the paper.
    blocks : residual blocks; 2 in the paper.
    dropout : share of units that rest in a training step; 0.5 in the paper, for its much wider layers.

    Input (B, 14, 3): x, y, score. Gives (B, 17, 3) mm relative to the pelvis.
    """

    frames = 1

    def __init__(self, width: int = 256, blocks: int = 2, dropout: float = 0.1) -> None:
        super().__init__()
        whole_numbers("width", (width,), 1)
        whole_numbers("blocks", (blocks,), 1)
        inputs = 3 * len(INPUT_JOINTS)
        self.first = _unit(inputs, width, dropout)
        self.blocks = nn.ModuleList(
            nn.Sequential(_unit(width, width, dropout), _unit(width, width, dropout)) for _ in range(blocks)
        )
        self.head = _Head(width)

    def forward(self, inputs: Tensor) -> Tensor:
        _check(inputs, 3)
        x = self.first(inputs.flatten(1))
        for block in self.blocks:
            x = x + block(x)
        return self.head(x.unsqueeze(2)).squeeze(1)


class TemporalLifter(nn.Module):
    """A convolution over 3 poses, then a residual block for each further level: 3 taps, dilated by 3, 9 ..., then 1x1.

    Parameters
    ----------
    width : channels; 1024 in the paper.
    levels : powers of 3 that one result sees: 3 levels see 27 poses (the paper's smallest).
    dropout : share of units that rest in a training step.

    Input (B, T, 14, 3) with T at least ``frames``: x, y, score. Gives (B, T - frames + 1, 17, 3): result t belongs to
    input t + frames // 2. No padding inside; the caller repeats the ends.
    """

    def __init__(self, width: int = 128, levels: int = 3, dropout: float = 0.1) -> None:
        super().__init__()
        whole_numbers("width", (width,), 1)
        whole_numbers("levels", (levels,), 1)
        self.frames = 3**levels
        self.first = _convolution(3 * len(INPUT_JOINTS), width, 3, 1, dropout)
        self.blocks = nn.ModuleList(
            nn.Sequential(_convolution(width, width, 3, 3**i, dropout), _convolution(width, width, 1, 1, dropout))
            for i in range(1, levels)
        )
        self.head = _Head(width)

    def forward(self, inputs: Tensor) -> Tensor:
        _check(inputs, 4)
        x = self.first(inputs.flatten(2).transpose(1, 2))
        for i, block in enumerate(self.blocks, 1):
            x = x[..., 3**i : -(3**i)] + block(x)  # the neighbours at both ends are used up
        return self.head(x)


def _unit(inputs: int, width: int, dropout: float) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout))


def _convolution(inputs: int, width: int, taps: int, dilation: int, dropout: float) -> nn.Module:
    convolution = nn.Conv1d(inputs, width, taps, dilation=dilation, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout))


def _check(inputs: Tensor, dims: int) -> None:
    if torch.compiler.is_exporting():
        return
    if inputs.ndim != dims or tuple(inputs.shape[-2:]) != (len(INPUT_JOINTS), 3):
        poses = "B, " if dims == 3 else "B, T, "
        raise ShapeError(f"a lifter takes ({poses}{len(INPUT_JOINTS)}, 3): x, y, score; got {tuple(inputs.shape)}")


LIFTERS: dict[str, Callable[..., Any]] = {"lifter_mlp": MlpLifter, "lifter_temporal": TemporalLifter}


def build_lifter(name: str, **options: Any) -> nn.Module:
    """Build a lifter with fresh weights; `VitruvianError` for an unknown name or options it does not have."""
    if name not in LIFTERS:
        raise VitruvianError(f"unknown lifter '{name}'; known: {', '.join(LIFTERS)}")
    try:
        return LIFTERS[name](**options)
    except (TypeError, ValueError) as error:
        raise VitruvianError(f"lifter '{name}' cannot be built with the options {options}: {error}") from error
