"""`Calibration`: what a model's scores are worth, as a short rising curve that travels in its card.

A score of a codec says how sure a network is, not how often it is right. The curve says that: it is fitted on people,
best on such as the network was not trained on (`vitruvian.metrics.calibration`), and prediction puts every score
through it. It rises strictly, so that the order of a joint's scores stays what it was; joints that are harder to find
may be moved against others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import WeightsError


@dataclass(frozen=True)
class Calibration:
    """Score -> chance that the joint is right, linear between knots.

    Attributes
    ----------
    knots : (score, chance) pairs, both strictly rising, from score 0 to score 1, within [0, 1].
    right : when a joint counts as right, in words, e.g. ``"within 0.2 torso lengths"``.
    fitted_on : which people, in words.
    by_joint : what is added to the logit of the curve's chance, one number for each joint of the model; empty: nothing.
    """

    knots: tuple[tuple[float, float], ...]
    right: str = ""
    fitted_on: str = ""
    by_joint: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        try:
            knots = tuple((float(x), float(y)) for x, y in self.knots)
        except (TypeError, ValueError) as error:
            raise WeightsError(f"a calibration's knots are pairs of numbers, got {self.knots!r}") from error
        array = np.array(knots).reshape(-1, 2)
        rising = len(array) >= 2 and bool((np.diff(array, axis=0) > 0).all())
        if not rising or array[0, 0] != 0 or array[-1, 0] != 1 or not ((array >= 0) & (array <= 1)).all():
            raise WeightsError(
                f"a calibration's knots must rise strictly, from score 0 to score 1, within [0, 1]; got {list(knots)}"
            )
        object.__setattr__(self, "knots", knots)
        if not all(isinstance(x, int | float) and np.isfinite(x) for x in self.by_joint):
            raise WeightsError(f"a calibration moves joints by finite numbers, got {self.by_joint!r}")
        object.__setattr__(self, "by_joint", tuple(map(float, self.by_joint)))

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Scores in [0, 1] -> chances, float32 of the same shape: any, or (..., K) with numbers for K joints.

        `WeightsError` for another number of joints.
        """
        x, y = np.array(self.knots).T
        chance = np.interp(scores, x, y)
        if self.by_joint:
            if np.shape(chance)[-1:] != (len(self.by_joint),):
                raise WeightsError(f"a calibration of {len(self.by_joint)} joints got scores {np.shape(scores)}")
            odds = chance * np.exp(self.by_joint)
            chance = odds / (odds + 1 - chance)
        return chance.astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the card."""
        return {
            "knots": [list(knot) for knot in self.knots],
            "right": self.right,
            "fitted_on": self.fitted_on,
            "by_joint": list(self.by_joint),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Calibration:
        """The inverse of `to_dict`; `WeightsError` for knots that cannot be."""
        return cls(
            tuple(tuple(knot) for knot in data["knots"]),
            str(data["right"]),
            str(data["fitted_on"]),
            tuple(data.get("by_joint", ())),
        )
