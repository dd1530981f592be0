"""Surroundings: given pictures are used as they are, and people are lit as suits them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from vitruvian.geometry.cameras import Camera, look_at
from vitruvian.synth.humans import Assets, SceneOptions, make_picture
from vitruvian.synth.humans.backdrops import backdrop, sample_light, suited
from vitruvian.synth.humans.prior import load_prior
from vitruvian.synth.humans.render import Light

_HALF = Light((0.0, 1.0, 0.0), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), (0.25, 0.25, 0.25))
_WHITE = 255 * np.sqrt(0.5)  # a white thing in that light


def test_people_become_as_bright_as_their_surroundings_within_bounds(rng) -> None:
    colour = rng.uniform(0, 255, (8, 9, 3)).astype(np.float32)
    tint = np.array([0.95, 1.0, 1.05])
    for level, gain in ((1.0, 1.0), (0.8, 0.8), (0.4, 0.5), (1.3, 1.3)):
        photo = np.full((8, 9, 3), _WHITE * level) * tint
        np.testing.assert_allclose(suited(colour, _HALF, photo), colour * gain**0.75 * tint**0.3, rtol=1e-5)


def test_in_a_grey_photo_people_are_grey(rng) -> None:
    colour = rng.uniform(0, 255, (8, 9, 3)).astype(np.float32)
    grey = rng.uniform(0, 255, (8, 9, 1)).astype(np.float32).repeat(3, axis=2)
    found = suited(colour, sample_light(rng), grey)
    assert np.ptp(found, axis=2).max() == 0
    assert np.ptp(suited(colour, sample_light(rng), grey + np.array([0, 5, 0])), axis=2).max() > 0


def test_a_given_picture_is_behind(rng, tmp_path: Path) -> None:
    path = tmp_path / "plain.png"
    Image.new("RGB", (200, 120), (10, 120, 200)).save(path)
    position = np.array([0, 1500.0, 4000])
    turn = look_at(position, np.zeros(3), np.array([0, 1.0, 0]), 0.0)
    camera = Camera(np.array([90.0, 90]), np.array([47.5, 39.5]), turn, position, size_wh=(96, 80))
    found = [backdrop(rng, camera, (96, 80), [path]) for _ in range(200)]
    given = [b for b in found if b.given]
    assert 0 < len(given) < 200, "some surroundings are generated all the same"
    for behind in given:
        assert behind.picture.shape == (80, 96, 3)
        assert np.unique(behind.picture.reshape(-1, 3), axis=0).tolist() == [[10, 120, 200]]
        assert behind.floor.any(), "people throw shadows on it"


def test_whole_pictures_in_front_of_a_grey_photo_are_grey(body, renderer, tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (120, 160), dtype=np.uint8)).save(path)
    assets = replace(Assets(body, tuple(range(len(body))), load_prior()), backgrounds=[path])
    spreads = [
        int(np.ptp(make_picture(0, i, assets, renderer, SceneOptions(noise=False))[0], axis=2).max()) for i in range(8)
    ]
    assert spreads.count(0) >= 4
