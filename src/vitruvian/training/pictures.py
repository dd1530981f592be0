"""`Pictures`: what a training sees of the same few validation people, after every epoch.

System 3 keeps a "representative set" of crops for this. Here it is chosen by a seeded hash of photo and person, so that
it is the same in every epoch, resume, run and order of the file, and not the file's first page.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger

from ..codecs import HeatmapCodec
from ..data import PoseDataset
from ..data.images import write_image
from ..draw import compare, contact_sheet, stack_figure
from ..skeletons import Skeleton
from ..types import Outputs, Person, Poses

_GAP_PX, _WIDTH_PX = 8, 1600
_PAPER = (26, 28, 34)


class Pictures(Callback):
    """At each validation draws ``count`` fixed people with truth and prediction, and the first one's heatmaps by stack.

    They go to TensorBoard (``people``, ``stacks``) and, one above the other, to ``<folder>/epoch-0004.png``. The
    network is looked at while validation runs, when it holds the averaged weights that are measured; no random number
    is drawn, so that a training with pictures equals one without.

    Parameters
    ----------
    count : people to draw; all of a smaller data set.
    folder : of the PNG files, e.g. ``<run>/pictures``.
    seed : chooses the people.
    """

    def __init__(self, count: int, folder: Path, seed: int = 0) -> None:
        self._count, self._folder, self._seed = count, folder, seed

    # At the start of the first batch, not at the end of the epoch: there `Ema` may have put the weights back already,
    # depending on the order of the callbacks.
    def on_validation_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if batch_idx or dataloader_idx or trainer.sanity_checking or not trainer.is_global_zero or self._count < 1:
            return
        dataset = trainer.val_dataloaders.dataset  # type: ignore[union-attr]
        people, stacks = self.render(pl_module, dataset)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("people", people, trainer.global_step, dataformats="HWC")
                if stacks is not None:
                    logger.experiment.add_image("stacks", stacks, trainer.global_step, dataformats="HWC")
        picture = people if stacks is None else _above(people, stacks)
        self._folder.mkdir(parents=True, exist_ok=True)
        write_image(self._folder / f"epoch-{trainer.current_epoch:04d}.png", picture)

    def render(self, module: Any, dataset: PoseDataset) -> tuple[np.ndarray, np.ndarray | None]:
        """The people's sheet and the heatmaps' figure (None for a codec without maps), (H, W, 3) uint8 RGB each."""
        chosen = representative(dataset, self._count, self._seed)
        items = [dataset[i] for i in chosen]
        crops = np.stack([item["image"] for item in items])
        images = torch.from_numpy(crops).to(module.device)
        height, width = crops.shape[1:3]
        # progressive resizing changes the size of the crops
        codec = module.codec if (width, height) == module.codec.size_wh else module.codec.resized((width, height))
        with torch.no_grad():
            keypoints_px, scores = codec.decode(Outputs(module(images)))
            maps = _maps_by_stack(module, images[:1], codec) if isinstance(codec, HeatmapCodec) else None
        truth = [Person(item["keypoints_px"], item["visibility"]) for item in items]
        people = _sheet(crops, truth, keypoints_px, scores, dataset.skeleton, [_name(dataset, i) for i in chosen])
        if maps is None or not isinstance(codec, HeatmapCodec):
            return people, None
        targets = codec.encode(truth[0].keypoints_px[None], truth[0].visibility[None])
        target = targets.arrays[codec.array][0]
        return people, stack_figure(crops[0], *_comparable(maps, target, codec), dataset.skeleton.joints)


def representative(dataset: PoseDataset, count: int, seed: int = 0) -> list[int]:
    """Indices of ``count`` people of a data set, by a hash of the seed, the photo's name and the person's box."""

    def draw(index: int) -> bytes:
        box = np.round(dataset.box(index), 2).tolist()
        return hashlib.sha256(f"{seed}|{_name(dataset, index)}|{box}".encode()).digest()

    return sorted(range(len(dataset)), key=draw)[:count]


def _name(dataset: PoseDataset, index: int) -> str:
    record = dataset.records[dataset.people[index][0]]
    return str(record.image_id) if record.image_path is None else record.image_path.name


def _maps_by_stack(module: Any, images: torch.Tensor, codec: HeatmapCodec) -> np.ndarray:
    """(S, K, h, w) raw maps of one image; S is 1 for a network without stacks."""
    if hasattr(module.network, "every_stack"):
        maps = module.network.every_stack(module.normalise(images))[0]
    else:
        maps = module(images)[codec.array]
    return maps.float().cpu().numpy()


def _comparable(maps: np.ndarray, target: np.ndarray, codec: HeatmapCodec) -> tuple[np.ndarray, np.ndarray]:
    """Maps and target with peaks of about 1: softmax maps are shown relative to the highest a target can be."""
    if codec.activation != "softmax":
        return maps, target
    exponent = np.exp(maps - maps.max(axis=(-2, -1), keepdims=True))
    peak = 1 / (2 * np.pi * codec.sigma**2)
    return exponent / exponent.sum(axis=(-2, -1), keepdims=True) / peak, target / peak


def _sheet(
    crops: np.ndarray,
    truth: list[Person],
    keypoints_px: np.ndarray,
    scores: np.ndarray,
    skeleton: Skeleton,
    captions: list[str],
) -> np.ndarray:
    """All joints are drawn, whatever their scores: those of a young network would all be too low."""
    height, width = crops.shape[1:3]
    box = np.array([[-0.5, -0.5, width - 0.5, height - 0.5]])
    drawn = []
    for crop, person, points, sure in zip(crops, truth, keypoints_px, scores, strict=True):
        poses = Poses(points[None], sure[None], box, skeleton, (width, height), boxes_from="whole image")
        drawn.append(compare(crop, person, poses, threshold=0.0, legend=not drawn))
    columns = max(1, _WIDTH_PX // (width + _GAP_PX))
    return contact_sheet(drawn, captions=captions, columns=columns, tile_wh=(width, height), gap=_GAP_PX)


def _above(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Two pictures as one."""
    width = max(upper.shape[1], lower.shape[1])
    both = np.empty((upper.shape[0] + _GAP_PX + lower.shape[0], width, 3), np.uint8)
    both[...] = _PAPER
    both[: upper.shape[0], : upper.shape[1]] = upper
    both[upper.shape[0] + _GAP_PX :, : lower.shape[1]] = lower
    return both
