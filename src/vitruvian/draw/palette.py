"""Colours that say which side a limb is on and which person it belongs to, also to colour-blind eyes.

The hues are those of Okabe & Ito ("Color Universal Design", 2008), two of them lightened for use on photos: orange is
the person's left, sky blue the right. People get the remaining hues, so that a person's colour is never read as a side.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..skeletons import Skeleton

Color = tuple[int, int, int]
"""Red, green, blue, 0..255."""

LEFT: Color = (255, 159, 28)
RIGHT: Color = (64, 180, 255)
CENTRE: Color = (244, 244, 240)
DARK: Color = (18, 20, 26)
WHITE: Color = (255, 255, 255)
TRUTH: Color = (226, 38, 54)
PREDICTION: Color = (255, 222, 40)

PEOPLE: tuple[Color, ...] = (
    (240, 228, 66),
    (0, 190, 140),
    (226, 120, 190),
    (120, 110, 255),
    (213, 94, 0),
    (150, 220, 110),
    (0, 130, 200),
    (190, 190, 190),
)


def person_color(index: int) -> Color:
    """The colour of a person by index or identity; it repeats after eight people."""
    return PEOPLE[index % len(PEOPLE)]


def side_color(joints: Sequence[str]) -> Color:
    """The colour of a joint, or of the limb between joints: of the side they are on, `CENTRE` where they disagree."""
    left = any(joint.startswith("left_") for joint in joints)
    right = any(joint.startswith("right_") for joint in joints)
    if left == right:
        return CENTRE
    return LEFT if left else RIGHT


def edge_colors(skeleton: Skeleton) -> list[Color]:
    """One colour for each edge of a skeleton, by side."""
    return [side_color((skeleton.joints[a], skeleton.joints[b])) for a, b in skeleton.edges]


def text_color(background: Color) -> Color:
    """Dark or white, whichever is easier to read on ``background`` (Rec. 709 luma)."""
    luma = 0.2126 * background[0] + 0.7152 * background[1] + 0.0722 * background[2]
    return DARK if luma > 120 else WHITE
