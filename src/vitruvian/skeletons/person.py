"""A person as one point: what person detectors have for a skeleton."""

from .skeleton import Skeleton

PERSON = Skeleton(name="person", joints=("centre",), edges=(), sigmas=(0.1,))
