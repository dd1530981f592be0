"""The five values that cross the boundaries between the package's parts; nothing else does.

`Record` (one annotated image, from a format reader) -> `Sample` (image, joints and the map that leads back to the
photo) -> `Targets` (what a codec makes of it) -> `Outputs` (what a network says) -> `Poses` (people found).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ShapeError
from .geometry import Affine
from .skeletons import Skeleton


@dataclass(frozen=True, eq=False)
class Person:
    """One annotated person of a `Record`.

    Attributes
    ----------
    keypoints_px : (K, 2) float64, pixels of the image (centres at integers); NaN where not labelled.
    visibility : (K,) int8, COCO's codes: 0 not labelled, 1 labelled but hidden, 2 visible.
    box_xyxy : (4,) float64 pixels, or None when the file has none.
    area_px : square pixels of the person (COCO's ``area``, of the mask), or None.
    segmentation : COCO polygons (list of flat x, y lists) or RLE (dict with ``size`` and ``counts``), or None.
    head_box_xyxy : (4,) MPII's head rectangle, or None.
    is_crowd : COCO's ``iscrowd``: a region of many people, to be ignored by metrics.
    id : the file's own identifier, or None.
    extra : further fields worth keeping, by the name they have in the file (e.g. MPII's ``scale``).
    """

    keypoints_px: np.ndarray
    visibility: np.ndarray
    box_xyxy: np.ndarray | None = None
    area_px: float | None = None
    segmentation: Any = None
    head_box_xyxy: np.ndarray | None = None
    is_crowd: bool = False
    id: int | str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        keypoints = np.array(self.keypoints_px, dtype=np.float64)
        visibility = np.array(self.visibility, dtype=np.int8)
        if keypoints.ndim != 2 or keypoints.shape[1] != 2 or visibility.shape != keypoints.shape[:1]:
            raise ShapeError(
                f"a person needs keypoints (K, 2) and visibility (K,), got {keypoints.shape} and {visibility.shape}"
            )
        keypoints[visibility == 0] = np.nan
        object.__setattr__(self, "keypoints_px", keypoints)
        object.__setattr__(self, "visibility", visibility)

    @property
    def labelled(self) -> np.ndarray:
        """(K,) bool: joints with a position."""
        return self.visibility > 0


@dataclass(frozen=True, eq=False)
class Record:
    """One annotated image, as a format reader found it; the image itself is not opened.

    Attributes
    ----------
    image_path : where the image is, or None where a file names none.
    image_id : the file's own identifier (COCO's integer, or the file name's stem).
    size_wh : (width, height) in pixels if the file says so, else None.
    skeleton : what the joints of ``persons`` are.
    persons : the annotated people.
    source : which data set or file it came from, for summaries and cards.
    extra : further fields worth keeping (e.g. ``boxes_complete``).
    """

    image_path: Path | None
    image_id: int | str
    size_wh: tuple[int, int] | None
    skeleton: Skeleton
    persons: tuple[Person, ...] = ()
    source: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Sample:
    """One person cropped for a network.

    Attributes
    ----------
    image : (H, W, 3) uint8 RGB, the network's input before normalisation.
    keypoints_px : (K, 2) float32 in pixels of ``image``; NaN where not labelled.
    visibility : (K,) int8, COCO's codes.
    frame_to_input : the map from the photo's pixels to ``image``'s; its inverse leads predictions back.
    mask : (H, W) uint8 0/1 of the person, or None.
    flipped : whether the photo was mirrored on the way (joints are already swapped).
    """

    image: np.ndarray
    keypoints_px: np.ndarray
    visibility: np.ndarray
    frame_to_input: Affine
    mask: np.ndarray | None = None
    flipped: bool = False


@dataclass(frozen=True, eq=False)
class Targets:
    """What a codec makes of joints for a loss: named arrays and one weight a joint.

    Attributes
    ----------
    arrays : e.g. ``{"heatmaps": (B, K, h, w)}`` or ``{"simcc_x": (B, K, Wx), "simcc_y": (B, K, Hy)}``.
    weights : (B, K) float32, 0 where a joint teaches nothing: not labelled, or outside what the codec can represent.
    """

    arrays: dict[str, Any]
    weights: Any


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a network says, by the names of its codec's arrays (the keys of `Targets.arrays`)."""

    arrays: dict[str, Any]


PRESENT_ABOVE = 0.2
"""`Poses.present_above` of models for which nobody has measured it."""


@dataclass(frozen=True, eq=False)
class Poses:
    """The people found in one image: the one validated result type.

    Attributes
    ----------
    keypoints : (N, K, 2) float32, pixels of the image (centres at integers).
    scores : (N, K) float32 in [0, 1]; what they mean is said by the model's card.
    boxes : (N, 4) float32 xyxy pixels, the boxes the poses were found in.
    box_scores : (N,) float32 in [0, 1]; 1 for boxes given by the user.
    skeleton : names, edges and sigmas of the K joints.
    size_wh : the image's (width, height).
    path : the image's file, or None for an array.
    ids : (N,) int64 identities over time, or None.
    masks : (N, H, W) bool, or None. `formats.rle.PackedMasks` may stand in for the array, to save memory.
    boxes_from : where the boxes came from: ``"given"``, ``"detector"``, or ``"whole image"`` (nothing was detected:
        the image was treated as one person).
    rescore_above : joints count in `person_scores` where they score more than this; None: all of them do.
    present_above : joints with less are not taken to be there, see `present`: less ``presence`` where there is one,
        else less score. Of a prediction the model's own figure (`Card.present_above`), where it has one.
    presence : (N, K) float32 in [0, 1], how likely each joint is in the picture, or None of models that do not say. A
        score is about the place that was found.
    """

    keypoints: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    skeleton: Skeleton
    size_wh: tuple[int, int]
    box_scores: np.ndarray | None = None
    path: Path | None = None
    ids: np.ndarray | None = None
    masks: np.ndarray | None = None
    boxes_from: str = "given"
    rescore_above: float | None = None
    present_above: float = PRESENT_ABOVE
    presence: np.ndarray | None = None

    def __post_init__(self) -> None:
        keypoints = np.asarray(self.keypoints, dtype=np.float32)
        scores = np.asarray(self.scores, dtype=np.float32)
        boxes = np.asarray(self.boxes, dtype=np.float32).reshape(-1, 4)
        count, joints = len(boxes), len(self.skeleton)
        box_scores = np.ones(count, np.float32) if self.box_scores is None else np.asarray(self.box_scores, np.float32)
        for name, array, shape in (
            ("keypoints", keypoints, (count, joints, 2)),
            ("scores", scores, (count, joints)),
            ("box_scores", box_scores, (count,)),
        ):
            if array.shape != shape:
                raise ShapeError(f"poses of {count} people with {joints} joints need {name} {shape}, got {array.shape}")
        if self.presence is not None:
            presence = np.asarray(self.presence, dtype=np.float32)
            if presence.shape != scores.shape or not ((presence >= 0) & (presence <= 1)).all():
                span = f" within {presence.min():g} ... {presence.max():g}" if presence.size else ""
                raise ShapeError(
                    f"presence must be {scores.shape} in [0, 1], as scores are; got {presence.shape}{span}"
                )
            object.__setattr__(self, "presence", presence)
        width, height = self.size_wh
        for name, array, shape in (("ids", self.ids, (count,)), ("masks", self.masks, (count, height, width))):
            if array is not None and np.shape(array) != shape:
                raise ShapeError(
                    f"poses of {count} people in {width} x {height} pixels need {name} {shape}, got {np.shape(array)}"
                )
        for name, array in (("scores", scores), ("box_scores", box_scores)):
            if array.size and not ((array >= 0) & (array <= 1)).all():
                raise ShapeError(f"{name} must lie in [0, 1], got {float(array.min())} ... {float(array.max())}")
        for name, array in (("keypoints", keypoints), ("scores", scores), ("boxes", boxes), ("box_scores", box_scores)):
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def present(self) -> np.ndarray:
        """(N, K) bool: the joint is in the picture, as far as the model knows: it lies there, and is likely enough."""
        edge = np.array(self.size_wh) - 0.5
        inside = (self.keypoints >= -0.5) & (self.keypoints <= edge)  # NaN is nowhere
        return inside.all(axis=2) & self.shown()

    @property
    def likely(self) -> np.ndarray:
        """(N, K) float32: ``presence``, of models that do not say it the scores."""
        return self.scores if self.presence is None else self.presence

    def shown(self, threshold: float | None = None) -> np.ndarray:
        """(N, K) bool: joints to draw, with a position: likely enough to be there, or scoring a ``threshold``.

        Unlike those that are `present`, they may lie outside of the image, where limbs lead to.
        """
        likely, least = (self.likely, self.present_above) if threshold is None else (self.scores, threshold)
        return np.isfinite(self.keypoints).all(axis=2) & (likely >= least)

    @property
    def mean_scores(self) -> np.ndarray:
        """(N,) the mean score of a person's joints, weighed by ``presence`` where the model says it: so that half a
        person in a picture is not held against what is seen of it.
        """
        weight = np.ones_like(self.scores) if self.presence is None else self.presence
        return (self.scores * weight).sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-6)

    @property
    def person_scores(self) -> np.ndarray:
        """(N,) one score a person: the box's score times the mean score of its joints, or of those that count."""
        if len(self) == 0:
            return np.zeros(0, np.float32)
        if self.rescore_above is None:
            return self.box_scores * self.scores.mean(axis=1)  # type: ignore[operator]
        counted = self.scores > self.rescore_above
        total = np.where(counted, self.scores, np.float32(0)).sum(axis=1)
        return self.box_scores * total / np.maximum(counted.sum(axis=1), 1).astype(np.float32)  # type: ignore[operator]

    def select(self, index: Any) -> Poses:
        """The people picked by a numpy index or mask (or the one picked by a number), as another `Poses`."""
        if isinstance(index, int | np.integer):
            index = [index]
        pick = lambda array: None if array is None else array[index]  # noqa: E731
        return replace(
            self,
            keypoints=self.keypoints[index],
            scores=self.scores[index],
            boxes=self.boxes[index],
            box_scores=pick(self.box_scores),
            ids=pick(self.ids),
            masks=pick(self.masks),
            presence=pick(self.presence),
        )

    def to_skeleton(self, skeleton: Skeleton) -> Poses:
        """The same people in another skeleton, by joint name; joints it adds are NaN with score 0."""
        return replace(
            self,
            keypoints=skeleton.take(self.skeleton, self.keypoints, axis=1, missing=np.nan),
            scores=skeleton.take(self.skeleton, self.scores, axis=1, missing=0.0),
            presence=None
            if self.presence is None
            else skeleton.take(self.skeleton, self.presence, axis=1, missing=0.0),
            skeleton=skeleton,
        )

    def to_coco(self, image_id: int | str | None = None) -> list[dict]:
        """COCO keypoint results (a list of plain dicts): one a person, x, y, score triplets, category 1.

        Beside COCO's own fields ``present`` says of each joint whether it is in the picture; where the model knows,
        ``presence`` how likely, and ``present_above`` from what on. The skeleton is kept as it is; convert with
        `to_skeleton` first where a tool insists on COCO's 17 joints. A joint without a position is written as 0, 0, 0.
        """
        if image_id is None:
            stem = self.path.stem if self.path is not None else "0"
            image_id = int(stem) if stem.isascii() and stem.isdigit() else stem
        results, present = [], self.present
        for i in range(len(self)):
            triplets = np.concatenate([self.keypoints[i], self.scores[i][:, None]], axis=1).astype(np.float64)
            triplets[~np.isfinite(triplets).all(axis=1)] = 0
            x0, y0, x1, y1 = (float(v) for v in self.boxes[i])
            results.append(
                {
                    "image_id": image_id,
                    "category_id": 1,
                    "keypoints": [round(v, 4) for v in triplets.reshape(-1).tolist()],
                    "score": round(float(self.person_scores[i]), 6),
                    "bbox": [round(v, 3) for v in (x0, y0, x1 - x0, y1 - y0)],
                    "present": present[i].tolist(),
                    **self._presence_of(i),
                }
            )
        return results

    def _presence_of(self, person: int) -> dict[str, Any]:
        if self.presence is None:
            return {}
        return {"presence": [round(float(v), 4) for v in self.presence[person]], "present_above": self.present_above}

    def to_rows(self) -> list[dict[str, Any]]:
        """One plain dict a joint, what tables take: image, person, joint, x_px, y_px, score, present, presence (None
        of models that do not say it), box.
        """
        rows, present = [], self.present
        for i in range(len(self)):
            box = {k: float(v) for k, v in zip(("box_x0", "box_y0", "box_x1", "box_y1"), self.boxes[i], strict=True)}
            for k, joint in enumerate(self.skeleton.joints):
                rows.append(
                    {
                        "image": str(self.path) if self.path is not None else "",
                        "person": i,
                        "id": int(self.ids[i]) if self.ids is not None else -1,
                        "joint": joint,
                        "x_px": float(self.keypoints[i, k, 0]),
                        "y_px": float(self.keypoints[i, k, 1]),
                        "score": float(self.scores[i, k]),
                        "present": bool(present[i, k]),
                        "presence": None if self.presence is None else float(self.presence[i, k]),
                        **box,
                        "box_score": float(self.box_scores[i]),  # type: ignore[index]
                    }
                )
        return rows

    def to_dataframe(self) -> Any:
        """`to_rows` as a pandas DataFrame; `MissingExtraError` where pandas is not installed."""
        from .extras import need

        return need("pandas", "tables", "Poses.to_dataframe").DataFrame(self.to_rows())
