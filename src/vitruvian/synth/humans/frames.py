"""`read_synth_people`: a folder that `generate` wrote, as frames in 3D of one person each (`data.poses3d`)."""

from __future__ import annotations

import json
import os
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...data.images import read_image
from ...data.poses3d import Frames3D
from ...errors import FormatError
from ...geometry.cameras import Camera
from ...skeletons import get_skeleton
from . import landmarks


def read_synth_people(
    path: str | os.PathLike,
    skeleton: str = "h36m17",
    pictures: tuple[int, int] | None = None,
    min_visible: float = 0.0,
) -> Frames3D:
    """The people of a folder of ``vitruvian synth``, each a frame of its own with the picture it is in.

    Parameters
    ----------
    path : the folder.
    skeleton : which of a body's joints to take.
    pictures : the first and past-the-last picture to read; None reads all.
    min_visible : leave out people of whose joints a smaller share can be seen (visibility 2). Whoever cannot be seen
        at all is always left out.

    Returns
    -------
    `Frames3D` in camera axes with boxes and masks of what can be seen. Joints that are hidden or beyond the picture's
    edge have their true places too. A frame's subject is the body shape that has the largest part in it, its action the
    recorded take of its pose; no two frames follow each other in time.

    Raises
    ------
    FormatError
        Not such a folder, a range of pictures that it does not have, or nobody left.
    SkeletonError
        A skeleton with joints that bodies do not have.
    """
    folder = Path(path)
    arrays, size_wh, seed = _content(folder)
    chosen = get_skeleton(skeleton)
    joints = landmarks.for_skeleton(chosen)
    image = arrays["image_index"]
    count = len(arrays["focal_px"])
    first, end = pictures or (0, count)
    if not 0 <= first < end <= count:
        raise FormatError(folder, f"pictures must be a range within 0 to {count}, got {first} to {end}")
    seen = (arrays["visibility"][:, joints] == 2).mean(axis=1)
    rows = np.flatnonzero(
        np.isfinite(arrays["boxes_xyxy"]).all(axis=1) & (image >= first) & (image < end) & (seen >= min_visible)
    )
    if not len(rows):
        raise FormatError(folder, f"nobody in pictures {first} to {end} of whom {min_visible:.0%} of the joints show")
    about = [json.loads(text) for text in arrays["about"][rows]]
    lenses = ("focal_px", "centre_px", "rotation", "position_mm")
    return Frames3D(
        chosen,
        arrays["joints_camera_mm"][rows][:, joints],
        subject=np.array([max(a["shapes"], key=a["shapes"].get) for a in about], np.str_),
        action=np.array([a["pose"] for a in about], np.str_),
        sequence=np.array([f"{seed}/{image[row]}/{arrays['person'][row]}" for row in rows], np.str_),
        frame=image[rows],
        keypoints_px=arrays["joints_px"][rows][:, joints],
        boxes_xyxy=arrays["boxes_xyxy"][rows],
        pictures=tuple(folder / "images" / f"{i:06d}.jpg" for i in image[rows]),
        masks=tuple(
            partial(_mask, folder / "masks" / f"{image[row]:06d}.png", int(arrays["person"][row])) for row in rows
        ),
        cameras=tuple(
            Camera(*(arrays[name][i] for name in lenses), size_wh=size_wh) for i in range(len(arrays["focal_px"]))
        ),
        camera=image[rows],
        source=f"synthetic people ({folder.name}, seed {seed})",
    )


def _content(folder: Path) -> tuple[dict[str, Any], tuple[int, int], int]:
    """``labels.npz``, the pictures' (width, height) and the seed."""
    try:
        options = json.loads((folder / "synth.json").read_text(encoding="utf-8"))["options"]
        with np.load(folder / "labels.npz", allow_pickle=False) as file:
            arrays = {name: file[name] for name in (
                "image_index", "person", "joints_px", "visibility", "joints_camera_mm", "boxes_xyxy", "about",
                "focal_px", "centre_px", "rotation", "position_mm",
            )}  # fmt: skip
        width, height = options["size_wh"]
        return arrays, (int(width), int(height)), int(options["seed"])
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        how = "run `vitruvian synth` again with the options it was made with"
        raise FormatError(folder, f"is no finished folder of synthetic people ({error}); {how}") from error


def _mask(path: Path, person: int) -> np.ndarray:
    """(H, W) bool: where the numbered person is."""
    return read_image(path)[..., 0] == person
