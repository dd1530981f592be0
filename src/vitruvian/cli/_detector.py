"""``--detector`` and its companions: who finds people in photos that come without boxes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ._boxes import PhotoBoxes

if TYPE_CHECKING:
    from ..predict import Detector

F = TypeVar("F", bound=Callable[..., Any])

LAYOUTS = (
    "yolo", "yolo_transposed", "yolo_objectness", "boxes_scores_labels", "boxes_scored", "detr", "detr_sigmoid",
)  # fmt: skip
"""The names in `predict.detector_layouts.LAYOUTS`, written out so that ``--help`` need not import them (tested)."""

INPUTS = ("rgb-1", "rgb-255", "bgr-255", "rgb-imagenet", "bgr-imagenet")
"""Those in `predict.detectors.INPUTS`, likewise."""


def detector_options(function: F) -> F:
    """``--detector``, ``--detect-above``, ``--detector-layout``, ``--detector-input``, ``--detector-person`` and
    ``--detect-once``; see `DetectorChoice`.
    """
    for option in reversed(
        (
            click.option(
                "--detector",
                default="default",
                show_default=True,
                help="Who finds people: a person detector's weight file or run folder, or 'none' to take each whole "
                "image for one person.",
            ),
            click.option(
                "--detect-above",
                type=click.FloatRange(0, 1),
                help="People with a lower score are left out, of --boxes too; by default what a detector's card says, "
                "and nobody of --boxes.",
            ),
            click.option(
                "--detector-layout",
                type=click.Choice(LAYOUTS),
                help="For an ONNX detector of another maker: how its outputs are read.",
            ),
            click.option(
                "--detector-input",
                type=click.Choice(INPUTS),
                help="With --detector-layout: colours and scale of float inputs (of uint8 inputs the colours alone), "
                "rgb-1 by default; YOLOX takes bgr-255, RTMDet bgr-imagenet, DETR and RF-DETR rgb-imagenet.",
            ),
            click.option(
                "--detector-person",
                type=click.IntRange(0),
                help="With --detector-layout: the class, or the label, that means a person, 0 by default; of "
                "torchvision's detectors, DETR and RF-DETR 1.",
            ),
            click.option(
                "--detect-once",
                is_flag=True,
                help="Look for people in the whole image alone; by default in its parts as well, where nobody in it "
                "is large.",
            ),
        )
    ):
        function = option(function)
    return function


@dataclass(frozen=True)
class DetectorChoice:
    """The options of `detector_options`."""

    name: str
    above: float | None
    layout: str | None
    person: int | None = None
    once: bool = False
    input: str | None = None

    def load(self, threads: int | None, boxes: Path | None = None) -> Detector | None:
        """The detector, or None for ``none`` and where ``boxes`` come from a file.

        Raises
        ------
        WeightsError
            No such file, or neither one of this project's nor an ONNX file with a layout given.
        click.UsageError
            A layout, and no file; a least score, and no detector; to look once, and no detector of this project; a
            detector or how it looks, and boxes of a file.
        """
        if boxes is not None:
            asked = (self.layout, self.input, self.person)
            if self.name not in ("default", "none") or asked != (None, None, None) or self.once:
                raise click.UsageError("--boxes has the boxes, so no --detector is asked; give one of the two")
            return None
        for option, value in (("--detector-person", self.person), ("--detector-input", self.input)):
            if value is not None and self.layout is None:
                raise click.UsageError(f"{option} is for detectors of other makers; give --detector-layout")
        if self.layout is not None and self.name in ("default", "none"):
            raise click.UsageError("--detector-layout needs --detector FILE")
        if self.above is not None and self.name == "none":
            raise click.UsageError("--detect-above is for a detector; --detector none asks nobody")
        if self.once and self.name == "none":
            raise click.UsageError("--detect-once is for a detector; --detector none asks nobody")
        if self.once and self.layout is not None:
            raise click.UsageError("--detect-once is for this project's detectors; others look once anyway")
        from ..predict import OnnxDetector, load_detector
        from ..predict.detectors import INPUTS as PREPROCESS

        if self.name == "none":
            return None
        if self.layout is None:
            return load_detector(self.name, threads=threads, min_score=self.above, once=self.once)
        given: dict[str, Any] = {} if self.above is None else {"min_score": self.above}
        if self.input is not None:
            given["preprocess"] = PREPROCESS[self.input]
        return OnnxDetector(self.name, self.layout, person=self.person or 0, threads=threads, **given)

    @property
    def said(self) -> str:
        """How a sentence calls it."""
        return "the detector that comes along" if self.name == "default" else self.name

    def boxes(self, detector: Detector | None, file: Path | None, photos: Sequence[Path]) -> PhotoBoxes:
        """Those of a file where one is given, else the detector's."""
        if file is None:
            return PhotoBoxes.found_by(detector, self.said)
        return PhotoBoxes.read(file, photos, self.above or 0.0)
