"""The target factory of system 0: photos, OpenPose's joints and person masks to small pictures and every target kind.

Source: github.com/canaltinigne/Human-Pose-Estimation-Joint-Detection, its preparation of 18,601 photos. Unlike there,
the mask is that of the person whose joints lie in it (there it was the first one found), shrinking is anti-aliased, and
joints keep their fractions of a pixel unless ``floor_joints`` asks for the system's whole ones.

Layout of the folder that is made, one file an image each::

    images/ masks/                                     RGB; 0 and 255
    JOINTCENTERPIXELS/ HEATMAPSOFTMAX/ JOINTGAUSSIANS/   labels 0 ... 25 (see `pixel_targets`)
    HEATMAPS/                                          all joints, 0 ... 255
    JOINTHEATMAPS/                                     NumPy's .npz: (25, H, W) uint8, 0 ... 255
    items/                                             what is known of the image; written last: it is done
    annotations.json, train.json, val.json             COCO's format, BODY_25 joints, masks as run lengths
    choices.json                                       the options, so that a folder never mixes two sets of them
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import FormatError, ImageError, VitruvianError
from ..formats import coco, openpose, rle
from ..formats.fields import load_json
from ..formats.writing import atomic_path, write_json
from ..geometry import Affine
from ..skeletons import BODY25
from ..types import Person, Record
from . import pixel_targets
from .find import find_images
from .images import image_size, read_image, write_image
from .mask_folder import masks_by_photo

KINDS = ("JOINTCENTERPIXELS", "HEATMAPS", "HEATMAPSOFTMAX", "JOINTGAUSSIANS", "JOINTHEATMAPS")

Progress = Callable[[int, int], None]
"""Called with the number of images done and the number in all."""


@dataclass(frozen=True)
class Choices:
    """What to keep, and how to paint it; the defaults are the system's.

    Attributes
    ----------
    one_person : keep photos with exactly one person in the joints' file; else the one with the most joints is taken.
    min_joints : of BODY_25's 25, inside the photo.
    min_side, max_side : both sides of a photo, in pixels, are at least ``min_side`` and below ``max_side``.
    min_agreement : share of the person's joints that lie in its mask, at least.
    shorter_side, multiple : size of the pictures: the shorter side, then padding on the right and below.
    sigma, threshold : of the Gaussians, in pixels of the small picture; see `pixel_targets`.
    floor_joints : cut joints down to whole pixels, of the photo and again of the small picture, as the system did.
    heatmap_jpeg : HEATMAPS as JPEG of quality 100, as the system had them, instead of PNG.
    mask_threshold : a mask's pixel is the person where it is above this, of 0 ... 255.
    kinds : of `KINDS`.
    """

    one_person: bool = True
    min_joints: int = 22
    min_side: int = 572
    max_side: int = 1200
    min_agreement: float = 0.5
    shorter_side: int = 128
    multiple: int = 16
    sigma: float = 1.0
    threshold: float = pixel_targets.THRESHOLD
    floor_joints: bool = False
    heatmap_jpeg: bool = False
    mask_threshold: int = 200
    kinds: tuple[str, ...] = KINDS

    def __post_init__(self) -> None:
        unknown = set(self.kinds) - set(KINDS)
        if unknown:
            raise VitruvianError(f"unknown target kinds {sorted(unknown)}; known: {', '.join(KINDS)}")
        if self.shorter_side < 1 or self.multiple < 1 or not self.sigma > 0:
            raise VitruvianError(
                f"shorter_side, multiple and sigma must be positive, got {self.shorter_side}, {self.multiple}, "
                f"{self.sigma}"
            )
        shares = 0 <= self.min_agreement <= 1 and 0 <= self.threshold < 1 and 0 <= self.mask_threshold <= 255
        if not shares or not 1 <= self.min_side < self.max_side:
            raise VitruvianError(
                "min_agreement must lie in 0 ... 1, threshold from 0 to below 1, mask_threshold in 0 ... 255, and "
                f"min_side below max_side; got {self.min_agreement}, {self.threshold}, {self.mask_threshold}, "
                f"{self.min_side} and {self.max_side}"
            )


@dataclass
class Summary:
    """What `prepare` did; ``print(summary)`` says it.

    Attributes
    ----------
    kept : images in the folder now; ``already`` of them were there before.
    left_out : reason -> the images that a filter took out.
    broken : (file, what is wrong with it) of what could not be used.
    sizes : (width, height) -> how many pictures have it.
    """

    kept: int = 0
    already: int = 0
    left_out: dict[str, list[str]] = field(default_factory=dict)
    broken: list[tuple[str, str]] = field(default_factory=list)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)

    def __str__(self) -> str:
        lines = [f"{self.kept:,} images with all targets" + (f", {self.already:,} there already" * bool(self.already))]
        shown = [f"{w}x{h}: {n:,}" for (w, h), n in self.sizes.most_common(6)]
        if shown:
            lines.append(f"  sizes {', '.join(shown)}{' ...' if len(self.sizes) > 6 else ''}")
        for reason, names in sorted(self.left_out.items()):
            lines.append(
                f"  left out {len(names):,}, {reason} ({', '.join(names[:3])}{' ...' if len(names) > 3 else ''})"
            )
        lines += [f"  skipped {name}: {problem}" for name, problem in self.broken]
        return "\n".join(lines)


class _LeftOut(Exception):
    """A filter's reason to leave an image out."""


def prepare(
    images: str | os.PathLike,
    poses: str | os.PathLike,
    masks: str | os.PathLike,
    out: str | os.PathLike,
    choices: Choices | None = None,
    val_share: float = 0.2,
    split_seed: int = 23,
    progress: Progress | None = None,
) -> Summary:
    """Make the folder of this module's head; interrupted, it goes on at the next call.

    Parameters
    ----------
    images : folder of photos.
    poses : folder of OpenPose's files, ``<photo>_keypoints.json``.
    masks : folder of masks of the photos' sizes: ``<photo>.png``, or one a person, ``<photo>_0.png`` and so on.
    out : made where it does not exist.
    choices : options; a folder made with others is refused.
    val_share : of the images, in ``val.json``; the rest is in ``train.json``. 0 leaves both files out.
    split_seed : of that split: NumPy's old generator, so that 23 permutes as the system did.
    progress : see `Progress`.

    Returns
    -------
    A `Summary`; a file that cannot be read is in it, and costs its own image only.

    Raises
    ------
    ImageError
        No photos.
    VitruvianError
        No folder of joints or masks, other choices than the folder was made with, or a share beyond 0 ... 1.
    """
    choices, out = choices or Choices(), Path(out)
    if not 0 <= val_share < 1:
        raise VitruvianError(f"val_share must be in 0 ... 1 and below 1, got {val_share}")
    for folder in (poses, masks):
        if not Path(folder).is_dir():
            raise VitruvianError(f"{folder} is not a folder; expected OpenPose's files, or masks, of the photos")
    photos, summary = find_images(images), Summary()
    _same_choices(out, choices)
    masks_of = masks_by_photo(Path(masks), {photo.stem for photo in photos})
    items: dict[str, dict[str, Any]] = {}
    for done, photo in enumerate(photos):
        if progress is not None:
            progress(done, len(photos))
        name = photo.stem
        if name in items:
            summary.broken.append((str(photo), f"its name is that of '{items[name]['photo']}'; rename one of them"))
            continue
        item = out / "items" / f"{name}.json"
        try:
            if item.is_file():
                items[name] = load_json(item)
                summary.already += 1
            else:
                pose = Path(poses) / f"{name}_keypoints.json"
                items[name] = _make(photo, pose, masks_of.get(name, []), out, choices)
                write_json(item, items[name])
        except _LeftOut as reason:
            summary.left_out.setdefault(str(reason), []).append(photo.name)
        except (FormatError, ImageError) as error:
            summary.broken.append((str(error.path), str(error).removeprefix(str(error.path)).lstrip(",: ")))
    if progress is not None:
        progress(len(photos), len(photos))
    summary.kept = len(items)
    summary.sizes = Counter(tuple(item["size_wh"]) for item in items.values())
    _write_annotations(
        [_record(out, i, name, item) for i, (name, item) in enumerate(items.items(), 1)], out, val_share, split_seed
    )
    return summary


def best_mask(masks: list[np.ndarray], keypoints_px: np.ndarray) -> tuple[int, float]:
    """Which of the (H, W) bool masks holds most of the joints (K, 2), NaN where missing; of equal ones the smallest.

    Returns
    -------
    (index, share of the joints that are inside it).
    """
    points = np.floor(keypoints_px[np.isfinite(keypoints_px).all(axis=1)] + 0.5).astype(int)
    shares = []
    for mask in masks:
        x, y = (np.clip(points[:, axis], 0, mask.shape[1 - axis] - 1) for axis in (0, 1))
        shares.append(float(mask[y, x].mean()) if len(points) else 0.0)
    best = max(range(len(masks)), key=lambda i: (shares[i], -int(masks[i].sum())))
    return best, shares[best]


# --- one image -----------------------------------------------------------------------------------------------------


def _make(photo: Path, pose: Path, mask_files: list[Path], out: Path, choices: Choices) -> dict[str, Any]:
    """Write every file of one image but the last, whose contents are returned."""
    if not pose.is_file():
        raise _LeftOut("no file of joints")
    size_wh = image_size(photo)
    if not all(choices.min_side <= side < choices.max_side for side in size_wh):
        raise _LeftOut(f"a side not in {choices.min_side} ... {choices.max_side - 1} px")
    keypoints, scores = _person(pose, size_wh, choices)
    mask, share = _mask(mask_files, size_wh, keypoints, choices)
    content_wh, padded_wh = _small_sizes(size_wh, choices)
    if choices.floor_joints:
        keypoints = np.floor(np.floor(keypoints) * (np.array(content_wh) / size_wh))
    else:
        keypoints = Affine.resize(size_wh, content_wh).apply(keypoints)
    picture = Image.fromarray(read_image(photo)).resize(content_wh, Image.Resampling.BICUBIC)
    small = Image.fromarray(mask.astype(np.uint8) * 255).resize(content_wh, Image.Resampling.BILINEAR)
    person = _padded(np.asarray(small) >= 128, padded_wh)
    if not person.any():
        raise _LeftOut("a mask of less than a pixel")
    for folder in ("images", "masks", *choices.kinds):
        (out / folder).mkdir(parents=True, exist_ok=True)
    write_image(out / "images" / f"{photo.stem}.png", _padded(np.asarray(picture), padded_wh))
    _write_gray(out / "masks" / f"{photo.stem}.png", person.astype(np.uint8) * 255)
    _write_targets(out, photo.stem, keypoints, padded_wh, choices)
    y, x = np.nonzero(person)
    segmentation = rle.encode(person)
    return {
        "photo": photo.name,
        "photo_wh": list(size_wh),
        "content_wh": list(content_wh),
        "size_wh": list(padded_wh),
        "keypoints_px": [[float(a), float(b)] if np.isfinite(a) else None for a, b in keypoints],
        "scores": scores.tolist(),
        "joints_in_mask": share,
        "box_xyxy": [x.min() - 0.5, y.min() - 0.5, x.max() + 0.5, y.max() + 0.5],
        "area_px": int(person.sum()),
        "segmentation": {**segmentation, "counts": rle.compress(segmentation["counts"])},
    }


def _person(pose: Path, size_wh: tuple[int, int], choices: Choices) -> tuple[np.ndarray, np.ndarray]:
    """(25, 2) joints, NaN where missing or outside of the photo, and their (25,) confidences."""
    found = []
    people = openpose.people_of(pose)
    if choices.one_person and len(people) != 1:
        raise _LeftOut("not exactly one person")
    for person in people:
        keypoints = person.keypoints_px.copy()
        with np.errstate(invalid="ignore"):
            inside = ((keypoints >= -0.5) & (keypoints < np.array(size_wh) - 0.5)).all(axis=1)
        inside &= (keypoints != 0).any(axis=1)  # OpenPose's way to say that it found nothing
        keypoints[~inside] = np.nan
        found.append((keypoints, np.where(inside, person.extra["scores"], 0.0), int(inside.sum())))
    if not found or max(count for *_, count in found) < choices.min_joints:
        raise _LeftOut(f"fewer than {choices.min_joints} joints")
    keypoints, scores, _ = max(found, key=lambda one: one[2])
    return keypoints, scores


def _mask(
    files: list[Path], size_wh: tuple[int, int], keypoints_px: np.ndarray, choices: Choices
) -> tuple[np.ndarray, float]:
    """(H, W) bool mask of the person with these joints, and the share of them inside it."""
    masks = []
    for file in files:
        mask = read_image(file)[..., 0] > choices.mask_threshold
        if mask.shape != size_wh[::-1]:
            raise ImageError(file, f"is {mask.shape[1]} x {mask.shape[0]}, its photo {size_wh[0]} x {size_wh[1]}")
        if mask.any():
            masks.append(mask)
    if not masks:
        raise _LeftOut(f"masks without a pixel above {choices.mask_threshold}" if files else "no mask")
    index, share = best_mask(masks, keypoints_px)
    if share < choices.min_agreement:
        raise _LeftOut(f"fewer than {choices.min_agreement:.0%} of the joints in any mask")
    return masks[index], share


def _small_sizes(size_wh: tuple[int, int], choices: Choices) -> tuple[tuple[int, int], tuple[int, int]]:
    """(width, height) of the small picture without and with its padding."""
    scale = choices.shorter_side / min(size_wh)
    content = max(1, round(size_wh[0] * scale)), max(1, round(size_wh[1] * scale))
    padded = (
        -(-content[0] // choices.multiple) * choices.multiple,
        -(-content[1] // choices.multiple) * choices.multiple,
    )
    return content, padded


def _padded(array: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """Zeros on the right and below."""
    out = np.zeros((size_wh[1], size_wh[0], *array.shape[2:]), array.dtype)
    out[: array.shape[0], : array.shape[1]] = array
    return out


def _write_targets(out: Path, name: str, keypoints: np.ndarray, size_wh: tuple[int, int], choices: Choices) -> None:
    sigma = choices.sigma
    for kind in choices.kinds:
        path = out / kind / f"{name}.png"
        if kind == "JOINTCENTERPIXELS":
            _write_gray(path, pixel_targets.center_pixels(keypoints, size_wh))
        elif kind == "HEATMAPS":
            heat = np.rint(pixel_targets.heatmap(keypoints, size_wh, sigma, 255.0)).astype(np.uint8)
            _write_gray(path.with_suffix(".jpg") if choices.heatmap_jpeg else path, heat)
        elif kind == "JOINTHEATMAPS":
            maps = np.rint(pixel_targets.joint_heatmaps(keypoints, size_wh, sigma) * 255).astype(np.uint8)
            with atomic_path(path.with_suffix(".npz")) as temporary:
                np.savez_compressed(temporary, heatmaps=maps)
        else:
            threshold = choices.threshold if kind == "HEATMAPSOFTMAX" else 0.0
            _write_gray(path, pixel_targets.nearest_labels(keypoints, size_wh, sigma, threshold))


def _write_gray(path: Path, values: np.ndarray) -> None:
    """(H, W) uint8 as a grey picture: a label stays the number that it is (not so in JPEG, for heights alone)."""
    with atomic_path(path) as temporary:
        options: dict[str, Any] = {"quality": 100} if path.suffix == ".jpg" else {"compress_level": 4}
        Image.fromarray(values).save(temporary, **options)


# --- all images ----------------------------------------------------------------------------------------------------


def _same_choices(out: Path, choices: Choices) -> None:
    path, wanted = out / "choices.json", {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(choices).items()}
    if not path.is_file():
        write_json(path, wanted)
        return
    there = load_json(path)
    changed = [f"{k} {there.get(k)!r} instead of {v!r}" for k, v in wanted.items() if there.get(k) != v]
    if changed and not any((out / "items").glob("*.json")):  # nothing was made with the others
        write_json(path, wanted)
    elif changed:
        raise VitruvianError(f"{out} was made with {', '.join(changed)}; choose another folder, or remove this one")


def _record(out: Path, image_id: int, name: str, item: dict[str, Any]) -> Record:
    keypoints = np.array([[np.nan, np.nan] if p is None else p for p in item["keypoints_px"]])
    person = Person(
        keypoints_px=keypoints,
        visibility=np.where(np.isfinite(keypoints).all(axis=1), 2, 0),
        box_xyxy=np.array(item["box_xyxy"]),
        area_px=item["area_px"],
        segmentation=item["segmentation"],
        id=image_id,
        extra={"scores": item["scores"], "joints_in_mask": item["joints_in_mask"]},
    )
    width, height = item["size_wh"]
    extra = {"photo": item["photo"], "photo_wh": item["photo_wh"], "content_wh": item["content_wh"]}
    return Record(
        out / "images" / f"{name}.png", image_id, (width, height), BODY25, (person,), "masks-and-joints", extra
    )


def _write_annotations(records: list[Record], out: Path, val_share: float, split_seed: int) -> None:
    if not records:
        return
    coco.write(records, out / "annotations.json", images=out / "images")
    if not val_share:
        return
    order = np.random.RandomState(split_seed).permutation(len(records))  # the system's
    held_back = {int(i) for i in order[len(records) - round(val_share * len(records)) :]}
    for split in ("train", "val"):
        part = [record for i, record in enumerate(records) if (i in held_back) == (split == "val")]
        if part:
            coco.write(part, out / f"{split}.json", images=out / "images")
