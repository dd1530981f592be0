"""`PeopleScenes`: pictures for training a person detector, made of few photos.

A scene is a photo, or a mosaic of several (Bochkovskiy et al., 2020, "YOLOv4", section 3.4), with people pasted into
it that were cut out of other photos along their masks (see `cutouts`), in any size and in front of each other. What
their boxes are is counted from the pixels that are still seen. Things are pasted as well, with people's outlines.

Photos differ in whom they annotate: everybody, one person of perhaps several, or nobody since there is nobody. Where
somebody without a box may stand, the scene says so (``unknown``) instead of calling it background.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import VitruvianError
from ..formats import rle
from ..geometry import Affine, boxes
from ..preprocess import Preprocess
from ..skeletons import PERSON
from ..transforms import Photometry, warp
from ..transforms.geometric import check_amounts
from ..types import Person, Record
from . import cutouts
from .cutouts import Cutout, scaled
from .dataset import photo
from .keys import Key, generator_of, whole_key
from .photo_store import PhotoStore

FILL = 114
"""Grey beside a photo of another aspect, as the YOLO family has it."""

HOLDS = ("everybody", "one", "nobody")
"""Whom a source's photos annotate."""

_JOINTS_MARGIN = 0.06  # a person's outline reaches beyond the outer joints by this share of their extent
_JOINTS_OF_WHOLE = 10  # labelled joints that tell the whole person's extent
_HARDLY_SEEN = 0.25  # share of a box or a mask below which what is left need not be found


@dataclass(frozen=True)
class SceneMix:
    """How scenes are put together. ``*_prob`` are shares of scenes; lengths are shares of the scene's side.

    Attributes
    ----------
    blank_prob : no photo, but one colour, a gradient or noise, which a network can take for anything if it never sees
        such.
    mosaic_prob : several photos in a grid.
    mosaic_most : photos along a side of the grid, at most.
    paste_prob, paste_most : people pasted into the scene, and how many at most.
    empty_paste_prob : the same for photos with nobody; the others stay empty.
    thing_prob : of what is pasted is no person, but a part of a photo with nobody.
    soft_edge_prob, soft_edge_px : pasted with a blurred edge, and by how many pixels at most.
    recolour_prob : pasted in another light than the photo's, as the photometry draws it; without one never.
    person_smallest, person_largest : longer side of pasted people, log-uniform.
    zoom : a photo's longer side is the scene's times 1 / (1 + zoom) ... 1 + zoom.
    flip_prob : a photo, or a pasted person, mirrored.
    """

    blank_prob: float = 0.03
    mosaic_prob: float = 0.6
    mosaic_most: int = 3
    paste_prob: float = 0.3
    paste_most: int = 5
    empty_paste_prob: float = 0.7
    thing_prob: float = 0.3
    soft_edge_prob: float = 0.6
    soft_edge_px: float = 2.0
    recolour_prob: float = 0.5
    person_smallest: float = 0.07
    person_largest: float = 2.5
    zoom: float = 0.8
    flip_prob: float = 0.5

    def __post_init__(self) -> None:
        check_amounts(self)
        if self.mosaic_most < 1 or not 0 < self.person_smallest <= self.person_largest:
            raise VitruvianError(
                f"mosaic_most must be 1 or more and person_smallest in (0, person_largest], got {self.mosaic_most}, "
                f"{self.person_smallest} and {self.person_largest}"
            )


@dataclass(frozen=True, eq=False)
class Scene:
    """(H, W, 3) uint8 ``image``, ``boxes_xyxy`` (N, 4) of people and ``unknown_xyxy`` (M, 4), pixels of the image."""

    image: np.ndarray
    boxes_xyxy: np.ndarray
    unknown_xyxy: np.ndarray


@dataclass(eq=False)
class _Canvas:
    """A scene while it is made."""

    image: np.ndarray
    people: list[np.ndarray] = field(default_factory=list)
    unknown: list[np.ndarray] = field(default_factory=list)


class PeopleScenes:
    """Scenes by index; there are as many as photos.

    Parameters
    ----------
    records : photos with people's boxes, joints or masks; crowds count as unknown regions.
    holds : for each record one of `HOLDS`.
    repeats : for each record its share of the photos that fill up mosaics; None for equal shares.
    preprocess : size and fill of the scenes.
    mix, photometry : how they are made; None for both gives each photo as the detector will see it, letterboxed.
    seed : of every random draw, which comes from (seed, epoch, index) alone.
    decode, cache_bytes : as of `PoseDataset`.

    Raises
    ------
    VitruvianError
        No photos, or another word for what they hold.
    """

    def __init__(
        self,
        records: Sequence[Record],
        holds: Sequence[str],
        preprocess: Preprocess,
        repeats: Sequence[int] | np.ndarray | None = None,
        mix: SceneMix | None = None,
        photometry: Photometry | None = None,
        seed: int = 0,
        decode: Callable[[Record], np.ndarray] = photo,
        cache_bytes: int = 8 * 2**30,
    ) -> None:
        if not records or len(holds) != len(records) or not set(holds) <= set(HOLDS):
            raise VitruvianError(
                f"expected one or more photos, each of which holds one of {HOLDS}; "
                f"got {len(records)} photos and {sorted(set(holds))}"
            )
        self.records, self.holds, self.preprocess = list(records), list(holds), preprocess
        self.mix, self.photometry, self.seed, self.epoch = mix, photometry, seed, 0
        self.skeleton = PERSON
        shares = np.ones(len(self.records)) if repeats is None else np.asarray(repeats, np.float64)
        self._shares, self._up_to = shares, np.cumsum(shares) / shares.sum()
        self._photos = PhotoStore(self.records, decode, cache_bytes)
        self._empty = [index for index, who in enumerate(self.holds) if who == "nobody"]
        self._boxes: dict[int, list[np.ndarray | None]] = {}
        self._cutouts: list[Cutout] | None = None
        self._cutouts_up_to = np.zeros(0)

    def __len__(self) -> int:
        return len(self.records)

    def preload(self, progress: Callable[[Sequence[int]], Iterable[int]] = iter) -> None:
        """Decode photos and cut people out now, before workers are forked."""
        self._photos.preload(range(len(self)), progress)
        if self.mix is not None:
            self.cutouts()

    def cutouts(self) -> list[Cutout]:
        """Everybody who has a mask of some size."""
        if self._cutouts is None:
            found = [
                (cutout, np.sqrt(self._shares[i]))
                for i, record in enumerate(self.records)
                for person in record.persons
                if person.segmentation and not person.is_crowd
                if (cutout := cutouts.cut_out(self._photos[i], person.segmentation)) is not None
            ]
            # The square root: people of a small source come more often, but not so often that they are all one sees.
            self._cutouts_up_to = np.cumsum([weight for _, weight in found])
            self._cutouts = [cutout for cutout, _ in found]
        return self._cutouts

    def _any_cutout(self, rng: np.random.Generator) -> Cutout:
        people = self.cutouts()
        return people[int(np.searchsorted(self._cutouts_up_to, rng.random() * self._cutouts_up_to[-1], side="right"))]

    def _people_boxes(self, index: int) -> list[np.ndarray | None]:
        """(4,) for each of a photo's people, see `person_box`."""
        if index not in self._boxes:
            size_wh = (self._photos[index].shape[1], self._photos[index].shape[0])
            self._boxes[index] = [person_box(person, size_wh) for person in self.records[index].persons]
        return self._boxes[index]

    def scene(self, index: int, epoch: int = 0, repeat: int = 0) -> Scene:
        """The scene ``index`` as epoch ``epoch`` sees it the ``repeat``-th time."""
        width, height = self.preprocess.size_wh
        canvas = _Canvas(np.full((height, width, 3), self.preprocess.fill, np.uint8))
        if self.mix is None:
            self._place(canvas, index, (0, 0, width, height), self._letterbox(index), False)
        else:
            self._fill(canvas, index, generator_of(self.seed, index, epoch, repeat))
        return Scene(canvas.image, _stacked(canvas.people), _stacked(canvas.unknown))

    def _fill(self, canvas: _Canvas, index: int, rng: np.random.Generator) -> None:
        mix = self.mix
        assert mix is not None
        blank = bool(rng.random() < mix.blank_prob)
        if blank:
            canvas.image, empty = _blank(rng, canvas.image.shape), True
        else:
            empty = self._lay_out(canvas, index, rng) == 1 and self.holds[index] == "nobody"
        if rng.random() < (mix.empty_paste_prob if empty else mix.paste_prob) and self.cutouts():
            for _ in range(int(rng.integers(1, mix.paste_most + 1))):
                self._paste(canvas, rng)
        if self.photometry is not None:
            canvas.image = self.photometry(rng, canvas.image)

    def _lay_out(self, canvas: _Canvas, index: int, rng: np.random.Generator) -> int:
        """Show a photo, or a mosaic with it; how many stand along a side."""
        mix = self.mix
        assert mix is not None
        cells = int(rng.integers(2, mix.mosaic_most + 1)) if mix.mosaic_most > 1 else 1
        if rng.random() >= mix.mosaic_prob:
            cells = 1
        height, width = canvas.image.shape[:2]
        # Lines between the photos stand anywhere but near the edges.
        across, down = (
            [0, *sorted(int(side * (i + rng.uniform(-0.25, 0.25)) / cells) for i in range(1, cells)), side]
            for side in (width, height)
        )
        first = int(rng.integers(cells * cells))
        chosen = np.searchsorted(self._up_to, rng.random(cells * cells), side="right")
        chosen[first] = index
        for cell, photo_index in enumerate(chosen.tolist()):
            row, column = divmod(cell, cells)
            tile = (across[column], down[row], across[column + 1], down[row + 1])
            mirror = bool(rng.random() < mix.flip_prob)
            self._place(canvas, photo_index, tile, self._zoomed(rng, photo_index, tile), mirror)
        return cells

    def _letterbox(self, index: int) -> Affine:
        image = self._photos[index]
        return self.preprocess.frame_to_input(boxes.whole_image((image.shape[1], image.shape[0])))

    def _zoomed(self, rng: np.random.Generator, index: int, tile: tuple[int, int, int, int]) -> Affine:
        """A map that shows a photo in a tile: any part of it if it is larger, at any place if it is smaller."""
        assert self.mix is not None
        size = np.array(self._photos[index].shape[1::-1], np.float64)
        room = np.array([tile[2] - tile[0], tile[3] - tile[1]], np.float64)
        scale = (room / size).max() * (1 + self.mix.zoom) ** rng.uniform(-0.6, 1)
        slack = room - size * scale
        start = np.array(tile[:2]) + slack * rng.random(2)
        return scaled(size, size * scale, start)

    def _place(
        self, canvas: _Canvas, index: int, tile: tuple[int, int, int, int], to_canvas: Affine, mirror: bool
    ) -> None:
        """Show a photo in a tile x0, y0, x1, y1 of the canvas and note its people."""
        x0, y0, x1, y1 = tile
        size_wh = (x1 - x0, y1 - y0)
        if min(size_wh) < 1:
            return
        image, record = self._photos[index], self.records[index]
        to_tile = Affine.translate(-x0, -y0) @ to_canvas
        if mirror:
            to_tile = Affine.flip_horizontal(size_wh[0]) @ to_tile
        canvas.image[y0:y1, x0:x1] = warp(image, to_tile, size_wh, self.preprocess.fill)
        shift = np.array([x0, y0, x0, y0])
        for person, box_xyxy in zip(record.persons, self._people_boxes(index), strict=True):
            whole = _moved(to_tile, box_xyxy)
            if whole is None:
                continue
            seen = boxes.clip(whole, size_wh)
            share = float(boxes.area(seen) / max(float(boxes.area(whole)), 1e-9))
            if share > 0:
                known = not person.is_crowd and share >= _HARDLY_SEEN
                (canvas.people if known else canvas.unknown).append(seen + shift)
        if self.holds[index] == "one":
            canvas.unknown.append(np.array([x0, y0, x1, y1]) - 0.5)

    def _paste(self, canvas: _Canvas, rng: np.random.Generator) -> None:
        """Put one cut-out person, or a thing, on top of everything."""
        mix = self.mix
        assert mix is not None
        cutout = self._any_cutout(rng)
        is_thing = bool(self._empty) and bool(rng.random() < mix.thing_prob)
        if is_thing:
            cutout = cutouts.thing(rng, cutout, self._photos[self._empty[int(rng.integers(len(self._empty)))]])
        if self.photometry is not None and rng.random() < mix.recolour_prob:
            cutout = replace(cutout, pixels=self.photometry(rng, cutout.pixels))
        least_px = 0.3 if mix.soft_edge_px >= 0.3 else 0.0
        soften_px = float(rng.uniform(least_px, mix.soft_edge_px)) if rng.random() < mix.soft_edge_prob else 0.0
        pasted = cutouts.paste(canvas.image, cutout, self._anywhere(rng, canvas, cutout), soften_px)
        if pasted is not None:
            self._note_pasted(canvas, *pasted, is_thing)

    def _anywhere(self, rng: np.random.Generator, canvas: _Canvas, cutout: Cutout) -> Affine:
        """A place and size for a cut-out; a third of it, or of the scene, may stay out of sight on each side."""
        mix = self.mix
        assert mix is not None
        room = np.array(canvas.image.shape[1::-1], np.float64)
        side = room.max() * float(np.exp(rng.uniform(np.log(mix.person_smallest), np.log(mix.person_largest))))
        size = np.array(cutout.size_wh) * side / max(cutout.size_wh)
        slack, hidden = room - size, 0.3 * np.minimum(size, room)
        low, high = np.minimum(slack, 0) - hidden, np.maximum(slack, 0) + hidden
        start = rng.uniform(low, high)
        to_image = scaled(cutout.size_wh, size, start)
        if rng.random() < mix.flip_prob:
            to_image = to_image @ Affine.flip_horizontal(cutout.size_wh[0])
        return to_image

    @staticmethod
    def _note_pasted(canvas: _Canvas, covers: np.ndarray, start_px: tuple[int, int], is_thing: bool = False) -> None:
        """Add a pasted person's box and look again at those it hides."""
        x0, y0 = start_px
        part = np.s_[y0 : y0 + covers.shape[0], x0 : x0 + covers.shape[1]]
        height, width = canvas.image.shape[:2]
        hidden = np.zeros((height, width), bool)
        hidden[part] = covers
        seen = []
        for box in canvas.people:
            a, b, c, d = np.clip(np.rint(box + 0.5).astype(int), 0, [width, height] * 2)
            covered = hidden[b:d, a:c].mean() if c > a and d > b else 1.0
            (seen if covered < 1 - _HARDLY_SEEN else canvas.unknown).append(box)
        canvas.people = seen if is_thing else [*seen, boxes.around_mask(hidden)]

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """A scene as arrays; `collate` stacks them."""
        index, epoch, repeat = whole_key(key, self.epoch)
        scene = self.scene(index, epoch, repeat)
        return {
            "image": scene.image,
            "boxes_xyxy": scene.boxes_xyxy.astype(np.float32),
            "unknown_xyxy": scene.unknown_xyxy.astype(np.float32),
            "index": np.int64(index),
        }


def collate(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Scenes as torch tensors with a batch axis; lists of boxes are padded with zeros to the longest."""
    import torch

    lists = {key: [item[key] for item in items] for key in items[0]}
    return {k: torch.from_numpy(_padded(v) if k.endswith("_xyxy") else np.stack(v)) for k, v in lists.items()}


def _padded(lists: Sequence[np.ndarray]) -> np.ndarray:
    out = np.zeros((len(lists), max(1, *(len(boxes_xyxy) for boxes_xyxy in lists)), 4), np.float32)
    for row, boxes_xyxy in zip(out, lists, strict=True):
        row[: len(boxes_xyxy)] = boxes_xyxy
    return out


def person_box(person: Person, size_wh: tuple[int, int]) -> np.ndarray | None:
    """(4,) what a detector should find in a photo of that size: the mask's extent, one around the joints, or the
    annotated box; None without any.

    The box comes last: sources without outlines, such as LSP Extended, have boxes made of joints with a margin of their
    own.
    """
    if person.segmentation:
        mask = rle.to_mask(person.segmentation, size_wh)
        if mask.any():
            return boxes.around_mask(mask)
    if person.labelled.sum() >= _JOINTS_OF_WHOLE:
        return boxes.around_points(person.keypoints_px, _JOINTS_MARGIN)
    return person.box_xyxy


def _moved(change: Affine, box_xyxy: np.ndarray | None) -> np.ndarray | None:
    """A box under an upright or mirroring map."""
    if box_xyxy is None:
        return None
    corners = change.apply(np.asarray(box_xyxy, np.float64).reshape(2, 2))
    return np.concatenate([corners.min(axis=0), corners.max(axis=0)])


def _blank(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """(H, W, 3) uint8 between some random colours: one, two along a line, or a grid of up to a colour a pixel."""
    height, width, _ = shape
    grid = [(1, 1), (1, 2), (2, 1), tuple(int(2 ** rng.uniform(1, np.log2(side))) for side in (height, width))]
    rows, columns = grid[int(rng.integers(4))]
    spread = int(rng.integers(10, 256))
    low = int(rng.integers(0, 257 - spread))
    colours = rng.integers(low, low + spread, (rows, columns, 3), dtype=np.uint8)
    if rng.random() < 0.3:
        colours[:] = colours[..., :1]
    return warp(colours, Affine.resize((columns, rows), (width, height)), (width, height))


def _stacked(boxes_xyxy: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack(boxes_xyxy) if boxes_xyxy else np.zeros((0, 4))
