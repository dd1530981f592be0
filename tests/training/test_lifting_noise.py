"""Noise of 2D joints: fitting finds what was put in, applying puts in what was fitted; the measured one."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lightning")

from vitruvian.errors import ShapeError
from vitruvian.training.lifting_noise import Band, NoiseModel, fit_noise, two_spreads
from vitruvian.transforms.lifting import INPUT_JOINTS


def _model(near: float = 0.05, far: float = 1.0, far_share: float = 0.1, swap: float = 0.0) -> NoiseModel:
    bands = (Band(0.1, 0.5, near, far, far_share, swap, 1), Band(0.5, 0.9, near, far, far_share, swap, 1))
    return NoiseModel(dict.fromkeys(INPUT_JOINTS.joints, bands))


def _people(rng: np.random.Generator, count: int) -> np.ndarray:
    """Points far enough apart that noise does not look like a swap."""
    return rng.uniform(-1, 1, (count, 14, 2)) * 3 + rng.normal(0, 50, (count, 1, 2))


def test_two_spreads_are_found(rng: np.random.Generator) -> None:
    near, far = rng.normal(0, 0.1, (9000, 2)), rng.normal(0, 1.0, (1000, 2))
    found = two_spreads(np.linalg.norm(np.concatenate([near, far]), axis=1))
    assert found == pytest.approx((0.1, 1.0, 0.1), rel=0.12)
    assert two_spreads([]) == (0, 0, 0)


def test_fitting_finds_what_was_applied(rng: np.random.Generator) -> None:
    people = _people(rng, 3000)
    noisy, scores = _model(0.03, 0.5, 0.2).apply(rng, people)
    fitted = fit_noise(people, noisy, scores, bands=2)
    for joint, bands in fitted.bands.items():
        for band, (low, high) in zip(bands, ((0.1, 0.5), (0.5, 0.9)), strict=True):
            assert (band.low, band.high) == pytest.approx((low, high), abs=0.06)
            assert band.near == pytest.approx(0.03, rel=0.25), joint
            # Outliers that land on the other side's joint are taken for swaps: a few per cent.
            assert band.far == pytest.approx(0.5, rel=0.25), joint
            assert band.far_share == pytest.approx(0.2, abs=0.06), joint
    assert fitted.mirrored == 0


def test_swaps_are_counted(rng: np.random.Generator) -> None:
    people = _people(rng, 2000)
    noisy, scores = _model(0.01, 0.01, 0.0, swap=0.3).apply(rng, people)
    fitted = fit_noise(people, noisy, scores)
    share = {joint: np.average([b.swap_share for b in bs]) for joint, bs in fitted.bands.items()}
    for joint, value in share.items():
        assert value == pytest.approx(0.3 if joint.startswith(("left_", "right_")) else 0.0, abs=0.11), joint


def test_people_in_a_mirror_are_counted_and_left_out(rng: np.random.Generator) -> None:
    people = _people(rng, 400)
    found = people + rng.normal(0, 0.01, people.shape)
    found[:100] = found[:100][:, INPUT_JOINTS.flip]
    fitted = fit_noise(people, found, np.ones((400, 14)) * rng.random((400, 14)))
    assert fitted.mirrored == pytest.approx(0.25, abs=0.01)
    assert max(b.swap_share for bands in fitted.bands.values() for b in bands) < 0.03


def test_strength_zero_changes_nothing_near(rng: np.random.Generator) -> None:
    people = _people(rng, 50)
    noisy, scores = _model(swap=0.5).apply(rng, people, 0.0)
    np.testing.assert_allclose(noisy, people, atol=1e-9)
    assert ((scores >= 0.1) & (scores <= 0.9)).all()


def test_files(tmp_path: Path) -> None:
    model = NoiseModel(_model().bands, 0.05, {"model": "x"})
    assert NoiseModel.load(model.save(tmp_path / "n.json")) == model
    (tmp_path / "bad.json").write_text("{}", encoding="utf-8")
    for name in ("bad.json", "none.json"):
        with pytest.raises(ShapeError, match="no noise model"):
            NoiseModel.load(tmp_path / name)
    with pytest.raises(ShapeError, match="for each of"):
        NoiseModel({"nose": ()})


def test_the_measured_one_says_where_it_comes_from() -> None:
    measured = NoiseModel.load()
    assert {"model", "people", "count", "commit", "date", "unit"} <= set(measured.source)
    assert 0 < measured.mirrored < 0.2
    for bands in measured.bands.values():
        assert all(0 < b.near < 0.3 and b.near < b.far and 0 <= b.far_share < 0.6 for b in bands)
        assert sum(b.count for b in bands) > 300
        assert all(one.high == other.low for one, other in pairwise(bands))
