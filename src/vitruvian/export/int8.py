"""int8 export: a quantised network is judged on people, and kept only where it loses little."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from torch import nn

from ..errors import ExportError
from ..evaluate import evaluate, judged_by
from ..predict import Predictor
from ..predict.backends import OrtBackend
from ..types import Record
from ..weights.card import INT8_RECORD, Card
from ..weights.onnx_file import write_card, write_model
from .onnx import export_onnx
from .quantise import quantise

ALLOWED_POINTS = 0.5
"""Of a metric in percent, e.g. PCK from 60.6 to 60.1."""

_ROUNDS = 15

Judge = Callable[[OrtBackend, Sequence[Record]], Mapping[str, float | None]]
"""Metric -> value in [0, 1], of which more is better, or None where it has none."""


@dataclass(frozen=True)
class Int8Report:
    """What `export_int8` measured.

    Attributes
    ----------
    path : the file written.
    kind : ``"int8"``; where that lost too much ``"int8 weights"``, for arithmetic in floats with weights stored in 8
        bits; and where these did too ``"float16"``, of the weights as well.
    bytes, bytes_float : of int8 and of float32.
    figures : metric -> value with float32, value with int8, and the loss in points.
    of_weights : the same of 8-bit weights alone, where they were tried.
    people : how many were judged: with a ``judge`` all but crowds. crops : with how many activations were calibrated.
    speed_up : median time of float32 over that of int8, taken in turns in this process.
    """

    path: Path
    kind: str
    bytes: int
    bytes_float: int
    figures: dict[str, dict[str, float]]
    people: int
    crops: int
    speed_up: float
    of_weights: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def loss(self) -> float:
        """The largest loss of a metric, in points."""
        return _largest_loss(self.figures)


def export_int8(
    network: nn.Module,
    card: Card,
    path: str | Path,
    crops: np.ndarray,
    records: Sequence[Record],
    metrics: Sequence[str] = ("pck", "oks_ap"),
    allowed: float = ALLOWED_POINTS,
    force: bool = False,
    weight_bits: int = 7,
    threads: int | None = None,
    judge: Judge | None = None,
) -> Int8Report:
    """Write ``network`` as an int8 ONNX file, or one of floats where int8 loses more than ``allowed`` points.

    Then its weights alone are stored in 8 bits, or as float16 if that loses more than is allowed as well.

    Parameters
    ----------
    network, card : as in `export_onnx`.
    crops : (N, h, w, 3) uint8 real crops that show how large activations get; about a hundred, not of the people that
        are judged.
    records : annotated people to judge on.
    metrics : of `METRICS`, shares in [0, 1] where more is better.
    allowed : points that each of the metrics may lose.
    force : keep int8 whatever it loses.
    weight_bits : as in `quantise`.
    judge : measures a model on ``records`` in place of `evaluate` and ``metrics``, e.g. one that finds no joints.

    Raises
    ------
    ExportError
        No metric could be measured, or the float export differs from torch.
    """
    path = Path(path)
    with tempfile.TemporaryDirectory() as folder:
        plain, small = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        export_onnx(network, card, plain, crops[:16], weights="float32")
        quantise(plain, small, crops, weight_bits)
        write_card(small, small, card)
        with closing(OrtBackend(plain, threads)) as one, closing(OrtBackend(small, threads)) as two:
            measure = judge or (lambda backend, of: _judge_joints(backend, of, metrics))
            before = measure(one, records)
            figures = _compared(before, measure(two, records))
            ratio = speed_up(one, two, crops[:4])
        if not figures:
            raise ExportError(f"nothing could be measured on these {len(records)} images; int8 needs a judge")
        takes_part = judged_by(metrics) if judge is None else lambda person: not person.is_crowd
        people = sum(takes_part(person) for record in records for person in record.persons)
        sizes = small.stat().st_size, plain.stat().st_size
        report = Int8Report(path, "int8", *sizes, figures, people, len(crops), ratio)
        if report.loss > allowed and not force:
            stored = Path(folder) / "weights.onnx"
            export_onnx(network, card, stored, crops[:16], weights="int8")
            with closing(OrtBackend(stored, threads)) as backend:
                of_weights = _compared(before, measure(backend, records))
            if _largest_loss(of_weights) > allowed:
                export_onnx(network, card, path, crops[:16])
                return replace(report, kind="float16", of_weights=of_weights)
            write_model(path, stored.read_bytes())
            return replace(report, kind="int8 weights", of_weights=of_weights)
        about = {"loss_points": {name: round(row["loss"], 3) for name, row in figures.items()}, "people": people}
        write_card(small, path, replace(card, provenance={**card.provenance, INT8_RECORD: about}))
    return report


def speed_up(one: OrtBackend, two: OrtBackend, crops: np.ndarray, rounds: int = _ROUNDS) -> float:
    """Median time of the first over that of the second on the same crops, in turns; the first round does not count."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):
        for backend, taken in zip((one, two), times, strict=True):
            start = time.perf_counter()
            backend.run(crops)
            taken.append(time.perf_counter() - start)
    return statistics.median(times[0][1:]) / statistics.median(times[1][1:])


def _judge_joints(backend: OrtBackend, records: Sequence[Record], metrics: Sequence[str]) -> dict[str, float | None]:
    return {name: found.value for name, found in evaluate(Predictor(backend), records, metrics).items()}


def _largest_loss(figures: Mapping[str, Mapping[str, float]]) -> float:
    return max(row["loss"] for row in figures.values())


def _compared(before: Mapping[str, float | None], after: Mapping[str, float | None]) -> dict[str, dict[str, float]]:
    """Both values and the loss in points, of what could be measured."""
    pairs = {name: (value, after[name]) for name, value in before.items()}
    return {
        name: {"float32": one, "int8": two, "loss": 100 * (one - two)}
        for name, (one, two) in pairs.items()
        if one is not None and two is not None
    }
