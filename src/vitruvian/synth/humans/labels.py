"""The truth about a picture, read off what was drawn: masks, part ids, boxes, and which joints can be seen.

A joint is *visible* (2) when the nearest surface where it appears is its own person's and at most so much in front of
it as skin and clothes are thick there, or when nothing is in front of it at all; *hidden* (1) when anything else is;
and not labelled (0) outside of the picture, as in COCO.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...formats import rle
from ...geometry.boxes import around_mask
from ...geometry.cameras import Camera
from ...skeletons import Skeleton
from ...types import Person, Record
from . import landmarks
from .people import Figure
from .render import OVERSAMPLING, Layers


@dataclass(frozen=True, eq=False)
class PictureLabels:
    """Labels of one picture with N people and L landmarks (`landmarks.NAMES`).

    Attributes
    ----------
    person, part : (H, W) uint8, of the surface that fills most of each pixel; 0 for things and background.
    joints_px : (N, L, 2) float64; ``visibility`` (N, L) int8, COCO's codes.
    joints_world_mm, joints_camera_mm : (N, L, 3) float64.
    boxes_xyxy : (N, 4) float64, edges of what can be seen of each person; NaN where nothing can.
    area_px : (N,) int64, pixels of it.
    camera : the camera.
    about : plain data, one dict a person.
    """

    person: np.ndarray
    part: np.ndarray
    joints_px: np.ndarray
    visibility: np.ndarray
    joints_world_mm: np.ndarray
    joints_camera_mm: np.ndarray
    boxes_xyxy: np.ndarray
    area_px: np.ndarray
    camera: Camera
    about: tuple[dict[str, Any], ...]


def label_picture(layers: Layers, camera: Camera, figures: list[Figure]) -> PictureLabels:
    """Labels of figures whose ids in ``layers`` are 1, 2, ... in the order of the list."""
    person, part = pixel_ids(layers.person, layers.part)
    height, width = person.shape
    count = len(figures)
    world = np.array([f.joints_mm for f in figures]).reshape(count, len(landmarks.NAMES), 3)
    seen_from = camera.world_to_camera(world)
    pixels = camera.camera_to_image(seen_from)
    visibility = np.zeros(pixels.shape[:2], np.int8)
    boxes, areas = np.full((count, 4), np.nan), np.zeros(count, np.int64)
    for i, figure in enumerate(figures):
        visibility[i] = visible(pixels[i], seen_from[i, :, 2], figure.radii_mm, layers.person, layers.depth_mm, i + 1)
        boxes[i], areas[i] = extent(person == i + 1)
    inside = (pixels >= -0.5).all(axis=-1) & (pixels < np.array([width, height]) - 0.5).all(axis=-1)
    visibility[~inside] = 0
    about = tuple(figure.about for figure in figures)
    return PictureLabels(person, part, pixels, visibility, world, seen_from, boxes, areas, camera, about)


def pixel_ids(person: np.ndarray, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) person and part of each pixel, from subpixels (2H, 2W): those of most of the four; of ties the first."""
    both = person.astype(np.uint16) << 8 | part
    four = [both[y::OVERSAMPLING, x::OVERSAMPLING] for y in range(OVERSAMPLING) for x in range(OVERSAMPLING)]
    votes = [sum((mine == other).astype(np.uint8) for other in four) for mine in four]
    best, most = four[0].copy(), votes[0]
    for mine, number in zip(four[1:], votes[1:], strict=True):
        better = number > most
        best[better] = mine[better]
        most = np.where(better, number, most)
    return (best >> 8).astype(np.uint8), (best & 255).astype(np.uint8)


def visible(
    joints_px: np.ndarray,
    depth_mm: np.ndarray,
    radii_mm: np.ndarray,
    person: np.ndarray,
    nearest_mm: np.ndarray,
    own: int,
) -> np.ndarray:
    """(K,) int8, 2 visible or 1 hidden, by the depth buffer.

    Parameters
    ----------
    joints_px : (K, 2) pixels of the picture; ``depth_mm`` (K,) along the camera's axis; ``radii_mm`` (K,).
    person, nearest_mm : (2H, 2W) of the picture's subpixels: whose surface is nearest, and how far.
    own : the joints' person in ``person``.
    """
    fine = (np.nan_to_num(joints_px, nan=-1e6) + 0.5) * OVERSAMPLING - 0.5
    column = np.clip(np.round(fine[:, 0]), 0, person.shape[1] - 1).astype(int)
    row = np.clip(np.round(fine[:, 1]), 0, person.shape[0] - 1).astype(int)
    surface, mine = nearest_mm[row, column], person[row, column] == own
    seen = (surface >= depth_mm) | (mine & (surface >= depth_mm - radii_mm))
    return np.where(seen, 2, 1).astype(np.int8)


def extent(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Edges x0, y0, x1, y1 of a mask (NaN for an empty one), and its number of pixels."""
    return around_mask(mask), int(mask.sum())


def record_of(labels: PictureLabels, skeleton: Skeleton, image_id: int, path: Any) -> Record:
    """The picture as a `Record` of one skeleton; people of whom nothing can be seen are left out."""
    height, width = labels.person.shape
    take = landmarks.for_skeleton(skeleton)
    persons = []
    for i in range(len(labels.joints_px)):
        if labels.area_px[i] == 0:
            continue
        persons.append(
            Person(
                keypoints_px=np.round(labels.joints_px[i, take], 3),
                visibility=labels.visibility[i, take],
                box_xyxy=labels.boxes_xyxy[i],
                area_px=float(labels.area_px[i]),
                segmentation=rle.encode(labels.person == i + 1),
                id=image_id * 256 + i + 1,
            )
        )
    return Record(path, image_id, (width, height), skeleton, tuple(persons), "synthetic people")
