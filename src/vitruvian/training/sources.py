"""Where a recipe's people come from: annotation files, folders of masks or of photos, drawn people."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..data.dataset import COMPLETE
from ..data.find import find_images
from ..data.mask_folder import NAME as MASKS
from ..data.mask_folder import read_mask_folder
from ..data.select import select_people
from ..errors import RecipeError
from ..formats import read
from ..skeletons import PERSON
from ..types import Record
from .recipe import DataSource, Recipe, idle_fields

PHOTOS = "photos"
"""How recipes call a folder of photos without annotations, where they name formats."""


_ALWAYS = {"format", "path", "repeat", "holds", "name", "terms"}
_USED = {
    "synthetic": _ALWAYS | {"options"},
    MASKS: _ALWAYS | {"options", "images", "fraction", "group"},
    PHOTOS: _ALWAYS | {"fraction", "group"},
}
"""Fields that sources without an annotation file use; those with one use all, ``holds`` in person detectors alone."""


def check_sources(recipe: Recipe) -> None:
    """`RecipeError` for a field of a source that would change nothing: held back people might then be trained on."""
    mixed = () if recipe.mixing is None else recipe.mixing.photos
    for source in (*recipe.train, *recipe.val, *mixed):
        idle = idle_fields(source, _USED.get(source.format, DataSource.model_fields))
        if idle:
            raise RecipeError(
                f"source '{source.path or source.format}': {', '.join(idle)} would change nothing for the "
                f"format '{source.format}'"
            )


def in_fraction(name: str, fraction: tuple[float, float]) -> bool:
    """Whether a photo belongs to the share [a, b) of its data set, decided by a hash of its file name alone."""
    position = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**32
    return fraction[0] <= position < fraction[1]


def load_records(source: DataSource, everybody: bool = False) -> list[Record]:
    """The records of one data source of a recipe, its report printed; ``everybody``: people without joints too."""
    if source.format == "synthetic":
        from ..synth import synthetic_records

        return synthetic_records(**source.options)
    if source.format == MASKS:
        found = read_mask_folder(source.path, source.images, **source.options)
        return [r for r in found if in_fraction(_group_of(r, source), source.fraction)]
    if source.format == PHOTOS:
        found = [Record(path, path.stem, None, PERSON, (), source.name) for path in find_images([source.path])]
        return [r for r in found if in_fraction(_group_of(r, source), source.fraction)]
    options = {"keep_unlabelled": True, **source.options} if everybody else source.options
    result = read(source.format, source.path, images=source.images, **options)
    if result.report.skipped:
        print(result.report)
    records = [r for r in result.records if in_fraction(_group_of(r, source), source.fraction)]
    if not everybody and (source.min_joints > 0 or source.min_area_px > 0):
        records, selected = select_people(records, source.min_joints, source.min_area_px)
        print(selected)
    return [_complete(record) for record in records] if source.complete else records


def _complete(record: Record) -> Record:
    """The record with its persons marked for `PoseDataset`: who has a joint without a label has it outside."""
    persons = tuple(replace(person, extra={**person.extra, COMPLETE: True}) for person in record.persons)
    return replace(record, persons=persons)


def _group_of(record: Record, source: DataSource) -> str:
    """What decides whether a record is held back: its file's name, or the field that the source groups by."""
    name = Path(str(record.image_path)).name
    if source.group is None:
        return name
    if source.group not in record.extra:
        raise RecipeError(
            f"{source.path}: image '{name}' has no '{source.group}' to group by; it has {sorted(record.extra)}"
        )
    return str(record.extra[source.group])


def gather(sources: Sequence[DataSource]) -> tuple[list[Record], list[int]]:
    """The records of several sources, and how often each record's people come in an epoch."""
    found = [(record, source.repeat) for source in sources for record in load_records(source)]
    return [record for record, _ in found], [repeat for _, repeat in found]
