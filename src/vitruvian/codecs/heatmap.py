"""Gaussian heatmaps: one map a joint, with the unbiased pixel mapping throughout.

Sources: Tompson et al., NeurIPS 2014 (the representation); Newell et al., ECCV 2016, section 3.1 (quarter-pixel
offset); Zhang et al., CVPR 2020, "Distribution-Aware Coordinate Representation", section 3 (Taylor refinement on the
log of the blurred map); Huang et al., CVPR 2020, "The Devil is in the Details" (unbiased data processing: a heatmap
pixel is mapped by its centre, so flips need no shift).

A heatmap pixel u of stride s sits at input pixel (u + 0.5) s - 0.5. Targets are centred at the exact sub-pixel
position, never rounded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from ..errors import ShapeError
from ..skeletons import Skeleton
from ..types import Outputs, Targets
from ._upsampled import peaks_upsampled

PRESENCE = "presence"
"""The array of joints' logits of being in the picture."""
_REFINEMENTS = ("argmax", "quarter", "dark", "upsampled")
_ACTIVATIONS = ("linear", "softmax")


@dataclass(frozen=True)
class HeatmapCodec:
    """Heatmaps of ``size_wh / stride``, a Gaussian of ``sigma`` heatmap pixels at each joint.

    Attributes
    ----------
    size_wh : the network input's (width, height).
    stride : input pixels per heatmap pixel.
    sigma : standard deviation of the target, in heatmap pixels.
    refine : ``"argmax"`` (whole pixels), ``"quarter"`` (a quarter pixel towards the higher neighbour), ``"dark"``
        (Taylor expansion of the log of the map, after smoothing it with a Gaussian of ``blur`` pixels) or
        ``"upsampled"`` (linear maps only): the highest whole pixel of the map enlarged to the input and smoothed, as
        system 3 does it; a joint below 0.2 there has score 0. See ``_upsampled.py``.
    blur : standard deviation of that smoothing in heatmap pixels; 0 for maps that are exact Gaussians.
    blur_first : the peak is the smoothed map's: the place with most of the chance about it, where a network is unsure,
        instead of the highest of many small peaks. Scores of linear maps are then heights of the smoothed map, over
        what a perfect Gaussian has there.
    activation : what the network's raw output is. ``"linear"``: the heatmap itself, peak 1, trained by squared error;
        the score is the peak's height. ``"softmax"``: logits over all pixels of the map, trained by cross-entropy
        with a target that sums to 1; the score is the probability mass within two sigma of the peak, over what
        a perfect target holds there.
    outside : what a labelled joint outside of the input teaches. ``"ignored"``: nothing. ``"empty"`` (linear maps
        only): that its map is empty, so that legs below the edge of a portrait get low scores instead of a guess.
    unlabelled : what a joint without a label teaches. ``"ignored"``: nothing. ``"empty"`` (linear maps only): that its
        map is empty, even where the joint can be seen. System 3 trains without a mask: this and ``outside``, both
        empty.
    presence : also a number for each joint, whether it is in the picture at all, as a logit: ``"presence"`` (B, K). A
        map cannot say this apart from how sure it is where. Targets are 1, 0 for a labelled joint outside of the
        input, and -1, which teaches nothing, for one without a label (0 with ``unlabelled`` empty).
    """

    kind: ClassVar[str] = "heatmap"
    finds_joints: ClassVar[bool] = True
    array: ClassVar[str] = "heatmaps"

    size_wh: tuple[int, int] = (192, 256)
    stride: int = 4
    sigma: float = 2.0
    refine: str = "dark"
    blur: float = 0.0
    blur_first: bool = False
    activation: str = "linear"
    outside: str = "ignored"
    unlabelled: str = "ignored"
    presence: bool = False

    def __post_init__(self) -> None:
        if self.refine not in _REFINEMENTS or self.activation not in _ACTIVATIONS:
            raise ShapeError(
                f"refine must be one of {_REFINEMENTS} and activation one of {_ACTIVATIONS}, "
                f"got '{self.refine}' and '{self.activation}'"
            )
        for name, choice in (("outside", self.outside), ("unlabelled", self.unlabelled)):
            if choice not in ("ignored", "empty") or (choice == "empty" and self.activation != "linear"):
                raise ShapeError(
                    f"{name} must be ignored, or empty for linear maps; got '{choice}' for {self.activation} maps"
                )
        if self.refine == "upsampled" and self.activation != "linear":
            raise ShapeError(f"refine: upsampled needs maps whose peaks are near 1: linear ones, got {self.activation}")
        if self.blur_first and not (self.blur > 0 and self.refine in ("argmax", "dark")):
            raise ShapeError(
                f"blur_first needs a blur above 0, and refine argmax or dark; got {self.blur} and '{self.refine}'"
            )
        fits = self.stride >= 1 and all(side >= self.stride and side % self.stride == 0 for side in self.size_wh)
        if not (fits and self.sigma > 0 and self.blur >= 0):  # written so that NaN is refused
            raise ShapeError(
                f"the input size must be a multiple of the stride and sigma positive, got size_wh {self.size_wh}, "
                f"stride {self.stride}, sigma {self.sigma}, blur {self.blur}"
            )

    @property
    def map_wh(self) -> tuple[int, int]:
        """The heatmap's (width, height)."""
        return self.size_wh[0] // self.stride, self.size_wh[1] // self.stride

    @property
    def refined(self) -> bool:
        """Whether decoding goes below a heatmap pixel without bias."""
        return self.refine == "dark"

    def resized(self, size_wh: tuple[int, int]) -> HeatmapCodec:
        """The same codec for another input size."""
        return replace(self, size_wh=size_wh)

    def shapes(self, joints: int) -> dict[str, tuple[int, ...]]:
        """See `Codec.shapes`."""
        width, height = self.map_wh
        return {self.array: (joints, height, width), **({PRESENCE: (joints,)} if self.presence else {})}

    def to_map(self, keypoints_px: Any) -> Any:
        """Input pixels -> heatmap pixels (both with centres at integers)."""
        return (keypoints_px + 0.5) / self.stride - 0.5

    def to_input(self, keypoints_map: Any) -> Any:
        """Heatmap pixels -> input pixels."""
        return (keypoints_map + 0.5) * self.stride - 0.5

    def encode(self, keypoints_px: np.ndarray, visibility: np.ndarray) -> Targets:
        """See `Codec.encode`. A joint that is outside or not labelled has weight 0, unless its map is to be empty."""
        width, height = self.map_wh
        centre = self.to_map(np.asarray(keypoints_px, np.float32))
        with np.errstate(invalid="ignore"):
            inside = (centre >= -0.5).all(-1) & (centre[..., 0] <= width - 0.5) & (centre[..., 1] <= height - 0.5)
        labelled = np.asarray(visibility) > 0
        weights = self._taught(inside, labelled).astype(np.float32)
        drawn = (inside & labelled).astype(np.float32)
        centre = np.where(drawn[..., None] > 0, centre, 0)
        across = np.exp(-((np.arange(width, dtype=np.float32) - centre[..., :1]) ** 2) / (2 * self.sigma**2))
        down = np.exp(-((np.arange(height, dtype=np.float32) - centre[..., 1:]) ** 2) / (2 * self.sigma**2))
        if self.activation == "softmax":
            across, down = across / across.sum(-1, keepdims=True), down / down.sum(-1, keepdims=True)
        maps = down[..., :, None] * across[..., None, :] * drawn[..., None, None]
        arrays = {self.array: maps.astype(np.float32)}
        if self.presence:
            arrays[PRESENCE] = np.where(self._known(labelled), drawn, np.float32(-1))
        return Targets(arrays, weights)

    def encode_torch(self, keypoints_px: Any, visibility: Any) -> Targets:
        """See `Codec.encode_torch`."""
        import torch

        width, height = self.map_wh
        centre = self.to_map(keypoints_px.float())
        limit = torch.tensor([width - 0.5, height - 0.5], device=centre.device)
        inside, labelled = ((centre >= -0.5) & (centre <= limit)).all(-1), visibility > 0
        weights = self._taught(inside, labelled).float()
        drawn = inside & labelled
        centre = torch.where(drawn[..., None], centre, torch.zeros_like(centre))
        across = torch.exp(-((torch.arange(width, device=centre.device) - centre[..., :1]) ** 2) / (2 * self.sigma**2))
        down = torch.exp(-((torch.arange(height, device=centre.device) - centre[..., 1:]) ** 2) / (2 * self.sigma**2))
        if self.activation == "softmax":
            across, down = across / across.sum(-1, keepdim=True), down / down.sum(-1, keepdim=True)
        maps = down[..., :, None] * (across * drawn.float()[..., None])[..., None, :]
        arrays = {self.array: maps}
        if self.presence:
            arrays[PRESENCE] = torch.where(self._known(labelled), drawn.float(), -1.0)
        return Targets(arrays, weights)

    def _known(self, labelled: Any) -> Any:
        """(B, K) bool, numpy or torch: joints of which it is known whether they are in the picture."""
        return labelled | (self.unlabelled == "empty")

    def _taught(self, inside: Any, labelled: Any) -> Any:
        """(B, K) bool, numpy or torch: joints whose map counts, drawn or empty."""
        taught = labelled if self.outside == "empty" else inside & labelled
        return taught | ~labelled if self.unlabelled == "empty" else taught

    def decode(self, outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
        """See `Codec.decode`. Of torch tensors only the peaks' surroundings leave their device, unless upsampled."""
        maps = outputs.arrays[self.array]
        maps = np.asarray(maps, np.float32) if not _is_tensor(maps) else maps.detach().float()
        if maps.ndim != 4:
            raise ShapeError(f"heatmaps must be (B, K, h, w), got {tuple(maps.shape)}")
        batch, joints, height, width = maps.shape
        if (width, height) != self.map_wh:
            raise ShapeError(f"heatmaps must be {self.map_wh} wide and high for {self}, got {(width, height)}")
        flat = maps.reshape(batch * joints, height, width)
        if self.activation == "softmax":
            flat = _softmax(flat)
        if self.refine == "upsampled":
            keypoints, scores = peaks_upsampled(_numpy(flat), self.size_wh)
            return keypoints.reshape(batch, joints, 2), scores.reshape(batch, joints)
        peak_xy = _highest(flat)
        if self.blur_first:
            smoothed = _smoothed(flat, self.blur)
            best_xy = _highest(smoothed)
            scores = self._scores(smoothed if self.activation == "linear" else flat, best_xy)
            # Smoothing moves a peak that the border cuts; there, where both find the same one, the map's own stands.
            reach = np.ceil(3 * self.blur)
            cut = ((peak_xy < reach) | (peak_xy > np.array([width, height]) - 1 - reach)).any(axis=1, keepdims=True)
            same = (np.abs(best_xy - peak_xy) <= np.ceil(self.blur)).all(axis=1, keepdims=True)
            peak_xy = np.where(cut & same, peak_xy, best_xy)
        else:
            scores = self._scores(flat, peak_xy)
        centre = peak_xy.astype(np.float32)
        if self.refine == "quarter":
            centre += _quarter_offset(flat, peak_xy)
        elif self.refine == "dark":
            centre += _taylor_offset(flat, peak_xy, self.blur)
        keypoints = self.to_input(centre).reshape(batch, joints, 2)
        return keypoints.astype(np.float32), scores.reshape(batch, joints)

    def _scores(self, flat: Any, peak_xy: np.ndarray) -> np.ndarray:
        if self.activation == "linear":
            peak = _patches(flat, peak_xy, 0, fill=0.0)[:, 0, 0]
            if self.blur_first:
                peak = peak * (1 + (self.blur / self.sigma) ** 2)
            return np.clip(peak, 0, 1).astype(np.float32)
        reach = max(1, round(2 * self.sigma))
        patches = _patches(flat, peak_xy, reach, fill=0.0)
        offsets = np.arange(-4 * reach, 4 * reach + 1)
        profile = np.exp(-(offsets**2) / (2 * self.sigma**2))
        held = (profile[np.abs(offsets) <= reach].sum() / profile.sum()) ** 2
        return np.clip(patches.sum(axis=(1, 2)) / held, 0, 1).astype(np.float32)

    def flip(self, outputs: Outputs, skeleton: Skeleton) -> Outputs:
        """See `Codec.flip`. With centres mapped exactly, mirroring needs no shift by a pixel."""
        flipped = {self.array: mirrored(exchanged(outputs.arrays[self.array], skeleton.flip))}
        if PRESENCE in outputs.arrays:
            flipped[PRESENCE] = exchanged(outputs.arrays[PRESENCE], skeleton.flip)
        return Outputs(flipped)


def mirrored(array: Any) -> Any:
    """The last axis reversed, of a numpy array or a torch tensor (which has no negative strides)."""
    return array.flip(-1) if _is_tensor(array) else array[..., ::-1]


def exchanged(array: Any, order: np.ndarray) -> Any:
    """The joints (second axis) in another order, of a numpy array or a torch tensor (which warns of an index that is
    read-only, as a skeleton's are)."""
    return array[:, order.tolist() if _is_tensor(array) else order]


def _is_tensor(array: Any) -> bool:
    return hasattr(array, "detach")  # without importing torch, which may not be there


def _numpy(array: Any) -> np.ndarray:
    return array.cpu().numpy() if _is_tensor(array) else array


def _softmax(flat: Any) -> Any:
    """Over all pixels of each (h, w) map."""
    if _is_tensor(flat):
        return flat.flatten(1).softmax(1).reshape(flat.shape)
    exponent = np.exp(flat - flat.max(axis=(1, 2), keepdims=True))
    return exponent / exponent.sum(axis=(1, 2), keepdims=True)


def _highest(flat: Any) -> np.ndarray:
    """(M, 2) x, y of the highest pixel of (M, h, w) maps, numpy or torch."""
    count, height, width = flat.shape
    index = _numpy(flat.reshape(count, height * width).argmax(1))
    return np.stack([index % width, index // width], axis=1)


def _smoothed(flat: Any, blur: float) -> Any:
    """(M, h, w) maps with a Gaussian of ``blur`` pixels over them, numpy or torch; over the border there is nothing.

    As two products with banded matrices, which take no longer than the shifted sums of a patch. Rows sum to 1, so that
    a joint at the border is no lower for it.
    """
    height, width = flat.shape[1:]
    down, across = (_gaussian_rows(side, blur) for side in (height, width))
    if not _is_tensor(flat):
        return down @ (flat @ across.T)
    import torch

    down, across = (torch.tensor(matrix, device=flat.device) for matrix in (down, across))
    with torch.autocast(flat.device.type, enabled=False):  # validation runs under it, and half precision is too little
        return down @ (flat @ across.T)


@lru_cache(maxsize=16)
def _gaussian_rows(side: int, blur: float) -> np.ndarray:
    """(side, side) float32: row i is a Gaussian about i, cut at 3 blurs, with sum 1."""
    apart = np.abs(np.subtract.outer(np.arange(side), np.arange(side)))
    rows = np.where(apart <= np.ceil(3 * blur), np.exp(-(apart**2) / (2 * blur**2)), 0)
    rows = (rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)
    rows.setflags(write=False)  # it is cached and shared
    return rows


def _patches(flat: Any, centre_xy: np.ndarray, reach: int, fill: float) -> np.ndarray:
    """(M, 2 reach + 1, 2 reach + 1) windows about whole-pixel centres (M, 2) of maps (M, h, w), numpy or torch."""
    height, width = flat.shape[1:]
    step = np.arange(-reach, reach + 1)
    rows = centre_xy[:, 1, None, None] + step[:, None]
    columns = centre_xy[:, 0, None, None] + step[None, :]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    index = np.clip(rows, 0, height - 1) * width + np.clip(columns, 0, width - 1)
    index = index.reshape(len(flat), len(step) ** 2)
    if _is_tensor(flat):
        import torch

        found = flat.flatten(1).gather(1, torch.from_numpy(index).to(flat.device)).cpu().numpy()
    else:
        found = np.take_along_axis(flat.reshape(len(flat), height * width), index, axis=1)
    return np.where(inside, found.reshape(inside.shape), np.float32(fill))


def _quarter_offset(flat: Any, peak_xy: np.ndarray) -> np.ndarray:
    """(M, 2) a quarter pixel towards the higher of the two neighbours on each axis; 0 at the border."""
    patch = _patches(flat, peak_xy, 1, fill=np.nan)
    with np.errstate(invalid="ignore"):
        step = np.stack([np.sign(patch[:, 1, 2] - patch[:, 1, 0]), np.sign(patch[:, 2, 1] - patch[:, 0, 1])], axis=1)
    return 0.25 * np.nan_to_num(step).astype(np.float32)


def _taylor_offset(flat: Any, peak_xy: np.ndarray, blur: float) -> np.ndarray:
    """(M, 2) sub-pixel offset of the maximum of log(map), to second order about the peak; 0 at the border.

    Only the 5 x 5 neighbourhood of the peak (wider by the blur) is smoothed: an order of magnitude quicker than
    smoothing whole maps, with the same numbers.
    """
    reach = 2
    if blur > 0:
        radius = int(np.ceil(3 * blur))
        patch = _patches(flat, peak_xy, reach + radius, fill=0.0)
        kernel = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * blur**2))
        kernel = (kernel / kernel.sum()).astype(np.float32)
        size = 2 * reach + 1
        patch = np.sum([weight * patch[:, i : i + size] for i, weight in enumerate(kernel)], axis=0)
        patch = np.sum([weight * patch[:, :, i : i + size] for i, weight in enumerate(kernel)], axis=0)
    else:
        patch = _patches(flat, peak_xy, reach, fill=0.0)
    log = np.log(np.maximum(np.asarray(patch, np.float64), 1e-10))
    dx, dy = (log[:, 2, 3] - log[:, 2, 1]) / 2, (log[:, 3, 2] - log[:, 1, 2]) / 2
    dxx = log[:, 2, 3] - 2 * log[:, 2, 2] + log[:, 2, 1]
    dyy = log[:, 3, 2] - 2 * log[:, 2, 2] + log[:, 1, 2]
    dxy = (log[:, 3, 3] - log[:, 3, 1] - log[:, 1, 3] + log[:, 1, 1]) / 4
    determinant = dxx * dyy - dxy**2
    height, width = flat.shape[1:]
    x, y = peak_xy[:, 0], peak_xy[:, 1]
    # A maximum needs a negative definite Hessian; elsewhere, and at the border, the whole pixel stands.
    usable = (x > 0) & (x < width - 1) & (y > 0) & (y < height - 1) & (dxx < 0) & (determinant > 1e-12)
    safe = np.where(usable, determinant, 1.0)
    offset = np.stack([(dxy * dy - dyy * dx) / safe, (dxy * dx - dxx * dy) / safe], axis=1)
    # A Taylor step beyond a pixel and a half means the expansion does not hold there.
    usable &= (np.abs(offset) <= 1.5).all(axis=1)
    return np.where(usable[:, None], offset, 0.0).astype(np.float32)
