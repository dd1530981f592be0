"""Photos decoded once and kept in memory as uint8, as many as there is room for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ..types import Record


class PhotoStore:
    """The pictures of a list of records, by index.

    Parameters
    ----------
    records : see `vitruvian.formats.read`.
    decode : record -> (H, W, 3) uint8 RGB.
    room_bytes : for decoded photos; those that find none are decoded each time.
    """

    def __init__(
        self, records: Sequence[Record], decode: Callable[[Record], np.ndarray], room_bytes: int = 8 * 2**30
    ) -> None:
        self._records, self._decode, self._room = records, decode, room_bytes
        self._kept: dict[int, np.ndarray] = {}
        self._sizes: dict[int, tuple[int, int]] = {}

    def __getitem__(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB; not to be changed."""
        kept = self._kept.get(index)
        if kept is not None:
            return kept
        image = self._decode(self._records[index])
        self._sizes[index] = (image.shape[1], image.shape[0])
        if self.take_room(image.nbytes):
            self._kept[index] = image
        return image

    def size_wh(self, index: int) -> tuple[int, int]:
        """(width, height) of a picture; only the first question decodes one that is not kept."""
        if index not in self._sizes:
            self[index]
        return self._sizes[index]

    def take_room(self, nbytes: int) -> bool:
        """Whether there is room for so many bytes of something else that belongs to the photos; they then count."""
        if nbytes > self._room:
            return False
        self._room -= nbytes
        return True

    def preload(self, indices: Iterable[int], progress: Callable[[Sequence[int]], Iterable[int]] = iter) -> None:
        """Decode now what may be kept, before workers are forked, so that they share the memory."""
        for index in progress(sorted(set(indices))):
            self[index]
            if index not in self._kept:
                return
