"""A picture as the answer: person mask, one heat map of all joints, and a class for every pixel, in any combination.

Source: system 0 (github.com/canaltinigne/Human-Pose-Estimation-Joint-Detection), experiments 1 to 4; its targets as
files are in ``data/pixel_targets.py``. ``joints_at="floor"`` repeats those, with ``refine="argmax"`` for its decoding;
the defaults paint and read joints where they are.

Unlike other codecs' maps these have one label a pixel, so joints closer than a disc's radius compete for pixels, and an
unlabelled joint is background. The mask is not made of joints: `PixelsCodec.add_mask` brings it in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ..data.pixel_targets import THRESHOLD, blur_matrix
from ..errors import ShapeError
from ..skeletons import Skeleton
from ..types import Outputs, Targets
from .heatmap import _is_tensor, _numpy, _patches, exchanged, mirrored

HEADS = ("mask", "heat", "classes")
_CHOICES = {
    "classes": ("discs", "points", "values", "shares"),
    "heat": ("all", "each"),
    "joints_at": ("exact", "floor"),
    "refine": ("argmax", "centroid"),
}


@dataclass(frozen=True)
class PixelsCodec:
    """Maps of ``size_wh / stride``; what a network says of them raw: logits for mask and classes, heights for heat.

    Attributes
    ----------
    size_wh : the network input's (width, height).
    stride : input pixels per map pixel; 1 in system 0.
    heads : which of ``"mask"`` (2 channels, background and person), ``"heat"`` and ``"classes"`` (1 + K channels, the
        background first), in the order of the network's arrays.
    classes : what a pixel's classes are. ``"discs"`` (experiments 2 and 4): the nearest joint where the Gaussians are
        above ``threshold``. ``"points"``: the joint at its own pixel. ``"values"`` (experiment 3): as discs, with the
        Gaussian's height instead of 1; the background is 1 or 0, so a pixel need not sum to 1. What learns that by
        cross-entropy gives discs all the same: within one no other class is ever asked for, the height is a mere
        weight. ``"shares"``: the same with the background as what is left to 1, so that a joint has a peak.
    heat : ``"all"`` joints in one map (experiments 1 and 4), or one map for ``"each"``.
    sigma : standard deviation of the Gaussians, in map pixels.
    threshold : of the sum of Gaussians that have a volume of 1 each.
    peak : height of the heat map's highest pixel. The system found that maps of 0 ... 1 collapse to zero.
    joints_at : Gaussians and distances from the ``"exact"`` position, or from the pixel below it (``"floor"``).
    refine : a joint is the highest pixel of its channel (``"argmax"``; a disc's first pixel where it is flat), or the
        ``"centroid"`` of the pixels around it that have half of its probability or more.
    """

    kind: ClassVar[str] = "pixels"
    presence: ClassVar[bool] = False
    refined: ClassVar[bool] = False

    size_wh: tuple[int, int] = (128, 192)
    stride: int = 1
    heads: tuple[str, ...] = ("classes",)
    classes: str = "discs"
    heat: str = "all"
    sigma: float = 1.0
    threshold: float = THRESHOLD
    peak: float = 100.0
    joints_at: str = "exact"
    refine: str = "centroid"

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ShapeError(f"{name} must be one of {known}, got {getattr(self, name)!r}")
        heads = self.heads if isinstance(self.heads, tuple) else ()
        if not heads or len(set(heads)) < len(heads) or not set(heads) <= set(HEADS):
            raise ShapeError(f"heads must be one or more of {HEADS}, each once, got {self.heads!r}")
        fits = self.stride >= 1 and all(side >= self.stride and side % self.stride == 0 for side in self.size_wh)
        if not (fits and self.sigma > 0 and self.threshold >= 0 and self.peak > 0):  # so that NaN is refused
            raise ShapeError(
                f"the input size must be a multiple of the stride, sigma and peak positive and threshold not negative; "
                f"got size_wh {self.size_wh}, stride {self.stride}, sigma {self.sigma}, peak {self.peak}, "
                f"threshold {self.threshold}"
            )

    @property
    def map_wh(self) -> tuple[int, int]:
        """The maps' (width, height)."""
        return self.size_wh[0] // self.stride, self.size_wh[1] // self.stride

    @property
    def finds_joints(self) -> bool:
        """Whether `decode` can name joints: not from a mask, nor from one map of all joints."""
        return "classes" in self.heads or self._heat_names_joints

    @property
    def _heat_names_joints(self) -> bool:
        return "heat" in self.heads and self.heat == "each"

    def resized(self, size_wh: tuple[int, int]) -> PixelsCodec:
        """The same codec for another input size."""
        return replace(self, size_wh=size_wh)

    def shapes(self, joints: int) -> dict[str, tuple[int, ...]]:
        """See `Codec.shapes`."""
        width, height = self.map_wh
        channels = {"mask": 2, "heat": 1 if self.heat == "all" else joints, "classes": joints + 1}
        return {head: (channels[head], height, width) for head in self.heads}

    # --- targets -----------------------------------------------------------------------------------------------------

    def encode(self, keypoints_px: np.ndarray, visibility: np.ndarray) -> Targets:
        """See `Codec.encode`; without the mask, which `add_mask` adds. Weights are 1 where a joint is painted."""
        keypoints = np.asarray(keypoints_px, np.float32)
        arrays, drawn = self._encode(np, keypoints, np.asarray(visibility) > 0, np.asarray)
        return Targets({k: v.astype(np.float32) for k, v in arrays.items()}, drawn.astype(np.float32))

    def encode_torch(self, keypoints_px: Any, visibility: Any) -> Targets:
        """See `Codec.encode_torch`; without the mask, which `add_mask` adds."""
        import torch

        keypoints = keypoints_px.float()
        to_device = lambda array: torch.from_numpy(array).to(keypoints.device)  # noqa: E731
        arrays, drawn = self._encode(torch, keypoints, visibility > 0, to_device)
        return Targets({k: v.float() for k, v in arrays.items()}, drawn.float())

    def add_mask(self, targets: Targets, masks: Any, known: Any = None) -> Targets:
        """Targets with ``"mask"`` (B, 2, h, w): each map pixel's share of background and of person.

        Both are 0 in a picture whose mask is not known, which the losses leave out.

        Parameters
        ----------
        masks : (B, H, W) of the input's size, numpy or torch as the other targets; not 0 is person.
        known : (B,) bool, which of the masks there are; None: all.

        Raises
        ------
        ShapeError
            Masks of another size, or a codec without that head.
        """
        (width, height), (columns, rows), stride = self.size_wh, self.map_wh, self.stride
        if "mask" not in self.heads or tuple(masks.shape[1:]) != (height, width):
            raise ShapeError(f"masks must be (B, {height}, {width}) for {self}, got {tuple(masks.shape)}")
        person = masks != 0
        person = person.float() if _is_tensor(person) else person.astype(np.float32)
        person = person.reshape(len(masks), rows, stride, columns, stride).mean((2, 4))[:, None]
        both = [1 - person, person]
        if known is not None:
            both = [share * known[:, None, None, None] for share in both]
        if _is_tensor(person):
            import torch

            mask = torch.cat(both, dim=1)
        else:
            mask = np.concatenate(both, axis=1)
        arrays = {head: mask if head == "mask" else targets.arrays[head] for head in self.heads}
        return Targets(arrays, targets.weights)

    def _encode(self, xp: Any, keypoints: Any, labelled: Any, constant: Any) -> tuple[dict[str, Any], Any]:
        """Arrays and (B, K) bool of painted joints; ``xp`` is numpy or torch, which agree in all that is used here."""
        columns, rows = (constant(np.arange(n, dtype=np.float32)) for n in self.map_wh)
        high = constant(np.array(self.map_wh, np.float32) - 1)
        centre = (keypoints + 0.5) / self.stride - 0.5
        drawn = ((centre >= -0.5) & (centre <= high + 0.5)).all(-1) & labelled
        if self.joints_at == "floor":
            # A joint on the border pixel's outer half is still in that pixel.
            centre = xp.minimum(xp.maximum(xp.floor(centre), high * 0), high)
        centre = xp.where(drawn[..., None], centre, constant(np.zeros(1, np.float32)))
        dx, dy = columns - centre[..., :1], rows - centre[..., 1:]
        across, down = self._profiles(xp, dx, dy, centre, constant)
        each = down[..., :, None] * across[..., None, :] * drawn[..., None, None]
        arrays: dict[str, Any] = {}
        # One impulse a pixel, however many joints are in it: the system paints them into one matrix.
        total = (each * self._first_of_its_pixel(xp, centre, drawn)[..., None, None]).sum(1)
        for head in self.heads:
            if head == "heat":
                arrays[head] = self.peak * _over_maximum(xp, total[:, None] if self.heat == "all" else each)
            elif head == "classes":
                arrays[head] = self._class_targets(xp, dx, dy, drawn, total, constant)
        return arrays, drawn

    def _profiles(self, xp: Any, dx: Any, dy: Any, centre: Any, constant: Any) -> tuple[Any, Any]:
        """(B, K, w) and (B, K, h): each joint's Gaussian along both axes, volume 1, ending at four sigma."""
        if self.joints_at == "floor":
            across, down = (constant(blur_matrix(n, self.sigma).T.astype(np.float32).copy()) for n in self.map_wh)
            index = centre.long() if _is_tensor(centre) else centre.astype(np.int64)
            return across[index[..., 0]], down[index[..., 1]]
        reach, scale = int(4 * self.sigma + 0.5), self.sigma * math.sqrt(2 * math.pi)
        across, down = (xp.exp(-(d**2) / (2 * self.sigma**2)) / scale * (xp.abs(d) <= reach) for d in (dx, dy))
        return across, down

    def _first_of_its_pixel(self, xp: Any, centre: Any, drawn: Any) -> Any:
        """(B, K) bool: no joint before it has exactly its position."""
        if self.joints_at == "exact":
            return drawn
        same = (centre[:, :, None] == centre[:, None]).all(-1) & drawn[:, None]
        return drawn & ~xp.tril(same, -1).any(-1)

    def _class_targets(self, xp: Any, dx: Any, dy: Any, drawn: Any, total: Any, constant: Any) -> Any:
        """(B, 1 + K, h, w), background first."""
        joints = drawn.shape[1]
        channel = constant(np.arange(joints + 1))[None, :, None, None]
        if self.classes == "points":
            # The pixel that it lies in, halves upwards; beyond the last pixel's centre there is no next one.
            on_x = (dx > -0.5) & (dx <= 0.5) | (dx <= -0.5) & (dx == dx[..., -1:])
            on_y = (dy > -0.5) & (dy <= 0.5) | (dy <= -0.5) & (dy == dy[..., -1:])
            named = (on_y[..., :, None] & on_x[..., None, :] & drawn[..., None, None]) * channel[:, 1:]
            labels = named.amax(1) if _is_tensor(named) else named.max(1)
            return labels[:, None] == channel
        distance = dy[..., :, None] ** 2 + dx[..., None, :] ** 2
        distance = xp.where(drawn[..., None, None], distance, constant(np.full(1, np.inf, np.float32)))
        labels = (distance.argmin(1) + 1) * (total > self.threshold)
        hot = labels[:, None] == channel
        if self.classes == "discs":
            return hot
        heights = hot[:, 1:] * _over_maximum(xp, total[:, None])
        background = 1 - heights.sum(1)[:, None] if self.classes == "shares" else hot[:, :1]
        return xp.concatenate([background * 1.0, heights], 1)

    # --- answers -----------------------------------------------------------------------------------------------------

    def decode(self, outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
        """See `Codec.decode`: from the classes where there are any, else from one heat map a joint.

        The score is the class's probability, or the heat over ``peak``. Raises `ShapeError` where no head names joints.
        """
        if not self.finds_joints:
            raise ShapeError(
                f"the heads {self.heads} with heat '{self.heat}' name no joints; see `mask` and `peaks_of` for what "
                f"they hold, or add the head 'classes' or heat 'each'"
            )
        maps = self._checked(outputs, "classes" if "classes" in self.heads else "heat")
        maps = _softmax(maps)[:, 1:] if "classes" in self.heads else maps / self.peak
        batch, joints, height, width = maps.shape
        flat = maps.reshape(batch * joints, height, width)
        index = _numpy(flat.reshape(len(flat), height * width).argmax(1))
        peak_xy = np.stack([index % width, index // width], axis=1)
        scores = np.clip(_patches(flat, peak_xy, 0, fill=0.0)[:, 0, 0], 0, 1).astype(np.float32)
        found = peak_xy.astype(np.float32)
        if self.refine == "centroid":
            found += self._centroid_offset(flat, peak_xy)
        keypoints = (found.reshape(batch, joints, 2) + 0.5) * self.stride - 0.5
        return keypoints.astype(np.float32), scores.reshape(batch, joints)

    def mask(self, outputs: Outputs) -> np.ndarray:
        """(B, h, w) float32: each map pixel's probability of being person. Raises `ShapeError` without that head."""
        if "mask" not in self.heads:
            raise ShapeError(f"the heads {self.heads} have no mask")
        return _numpy(_softmax(self._checked(outputs, "mask"))[:, 1]).astype(np.float32)

    def flip(self, outputs: Outputs, skeleton: Skeleton) -> Outputs:
        """See `Codec.flip`."""
        arrays = {}
        for head, array in outputs.arrays.items():
            if head == "classes":
                array = exchanged(array, np.concatenate([[0], 1 + skeleton.flip]))
            elif head == "heat" and self.heat == "each":
                array = exchanged(array, skeleton.flip)
            arrays[head] = mirrored(array)
        return Outputs(arrays)

    def _checked(self, outputs: Outputs, head: str) -> Any:
        maps = outputs.arrays[head]
        maps = maps.detach().float() if _is_tensor(maps) else np.asarray(maps, np.float32)
        shape = tuple(maps.shape)
        expected = self.shapes(shape[1] - (head == "classes") if len(shape) == 4 else 0)[head]
        if shape[1:] != expected:
            raise ShapeError(f"'{head}' must be (B, channels, {expected[1]}, {expected[2]}) for {self}, got {shape}")
        return maps

    def _centroid_offset(self, flat: Any, peak_xy: np.ndarray) -> np.ndarray:
        """(M, 2) from the peak to the centroid of what has half of its height, as far as a disc is wide."""
        reach = math.ceil(4 * self.sigma)
        patch = _patches(flat, peak_xy, reach, fill=0.0)
        top = patch[:, reach, reach, None, None]
        weight = np.where((patch >= top / 2) & (top > 0), patch, 0).astype(np.float64)
        offset, whole = np.arange(-reach, reach + 1), np.maximum(weight.sum((1, 2)), 1e-30)
        xy = np.stack([(weight.sum(1) * offset).sum(1), (weight.sum(2) * offset).sum(1)], axis=1)
        return (xy / whole[:, None]).astype(np.float32)


def peaks_of(heat: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Joints without names in one (h, w) map of all joints: its local maxima of ``least`` or more.

    A maximum is no lower than its eight neighbours; of equal neighbours the first counts.

    Returns
    -------
    ((N, 2) map pixels, (N,) heights), highest first.
    """
    height, width = heat.shape
    around = np.pad(np.asarray(heat, np.float64), 1, constant_values=-np.inf)
    shifts = [(dy, dx) for dy in range(3) for dx in range(3) if (dy, dx) != (1, 1)]
    peak = np.asarray(heat) >= least
    for dy, dx in shifts:
        neighbour = around[dy : dy + height, dx : dx + width]
        peak &= heat > neighbour if (dy, dx) < (1, 1) else heat >= neighbour
    y, x = np.nonzero(peak)
    order = np.argsort(-heat[y, x], kind="stable")
    return np.stack([x, y], axis=1)[order].astype(np.float32), heat[y, x][order]


def _over_maximum(xp: Any, maps: Any) -> Any:
    """(B, C, h, w) maps over their own highest pixel; zeros stay."""
    top = maps.amax((-2, -1), True) if _is_tensor(maps) else maps.max((-2, -1), keepdims=True)
    return maps / xp.where(top > 0, top, top * 0 + 1)


def _softmax(maps: Any) -> Any:
    """Over the channels of (B, C, h, w)."""
    if _is_tensor(maps):
        return maps.softmax(1)
    exponent = np.exp(maps - maps.max(axis=1, keepdims=True))
    return exponent / exponent.sum(axis=1, keepdims=True)
