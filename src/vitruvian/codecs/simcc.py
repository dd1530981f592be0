"""SimCC: a joint's x and y as two classifications over finely divided bins.

Source: Li et al., ECCV 2022, "SimCC: a Simple Coordinate Classification Perspective for Human Pose Estimation",
sections 3.1-3.3 (bins of 1 / split pixels, Gaussian label smoothing); Jiang et al., 2023, "RTMPose", section 3.3 (the
softmax of a Gaussian as label, after Diaz & Marathe, CVPR 2019). The score is the smaller of the two peaks' mass, as a
joint is only found when both coordinates are.

Bin b sits at input pixel (b + 0.5) / split - 0.5, by the pixel-centre rule.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ..errors import ShapeError
from ..skeletons import Skeleton
from ..types import Outputs, Targets
from .heatmap import exchanged, mirrored


@dataclass(frozen=True)
class SimccCodec:
    """Logits over ``size * split`` bins on each axis; targets are Gaussians that sum to 1.

    Attributes
    ----------
    size_wh : the network input's (width, height).
    split : bins per input pixel.
    sigma : standard deviation of the target in input pixels.
    refine : ``"argmax"`` (the best bin) or ``"parabola"`` (vertex of the parabola through the log-probabilities of
        the best bin and its neighbours, exact for a Gaussian).
    temperature : None, or what the Gaussian of peak 1 is divided by before a softmax makes the target of it; RTMPose
        takes 0.1. The target is narrower than its Gaussian by the root of this, and no bin is without any mass.
    """

    kind: ClassVar[str] = "simcc"
    presence: ClassVar[bool] = False
    finds_joints: ClassVar[bool] = True

    size_wh: tuple[int, int] = (192, 256)
    split: float = 2.0
    sigma: float = 5.0
    refine: str = "parabola"
    temperature: float | None = None

    def __post_init__(self) -> None:
        if self.refine not in ("argmax", "parabola") or not (self.split > 0 and self.sigma > 0):
            raise ShapeError(f"refine must be argmax or parabola, split and sigma positive, got {self}")
        if self.temperature is not None and not 0.01 <= self.temperature <= 10:  # exp(1 / 0.01) is the end of float32
            raise ShapeError(f"temperature must be None or lie in 0.01 ... 10, got {self.temperature}")
        # Otherwise the mirror image's bins would lie between those of the image, and flipping would move joints.
        if any(abs(side * self.split - count) > 1e-6 for side, count in zip(self.size_wh, self.bins_xy, strict=True)):
            raise ShapeError(f"both sides times split must be whole numbers of bins, got {self}")

    @property
    def bins_xy(self) -> tuple[int, int]:
        """Number of bins across and down."""
        return round(self.size_wh[0] * self.split), round(self.size_wh[1] * self.split)

    @property
    def refined(self) -> bool:
        """Whether decoding goes below a bin without bias."""
        return self.refine == "parabola"

    def resized(self, size_wh: tuple[int, int]) -> SimccCodec:
        """The same codec for another input size."""
        return replace(self, size_wh=size_wh)

    def shapes(self, joints: int) -> dict[str, tuple[int, ...]]:
        """See `Codec.shapes`."""
        return {"simcc_x": (joints, self.bins_xy[0]), "simcc_y": (joints, self.bins_xy[1])}

    def encode(self, keypoints_px: np.ndarray, visibility: np.ndarray) -> Targets:
        """See `Codec.encode`. A joint outside the input has weight 0."""
        keypoints = np.asarray(keypoints_px, np.float32)
        with np.errstate(invalid="ignore"):
            inside = (keypoints >= -0.5).all(-1) & (keypoints <= np.array(self.size_wh, np.float32) - 0.5).all(-1)
        weights = (inside & (np.asarray(visibility) > 0)).astype(np.float32)
        bins = (np.where(weights[..., None] > 0, keypoints, 0) + 0.5) * self.split - 0.5
        arrays = {}
        for axis, (name, count) in enumerate(zip(("simcc_x", "simcc_y"), self.bins_xy, strict=True)):
            distance = np.arange(count, dtype=np.float32) - bins[..., axis : axis + 1]
            target = np.exp(-(distance**2) / (2 * (self.sigma * self.split) ** 2))
            if self.temperature is not None:
                target = np.exp((target - 1) / self.temperature)
            arrays[name] = (target / target.sum(-1, keepdims=True) * weights[..., None]).astype(np.float32)
        return Targets(arrays, weights)

    def encode_torch(self, keypoints_px: Any, visibility: Any) -> Targets:
        """See `Codec.encode_torch`."""
        import torch

        keypoints = keypoints_px.float()
        limit = torch.tensor(self.size_wh, device=keypoints.device) - 0.5
        weights = ((keypoints >= -0.5) & (keypoints <= limit)).all(-1) & (visibility > 0)
        bins = (torch.where(weights[..., None], keypoints, torch.zeros_like(keypoints)) + 0.5) * self.split - 0.5
        weights = weights.float()
        arrays = {}
        for axis, (name, count) in enumerate(zip(("simcc_x", "simcc_y"), self.bins_xy, strict=True)):
            distance = torch.arange(count, device=bins.device) - bins[..., axis : axis + 1]
            target = torch.exp(-(distance**2) / (2 * (self.sigma * self.split) ** 2))
            if self.temperature is not None:
                target = torch.exp((target - 1) / self.temperature)
            arrays[name] = target / target.sum(-1, keepdim=True) * weights[..., None]
        return Targets(arrays, weights)

    def decode(self, outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
        """See `Codec.decode`."""
        keypoints, masses = [], []
        for name, count in zip(("simcc_x", "simcc_y"), self.bins_xy, strict=True):
            logits = outputs.arrays[name]
            logits = np.asarray(logits.detach().float().cpu() if hasattr(logits, "detach") else logits, np.float32)
            if logits.ndim != 3 or logits.shape[2] != count:
                raise ShapeError(f"{name} must be (B, K, {count}) for {self}, got {logits.shape}")
            exponent = np.exp(logits - logits.max(-1, keepdims=True))
            total = exponent.sum(-1, keepdims=True)
            best = logits.argmax(-1)
            position = best.astype(np.float32)
            if self.refine == "parabola":
                position = position + _vertex(logits, best)
            keypoints.append((position + 0.5) / self.split - 0.5)
            masses.append(self._mass(exponent / total, best))
        return np.stack(keypoints, -1).astype(np.float32), np.minimum(*masses).astype(np.float32)

    def _mass(self, probability: np.ndarray, best: np.ndarray) -> np.ndarray:
        """Probability within two sigma of the best bin, over what a perfect target holds there; in [0, 1]."""
        reach = max(1, round(2 * self.sigma * self.split))
        cumulated = np.concatenate([np.zeros_like(probability[..., :1]), probability.cumsum(-1)], -1)
        high = np.minimum(best + reach + 1, probability.shape[-1])
        low = np.maximum(best - reach, 0)
        inside = np.take_along_axis(cumulated, high[..., None], -1) - np.take_along_axis(cumulated, low[..., None], -1)
        wide = np.arange(-8 * reach, 8 * reach + 1)
        profile = np.exp(-(wide**2) / (2 * (self.sigma * self.split) ** 2))
        if self.temperature is not None:
            profile = np.exp((profile - 1) / self.temperature)
        held = profile[np.abs(wide) <= reach].sum() / profile.sum()
        return np.clip(inside[..., 0] / held, 0, 1)

    def flip(self, outputs: Outputs, skeleton: Skeleton) -> Outputs:
        """See `Codec.flip`."""
        return Outputs(
            {
                "simcc_x": mirrored(exchanged(outputs.arrays["simcc_x"], skeleton.flip)),
                "simcc_y": exchanged(outputs.arrays["simcc_y"], skeleton.flip),
            }
        )


def _vertex(logits: np.ndarray, best: np.ndarray) -> np.ndarray:
    """(B, K) offset in bins of the parabola's vertex through the best bin and its neighbours; 0 at the ends."""
    count = logits.shape[-1]
    centre = np.clip(best, 1, count - 2)[..., None]
    left, middle, right = (np.take_along_axis(logits, centre + d, -1)[..., 0].astype(np.float64) for d in (-1, 0, 1))
    curvature = left - 2 * middle + right
    usable = (best > 0) & (best < count - 1) & (curvature < 0)
    return np.where(usable, (left - right) / 2 / np.where(usable, curvature, -1.0), 0.0).astype(np.float32)
