"""`PictureLifter`: 3D poses by a network of pictures (of a recipe with a part ``grid``), in boxes that are known."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import WeightsError
from ..extras import need
from ..types import Poses
from ..types3d import Poses3D
from ..weights.checkpoint import load_into, read_grid_card
from ..weights.grid_card import GridCard
from ..weights.zoo import find_weights
from .masks import MaskFinder, load_masks

AXES = "of a camera that looks at the person: x right, y down, z away from it"
SCALE = "millimetres as the network learned them, of people of its training data's sizes"


def load_grid_network(path: str | Path) -> tuple[Any, GridCard]:
    """A network of either stage of a recipe with a part ``grid``, in torch, and its card; `WeightsError` for others."""
    need("torch", "train", "3D poses by a network of pictures")
    from ..models.grid_pose import build_grid_model

    card = read_grid_card(path)
    network = build_grid_model(card.model, len(card.skeleton), card.head, **card.network_options())
    load_into(network, path)
    return network, card


class PictureLifter:
    """3D poses of the people of an image.

    Parameters
    ----------
    name : a training run's folder, or its ``best.safetensors``.
    masks : finds the masks by which the background is taken away, for a network that wants it black and people who
        have none; by default the shipped model, loaded when it is needed.

    Raises
    ------
    WeightsError
        No such file, or no network of 3D poses.
    """

    def __init__(self, name: str | os.PathLike, masks: MaskFinder | None = None) -> None:
        path = Path(find_weights(name))
        self._network, self.card = load_grid_network(path)
        if self.card.head != "pose":
            raise WeightsError(f"{path} is of the first stage, which finds cells of a grid; 3D poses need the second")
        self._network.eval()
        self._masks = masks

    def __call__(self, image: np.ndarray, poses: Poses) -> Poses3D:
        """`Poses3D` of the people of ``poses``, found in (H, W, 3) uint8 RGB pixels.

        Only their boxes count, and their masks where they have some and the network wants the background black. Each
        joint's score is the person's: the network gives none. NaN for people of whom nothing is in the picture.
        """
        import torch

        from ..models.grid_pose import inputs_of

        count = len(poses)
        joints = np.full((count, len(self.card.skeleton), 3), np.nan, np.float32)
        masks = self._masks_of(image, poses)
        for i in range(count):
            mask = None if masks is None else masks[i]
            if mask is not None and not mask.any():
                continue
            crop, _ = self.card.crop.crop(image, self.card.crop.box(poses.boxes[i].astype(np.float64)), mask)
            with torch.inference_mode():
                inputs = inputs_of(torch.from_numpy(np.ascontiguousarray(crop)[None]))
                joints[i] = self._network(inputs)["pose_mm"][0].numpy()
        scores = np.repeat(np.clip(poses.scores.mean(axis=1, keepdims=True), 0, 1), joints.shape[1], axis=1)
        return replace(self.nobody(), joints_mm=joints, scores=scores, path=poses.path, ids=poses.ids)

    def nobody(self) -> Poses3D:
        """An empty result, which says what the numbers of others mean."""
        skeleton = self.card.skeleton
        none = np.zeros((0, len(skeleton), 3))
        return Poses3D(none, none[..., 0], skeleton, f"relative to the {self.card.root}", AXES, SCALE)

    def _masks_of(self, image: np.ndarray, poses: Poses) -> np.ndarray | None:
        if self.card.crop.background != "black":
            return None
        if poses.masks is None:
            self._masks = self._masks or load_masks()
            poses = self._masks(image, poses)
        return np.asarray(poses.masks)
