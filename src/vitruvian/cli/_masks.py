"""``--masks``, ``--mask-model`` and ``--background`` of ``vitruvian predict``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ._pictures import CUT, MASKS, remove_masks, save_picture

if TYPE_CHECKING:
    from ..predict import Predictor, Result
    from ..predict.masks import MaskFinder

F = TypeVar("F", bound=Callable[..., Any])


def mask_options(function: F) -> F:
    """The options, for `MaskOutput`."""
    for option in reversed(
        (
            click.option("--masks", is_flag=True, help=f"Find people's masks too: {MASKS}/*.png, and in the results."),
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

    def write(self, result: Result, out: Path, name: str, picture: str) -> list[Path]:
        """Write an image's masks, one PNG a person, and as ``<picture>_cut.png`` it with another background.

        An earlier run may have found more people in it, whose masks go. Returns the files written.
        """
        poses = result.poses
        if not self.wanted or poses is None or poses.masks is None or result.image is None:
            return []
        import numpy as np

        from ..draw.masks import blur_background, cut_out

        remove_masks(out, name)
        written = []
        for i, mask in enumerate(poses.masks):
            grey = np.asarray(mask, np.uint8) * np.uint8(255)
            written.append(save_picture(out / MASKS / f"{name}_{i}.png", grey, MASKS))
        if self._background is not None:
            change = cut_out if self._background == "remove" else blur_background
            written.append(save_picture(out / f"{picture}{CUT}", change(result.image, poses), CUT))
        return written
