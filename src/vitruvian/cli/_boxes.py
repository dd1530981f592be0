"""Where people's boxes come from: ``--boxes``, a COCO detections file, or ``--detector``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ._common import plural

if TYPE_CHECKING:
    from ..predict import Detections, Detector


@dataclass(frozen=True)
class PhotoBoxes:
    """Boxes with scores by the place of the photo in the list (None: none are given), and what to tell the user.

    ``ids``: what a file calls the photos, None for those that it does not mention. ``hint``: what finds more people.
    """

    boxes: list[Detections] | None
    said: str
    hint: str = "a lower --detect-above with --no-select finds more"
    ids: list[int | str | None] | None = None

    @classmethod
    def found_by(cls, detector: Detector | None, name: str) -> PhotoBoxes:
        """Without a file: those of a detector, or none."""
        if detector is None:
            return cls(None, "Boxes: none (--detector none), so each whole image is one person.", "")
        above = getattr(detector, "min_score", None)
        least = "" if above is None else f", score {above:g} or more"
        once = ", whole images alone" if getattr(detector, "once", False) else ""
        return cls(None, f"Boxes: found by {name}{least}{once}.")

    @classmethod
    def read(cls, file: Path, photos: Sequence[Path], above: float = 0.0) -> PhotoBoxes:
        """The file's boxes for each photo; those without area inside their image, or with a lower score than ``above``,
        are left out and counted.
        """
        import numpy as np

        from ..data.images import image_size
        from ..errors import FormatError, ImageError
        from ..formats.coco_results import key_of, read_detections
        from ..geometry import boxes as box_tools
        from ..predict import Detections

        detections = read_detections(file)
        boxes: list[Detections] = []
        ids: list[int | str | None] = []
        dropped = empty = low = 0
        for photo in photos:
            key = key_of(detections, photo)
            ids.append(key)
            found, scores = (np.zeros((0, 4)), np.zeros(0)) if key is None else detections[key]
            empty += key is not None and len(found) == 0
            try:
                usable = box_tools.area(box_tools.clip(found, image_size(photo))) > 0
            except ImageError:
                usable = np.ones(len(found), bool)  # decoding will say what is wrong with it
            dropped += int((~usable).sum())
            low += int((usable & (scores < above)).sum())
            usable &= scores >= above
            boxes.append(Detections(found[usable], scores[usable]))
        used = Counter(ids)
        unknown = used.pop(None, 0)
        if unknown == len(photos):
            some = ", ".join(repr(name) for name in list(detections)[:3])
            raise FormatError(
                file, f"mentions none of the {plural(unknown, 'image')}; its image ids are {some or 'none'}"
            )
        said = f"Boxes: {plural(sum(len(found) for found, _ in boxes), 'box')} from {file}"
        if unknown:
            said += f"; {plural(unknown, 'image')} not mentioned there, so nobody is looked for"
        if empty:
            said += f"; {plural(empty, 'image')} with boxes of other categories only, so nobody is looked for"
        if len(used) < len(detections):
            said += f"; {plural(len(detections) - len(used), 'further image')} in the file not among these photos"
        if dropped:
            said += f"; {plural(dropped, 'box')} without area inside the image left out"
        if low:
            said += f"; {plural(low, 'box')} with a score below {above:g} left out"
        ids = [key if used[key] == 1 else None for key in ids]  # not of photos of one name in several folders
        return cls(boxes, said + ".", "a lower --detect-above may find more" if low else "", ids)
