"""The prior: features lose nothing but the heading, fits keep the moments, and what ships is small and sane."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vitruvian.errors import FormatError, ShapeError
from vitruvian.synth.humans import rotations as rot
from vitruvian.synth.humans.poses import AT, POSED
from vitruvian.synth.humans.prior import JOINTS, PATH, SIZE, fit, from_features, load_prior, to_features


def test_every_bone_is_turned_by_one_joint():
    bones = [bone for _, moved in JOINTS.values() for bone in moved]
    assert sorted(bones) == sorted(POSED)
    assert all(parent is None or parent in list(JOINTS)[:i] for i, (parent, _) in enumerate(JOINTS.values()))


def test_features_keep_all_but_the_heading(rng):
    poses = from_features(rng.normal(0, 0.5, (20, SIZE)))
    features = to_features(poses)
    turn = rot.about_y(float(rng.uniform(-3, 3)))
    np.testing.assert_allclose(to_features(turn @ poses), features, atol=1e-6)
    again = from_features(features)
    # The same up to one turn about the vertical for the whole person.
    left = again[:, AT["root"]] @ np.swapaxes(poses[:, AT["root"]], 1, 2)
    np.testing.assert_allclose(left[:, 1, 1], 1, atol=1e-9)
    np.testing.assert_allclose(left[:, None] @ poses, again, atol=1e-6)


def test_a_fit_has_the_moments_of_what_it_was_fitted_to(rng):
    # Each step of expectation and maximisation leaves a mixture with the data's own mean and covariance; the floor
    # that keeps components from collapsing, 5 % of each direction's spread, adds its square.
    heaps = rng.normal(0, 0.4, (2, SIZE))
    spread = rng.normal(size=(4, SIZE)) * 0.03
    features = heaps[(rng.random(2000) < 0.25).astype(int)] + rng.normal(size=(2000, 4)) @ spread
    prior = fit(features, rng, components=3, keep=5, rounds=8)
    latent = (features - prior.mean) @ prior.basis.T
    np.testing.assert_allclose(latent @ prior.basis, features - prior.mean, atol=1e-9)  # five directions are all
    np.testing.assert_allclose(prior.weight @ prior.centre, 0, atol=1e-6)
    own = prior.factor @ np.swapaxes(prior.factor, 1, 2) + prior.centre[:, :, None] * prior.centre[:, None]
    covariance = np.einsum("m,mij->ij", prior.weight, own)
    floor = np.diag(0.0025 * latent.var(axis=0) + 1e-6)
    np.testing.assert_allclose(covariance, np.cov(latent.T, bias=True) + floor, atol=1e-6)
    assert (prior.low >= features.min(axis=0)).all()
    assert (prior.high <= features.max(axis=0)).all()


def test_too_few_poses_are_refused(rng):
    with pytest.raises(ShapeError, match="at least"):
        fit(rng.normal(size=(20, SIZE)), rng)


def test_what_ships_is_small_and_says_where_it_is_from():
    assert PATH.stat().st_size < 300_000
    told = json.loads(load_prior().provenance)
    assert "CMU" in told["source"]
    assert told["poses"] > 10_000


def test_drawn_poses_are_bodies(rng):
    prior = load_prior()
    poses = prior.sample(rng, 300)
    np.testing.assert_allclose(poses @ np.swapaxes(poses, -1, -2), np.broadcast_to(np.eye(3), poses.shape), atol=1e-9)
    features = to_features(poses)
    assert (features.std(axis=0) > 0.01).sum() > SIZE / 2, "the prior draws one pose only"
    # Knees and elbows bend one way: shins hardly turn against thighs about other axes than across.
    knee = features[:, 3 * list(JOINTS).index("lowerleg01.L") :][:, :3]
    assert np.median(np.abs(knee[:, 0])) > np.median(np.abs(knee[:, 2]))


def test_draws_follow_the_seed():
    prior = load_prior()
    first, second = (prior.sample(np.random.default_rng(7), 3) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_saving_loses_little(rng, tmp_path):
    prior = fit(rng.normal(0, 0.4, (500, SIZE)), rng, components=3, keep=5, rounds=3)
    again = load_prior(prior.save(tmp_path / "prior.npz"))
    np.testing.assert_allclose(again.centre, prior.centre, atol=5e-3)
    (tmp_path / "no.npz").write_bytes(b"no")
    with pytest.raises(FormatError):
        load_prior(tmp_path / "no.npz")
