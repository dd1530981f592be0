"""`EpochSampler`: every person the right number of times, in an order that only seed and epoch decide."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

pytest.importorskip("torch")
from vitruvian.training.sampling import EpochSampler


def test_repeats_are_exact_when_batches_divide_evenly(rng):
    repeats = rng.integers(1, 4, 50)
    sampler = EpochSampler(repeats, seed=1, batch_size=1)
    assert Counter(i for i, *_ in sampler) == dict(enumerate(repeats))
    assert len(list(sampler)) == len(sampler)


def test_each_repeat_is_told_from_the_others(rng):
    repeats = rng.integers(0, 4, 50)
    keys = list(EpochSampler(repeats, seed=1, batch_size=1))
    assert sorted(keys) == [(i, 0, time) for i, often in enumerate(repeats) for time in range(often)]


def test_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        sampler = EpochSampler(np.ones(40, int), seed, batch_size=8)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(1, 3) == order(1, 3)
    assert [i for i, *_ in order(1, 3)] != [i for i, *_ in order(1, 4)]
    assert [i for i, *_ in order(1, 3)] != [i for i, *_ in order(2, 3)]
    assert {epoch for _, epoch, _ in order(1, 3)} == {3}


def test_ranks_share_an_epoch_without_overlap_and_in_equal_steps(rng):
    world, batch = 3, 4
    count = int(rng.integers(30, 80))
    parts = [[i for i, *_ in EpochSampler(np.ones(count, int), 0, batch, rank, world)] for rank in range(world)]
    assert len({len(p) for p in parts}) == 1
    assert len(parts[0]) % batch == 0
    together = sum(parts, [])
    assert len(set(together)) == len(together) >= count - world * batch + 1


def test_fewer_people_than_a_batch_still_make_one():
    assert len(list(EpochSampler(np.ones(5, int), 0, batch_size=64))) == 5


def test_an_epoch_of_fewer_views_has_other_people_each_time(rng):
    count, views = int(rng.integers(60, 90)), 24
    sampler = EpochSampler(np.ones(count, int), 0, batch_size=8, views=views)
    epochs = []
    for epoch in range(40):
        sampler.set_epoch(epoch)
        epochs.append([i for i, *_ in sampler])
    assert all(len(set(epoch)) == views == len(sampler) for epoch in epochs)
    assert set().union(*epochs) == set(range(count))
    assert len(EpochSampler(np.ones(count, int), 0, batch_size=8, views=10**6)) == count // 8 * 8
