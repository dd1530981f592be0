"""Folders of photos and person masks, without joints: ``images/0001.jpg`` and ``masks/0001.png``."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from ..errors import FormatError
from ..formats import rle
from ..geometry import boxes
from ..skeletons import VITRUVIAN19, Skeleton
from ..types import Person, Record
from .find import find_images
from .images import image_size, read_image

NAME = "masks"
"""How recipes and ``vitruvian evaluate`` call such a folder, where they name formats of annotations."""
_TRIED = 16  # masks that an error looks at


def read_mask_folder(
    path: str | os.PathLike,
    images: str | os.PathLike | None = None,
    skeleton: Skeleton = VITRUVIAN19,
    threshold: int = 127,
) -> list[Record]:
    """Photos with the masks of their people.

    Parameters
    ----------
    path : folder that has ``images`` and ``masks``, or the folder of masks if ``images`` is given. A photo's masks are
        ``<photo>.png``, or one a person, ``<photo>_0.png`` and so on.
    images : folder of the photos.
    skeleton : whose joints the people have none of.
    threshold : a pixel is the person where its mask is above this, of 0 ... 255.

    Returns
    -------
    A record a photo that has a mask; a person has run lengths, the box around its mask, and no joints. Masks of nothing
    are passed over.

    Raises
    ------
    FormatError
        No such folder, no photo with a mask, or a mask of another size than its photo.
    """
    path = Path(path)
    masks, photos = (path, Path(images)) if images is not None else (path / "masks", path / "images")
    for folder in (masks, photos):
        if not folder.is_dir():
            raise FormatError(folder, "is not a folder; expected photos in 'images' and person masks in 'masks'")
    found = find_images(photos)
    masks_of = masks_by_photo(masks, {photo.stem for photo in found})
    records = []
    for photo in found:
        size_wh = image_size(photo)
        people = [_person(file, size_wh, len(skeleton), threshold) for file in sorted(masks_of.get(photo.stem, []))]
        persons = tuple(person for person in people if person is not None)
        if persons:
            records.append(Record(photo, photo.stem, size_wh, skeleton, persons, NAME))
    if not records:
        named = [file for photo in found for file in masks_of.get(photo.stem, [])]
        if named:
            highest = max(int(read_image(file)[..., 0].max()) for file in named[:_TRIED])
            raise FormatError(
                masks,
                f"shows nobody: no pixel of its masks is above the threshold {threshold} (the highest is {highest})",
            )
        raise FormatError(masks, f"has no mask for any of the {len(found)} photos in {photos}; names must be equal")
    return records


def masks_by_photo(folder: Path, stems: set[str]) -> dict[str, list[Path]]:
    """The masks of each photo: those of its name, and those with a number after it unless a photo has that name."""
    found: dict[str, list[Path]] = {}
    for file in find_images(folder):
        numbered = re.fullmatch(r"(.+)_\d+", file.stem)
        stem = numbered[1] if numbered and file.stem not in stems else file.stem
        found.setdefault(stem, []).append(file)
    return found


def _person(file: Path, size_wh: tuple[int, int], joints: int, threshold: int) -> Person | None:
    mask = read_image(file)[..., 0] > threshold
    if mask.shape != size_wh[::-1]:
        raise FormatError(file, f"is {mask.shape[1]} x {mask.shape[0]}, its photo {size_wh[0]} x {size_wh[1]}")
    if not mask.any():
        return None
    return Person(
        keypoints_px=np.full((joints, 2), np.nan),
        visibility=np.zeros(joints),
        box_xyxy=boxes.around_mask(mask),
        area_px=float(mask.sum()),
        segmentation=rle.encode(mask),
        id=file.stem,
    )
