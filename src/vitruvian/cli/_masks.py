"""``--masks``, ``--mask-model`` and ``--background`` of ``vitruvian predict``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ..predict import Predictor, Result
    from ..predict.masks import MaskFinder

F = TypeVar("F", bound=Callable[..., Any])

FOLDER = "masks"
"""Of the PNG files, under ``--out``: ``<image>_<person>.png``."""


def mask_options(function: F) -> F:
    """The options, for `MaskOutput`."""
    for option in reversed(
        (
            click.option("--masks", is_flag=True, help=f"Find people's masks too: {FOLDER}/*.png, and in the results."),
            click.option(
                "--mask-model",
                help="Model of the masks, as for --model; by default the model itself where it has masks, else "
                "vitruvian-mask. Implies --masks.",
            ),
            click.option(
                "--background",
                type=click.Choice(("remove", "blur")),
                help="Write IMAGE_cut.png as well: people alone, or before a blurred background. Implies --masks.",
            ),
        )
    ):
        function = option(function)
    return function


class MaskOutput:
    """Finds the masks of a stream's results and writes their files; without the options it passes results through.

    Parameters
    ----------
    wanted, model, background : the three options.
    """

    def __init__(self, wanted: bool, model: str | None, background: str | None) -> None:
        self.wanted = bool(wanted or model or background)
        self._model, self._background = model, background
        self._finder: MaskFinder | None = None
        self._flip, self._batch, self._own = False, 8, False

    def open(
        self, predictor: Predictor, backend: str | None, threads: int | None, flip: bool | str, batch: int
    ) -> None:
        """Load the model; the predictor's own network serves where it has masks and no other was asked for."""
        if not self.wanted:
            return
        from ..predict.masks import MASK_MODEL, MaskFinder, has_masks, load_masks

        self._own = self._model is None and has_masks(predictor.card)
        self._finder = (
            MaskFinder(predictor.backend) if self._own else load_masks(self._model or MASK_MODEL, backend, threads)
        )
        self._flip, self._batch = bool(flip), batch
        click.echo(f"Masks: {self._finder.card.name}")

    def close(self) -> None:
        """Release the model, unless it is the predictor's."""
        if self._finder is not None and not self._own:
            self._finder.close()
        self._finder = None

    def add(self, result: Result) -> Result:
        """The result with masks; one that failed, or that kept no image, stays as it is."""
        if self._finder is None or result.poses is None or result.image is None:
            return result
        return replace(result, poses=self._finder(result.image, result.poses, self._flip, self._batch))

    def write(self, result: Result, out: Path, name: str) -> list[Path]:
        """Write an image's masks, one PNG a person, and its picture with another background; what was written.

        Of an image that failed, or that has fewer people now, an earlier run's files go.
        """
        if not self.wanted:
            return []
        from ..data.images import write_image
        from ..draw.masks import blur_background, cut_out

        folder, cut, poses = out / FOLDER, out / f"{name}_cut.png", result.poses
        masks = None if poses is None else poses.masks
        for older in folder.glob(f"{_literal(name)}_*.png"):
            if older.stem[len(name) + 1 :].isdigit():
                older.unlink()
        if self._background is not None:
            cut.unlink(missing_ok=True)
        if poses is None or masks is None or result.image is None:
            return []
        written = []
        if len(masks):
            folder.mkdir(exist_ok=True)
        for i, mask in enumerate(masks):
            written.append(_write_grey(folder / f"{name}_{i}.png", mask))
        if self._background is not None:
            change = cut_out if self._background == "remove" else blur_background
            picture = change(result.image, poses)
            written.append(_write_rgba(cut, picture) if picture.shape[2] == 4 else write_image(cut, picture))
        return written


def _literal(name: str) -> str:
    """A file's name as a pattern that matches it alone."""
    import glob

    return glob.escape(name)


def _write_grey(path: Path, mask: Any) -> Path:
    import numpy as np

    return _save(path, np.asarray(mask, np.uint8) * np.uint8(255))


def _write_rgba(path: Path, picture: Any) -> Path:
    return _save(path, picture)


def _save(path: Path, pixels: Any) -> Path:
    from PIL import Image

    from ..formats.writing import atomic_path

    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")
    return path
