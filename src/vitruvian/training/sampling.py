"""`EpochSampler`: which person comes when, the same for any number of workers and after a resume."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class EpochSampler(Sampler):
    """Yields (index, epoch) pairs in an order that depends on (seed, epoch) alone.

    Several processes (``rank`` of ``world``) each take every ``world``-th entry; the tail that does not divide evenly
    is dropped from that epoch, so that all of them make the same number of steps.

    Parameters
    ----------
    repeats : how many times each person comes in an epoch, by index.
    seed : of the order.
    batch_size : entries are cut to whole batches, since a last batch of a few samples unsettles batch norm.
    """

    def __init__(self, repeats: np.ndarray, seed: int, batch_size: int, rank: int = 0, world: int = 1) -> None:
        self._order = np.repeat(np.arange(len(repeats)), repeats)
        self._seed, self._rank, self._world = seed, rank, world
        per_step = batch_size * world
        self._count = max(len(self._order) // per_step * batch_size, min(len(self._order), batch_size))
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration draws."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng((self._seed, self.epoch)).permutation(self._order)
        for index in order[self._rank :: self._world][: self._count]:
            yield int(index), self.epoch
