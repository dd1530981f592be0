"""`Views`: a data set of views without pixels, and `CropMaker`, which makes a batch of them into crops."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ...data import PoseDataset
from ...data.keys import Key, generator_of, whole_key
from ...errors import RecipeError
from ...geometry import boxes
from .looks import looks_of, rounded
from .photos import PackedPhotos
from .surroundings import Donors, RandomSurroundings

SEED, SIZE = "seed", "size_wh"
"""What stays on the CPU of a batch: numbers that decide shapes, or that torch's generators begin with."""

_SPARE = 0.5
"""Share of a GPU's free memory that photos may take: the rest is for the network."""
_NO_MASK = -1
_MARGIN_PX = 4  # around the span of a mask, for looks at its edge


class Views(Dataset):
    """The samples of a `PoseDataset` as what they show: arrays of a few numbers, the same as that one would draw.

    Attributes
    ----------
    people : that data set.
    photos : indices of its records that have people.
    masks : indices of its people whose masks are needed; ``mask_of`` of a person is the place there, or -1.
    """

    def __init__(self, people: PoseDataset) -> None:
        self.people = people
        self.photos = sorted({i for i, _ in people.people})
        self._place = {record: place for place, record in enumerate(self.photos)}
        masked = people.teaches != "joint" or people.mixing is not None
        who = [i for i, (_, p) in enumerate(people.people) if masked and p.segmentation is not None]
        self.masks = who
        self.mask_of = np.full(len(people), _NO_MASK, np.int64)
        self.mask_of[who] = np.arange(len(who))

    def __len__(self) -> int:
        return len(self.people)

    def place(self, index: int) -> int:
        """Where among `photos` the picture of the person ``index`` is."""
        return self._place[self.people.people[index][0]]

    def __getitem__(self, key: Key) -> dict[str, Any]:
        index, epoch, repeat = whole_key(key, self.people.epoch)
        rng = generator_of(self.people.seed, index, epoch, repeat)
        view = self.people.view(index, epoch, rng)
        width, height = self.people.size_wh(view.photo)
        columns, rows = view.columns.indices(width), view.rows.indices(height)
        return {
            "keypoints_px": view.keypoints_px,
            "visibility": view.visibility,
            "frame_to_input": view.frame_to_input.matrix.astype(np.float32),
            "input_to_frame": view.frame_to_input.inverse().matrix.astype(np.float32),
            "index": np.int64(index),
            "photo": np.int64(self.place(index)),
            "mask_of": self.mask_of[index],
            "within_xyxy": np.array([columns[0], rows[0], columns[1], rows[1]], np.int64),
            SIZE: np.array(view.size_wh, np.int64),
            SEED: rng.integers(2**62),
        }


class CropMaker:
    """Makes batches of `Views` into batches of `PoseDataset`, on a device.

    Parameters
    ----------
    views : whose photos and masks are packed on the device, once.
    progress : goes round what is packed, for a bar.

    Raises
    ------
    RecipeError
        A photometry other than `RandomPhotometry`, or photos that a GPU has no room for.
    """

    def __init__(
        self,
        views: Views,
        device: torch.device | str = "cpu",
        progress: Callable[[Sequence[int]], Iterable[int]] = iter,
    ) -> None:
        people = views.people
        self.looks = looks_of(people.photometry)
        self.device, self.fill = torch.device(device), people.preprocess.fill
        self.teaches_masks = people.teaches != "joint"
        photos = [*views.photos, *(people.without_people if people.mixing is not None else ())]
        sizes = [people.size_wh(i) for i in photos]
        # Of a mask the part that shows something: whole ones would take more room than the photos where many people are
        # small.
        spans, parts, corners = [], [], []
        for i in progress(views.masks):
            mask = people.mask(i)
            spans.append(_span(mask))
            x0, y0, x1, y1 = _grown(spans[-1], people.size_wh(people.people[i][0]))
            parts.append(mask[y0:y1, x0:x1].copy())
            corners.append((x0, y0))
        masked = [(part.shape[1], part.shape[0]) for part in parts]
        self._check_room(PackedPhotos.bytes_of(sizes, 3) + PackedPhotos.bytes_of(masked, 1))
        self.photos = PackedPhotos(map(people.image, progress(photos)), sizes, 3, self.device)
        self.masks = PackedPhotos(parts, masked, 1, self.device, corners)
        self.surroundings = None
        if people.mixing is not None:
            shown = torch.tensor(spans, dtype=torch.float32, device=device)
            whose = torch.tensor([views.place(i) for i in views.masks], device=device)
            empty = torch.arange(len(views.photos), len(photos), device=self.device)
            self.surroundings = RandomSurroundings(people.mixing, Donors(self.photos, self.masks, whose, shown, empty))

    def _check_room(self, needed: int) -> None:
        if self.device.type != "cuda":
            return
        room = int(_SPARE * torch.cuda.mem_get_info(self.device)[0])
        if needed > room:
            raise RecipeError(
                f"augment_on: device: photos and masks take {needed / 2**30:.1f} GB, half of the GPU's free memory is "
                f"{room / 2**30:.1f} GB; train on fewer photos, or with augment_on: cpu"
            )

    def __call__(self, batch: dict[str, Tensor], size_wh: Sequence[int], seed: int) -> dict[str, Tensor]:
        """A batch of `Views`, on the device, with ``"image"`` (B, H, W, 3) uint8 and what `as_item` says of masks.

        ``size_wh`` and ``seed`` are those of its first entry.
        """
        generator = torch.Generator(self.device).manual_seed(seed)
        where, within = batch.pop("input_to_frame"), batch.pop("within_xyxy")
        which, mask_of = batch.pop("photo"), batch.pop("mask_of")
        crops = self.photos.look_up(which, where, size_wh, within, self.fill)
        has_mask, masks = mask_of != _NO_MASK, torch.zeros_like(crops[:, :1])
        changes = None if self.surroundings is None else self.surroundings.draw(len(crops), generator)
        needed = has_mask if self.teaches_masks or changes is None else has_mask & (changes.background | changes.person)
        rows = needed.nonzero()[:, 0]
        if len(rows):
            masks[rows] = self.masks.look_up(mask_of[rows], where[rows], size_wh, within[rows])
        if self.surroundings is not None and changes is not None:
            points = torch.where(batch["visibility"][..., None] > 0, batch["keypoints_px"], torch.nan)
            crops, masks = self.surroundings(crops, masks, has_mask, points, changes, generator)
        crops = rounded(crops) if self.looks is None else self.looks(crops, generator)
        batch["image"] = crops.to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        if self.teaches_masks:
            batch["mask"], batch["has_mask"] = (masks[:, 0] >= 127.5).to(torch.uint8), has_mask
        return batch


def _span(mask: np.ndarray) -> tuple[int, int, int, int]:
    """First and last pixels (x0, y0, x1, y1) of what a mask shows; one pixel where it shows nothing."""
    rows, columns = boxes.span(mask) or (slice(0, 1), slice(0, 1))
    return columns.start, rows.start, columns.stop - 1, rows.stop - 1


def _grown(span: tuple[int, int, int, int], size_wh: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part of a mask that is kept: x0, y0, x1, y1, ends not among it."""
    (x0, y0, x1, y1), (width, height) = span, size_wh
    return (
        max(x0 - _MARGIN_PX, 0),
        max(y0 - _MARGIN_PX, 0),
        min(x1 + 1 + _MARGIN_PX, width),
        min(y1 + 1 + _MARGIN_PX, height),
    )
