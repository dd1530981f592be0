"""`PoseDataset`: annotated people as samples for training. One data set for every source and model.

Photos are decoded once and stay in memory as uint8. Every random draw comes from (seed, epoch, index) alone, so an
epoch is the same whatever the number of workers, and a resumed run sees what an uninterrupted one would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import VitruvianError
from ..formats import rle
from ..geometry import Affine, boxes
from ..preprocess import Preprocess
from ..skeletons import Skeleton
from ..transforms import Geometry, Photometry, warp
from ..types import Person, Record, Sample
from .images import read_image
from .keys import Key, generator_of, whole_key
from .mixing import UNCHANGED, Mixing
from .photo_store import PhotoStore

COMPLETE = "complete"
"""In a person's ``extra``: its joints without a label are not in the picture, and are taught as such."""

_ALL = (slice(None), slice(None))
_NOWHERE_PX = -1e5
_LEAST_PX = 12
"""Narrower parts of people, as a cut of the photo may leave them, teach nothing."""


@dataclass(frozen=True)
class SizeSchedule:
    """Progressive resizing: smaller inputs in early epochs, which see more people an hour.

    ``steps`` are (first epoch not at this size, (width, height)) in ascending order; afterwards ``final_wh``.
    """

    final_wh: tuple[int, int]
    steps: tuple[tuple[int, tuple[int, int]], ...] = ()

    def at(self, epoch: int) -> tuple[int, int]:
        """(width, height) of that epoch."""
        return next((size for until, size in self.steps if epoch < until), self.final_wh)


def photo(record: Record) -> np.ndarray:
    """(H, W, 3) uint8 RGB: the picture of a record.

    A record may bring its own pixels instead of a file, as drawn people do: ``extra["pixels"]``, called with nothing.

    Raises
    ------
    ImageError
        The file cannot be decoded.
    VitruvianError
        The record has neither a file nor pixels.
    """
    pixels = record.extra.get("pixels")
    if pixels is not None:
        return pixels()
    if record.image_path is None:
        raise VitruvianError(f"image '{record.image_id}' ({record.source or 'a record'}) has neither a file nor pixels")
    return read_image(record.image_path)


@dataclass(frozen=True)
class View:
    """What a sample shows, and where its joints are: all of it but the pixels.

    Attributes
    ----------
    photo : index of the record.
    rows, columns : what is left of the photo; there is `Preprocess.fill` beyond.
    size_wh, frame_to_input : the crop.
    keypoints_px, visibility : (K, 2) float32 and (K,) in the crop, after the mirror.
    flipped : whether it is mirrored.
    """

    photo: int
    rows: slice
    columns: slice
    size_wh: tuple[int, int]
    frame_to_input: Affine
    keypoints_px: np.ndarray
    visibility: np.ndarray
    flipped: bool

    @property
    def labelled_px(self) -> np.ndarray:
        """(K, 2) the joints with a label, NaN for the others."""
        return np.where((self.visibility > 0)[:, None], self.keypoints_px, np.nan)


class PoseDataset:
    """People of annotated photos, cropped, in one skeleton.

    Parameters
    ----------
    records : from a format reader; crowds and people who teach nothing that is asked for (``teaches``) are left out.
        Joints without a label teach nothing, but of persons whose ``extra`` says `COMPLETE` that they are elsewhere.
    skeleton : joints of the samples; those a record's skeleton lacks are NaN with visibility 0.
    preprocess : crop size and padding.
    geometry, photometry : augmentation, or None.
    sizes : progressive resizing, or None for ``preprocess.size_wh`` throughout.
    seed : of every random draw.
    decode : record -> (H, W, 3) uint8 RGB.
    cache_bytes : decoded photos kept in memory; the rest are decoded each time. All of COCO takes about 55 GB.
    teaches : who takes part: people with a labelled ``"joint"``, with a ``"mask"``, or with ``"either"``. Samples have
        masks unless it is ``"joint"``.
    mixing : other surroundings, or None. Second people are those among ``records`` who have a mask.
    photos : records of photos without people, which ``mixing`` takes backgrounds and things from.

    Raises
    ------
    VitruvianError
        No person that teaches anything, or none with a mask or no photo for a ``mixing`` that needs one.
    """

    def __init__(
        self,
        records: Sequence[Record],
        skeleton: Skeleton,
        preprocess: Preprocess,
        geometry: Geometry | None = None,
        photometry: Photometry | None = None,
        sizes: SizeSchedule | None = None,
        seed: int = 0,
        decode: Callable[[Record], np.ndarray] = photo,
        cache_bytes: int = 8 * 2**30,
        teaches: str = "joint",
        mixing: Mixing | None = None,
        photos: Sequence[Record] = (),
    ) -> None:
        if teaches not in ("joint", "mask", "either"):
            raise VitruvianError(f"teaches is 'joint', 'mask' or 'either', got '{teaches}'")
        self.records, self.skeleton, self.preprocess = list(records), skeleton, preprocess
        self.geometry, self.photometry, self.seed, self.teaches = geometry, photometry, seed, teaches
        self.sizes = sizes or SizeSchedule(preprocess.size_wh)
        self.epoch = 0
        """The epoch that a plain index means; a loader that shuffles gives whole keys instead."""
        self._photos = PhotoStore([*self.records, *photos], decode, cache_bytes)
        self.without_people = range(len(self.records), len(self.records) + len(photos))
        """Indices, for `image`, of ``photos``."""
        self._masks: dict[int, np.ndarray] = {}
        self.people: list[tuple[int, Person]] = []
        self._elsewhere: dict[int, np.ndarray] = {}
        for i, record in enumerate(self.records):
            for person in record.persons:
                if takes_part(person, teaches):
                    if person.extra.get(COMPLETE):
                        missing = skeleton.take(record.skeleton, person.visibility == 0, axis=0, missing=False)
                        self._elsewhere[len(self.people)] = np.asarray(missing, bool)
                    self.people.append((i, remapped(person, record.skeleton, skeleton)))
        if not self.people:
            wanted = {"joint": "labelled joints", "mask": "a mask", "either": "labelled joints or a mask"}[teaches]
            raise VitruvianError(
                f"no person with {wanted} among {len(self.records)} images; is it the right annotation file?"
            )
        self.mixing = mixing
        self._donors = [i for i, (_, person) in enumerate(self.people) if person.segmentation is not None]
        if mixing is not None:
            if not self._donors:
                raise VitruvianError("mixing cuts people out along their masks, and nobody here has one")
            if not photos and (mixing.background_prob or mixing.thing_prob):
                raise VitruvianError("mixing: background_prob and thing_prob need photos without people")

    def __len__(self) -> int:
        return len(self.people)

    def preload(self, progress: Callable[[Sequence[int]], Iterable[int]] = iter) -> None:
        """Decode photos now, as many as may be kept (before workers are forked, so that they share the memory)."""
        self._photos.preload([*(i for i, _ in self.people), *self.without_people], progress)

    def image(self, record_index: int) -> np.ndarray:
        """The decoded photo of a record, kept for the next time while there is room."""
        return self._photos[record_index]

    def size_wh(self, record_index: int) -> tuple[int, int]:
        """(width, height) of a record's photo."""
        return self._photos.size_wh(record_index)

    def box(self, index: int) -> np.ndarray:
        """(4,) xyxy: the annotated box, or the labelled joints' extent grown by 15 % where the file has none."""
        person = self.people[index][1]
        return person.box_xyxy if person.box_xyxy is not None else boxes.around_points(person.keypoints_px, 0.15)

    def sample(self, index: int, epoch: int = 0, repeat: int = 0) -> Sample:
        """The person ``index`` as epoch ``epoch`` sees it the ``repeat``-th time."""
        rng = generator_of(self.seed, index, epoch, repeat)
        view, person = self.view(index, epoch, rng), self.people[index][1]
        shown, fill = (view.rows, view.columns), self.preprocess.fill
        view_to_input = view.frame_to_input @ Affine.translate(view.columns.start or 0, view.rows.start or 0)
        crop = warp(self.image(view.photo)[shown], view_to_input, view.size_wh, fill)
        changes = self.mixing.draw(rng) if self.mixing is not None else UNCHANGED
        mask = None
        if person.segmentation is not None and (self.teaches != "joint" or any(changes)):
            mask = warp(self.mask(index)[shown], view_to_input, view.size_wh)
        if any(changes):
            crop, mask = changes.apply(rng, crop, mask, view.labelled_px, self._somebody, self._photo)
        if self.photometry is not None:
            crop = self.photometry(rng, crop)
        mask = None if mask is None or self.teaches == "joint" else (mask >= 128).astype(np.uint8)
        return Sample(crop, view.keypoints_px, view.visibility, view.frame_to_input, mask, view.flipped)

    def view(self, index: int, epoch: int, rng: np.random.Generator) -> View:
        """What a sample of the person ``index`` shows; ``rng`` is the sample's, and ``epoch`` decides the size."""
        record_index, person = self.people[index]
        preprocess = replace(self.preprocess, size_wh=self.sizes.at(epoch))
        box, flipped, shown = self.box(index), False, _ALL
        if self.geometry is None:
            frame_to_input = preprocess.frame_to_input(box)
        else:
            shown, part = self._left(index, self.geometry.cut(rng, box))
            box = self.geometry.pick_box(rng, box, person.keypoints_px, self.skeleton) if part is None else part
            person = _seen_in(shown, person)
            change, flipped = self.geometry.sample(rng, preprocess.size_wh)
            frame_to_input = change @ preprocess.frame_to_input(box)
        if index in self._elsewhere:
            person = _without(person, self._elsewhere[index])
        keypoints, visibility = joints_under(frame_to_input, person, self.skeleton, flipped)
        return View(record_index, *shown, preprocess.size_wh, frame_to_input, keypoints, visibility, flipped)

    def _left(self, index: int, stays_xyxy: np.ndarray | None) -> tuple[tuple[slice, slice], np.ndarray | None]:
        """Rows and columns of the photo that a cut leaves, and the box of what is left of the person in them.

        The whole photo and None without a cut, and where it would leave next to nothing.
        """
        if stays_xyxy is None:
            return _ALL, None
        record_index, person = self.people[index]
        width, height = self.size_wh(record_index)
        (x0, y0), (x1, y1) = np.clip(stays_xyxy.reshape(2, 2) + 0.5, 0, [width, height]).astype(int).tolist()
        view = slice(y0, y1), slice(x0, x1)
        if person.segmentation is not None:
            seen = np.zeros((height, width), np.uint8)
            seen[view] = self.mask(index)[view]
            part = boxes.around_mask(seen)
        else:
            box, edges = self.box(index), np.array([x0, y0, x1, y1]) - 0.5
            part = np.concatenate([np.maximum(box[:2], edges[:2]), np.minimum(box[2:], edges[2:])])
        return (view, part) if (part[2:] - part[:2] >= _LEAST_PX).all() else (_ALL, None)

    def _somebody(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The photo and the mask of a random person who has one."""
        index = self._donors[int(rng.integers(len(self._donors)))]
        return self.image(self.people[index][0]), self.mask(index)

    def _photo(self, rng: np.random.Generator) -> np.ndarray:
        """A random photo without people."""
        return self._photos[self.without_people[int(rng.integers(len(self.without_people)))]]

    def mask(self, index: int) -> np.ndarray:
        """(H, W) uint8 0 or 255: a person's mask on the photo, kept as bits, an eighth of a byte a pixel."""
        width, height = self.size_wh(self.people[index][0])
        bits = self._masks.get(index)
        if bits is None:
            bits = np.packbits(rle.to_mask(self.people[index][1].segmentation, (width, height)))
            if self._photos.take_room(bits.nbytes):
                self._masks[index] = bits
        return np.unpackbits(bits, count=width * height).reshape(height, width) * np.uint8(255)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """A sample as arrays that a loader can stack."""
        index, epoch, repeat = whole_key(key, self.epoch)
        return as_item(self.sample(index, epoch, repeat), index, masks=self.teaches != "joint")


def takes_part(person: Person, teaches: str) -> bool:
    """Whether a person teaches ``"joint"``, ``"mask"`` or ``"either"``, and it is known where; never a crowd."""
    jointed, masked = bool(person.labelled.any()), person.segmentation is not None
    teaching = {"joint": jointed, "mask": masked, "either": jointed or masked}[teaches]
    return teaching and not person.is_crowd and placed(person)


def placed(person: Person) -> bool:
    """Whether it is known where a person is: by a box, or by labelled joints that are not all at one point."""
    if person.box_xyxy is not None:
        return True
    points = person.keypoints_px[person.labelled]
    return len(points) > 1 and bool(np.ptp(points, axis=0).max() > 0)


def as_item(sample: Sample, index: int, masks: bool) -> dict[str, Any]:
    """What a loader stacks: the sample's arrays, and the index it has in its data set.

    With ``masks`` also ``"mask"``, zeros where the sample has none, and ``"has_mask"``, which tells the two apart, so
    that people with and without a mask go into one batch.
    """
    item = {
        "image": np.ascontiguousarray(sample.image),
        "keypoints_px": sample.keypoints_px,
        "visibility": sample.visibility,
        "frame_to_input": sample.frame_to_input.matrix.astype(np.float32),
        "index": np.int64(index),
    }
    if not masks:
        return item
    mask = np.zeros(sample.image.shape[:2], np.uint8) if sample.mask is None else sample.mask
    return {**item, "mask": mask, "has_mask": np.bool_(sample.mask is not None)}


def _seen_in(view: tuple[slice, slice], person: Person) -> Person:
    """The person with the joints that a cut photo, of those rows and columns, does not show: far outside of any crop.

    They stay labelled, for codecs that teach where nothing is.
    """
    if view == _ALL:
        return person
    first, end = (np.array([getattr(part, name) for part in reversed(view)]) for name in ("start", "stop"))
    with np.errstate(invalid="ignore"):
        inside = (person.keypoints_px >= first - 0.5) & (person.keypoints_px <= end - 0.5)
    seen = np.asarray(inside.all(axis=1))
    return replace(person, keypoints_px=np.where(seen[:, None], person.keypoints_px, _NOWHERE_PX))


def _without(person: Person, missing: np.ndarray) -> Person:
    """The person with joints (K,) bool that are known not to be in the photo: labelled, far outside of any crop."""
    return replace(
        person,
        keypoints_px=np.where(missing[:, None], _NOWHERE_PX, person.keypoints_px),
        visibility=np.where(missing, 1, person.visibility),
    )


def joints_under(change: Affine, person: Person, skeleton: Skeleton, flipped: bool) -> tuple[np.ndarray, np.ndarray]:
    """(K, 2) float32 joints where ``change`` takes them, and (K,) visibility; left and right swapped if it mirrors."""
    keypoints, visibility = change.apply(person.keypoints_px), person.visibility
    if flipped:
        keypoints, visibility = keypoints[skeleton.flip], visibility[skeleton.flip]
    return keypoints.astype(np.float32), visibility


def in_skeleton(record: Record, skeleton: Skeleton) -> Record:
    """The record with its persons `remapped` to another skeleton."""
    persons = tuple(remapped(person, record.skeleton, skeleton) for person in record.persons)
    return replace(record, persons=persons, skeleton=skeleton)


def remapped(person: Person, source: Skeleton, target: Skeleton) -> Person:
    """The person in another skeleton; joints that ``source`` lacks are NaN with visibility 0."""
    if source == target:
        return person
    return replace(
        person,
        keypoints_px=target.take(source, person.keypoints_px, axis=0, missing=np.nan),
        visibility=target.take(source, person.visibility, axis=0, missing=0),
    )
