"""Which person comes when, the same for any number of workers and after a resume.

`EpochSampler` is for crops, which all have one size; `SameSizeBatches` for whole pictures, which do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler

from ..data.whole_pictures import same_size_batches


class EpochSampler(Sampler):
    """Yields (index, epoch, repeat) in an order that depends on (seed, epoch) alone.

    Several processes (``rank`` of ``world``) each take every ``world``-th entry; the tail that does not divide evenly
    is dropped from that epoch, so that all of them make the same number of steps.

    Parameters
    ----------
    repeats : how many times each person comes in an epoch, by index; ``repeat`` counts them, so that each is another
        view.
    seed : of the order.
    batch_size : entries are cut to whole batches, since a last batch of a few samples unsettles batch norm.
    views : at most so many entries an epoch, each time others; None: all of them.
    """

    def __init__(
        self,
        repeats: np.ndarray,
        seed: int,
        batch_size: int,
        rank: int = 0,
        world: int = 1,
        views: int | None = None,
    ) -> None:
        self._order = _every_time(repeats)
        self._seed, self._rank, self._world = seed, rank, world
        entries = len(self._order) if views is None else min(views, len(self._order))
        self._count = max(entries // (batch_size * world) * batch_size, min(entries, batch_size))
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration draws."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        order = np.random.default_rng((self._seed, self.epoch)).permutation(self._order)
        for index, repeat in order[self._rank :: self._world][: self._count].tolist():
            yield index, self.epoch, repeat


class SameSizeBatches(Sampler):
    """Yields batches of (index, epoch, repeat) of pictures of one size; the order depends on (seed, epoch) alone.

    Several processes (``rank`` of ``world``) each take every ``world``-th batch, and all of them equally many.

    Parameters
    ----------
    sizes_wh : (width, height) of each picture.
    repeats : how many times each picture comes in an epoch, as another view each time.
    batch_size : a size's last batch may be smaller.
    seed : of the order.
    """

    def __init__(
        self,
        sizes_wh: Sequence[tuple[int, int]],
        repeats: np.ndarray,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self._order = _every_time(repeats)
        self._sizes = [sizes_wh[i] for i, _ in self._order.tolist()]
        self._batch_size, self._seed, self._rank, self._world = batch_size, seed, rank, world
        self._count = len(same_size_batches(self._sizes, batch_size)) // world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration draws."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        rng = np.random.default_rng((self._seed, self.epoch))
        batches = same_size_batches(self._sizes, self._batch_size, rng)
        for batch in batches[self._rank :: self._world][: self._count]:
            yield [(index, self.epoch, repeat) for index, repeat in self._order[batch].tolist()]


def _every_time(repeats: np.ndarray) -> np.ndarray:
    """(sum of repeats, 2) int: each index as often as it comes, and which time it is."""
    pairs = [(index, time) for index, often in enumerate(repeats) for time in range(often)]
    return np.array(pairs, np.int64).reshape(-1, 2)
