"""COCO 2017 for keypoints: downloads it, or finds one's way about a folder that somebody else has filled.

Layout, the usual one: ``annotations/person_keypoints_{train,val}2017.json``, ``train2017/*.jpg``, ``val2017/*.jpg``.

COCO publishes no checksums. The sizes and SHA-256 sums below are those that TensorFlow Datasets
(``url_checksums/coco.txt``) and torchvision (``prototype/datasets/_builtin/coco.py``) both check against. The addresses
are plain HTTP because the server's certificate is not made out to its name; the sums are what makes that safe.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import DownloadError, FormatError
from ..formats import read
from ..formats.reading import IMAGE_MISSING
from .download import Progress, agreed_size, ask, check_space, download, part_bytes
from .find import IMAGE_SUFFIXES
from .select import MIN_AREA_PX, MIN_JOINTS, SelectReport, select_people
from .unpack import bytes_missing, unpack

SPLITS = ("train", "val")
ANNOTATIONS = "annotations"

_HELD_BACK = 0.02  # of train2017's photos, to choose the best epoch on: about 1,300 that show people
_SPARE = 1.05  # file systems round every file up to whole blocks
_TERMS = "annotations CC BY 4.0, photos under their Flickr terms"


@dataclass(frozen=True)
class Archive:
    """One zip file of the data set.

    Attributes
    ----------
    url : its address.
    size, sha256 : what it must have, or None where that is not known.
    grows : its unpacked bytes are at most this many times its own. An estimate for planning; before unpacking, the
        archive itself is asked.
    images : how many images it holds; 0 for annotations.
    """

    url: str
    size: int | None
    sha256: str | None
    grows: float
    images: int = 0

    @property
    def file_name(self) -> str:
        """The name that ends its address."""
        return self.url.rpartition("/")[2]


ARCHIVES: dict[str, Archive] = {
    ANNOTATIONS: Archive(
        "http://images.cocodataset.org/annotations/annotations_trainval2017.zip",
        252_907_541,
        "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
        grows=4.0,
    ),
    "val": Archive(
        "http://images.cocodataset.org/zips/val2017.zip",
        815_585_330,
        "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
        grows=1.03,
        images=5_000,
    ),
    "train": Archive(
        "http://images.cocodataset.org/zips/train2017.zip",
        19_336_861_798,
        "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
        grows=1.03,
        images=118_287,
    ),
}
"""The annotations, and each split's images, in the order they are fetched in: what is small first."""


@dataclass(frozen=True)
class CocoSplit:
    """One split on the disk: its annotation file, and the folder of its images (None: not looked for)."""

    split: str
    annotations: Path
    images: Path | None


@dataclass(frozen=True)
class Step:
    """What is left to do about one archive.

    Attributes
    ----------
    name : a key of `ARCHIVES`.
    archive : that entry.
    to_download, to_unpack : bytes that are still to come; the latter estimated until the archive is there.
    problem : why the server could not be asked for the size, which is then the known one; else None.
    done : whether everything of this archive is unpacked already.
    """

    name: str
    archive: Archive
    to_download: int
    to_unpack: int
    problem: str | None = None
    done: bool = False


def plan(
    folder: str | os.PathLike,
    splits: Sequence[str] = SPLITS,
    images: bool = True,
    archives: Mapping[str, Archive] = ARCHIVES,
) -> list[Step]:
    """What `prepare` would do in ``folder``; asks the server for sizes, and writes nothing.

    Raises
    ------
    DownloadError
        The server offers a file of another size than the known one, or cannot be asked and no size is known.
    """
    folder, steps = Path(folder), []
    for name, archive in _wanted(splits, images, archives).items():
        if _is_unpacked(folder, name, archive, splits):
            steps.append(Step(name, archive, 0, 0, done=True))
            continue
        here = folder / archive.file_name
        if here.is_file():
            steps.append(Step(name, archive, 0, bytes_missing(here, folder)))
        else:
            size, problem = _offered(archive)
            steps.append(Step(name, archive, max(0, size - part_bytes(here)), int(size * archive.grows), problem))
    return steps


def bytes_needed(steps: Sequence[Step]) -> int:
    """Free bytes that the steps need at most, with a little to spare.

    Archives and what they hold count together, since an archive is deleted only when it is unpacked.
    """
    return int(_SPARE * sum(step.to_download + step.to_unpack for step in steps))


def prepare(
    folder: str | os.PathLike,
    splits: Sequence[str] = SPLITS,
    images: bool = True,
    keep_zips: bool = False,
    progress: Progress | None = None,
    archives: Mapping[str, Archive] = ARCHIVES,
) -> list[CocoSplit]:
    """Download and unpack what is missing in ``folder``; interrupted, it goes on at the next call.

    Parameters
    ----------
    folder : gets the layout of this module's head.
    splits : of `SPLITS`.
    images : False leaves the images out.
    keep_zips : keep the archives, which are otherwise deleted as soon as they are unpacked.
    progress : see `download.Progress`.

    Raises
    ------
    DownloadError
        Too little space (nothing has been written then), or what `download` and `unpack` raise.
    """
    folder = Path(folder)
    steps = plan(folder, splits, images, archives)
    check_space(folder, bytes_needed(steps), "free some, choose another --out, or take less (--split val, --no-images)")
    for step in steps:
        if step.done:
            continue
        archive = step.archive
        path = folder / archive.file_name
        download(archive.url, path, size=archive.size, sha256=archive.sha256, progress=progress)
        unpack(path, folder, progress)
        if not _is_unpacked(folder, step.name, archive, splits):
            raise DownloadError(f"{path}: does not hold {_expected(folder, step.name, archive, splits)}")
        if not keep_zips:
            path.unlink()
    return find(folder, splits, images)


def find(folder: str | os.PathLike, splits: Sequence[str] = SPLITS, images: bool = True) -> list[CocoSplit]:
    """Where a folder has the annotations and images of each split, in the layouts that are common; writes nothing.

    Parameters
    ----------
    folder : e.g. one with ``annotations/`` and ``train2017/``, ``images/train2017/`` or ``train/images/``.
    splits : of `SPLITS`.
    images : False does not look for images.

    Raises
    ------
    FormatError
        No folder, or no annotations or images of a split; the message lists where they were looked for.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FormatError(folder, "is not a folder; expected one that holds COCO 2017")
    found = []
    for split in splits:
        name = f"person_keypoints_{split}2017.json"
        files = [
            folder / place / name for place in (ANNOTATIONS, ".", f"annotations_trainval2017/{ANNOTATIONS}", split)
        ]
        annotations = next((path for path in files if path.is_file()), None)
        if annotations is None:
            raise FormatError(folder, _nothing(f"annotations of '{split}'", files, split, splits))
        places = [f"{split}2017", f"images/{split}2017", f"{split}/images", f"images/{split}", split, "images", "."]
        folders = [folder / place for place in places]
        photos = next((path for path in folders if _holds_images(path)), None) if images else None
        if images and photos is None:
            raise FormatError(folder, _nothing(f"images of '{split}'", folders, split, splits))
        found.append(CocoSplit(split, annotations, photos))
    return found


@dataclass(frozen=True)
class Counts:
    """What is in a split.

    Attributes
    ----------
    images_listed : images that the annotations name.
    images_there : how many of them are in the folder of the images, or None where that was not looked at.
    images_with_people : images there that show an annotated person, or a crowd.
    persons : people annotated in images there, crowd regions not counted.
    selection : what the filter for training keeps of them.
    """

    images_listed: int
    images_there: int | None
    images_with_people: int
    persons: int
    selection: SelectReport


def count(split: CocoSplit, min_joints: int = MIN_JOINTS, min_area_px: float = MIN_AREA_PX) -> Counts:
    """Read a split's annotations and count; a minute or two for all of train2017.

    Raises `FormatError` for annotations that cannot be read.
    """
    result = read("coco", split.annotations, images=split.images, keep_unlabelled=True)
    missing = result.report.counts().get(IMAGE_MISSING, {}).get("image", 0)
    _, selection = select_people(result.records, min_joints, min_area_px)
    return Counts(
        images_listed=len(result.records) + missing,
        images_there=None if split.images is None else len(result.records),
        images_with_people=sum(bool(record.persons) for record in result.records),
        persons=selection.persons - selection.crowd,
        selection=selection,
    )


def recipe_block(train: CocoSplit, min_joints: int = MIN_JOINTS, min_area_px: float = MIN_AREA_PX) -> str:
    """The ``train:`` and ``val:`` of a recipe (YAML) for a split with images.

    Some of the photos are held back to choose the best epoch on: choosing it on val2017, which is what gets reported,
    would flatter the model.
    """
    if train.images is None:
        raise FormatError(train.annotations, "a recipe needs the folder of the images, got annotations alone")
    # JSON's strings are YAML's, whatever characters a path has.
    path, images = (json.dumps(p.as_posix(), ensure_ascii=False) for p in (train.annotations, train.images))
    photos = f"  - {{format: coco, path: {path},\n     images: {images}"
    limits = f"min_joints: {min_joints}, min_area_px: {min_area_px:g}"
    card = f'name: "COCO {train.split}2017 (Lin et al., ECCV 2014)", terms: "{_TERMS}"'
    return (
        f"train:\n{photos}, fraction: [{_HELD_BACK}, 1.0],\n     {limits},\n     {card}}}\n"
        f"val:\n{photos}, fraction: [0.0, {_HELD_BACK}]}}\n"
    )


def _wanted(splits: Sequence[str], images: bool, archives: Mapping[str, Archive] = ARCHIVES) -> dict[str, Archive]:
    """The archives that these splits need, in the order of `ARCHIVES`."""
    return {name: a for name, a in archives.items() if name == ANNOTATIONS or (images and name in splits)}


def _offered(archive: Archive) -> tuple[int, str | None]:
    """The archive's size, and why the server could not be asked for it."""
    try:
        told = ask(archive.url)
    except DownloadError as error:
        if archive.size is None:
            raise
        return archive.size, str(error)
    return agreed_size(told, archive.size), None


def _is_unpacked(folder: Path, name: str, archive: Archive, splits: Sequence[str]) -> bool:
    # Files appear complete or not at all when they are unpacked, so that being there is enough.
    if name == ANNOTATIONS:
        return all((folder / ANNOTATIONS / f"person_keypoints_{split}2017.json").is_file() for split in splits)
    return _count_images(folder / f"{name}2017") >= archive.images


def _expected(folder: Path, name: str, archive: Archive, splits: Sequence[str]) -> str:
    if name == ANNOTATIONS:
        return f"{ANNOTATIONS}/person_keypoints_*2017.json of {' and '.join(splits)}"
    there = _count_images(folder / f"{name}2017")
    return f"{archive.images:,} images in {name}2017/, but {there:,}"


def _count_images(folder: Path) -> int:
    """How many image files lie in a folder itself; 0 where it does not exist."""
    if not folder.is_dir():
        return 0
    with os.scandir(folder) as entries:
        return sum(_is_image(entry.name) for entry in entries)


def _holds_images(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    with os.scandir(folder) as entries:
        return any(_is_image(entry.name) for entry in entries)


def _is_image(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def _nothing(what: str, places: Sequence[Path], split: str, splits: Sequence[str]) -> str:
    others = [s for s in splits if s != split]
    fix = f"; for '{others[0]}' alone use --split {others[0]}" if others else ""
    return f"no {what}; looked for {', '.join(str(place) for place in places)}{fix}"
