"""`Frames3D`: frames of one person each, with the picture, joints in pixels and in millimetres, and the camera.

What the readers of Human3.6M (`data.h36m`), drawn motion capture (`synth.mocap`) and rendered people give, and what
training from pictures to 3D takes. It is a table: one row a frame, however many takes and cameras it holds.

On disk it is one ``.npz`` without pickled objects (`write_poses3d`, `read_poses3d`), with pictures beside it or inside.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError, ShapeError
from ..formats.writing import atomic_path
from ..geometry.cameras import Camera
from ..skeletons import Skeleton
from .images import read_image

Picture = Path | np.ndarray | Callable[[], np.ndarray] | None
"""A file, an array (H, W, 3) uint8 RGB or (H, W), or a picklable function without arguments that makes one."""

_LABELS = ("subject", "action", "sequence")
_CAMERA = {"focal_px": 2, "centre_px": 2, "rotation": 9, "position_mm": 3, "radial": 3, "tangential": 2}


@dataclass(frozen=True, eq=False)
class Frames3D:
    """N frames.

    Attributes
    ----------
    skeleton : what the K joints are.
    joints_mm : (N, K, 3) float64; NaN where not labelled. In the axes of ``axes``.
    subject, action, sequence : (N,) text: who, what, and which take and camera (frames of one ``sequence`` follow each
        other in time). Empty where unknown.
    frame : (N,) int64 number within the take, as the source counts.
    keypoints_px : (N, K, 2) float64 in pixels of the picture, or NaN.
    boxes_xyxy : (N, 4) float64 the person's box in the picture, or NaN.
    pictures, masks : N entries each (see `Picture`); a mask is (H, W), not 0 where the person is. None where there are
        none.
    cameras : those that the frames were seen by.
    camera : (N,) int64 index into ``cameras``, -1 where unknown.
    axes : ``"camera"`` (x right, y down, z forwards; positions relative to the camera's centre) or ``"world"``.
    source : name of the data, for messages and cards.

    Raises
    ------
    ShapeError
        Arrays that do not belong together, or an index of a camera that is not there.
    """

    skeleton: Skeleton
    joints_mm: np.ndarray
    subject: np.ndarray
    action: np.ndarray
    sequence: np.ndarray
    frame: np.ndarray
    keypoints_px: np.ndarray = None  # type: ignore[assignment]
    boxes_xyxy: np.ndarray = None  # type: ignore[assignment]
    pictures: tuple[Picture, ...] = None  # type: ignore[assignment]
    masks: tuple[Picture, ...] = None  # type: ignore[assignment]
    cameras: tuple[Camera, ...] = ()
    camera: np.ndarray = None  # type: ignore[assignment]
    axes: str = "camera"
    source: str = ""

    def __post_init__(self) -> None:
        joints = np.asarray(self.joints_mm, np.float64)
        count, size = len(joints), len(self.skeleton)
        arrays: dict[str, tuple[Any, tuple[int, ...], Any]] = {
            "joints_mm": (joints, (count, size, 3), np.float64),
            "keypoints_px": (self.keypoints_px, (count, size, 2), np.float64),
            "boxes_xyxy": (self.boxes_xyxy, (count, 4), np.float64),
            "frame": (self.frame, (count,), np.int64),
            "camera": (self.camera, (count,), np.int64),
            **{name: (getattr(self, name), (count,), np.str_) for name in _LABELS},
        }
        for name, (value, shape, kind) in arrays.items():
            fill = -1 if kind is np.int64 else np.nan
            array = np.full(shape, fill, kind) if value is None else np.asarray(value).astype(kind, copy=False)
            if array.shape != shape:
                raise ShapeError(f"{count} frames of {size} joints need {name} {shape}, got {array.shape}")
            object.__setattr__(self, name, array)
        for name in ("pictures", "masks"):
            value = getattr(self, name)
            entries = (None,) * count if value is None else tuple(value)
            if len(entries) != count:
                raise ShapeError(f"{count} frames need as many {name}, got {len(entries)}")
            object.__setattr__(self, name, entries)
        object.__setattr__(self, "cameras", tuple(self.cameras))
        if count and not -1 <= self.camera.min() <= self.camera.max() < len(self.cameras):
            raise ShapeError(f"camera must be -1 or an index of {len(self.cameras)} cameras, got {self.camera.max()}")
        if self.axes not in ("camera", "world"):
            raise ShapeError(f"axes must be camera or world, got {self.axes!r}")

    def __len__(self) -> int:
        return len(self.joints_mm)

    def select(self, index: Any) -> Frames3D:
        """The frames picked by a slice, a mask (N,) or indices, in that order."""
        chosen = np.arange(len(self))[index]
        rows: dict[str, Any] = {
            f.name: getattr(self, f.name)[chosen] for f in fields(self) if isinstance(getattr(self, f.name), np.ndarray)
        }
        for name in ("pictures", "masks"):
            entries = getattr(self, name)
            rows[name] = tuple(entries[i] for i in chosen)
        return replace(self, **rows)

    def filtered(
        self, subjects: Sequence[str] | None = None, actions: Sequence[str] | None = None, every: int = 1
    ) -> Frames3D:
        """Frames of those subjects and actions (None: all), and of these each ``every``-th of a sequence.

        Raises `ShapeError` for an ``every`` below 1, a name that no frame has, or where nothing is left.
        """
        if every < 1:
            raise ShapeError(f"every must be at least 1, got {every}")
        keep = np.ones(len(self), bool)
        for name, wanted in (("subject", subjects), ("action", actions)):
            if wanted is not None:
                present = getattr(self, name)
                lacking = sorted(set(wanted) - set(present.tolist()))
                if lacking:
                    known = ", ".join(sorted(set(present.tolist()))) or "none"
                    raise ShapeError(f"{self.source or 'the data'} has no {name} '{lacking[0]}'; it has {known}")
                keep &= np.isin(present, list(wanted))
        if every > 1:
            ordinal = np.zeros(len(self), np.int64)
            for name in np.unique(self.sequence):
                rows = np.flatnonzero((self.sequence == name) & keep)
                ordinal[rows] = np.arange(len(rows))
            keep &= ordinal % every == 0
        if not keep.any():
            raise ShapeError(f"{self.source or 'the data'}: no frame has both one of {subjects} and one of {actions}")
        return self.select(keep)

    def to_camera(self) -> Frames3D:
        """The same frames with joints in camera axes; `ShapeError` where a frame's camera is unknown."""
        if self.axes == "camera":
            return self
        if (self.camera < 0).any():
            raise ShapeError(f"{self.source or 'the data'}: joints in world axes, and no cameras to see them from")
        joints = np.empty_like(self.joints_mm)
        for i, camera in enumerate(self.cameras):
            joints[self.camera == i] = camera.world_to_camera(self.joints_mm[self.camera == i])
        return replace(self, joints_mm=joints, axes="camera")

    def picture(self, index: int) -> np.ndarray:
        """The picture of a frame, (H, W, 3) or (H, W) uint8; `ShapeError` where it has none."""
        return _pixels(self.pictures[index], f"frame {index} of {self.source or 'the data'}", "picture")

    def mask(self, index: int) -> np.ndarray:
        """(H, W) bool: where the person is; `ShapeError` where a frame has no mask."""
        mask = _pixels(self.masks[index], f"frame {index} of {self.source or 'the data'}", "mask")
        return (mask if mask.ndim == 2 else mask.max(axis=2)) > 0


def concatenate(parts: Sequence[Frames3D]) -> Frames3D:
    """All frames of several tables, one table after the other.

    Raises `ShapeError` for nothing, or tables of different skeletons or axes.
    """
    if not parts:
        raise ShapeError("there are no frames to put together")
    first = parts[0]
    for part in parts:
        if part.skeleton != first.skeleton or part.axes != first.axes:
            raise ShapeError(
                f"frames of {first.skeleton.name} in {first.axes} axes and of {part.skeleton.name} in {part.axes} axes "
                "cannot be one table"
            )
    starts = np.cumsum([0, *(len(part.cameras) for part in parts)])
    camera = [np.where(p.camera < 0, -1, p.camera + start) for p, start in zip(parts, starts[:-1], strict=True)]
    stacked: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("joints_mm", "keypoints_px", "boxes_xyxy", "frame", *_LABELS)
    }
    return Frames3D(
        first.skeleton,
        **stacked,
        pictures=tuple(p for part in parts for p in part.pictures),
        masks=tuple(m for part in parts for m in part.masks),
        cameras=tuple(c for part in parts for c in part.cameras),
        camera=np.concatenate(camera),
        axes=first.axes,
        source="; ".join(dict.fromkeys(part.source for part in parts if part.source)),
    )


def write_poses3d(path: str | os.PathLike, poses: Frames3D) -> Path:
    """Write a table as one ``.npz``, atomically; `read_poses3d` gives it back.

    Pictures and masks that are files are kept as paths relative to the ``.npz``; such that are arrays of one size are
    stored in it. Functions are called, once each.

    Raises `FormatError` where some pictures are files and others are not, or arrays differ in size.
    """
    path = Path(path)
    arrays: dict[str, np.ndarray] = {
        name: getattr(poses, name) for name in ("joints_mm", "keypoints_px", "boxes_xyxy", "frame", "camera", *_LABELS)
    }
    for name in ("joints_mm", "keypoints_px", "boxes_xyxy"):
        arrays[name] = arrays[name].astype(np.float32)
    for name in ("pictures", "masks"):
        stored = _stored(path, name, getattr(poses, name))
        if stored is not None:
            arrays[name] = stored
    for name, width in _CAMERA.items():
        rows = [getattr(camera, name).reshape(-1) for camera in poses.cameras]
        arrays[f"camera_{name}"] = np.array(rows, np.float64).reshape(-1, width)
    sizes = [camera.size_wh or (0, 0) for camera in poses.cameras]
    arrays["camera_size_wh"] = np.array(sizes, np.int64).reshape(-1, 2)
    arrays["camera_distortion"] = np.array([camera.distortion for camera in poses.cameras], np.str_)
    skeleton = poses.skeleton
    arrays |= {"skeleton_name": np.array(skeleton.name), "joint_name": np.array(skeleton.joints)}
    arrays |= {"edges": np.array(skeleton.edges, np.int64).reshape(-1, 2), "sigmas": np.array(skeleton.sigmas)}
    arrays |= {"axes": np.array(poses.axes), "source": np.array(poses.source)}
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return path


def read_poses3d(path: str | os.PathLike) -> Frames3D:
    """A table that `write_poses3d` wrote; nothing is unpickled.

    Raises `FormatError` for a file that is not such a one, or that contradicts itself.
    """
    path = Path(path)
    if not path.is_file():
        raise FormatError(path, "no such file")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        return _table(path, arrays)
    except KeyError as error:
        raise FormatError(path, f"lacks the array {error}; expected a file of frames in 3D") from error
    except FormatError:
        raise
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise FormatError(path, f"cannot be read as frames in 3D: {error}") from error


def _table(path: Path, arrays: dict[str, np.ndarray]) -> Frames3D:
    edges = tuple((int(a), int(b)) for a, b in arrays["edges"])
    joints = tuple(str(name) for name in arrays["joint_name"])
    skeleton = Skeleton(str(arrays["skeleton_name"]), joints, edges, tuple(float(s) for s in arrays["sigmas"]))
    cameras = []
    for i, distortion in enumerate(arrays["camera_distortion"]):
        parts = {name: arrays[f"camera_{name}"][i] for name in _CAMERA}
        size = arrays["camera_size_wh"][i]
        parts["rotation"] = parts["rotation"].reshape(3, 3)
        size_wh = (int(size[0]), int(size[1])) if size[0] else None
        cameras.append(Camera(**parts, distortion=str(distortion), size_wh=size_wh))
    names = ("joints_mm", "keypoints_px", "boxes_xyxy", "frame", "camera", *_LABELS)
    parts = {name: arrays[name] for name in names}
    entries: dict[str, Any] = {}
    for name in ("pictures", "masks"):
        value = arrays.get(name)
        if value is not None and value.dtype.kind == "U":
            value = [path.parent / str(entry) if str(entry) else None for entry in value]
        entries[name] = None if value is None else tuple(value)
    return Frames3D(
        skeleton, **parts, **entries, cameras=tuple(cameras), axes=str(arrays["axes"]), source=str(arrays["source"])
    )


def _stored(path: Path, name: str, entries: tuple[Picture, ...]) -> np.ndarray | None:
    if all(entry is None for entry in entries):
        return None
    if all(entry is None or isinstance(entry, Path) for entry in entries):
        folder = path.parent.resolve()
        relative = [
            "" if entry is None else Path(os.path.relpath(Path(entry).resolve(), folder)).as_posix()  # type: ignore[arg-type]
            for entry in entries
        ]
        return np.array(relative, np.str_)
    if any(entry is None or isinstance(entry, Path) for entry in entries):
        raise FormatError(path, "some are files and others are not, or are missing", field=name)
    pixels = [_pixels(entry, f"frame {i}", name) for i, entry in enumerate(entries)]
    if len({array.shape for array in pixels}) > 1:
        raise FormatError(path, "arrays of different sizes; write them as files", field=name)
    return np.stack(pixels)


def _pixels(entry: Picture, where: str, what: str) -> np.ndarray:
    if entry is None:
        raise ShapeError(f"{where} has no {what}")
    array = read_image(entry) if isinstance(entry, Path) else (entry() if callable(entry) else np.asarray(entry))
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3):
        raise ShapeError(f"{where}: a {what} must be (H, W, 3) or (H, W), got {array.shape}")
    return array.astype(np.uint8, copy=False)
