"""`generate`: a folder of pictures with labels, from a seed; in several processes, and resumable.

The folder: ``images/000000.jpg``; ``masks/000000.png`` (the person's number at each pixel, 0 for none);
``parts/000000.png`` (part ids, `body.PARTS`); ``person_keypoints_<skeleton>.json`` for every skeleton, in COCO's
format; ``labels.npz`` with cameras and joints in 2D and 3D (`ARRAYS`); ``synth.json``, what it was made with.

Each picture follows from (seed, index) alone, and its labels are written last: whatever has labels is finished. A run
that was stopped thus goes on where it stopped, and the folder is the same, byte by byte, as without the stop.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from PIL import Image

from ...errors import FormatError, VitruvianError
from ...extras import need
from ...formats import coco
from ...formats.writing import atomic_path, write_json
from ...geometry.cameras import Camera
from ...skeletons import SKELETONS
from . import landmarks
from .bake import cache_folder, load_body
from .body import PARTS, BodyModel
from .labels import PictureLabels, record_of
from .people import Assets, PoseSource
from .poses import Poses3D, join, read_poses
from .prior import load_prior
from .render import Renderer
from .scene import SceneOptions, make_picture
from .sources import Recorded
from .wardrobe import Wardrobe, load_wardrobe

SPLITS = ("all", "train", "val")
_HELD_OUT = 5  # every so-manyth body, take and garment is held out
_PICTURES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class SynthOptions:
    """Everything a folder depends on.

    Attributes
    ----------
    seed, size_wh : of everything; (width, height) of the pictures.
    scene : what may happen in a picture.
    poses : files of `poses.read_poses`; none takes the shipped prior.
    wardrobe : a folder or tar for `wardrobe.load_wardrobe`; None paints clothes.
    backgrounds : a folder of pictures; None generates them all.
    split : ``train`` and ``val`` share no body shape, no recorded take and no garment; ``all`` uses everything.
    quality : range of the JPEGs' quality.
    body : a baked body's file; None takes the user's cache, baking it first if need be.
    """

    seed: int = 0
    size_wh: tuple[int, int] = (256, 256)
    scene: SceneOptions = field(default_factory=SceneOptions)
    poses: tuple[str, ...] = ()
    wardrobe: str | None = None
    backgrounds: str | None = None
    split: str = "all"
    quality: tuple[int, int] = (55, 96)
    body: str | None = None

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise VitruvianError(f"split must be one of {', '.join(SPLITS)}, got '{self.split}'")
        if min(self.size_wh) < 32 or max(self.size_wh) > 4096:
            raise VitruvianError(f"pictures must have sides of 32 ... 4096 pixels, got {self.size_wh}")
        if not (1 <= self.quality[0] <= self.quality[1] <= 100):
            raise VitruvianError(f"JPEG quality must be a range within 1 ... 100, got {self.quality}")
        if not 1 <= self.scene.max_people <= 8 or self.seed < 0:
            raise VitruvianError(f"expected 1 ... 8 people and a seed from 0, got {self.scene.max_people}, {self.seed}")
        for name in ("occluders", "truncation"):
            if not 0 <= getattr(self.scene, name) < 1:
                raise VitruvianError(f"{name} is a chance in [0, 1), got {getattr(self.scene, name)}")


def load_assets(options: SynthOptions, say: Callable[[str], None] = lambda _: None) -> Assets:
    """Body, poses, clothes and backgrounds that the options name; the errors of their readers."""
    body = load_body(options.body, say)
    wardrobe = load_wardrobe(options.wardrobe, body, cache_folder()) if options.wardrobe else None
    backgrounds: list[Path] = []
    if options.backgrounds:
        folder = Path(options.backgrounds)
        backgrounds = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _PICTURES)
        if not backgrounds:
            raise FormatError(folder, f"holds no pictures ({', '.join(_PICTURES)})")
    shapes = tuple(i for i in range(len(body)) if in_split(options.split, i))
    clothes = _split_wardrobe(wardrobe, options.split) if wardrobe else None
    return Assets(body, shapes, _pose_source(options, body), clothes, backgrounds)


def _pose_source(options: SynthOptions, body: BodyModel) -> PoseSource:
    if not options.poses:
        return load_prior()
    poses = join([read_poses(path, body) for path in options.poses])
    takes = [i for i, name in enumerate(poses.names) if in_split(options.split, crc32(name.encode()))]
    chosen: Poses3D = poses.of_takes(takes)
    if not len(chosen):
        raise VitruvianError(
            f"of {len(poses.names)} recorded takes none is in the split '{options.split}'; give more files, or 'all'"
        )
    return Recorded(chosen)


def in_split(split: str, number: int) -> bool:
    """Whether shape, garment or take ``number`` belongs to a split: every fifth to ``val``, the others to ``train``."""
    return split == "all" or (number % _HELD_OUT == _HELD_OUT - 1) == (split == "val")


def _split_wardrobe(wardrobe: Wardrobe, split: str) -> Wardrobe:
    """Kinds of which there are too few to hold any out are shared."""
    garments = {
        kind: [g for i, g in enumerate(found) if len(found) < _HELD_OUT or in_split(split, i)]
        for kind, found in wardrobe.garments.items()
    }
    return Wardrobe(garments, wardrobe.textures, wardrobe.skins)


# --- one folder ----------------------------------------------------------------------------------------------------


def generate(
    out: str | os.PathLike,
    count: int,
    options: SynthOptions = SynthOptions(),
    *,
    processes: int = 1,
    advance: Callable[[int, int], None] = lambda done, total: None,
    say: Callable[[str], None] = lambda _: None,
) -> Path:
    """Make a folder of ``count`` pictures with labels, or go on with one.

    Parameters
    ----------
    out : the folder; one that was begun with the same options is finished, or continued to a larger ``count``.
    processes : how many draw at a time; the result does not depend on it.
    advance, say : called with (done, total), and with what takes long.

    Returns
    -------
    The folder.

    Raises
    ------
    VitruvianError
        A folder that was begun with other options, or holds more pictures; wrong options; no OpenGL.
    MissingExtraError
        Without moderngl, or without anny where the body must be baked.
    """
    out = Path(out)
    if count < 1 or processes < 1:
        raise VitruvianError(f"count and processes must be at least 1, got {count} and {processes}")
    finished = sum(1 for path in (out / "labels").glob("*.npz") if path.stem.isdecimal() and int(path.stem) >= count)
    if finished:
        raise VitruvianError(
            f"{out} holds {finished} finished pictures beyond {count}; give a larger count, or remove them"
        )
    load_body(options.body, say)  # baked once, before several processes would all start to
    new = not (out / "synth.json").exists()
    assets = load_assets(options) if new or processes == 1 else None  # nothing is begun with what cannot be read
    _begin(out, options)
    todo = [i for i in range(count) if not _labels_path(out, i).exists()]
    done = count - len(todo)
    advance(done, count)
    for _ in _draw_all(out, options, assets, todo, min(processes, max(len(todo), 1))):
        done += 1
        advance(done, count)
    collect(out, count)
    return out


def _begin(out: Path, options: SynthOptions) -> None:
    """Write ``synth.json``, or see that it says the same."""
    path = out / "synth.json"
    wanted = json.loads(json.dumps(asdict(options)))
    if path.exists():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))["options"]
        except (ValueError, KeyError, TypeError) as error:
            raise FormatError(path, f"is not this project's ({error}); choose another folder") from error
        if found != wanted:
            other = sorted(key for key in wanted.keys() | found.keys() if found.get(key) != wanted.get(key))
            raise VitruvianError(
                f"{out} was begun with other options ({', '.join(other)}); give the same ones, or another folder"
            )
        return
    write_json(
        path,
        {"options": wanted, "landmarks": landmarks.NAMES, "parts": PARTS, "made_by": "vitruvian synth", "version": 1},
    )


def _draw_all(
    out: Path, options: SynthOptions, assets: Assets | None, todo: list[int], processes: int
) -> Iterator[int]:
    if not todo:
        return
    if processes == 1:
        with closing(Worker(out, options, assets)) as worker:
            for index in todo:
                yield worker.draw(index)
        return
    # Started afresh: a copy of this process would share its OpenGL context.
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, _start, (out, options)) as pool:
        yield from pool.imap_unordered(_work, todo, chunksize=1)


class Worker:
    """What one process needs to draw pictures of a folder; it loads the assets that it is not given."""

    def __init__(self, out: Path, options: SynthOptions, assets: Assets | None = None):
        self.out, self.options = out, options
        self.assets = assets or load_assets(options)
        wardrobe = self.assets.wardrobe
        textures = {**wardrobe.textures, **wardrobe.skins} if wardrobe is not None else {}
        self.renderer = Renderer(options.size_wh, textures)
        # Matrices here are small: a linear algebra library's other threads would only wait for them, at full load.
        threads = need("threadpoolctl", "synth", "drawing in several processes")
        self._single_thread = threads.threadpool_limits(1, user_api="blas")

    def draw(self, index: int) -> int:
        """Write picture ``index`` and, last, its labels."""
        picture, labels = make_picture(self.options.seed, index, self.assets, self.renderer, self.options.scene)
        low, high = self.options.quality
        quality = int(np.random.default_rng((self.options.seed, index, 1)).integers(low, high + 1))
        _save(self.out / "images" / f"{index:06d}.jpg", picture, quality=quality)
        _save(self.out / "masks" / f"{index:06d}.png", labels.person)
        _save(self.out / "parts" / f"{index:06d}.png", labels.part)
        _save_labels(_labels_path(self.out, index), labels)
        return index

    def close(self) -> None:
        """Give the renderer and the threads back."""
        self._single_thread.restore_original_limits()
        self.renderer.close()


_WORKER: list[Worker] = []


def _start(out: Path, options: SynthOptions) -> None:
    _WORKER.append(Worker(out, options))


def _work(index: int) -> int:
    return _WORKER[0].draw(index)


def _save(path: Path, array: np.ndarray, **how: Any) -> None:
    with atomic_path(path) as temporary:
        Image.fromarray(array).save(temporary, **how)


def _labels_path(out: Path, index: int) -> Path:
    return out / "labels" / f"{index:06d}.npz"


def _save_labels(path: Path, labels: PictureLabels) -> None:
    camera = labels.camera
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(
            file, joints_px=labels.joints_px, visibility=labels.visibility, joints_world_mm=labels.joints_world_mm,
            joints_camera_mm=labels.joints_camera_mm, boxes_xyxy=labels.boxes_xyxy, area_px=labels.area_px,
            focal_px=camera.focal_px, centre_px=camera.centre_px, rotation=camera.rotation,
            position_mm=camera.position_mm, about=np.array(json.dumps(labels.about)),
        )  # fmt: skip


def read_labels(out: str | os.PathLike, index: int) -> PictureLabels:
    """The labels of one picture of a folder, masks included; `FormatError` where they cannot be read."""
    out = Path(out)
    path = _labels_path(out, index)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        person, part = (np.asarray(Image.open(out / kind / f"{index:06d}.png")) for kind in ("masks", "parts"))
        size_wh = (person.shape[1], person.shape[0])
        camera = Camera(*(arrays[n] for n in ("focal_px", "centre_px", "rotation", "position_mm")), size_wh=size_wh)
        return PictureLabels(
            person, part, arrays["joints_px"], arrays["visibility"], arrays["joints_world_mm"],
            arrays["joints_camera_mm"], arrays["boxes_xyxy"], arrays["area_px"], camera,
            tuple(json.loads(str(arrays["about"]))),
        )  # fmt: skip
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise FormatError(path, f"is no label file of synthetic people ({error}); delete it and run again") from error


ARRAYS = {
    "image_index": "(P,) which picture each person is in",
    "person": "(P,) its number in masks/",
    "joints_px": "(P, L, 2) pixels",
    "visibility": "(P, L) COCO's codes",
    "joints_camera_mm": "(P, L, 3) camera axes: x right, y down, z forwards",
    "joints_world_mm": "(P, L, 3) world axes: y up, the floor at 0",
    "boxes_xyxy": "(P, 4) of what can be seen; NaN where nothing can",
    "about": "(P,) JSON: the shapes, pose and clothes that each person was made from",
    "focal_px": "(N, 2) of each picture's camera",
    "centre_px": "(N, 2)",
    "rotation": "(N, 3, 3) world to camera",
    "position_mm": "(N, 3)",
    "landmark": "(L,) names of the joints",
}
"""What ``labels.npz`` holds, of N pictures with P people in all and L landmarks."""


def collect(out: str | os.PathLike, count: int) -> None:
    """Write the JSON files and ``labels.npz`` of a folder whose first ``count`` pictures are finished."""
    out = Path(out)
    found = [read_labels(out, index) for index in range(count)]
    for name, skeleton in SKELETONS.items():
        records = (record_of(x, skeleton, i, out / "images" / f"{i:06d}.jpg") for i, x in enumerate(found))
        coco.write(records, out / f"person_keypoints_{name}.json")
    people = [len(x.joints_px) for x in found]
    arrays: dict[str, Any] = {
        "image_index": np.repeat(np.arange(count), people),
        "person": np.concatenate([np.arange(1, n + 1) for n in people]),
        "about": np.array([json.dumps(person) for x in found for person in x.about], np.str_),
        "landmark": np.array(landmarks.NAMES),
    }
    for name in ("joints_px", "visibility", "joints_camera_mm", "joints_world_mm", "boxes_xyxy"):
        arrays[name] = np.concatenate([getattr(x, name) for x in found])
    for name in ("focal_px", "centre_px", "rotation", "position_mm"):
        arrays[name] = np.stack([getattr(x.camera, name) for x in found])
    with atomic_path(out / "labels.npz") as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **{name: arrays[name] for name in ARRAYS})
