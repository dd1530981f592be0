"""Decoding images and turning annotated people into training samples.

Adding a data set: write a reader in ``formats/`` (no data set needs a class of its own).
"""

from .dataset import PoseDataset, SizeSchedule
from .images import as_image, find_images, image_size, read_image, write_image

__all__ = ["PoseDataset", "SizeSchedule", "as_image", "find_images", "image_size", "read_image", "write_image"]
