"""The grid task: which cells of a coarse grid hold a joint, or a good part of a limb that ends in it.

Source: Ashish R. Jha's Human3.6M project (datashines.github.io, post of 2019-02-02; github.com/arj7192/HumanPose3D),
which trains a network on it before regressing 3D poses; after the joint point detection of Li & Chan, ACCV 2014.

Windows sit at the centres of the grid's cells and may be larger than these, so that neighbours overlap: 13 x 13 pixels
every 12.8 for 10 x 10 windows in 128 x 128. One is marked for joint j if j lies in it (or on its border), or if more
than 30 % of the length of an edge from j to a neighbour of the skeleton does. Several windows a joint are thus marked,
and joints at the two ends of a limb share some. Where the first window begins the source does not say; centred, the
grid is its own mirror image.

`GridCodec` has the members of `Codec`, but is not in the table `CODECS`: it is a task to learn features from. Its
targets say no more than a window or two, so nothing decodes to what the other codecs have to reach.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ..errors import ShapeError
from ..skeletons import H36M17, Skeleton
from ..types import Outputs, Targets
from .heatmap import exchanged, mirrored


@dataclass(frozen=True)
class GridCodec:
    """Targets 0 and 1 for each joint and window; a network gives logits.

    Attributes
    ----------
    size_wh : the network input's (width, height).
    grid_wh : windows across and down.
    window_wh : a window's (width, height) in input pixels.
    share : an edge marks the windows that hold more than this part of its length.
    edges : pairs of joint indices, the skeleton's; `for_skeleton` fills them in.
    """

    kind: ClassVar[str] = "grid"
    refined: ClassVar[bool] = False

    size_wh: tuple[int, int] = (128, 128)
    grid_wh: tuple[int, int] = (10, 10)
    window_wh: tuple[float, float] = (13.0, 13.0)
    share: float = 0.3
    edges: tuple[tuple[int, int], ...] = H36M17.edges

    def __post_init__(self) -> None:
        positive = min(*self.size_wh, *self.grid_wh) >= 1 and min(self.window_wh) > 0
        if not positive or not 0 <= self.share <= 1:
            raise ShapeError(f"size, grid and window must be positive, share within 0 and 1, got {self}")
        object.__setattr__(self, "edges", tuple((int(a), int(b)) for a, b in self.edges))
        if any(a < 0 or b < 0 or a == b for a, b in self.edges):
            raise ShapeError(f"an edge joins two different joints, got {self.edges}")

    @classmethod
    def for_skeleton(cls, skeleton: Skeleton, **fields: Any) -> GridCodec:
        """The codec with that skeleton's edges; further fields by name."""
        return cls(edges=skeleton.edges, **fields)

    @property
    def windows_xyxy(self) -> np.ndarray:
        """(rows, columns, 4) float64 the windows' edges in input pixels (pixel centres at integers)."""
        steps = [(np.arange(n) + 0.5) * side / n - 0.5 for n, side in zip(self.grid_wh, self.size_wh, strict=True)]
        x, y = np.meshgrid(*steps)
        half_x, half_y = self.window_wh[0] / 2, self.window_wh[1] / 2
        return np.stack([x - half_x, y - half_y, x + half_x, y + half_y], axis=-1)

    def resized(self, size_wh: tuple[int, int]) -> GridCodec:
        """The same grid over another input size, its windows scaled with it."""
        scale = [new / old for new, old in zip(size_wh, self.size_wh, strict=True)]
        window = (self.window_wh[0] * scale[0], self.window_wh[1] * scale[1])
        return replace(self, size_wh=size_wh, window_wh=window)

    def shapes(self, joints: int) -> dict[str, tuple[int, ...]]:
        """See `Codec.shapes`."""
        return {"grid": (joints, self.grid_wh[1], self.grid_wh[0])}

    def encode(self, keypoints_px: np.ndarray, visibility: np.ndarray) -> Targets:
        """See `Codec.encode`. A joint outside the input has weight 0; an edge needs both of its joints labelled.

        Raises `ShapeError` where an edge names a joint that is not there.
        """
        keypoints = np.asarray(keypoints_px, np.float64)
        if keypoints.ndim != 3 or keypoints.shape[2] != 2 or np.shape(visibility) != keypoints.shape[:2]:
            raise ShapeError(
                f"expected keypoints (B, K, 2) and visibility (B, K), got {keypoints.shape} and {np.shape(visibility)}"
            )
        batch, joints = keypoints.shape[:2]
        if max((max(edge) for edge in self.edges), default=-1) >= joints:
            raise ShapeError(f"the codec's edges name joints that {joints} joints do not have: {self.edges}")
        labelled = np.isfinite(keypoints).all(axis=2) & (np.asarray(visibility) > 0)
        points = np.where(labelled[..., None], keypoints, 0.0)
        inside = (points >= -0.5).all(axis=2) & (points <= np.array(self.size_wh) - 0.5).all(axis=2)
        windows = self.windows_xyxy.reshape(-1, 4)
        # With a hair's breadth, lest float32 leaves a joint on the line between two windows out of both.
        marked = (points[:, :, None] >= windows[:, :2] - 1e-5).all(axis=3)
        marked &= (points[:, :, None] <= windows[:, 2:] + 1e-5).all(axis=3) & labelled[..., None]
        for a, b in self.edges:
            long = segment_shares(points[:, a], points[:, b], windows) > self.share
            long &= (labelled[:, a] & labelled[:, b])[:, None]
            marked[:, a] |= long
            marked[:, b] |= long
        weights = (labelled & inside).astype(np.float32)
        target = marked.reshape(batch, *self.shapes(joints)["grid"]) * weights[..., None, None]
        return Targets({"grid": target.astype(np.float32)}, weights)

    def encode_torch(self, keypoints_px: Any, visibility: Any) -> Targets:
        """See `Codec.encode_torch`. Computed on the CPU by `encode`: a batch of 128 takes milliseconds."""
        import torch

        device = keypoints_px.device
        made = self.encode(keypoints_px.detach().cpu().numpy(), visibility.detach().cpu().numpy())
        arrays = {name: torch.from_numpy(array).to(device) for name, array in made.arrays.items()}
        return Targets(arrays, torch.from_numpy(made.weights).to(device))

    def decode(self, outputs: Outputs) -> tuple[np.ndarray, np.ndarray]:
        """See `Codec.decode`: the centre of each joint's best window, and its probability.

        Of several equally good windows the first in reading order; so targets themselves, given as logits, decode to a
        window that is marked, which need not be the joint's own.
        """
        logits = outputs.arrays["grid"]
        logits = np.asarray(logits.detach().float().cpu() if hasattr(logits, "detach") else logits, np.float32)
        rows, columns = self.shapes(1)["grid"][1:]
        if logits.ndim != 4 or logits.shape[2:] != (rows, columns):
            raise ShapeError(f"grid must be (B, K, {rows}, {columns}) for {self}, got {logits.shape}")
        flat = logits.reshape(*logits.shape[:2], rows * columns)
        best = flat.argmax(axis=2)
        windows = self.windows_xyxy.reshape(-1, 4)
        centres = (windows[:, :2] + windows[:, 2:]) / 2
        peak = np.take_along_axis(flat, best[..., None], axis=2)[..., 0]
        with np.errstate(over="ignore"):
            scores = 1 / (1 + np.exp(-peak))
        return centres[best].astype(np.float32), scores.astype(np.float32)

    def flip(self, outputs: Outputs, skeleton: Skeleton) -> Outputs:
        """See `Codec.flip`."""
        return Outputs({"grid": mirrored(exchanged(outputs.arrays["grid"], skeleton.flip))})


def segment_shares(a_px: np.ndarray, b_px: np.ndarray, boxes_xyxy: np.ndarray) -> np.ndarray:
    """(B, M) part, in [0, 1], of the length of each segment a-b that lies in each box.

    Source: Liang & Barsky, ACM Transactions on Graphics 1984: a box cuts an interval out of the segment's parameter,
    one bound a side, and the interval's length is the share.

    Parameters
    ----------
    a_px, b_px : (B, 2) finite ends; a segment without length has the share 0.
    boxes_xyxy : (M, 4).
    """
    step = b_px - a_px
    enter, leave = np.zeros((len(a_px), len(boxes_xyxy))), np.ones((len(a_px), len(boxes_xyxy)))
    for axis in range(2):
        low = boxes_xyxy[None, :, axis] - a_px[:, axis, None]
        high = boxes_xyxy[None, :, axis + 2] - a_px[:, axis, None]
        slope = step[:, axis, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            first, second = low / slope, high / slope
        # Parallel to this side: all of the segment is between the two lines, or nothing.
        between = (low <= 0) & (high >= 0)
        first = np.where(slope == 0, np.where(between, -np.inf, np.inf), first)
        second = np.where(slope == 0, np.inf, second)
        enter = np.maximum(enter, np.minimum(first, second))
        leave = np.minimum(leave, np.maximum(first, second))
    shares = np.maximum(leave - enter, 0.0)
    return np.where((step != 0).any(axis=1)[:, None], shares, 0.0)
