"""Where poses are drawn from: recorded ones, or the shipped prior."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .poses import Poses3D


@dataclass(frozen=True, eq=False)
class Recorded:
    """Poses of files; each take is as likely as its number of poses to the power of one half, so that none drowns."""

    poses: Poses3D

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, str]:
        """One recorded pose and the name of its take."""
        takes, counts = np.unique(self.poses.take, return_counts=True)
        edges = np.cumsum(np.sqrt(counts))
        take = takes[int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))]
        among = np.flatnonzero(self.poses.take == take)
        chosen = int(among[rng.integers(len(among))])
        return self.poses.rotations[chosen].astype(np.float64), f"{self.poses.names[take]}"
