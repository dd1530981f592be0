"""Colours: sides, people, and that they stay apart for colour-blind eyes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from vitruvian.draw import palette
from vitruvian.skeletons import SKELETONS

# Viénot, Brettel & Mollon 1999, "Digital video colourmaps for checking the legibility of displays by dichromats":
# linear RGB of what a dichromat sees.
DICHROMATS = {
    "protan": np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]]),
    "deutan": np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]]),
}


def test_sides():
    assert palette.side_color(("left_hip", "left_knee")) == palette.LEFT
    assert palette.side_color(("nose", "right_eye")) == palette.RIGHT
    assert palette.side_color(("left_hip", "right_hip")) == palette.CENTRE
    assert palette.side_color(("neck", "head_top")) == palette.CENTRE


@pytest.mark.parametrize("name", SKELETONS)
def test_edge_colours_mirror(name):
    skeleton = SKELETONS[name]
    colors = dict(zip(skeleton.edges, palette.edge_colors(skeleton), strict=True))
    assert len(colors) == len(skeleton.edges)
    swap = {palette.LEFT: palette.RIGHT, palette.RIGHT: palette.LEFT, palette.CENTRE: palette.CENTRE}
    for (a, b), color in colors.items():
        mirrored = int(skeleton.flip[a]), int(skeleton.flip[b])
        partner = colors.get(mirrored, colors.get(mirrored[::-1]))
        if partner is not None:
            assert partner == swap[color]


def test_people_repeat_only_after_all_colours():
    count = len(palette.PEOPLE)
    assert len({palette.person_color(i) for i in range(count)}) == count
    assert palette.person_color(3) == palette.person_color(3 + count)


@pytest.mark.parametrize("kind", DICHROMATS)
def test_colour_blind_eyes_tell_sides_truth_and_prediction_apart(kind):
    def seen(color: palette.Color) -> np.ndarray:
        linear = (np.array(color) / 255) ** 2.2
        return np.clip(DICHROMATS[kind] @ linear, 0, 1) ** (1 / 2.2) * 255

    sides = (palette.LEFT, palette.RIGHT, palette.CENTRE)
    for a, b in [*itertools.combinations(sides, 2), (palette.TRUTH, palette.PREDICTION)]:
        assert np.linalg.norm(seen(a) - seen(b)) > 60


def test_text_is_readable_on_its_background():
    assert palette.text_color((255, 255, 255)) == palette.DARK
    assert palette.text_color((0, 0, 0)) == palette.WHITE
    assert palette.text_color(palette.PREDICTION) == palette.DARK
