"""Synthetic people: drawn articulated figures with exact joints, so that the whole loop runs without any download.

`bodies` (proportions, poses, kinematics) -> `figures` (dressed and drawn pieces) -> `scenes` (pictures and records).
"""

from .scenes import render, synthetic_records

__all__ = ["render", "synthetic_records"]
