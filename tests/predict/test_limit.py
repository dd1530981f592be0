"""The limit against a search over all limits, expected Dice against drawn masks, and what becomes of the map."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.predict.limit import best_limit, recentred


def expected_dice(share: np.ndarray, limit: float) -> float:
    chosen = share >= limit
    return 2 * share[chosen].sum() / (chosen.sum() + share.sum())


def test_no_other_limit_is_expected_to_be_better(rng):
    for _ in range(20):
        share = rng.beta(*rng.uniform(0.1, 2, 2), (30, 20))
        best = best_limit(share)
        others = [expected_dice(share, limit) for limit in np.linspace(0.01, 0.99, 197)]
        assert expected_dice(share, best) >= max(others) - 2e-3


def test_masks_drawn_from_the_map_agree_most_at_the_limit(rng):
    """The ratio of expectations is what is maximised; over many pixels it is the expected ratio too."""
    share = np.concatenate([rng.uniform(0, 0.45, 4000), rng.uniform(0.6, 1, 800)])

    def dice(limit: float) -> float:
        truth = rng.random((60, share.size)) < share
        chosen = share >= limit
        return float(np.mean(2 * (truth & chosen).sum(1) / (truth.sum(1) + chosen.sum())))

    best = best_limit(share)
    assert best < 0.45
    assert dice(best) > dice(0.5) + 0.005
    assert dice(best) > dice(0.05)


@pytest.mark.parametrize(("share", "limit"), [(np.zeros((3, 4)), 0.5), (np.ones((3, 4)), 0.5), (np.eye(4), 0.5)])
def test_who_is_certain_is_cut_at_a_half(share, limit):
    assert best_limit(share) == limit


def test_the_limit_becomes_a_half_and_order_stays(rng):
    share, limit = np.sort(rng.random(200)), float(rng.uniform(0.1, 0.5))
    moved = recentred(share, limit)
    assert (np.diff(moved) >= 0).all()
    assert ((moved >= 0.5) == (share >= limit)).all()
    np.testing.assert_array_equal(recentred(np.array([0.0, 1.0]), limit), [0, 1])
    np.testing.assert_allclose(recentred(share, 0.5), share, atol=1e-12)
