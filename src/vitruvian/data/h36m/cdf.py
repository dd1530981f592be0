"""Human3.6M as it is downloaded: CDF files of poses, one a take, for each subject.

``S1/MyPoseFeatures/D3_Positions_mono/Walking 1.54138969.cdf`` are the 32 joints in mm in the axes of one camera;
``D3_Positions/Walking 1.cdf`` those in the world, which need the cameras' file; ``D2_Positions/Walking 1.54138969.cdf``
the pixels. Each has a variable ``Pose`` (1, frames, 32 x 3 or 2). (Archives unpacked by other tools call the folders
``Poses_D3_Positions_mono`` and so on.)

Videos are not decoded here. Frames that were written as pictures (by ffmpeg, from 1) are found in
``<images>/S1/Walking 1.54138969/``, by the number that their names end in; masks in ``<masks>`` likewise, or in the
data set's own ``S1/MySegmentsMat/ground_truth_bs/Walking 1.54138969.mat`` (Matlab 7.3, one mask a frame in ``Masks``).

CDF is NASA's Common Data Format; cdflib (MIT) reads it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FormatError
from ...extras import need
from ...geometry.cameras import Camera
from ...skeletons import H36M17
from ..poses3d import Frames3D, Picture, concatenate
from .cameras import Cameras, read_cameras
from .names import CAMERAS, action_of, joints_17, numbered_files, subjects_in


def read_cdf(
    path: str | os.PathLike,
    cameras: str | os.PathLike | None = None,
    images: str | os.PathLike | None = None,
    masks: str | os.PathLike | None = None,
    subjects: Sequence[str] | None = None,
    actions: Sequence[str] | None = None,
) -> Frames3D:
    """All takes, seen by each of their cameras, in camera axes.

    Parameters
    ----------
    path : the folder with S1, S5, ...
    cameras : a file for `read_cameras`; not needed where ``D3_Positions_mono`` is there, which goes first.
    images, masks : folders of frames, see the module; None leaves frames without, except for the data set's own masks.
    subjects, actions : those to read (``["Walking"]``), which spares opening the others; None for all.

    Raises
    ------
    FormatError
        Folders or files that are missing, damaged or contradict each other.
    MissingExtraError
        cdflib is not installed (extra ``h36m``).
    """
    root = Path(path)
    need("cdflib", "h36m", "reading Human3.6M's CDF files")
    known = None if cameras is None else read_cameras(cameras)
    parts = []
    for subject in subjects_in(root, subjects):
        mono, world = (_folder(root / subject, name) for name in ("D3_Positions_mono", "D3_Positions"))
        if mono is None and (world is None or known is None):
            problem = "has neither D3_Positions_mono nor, with a cameras file given, D3_Positions under MyPoseFeatures"
            raise FormatError(root / subject, problem)
        for file in sorted((mono or world).glob("*.cdf")):  # type: ignore[union-attr]
            stem, _, last = file.stem.rpartition(".")
            take, seen_by = (stem, (last,)) if mono is not None else (file.stem, CAMERAS)
            if actions is not None and action_of(take) not in actions:
                continue
            joints = joints_17(file, _pose(file), 3, "Pose")
            for name in seen_by:
                camera = _known_camera(known, subject, name)
                if mono is None:
                    if camera is None:
                        raise FormatError(str(cameras), f"has no camera {name} of {subject}")
                    parts.append(
                        _view(root, subject, take, name, camera.world_to_camera(joints), camera, images, masks)
                    )
                else:
                    parts.append(_view(root, subject, take, name, joints, camera, images, masks))
    if not parts:
        raise FormatError(root, f"no takes of {actions or 'any action'} in CDF files")
    return concatenate(parts)


def _view(
    root: Path,
    subject: str,
    take: str,
    name: str,
    joints_mm: np.ndarray,
    camera: Camera | None,
    images: str | os.PathLike | None,
    masks: str | os.PathLike | None,
) -> Frames3D:
    count, label = len(joints_mm), f"{take}.{name}"
    folder = _folder(root / subject, "D2_Positions")
    pixels = folder / f"{label}.cdf" if folder is not None else None
    keypoints = camera.camera_to_image(joints_mm) if camera is not None else None
    if pixels is not None and pixels.is_file():
        keypoints = joints_17(pixels, _pose(pixels), 2, "Pose")
        if len(keypoints) != count:
            raise FormatError(pixels, f"has {len(keypoints)} frames, the positions in mm {count}", field="Pose")
    columns = {"subject": subject, "action": action_of(take), "sequence": f"{subject}/{take}/{name}"}
    pictures = _frames(images, subject, label, count)
    cut_out = _frames(masks, subject, label, count)
    matlab = root / subject / "MySegmentsMat" / "ground_truth_bs" / f"{label}.mat"
    if masks is None and matlab.is_file():
        cut_out = tuple(partial(_matlab_mask, matlab, i) for i in range(count))
    return Frames3D(
        H36M17,
        joints_mm,
        **{key: np.full(count, value) for key, value in columns.items()},  # type: ignore[arg-type]
        frame=np.arange(count),
        keypoints_px=keypoints,  # type: ignore[arg-type]
        pictures=pictures,
        masks=cut_out,
        cameras=() if camera is None else (camera,),
        camera=np.full(count, -1 if camera is None else 0),
        source="Human3.6M",
    )


def _frames(folder: str | os.PathLike | None, subject: str, label: str, count: int) -> tuple[Picture, ...]:
    if folder is None:
        return (None,) * count
    names = (label, label.replace(" ", "_"))
    found = next((files for n in names if (files := numbered_files(Path(folder) / subject / n))), {})
    return tuple(found.get(i + 1) for i in range(count))


def _folder(subject: Path, name: str) -> Path | None:
    candidates = (subject / "MyPoseFeatures" / name, subject / f"Poses_{name}")
    return next((folder for folder in candidates if folder.is_dir()), None)


def _known_camera(known: Cameras | None, subject: str, name: str) -> Camera | None:
    return None if known is None else known.get((subject, name))


def _pose(path: Path) -> np.ndarray:
    """(F, values) the variable ``Pose``, of one record."""
    cdflib = need("cdflib", "h36m", "reading Human3.6M's CDF files")
    try:
        pose: Any = np.asarray(cdflib.CDF(os.fspath(path)).varget("Pose"))
    except Exception as error:  # cdflib meets damaged files with about any exception
        raise FormatError(path, f"cannot be read as CDF with a variable 'Pose': {error}") from error
    pose = pose[0] if pose.ndim == 3 and len(pose) == 1 else pose
    if pose.ndim != 2 or pose.dtype.kind != "f":
        raise FormatError(path, f"expected (1, frames, values) numbers, got {pose.dtype} {pose.shape}", field="Pose")
    return pose


def _matlab_mask(path: Path, index: int) -> np.ndarray:
    """(H, W) uint8 mask of one frame; Matlab's arrays are columns first."""
    h5py = need("h5py", "data", "reading Human3.6M's masks")
    try:
        with h5py.File(os.fspath(path), "r") as file:
            references = np.asarray(file["Masks"]).reshape(-1)
            mask = np.asarray(file[references[index]]).T
    except Exception as error:
        raise FormatError(path, f"cannot be read as masks: {error}", record=f"frame {index}") from error
    return (mask > 0).astype(np.uint8)
