"""Whole pictures of one person with mask and joints, each at its own size, and batches of pictures of equal size.

What system 0 trains on: not crops, but pictures as `prepare_masks` makes them. It had batches of one, since sizes vary;
`same_size_batches` makes larger ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import VitruvianError
from ..formats import rle
from ..geometry import Affine
from ..skeletons import Skeleton
from ..transforms import Geometry, Photometry, warp
from ..types import Person, Record, Sample
from .dataset import as_item, joints_under, photo, remapped
from .keys import Key, generator_of, whole_key
from .photo_store import PhotoStore


class WholePictures:
    """Pictures with exactly one person, who has what is to be learned; others are left out.

    Sides are padded with zeros on the right and below, so joints keep their coordinates.

    Parameters
    ----------
    records : e.g. of the factory's ``train.json``.
    skeleton : joints of the samples; those a record's skeleton lacks are NaN with visibility 0.
    geometry, photometry : augmentation of picture, mask and joints together, or None.
    multiple : of which every side is made one: 16 for a U-Net of five levels.
    seed : of every random draw, which comes from (seed, epoch, index) alone.
    decode : record -> (H, W, 3) uint8 RGB.
    teaches : what a picture's person must have: a labelled ``"joint"``, a ``"mask"``, or ``"both"``.
    cache_bytes : memory for decoded pictures; 0 decodes them each time.

    Raises
    ------
    VitruvianError
        No picture is left.
    """

    def __init__(
        self,
        records: Sequence[Record],
        skeleton: Skeleton,
        geometry: Geometry | None = None,
        photometry: Photometry | None = None,
        multiple: int = 16,
        seed: int = 0,
        decode: Callable[[Record], np.ndarray] = photo,
        teaches: str = "both",
        cache_bytes: int = 8 * 2**30,
    ) -> None:
        if teaches not in ("joint", "mask", "both"):
            raise VitruvianError(f"teaches is 'joint', 'mask' or 'both', got '{teaches}'")
        self.skeleton, self.geometry, self.photometry = skeleton, geometry, photometry
        self.multiple, self.seed, self.epoch = multiple, seed, 0
        self.records: list[Record] = []
        self.people: list[tuple[int, Person]] = []
        for record in records:
            alone = record.persons[0] if len(record.persons) == 1 else None
            if alone is None or alone.is_crowd:
                continue
            lacks = {"mask": alone.segmentation is None, "joint": not alone.labelled.any()}
            if any(lacks.values()) if teaches == "both" else lacks[teaches]:
                continue
            self.people.append((len(self.records), remapped(alone, record.skeleton, skeleton)))
            self.records.append(record)
        if not self.people:
            raise VitruvianError(
                f"none of {len(records)} pictures has exactly one person with "
                f"{'joints and a mask' if teaches == 'both' else f'a {teaches}'}; "
                f"`vitruvian prepare masks-and-joints` makes such"
            )
        self._pictures = PhotoStore(self.records, decode, cache_bytes)

    def __len__(self) -> int:
        return len(self.people)

    def preload(self, progress: Callable[[Sequence[int]], Iterable[int]] = iter) -> None:
        """Decode pictures now, as many as may be kept, before workers are forked."""
        self._pictures.preload(range(len(self)), progress)

    def size_wh(self, index: int) -> tuple[int, int]:
        """(width, height) of the sample ``index``, from the record where it tells, else from the picture."""
        size_wh = self.records[index].size_wh
        if size_wh is None:
            height, width = self._pictures[index].shape[:2]
            size_wh = width, height
        width, height = (-(-side // self.multiple) * self.multiple for side in size_wh)
        return width, height

    def sample(self, index: int, epoch: int = 0, repeat: int = 0) -> Sample:
        """The picture ``index`` as epoch ``epoch`` sees it the ``repeat``-th time."""
        image, person = self._pictures[index], self.people[index][1]
        height, width = image.shape[:2]
        mask = None
        if person.segmentation is not None:
            mask = rle.to_mask(person.segmentation, (width, height)).astype(np.uint8)
        rng = generator_of(self.seed, index, epoch, repeat)
        padded_wh, change, flipped = self.size_wh(index), Affine.identity(), False
        if self.geometry is None:
            right, below = padded_wh[0] - width, padded_wh[1] - height
            image = np.pad(image, ((0, below), (0, right), (0, 0)))
            mask = None if mask is None else np.pad(mask, ((0, below), (0, right)))
        else:
            change, flipped = self.geometry.sample(rng, padded_wh)
            image = warp(image, change, padded_wh)
            if mask is not None:
                mask = (warp(mask * 255, change, padded_wh) >= 128).astype(np.uint8)
        if self.photometry is not None:
            image = self.photometry(rng, image)
        keypoints, visibility = joints_under(change, person, self.skeleton, flipped)
        return Sample(image, keypoints, visibility, change, mask, flipped)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """A sample as arrays that a loader can stack with others of its size."""
        index, epoch, repeat = whole_key(key, self.epoch)
        return as_item(self.sample(index, epoch, repeat), index, masks=True)


def same_size_batches(
    sizes_wh: Sequence[tuple[int, int]], batch_size: int, rng: np.random.Generator | None = None
) -> list[list[int]]:
    """Every index once, in batches of up to ``batch_size`` pictures that all have one size.

    Parameters
    ----------
    sizes_wh : (width, height) of each picture.
    batch_size : a size's last batch may be smaller.
    rng : shuffles pictures within a size, and the batches; None keeps the order, batches by their first picture.
    """
    if batch_size < 1:
        raise VitruvianError(f"a batch has at least 1 picture, got {batch_size}")
    order = np.arange(len(sizes_wh)) if rng is None else rng.permutation(len(sizes_wh))
    waiting: dict[tuple[int, int], list[int]] = {}
    batches: list[list[int]] = []
    for index in order.tolist():
        size_wh = sizes_wh[index]
        batch = waiting.setdefault(size_wh, [])
        if not batch:
            batches.append(batch)
        batch.append(index)
        if len(batch) == batch_size:
            waiting[size_wh] = []
    return [batches[i] for i in (range(len(batches)) if rng is None else rng.permutation(len(batches)))]
