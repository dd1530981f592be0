"""`evaluate_epochs`: every kept epoch of a training measured on the same images, as JSON, CSV and plots.

An evaluation that was stopped goes on where it was: figures that the JSON file already has for the same people, boxes,
flip test and weights are not measured again. Unlike system 3, whose cached predictions carried the flip test's averages
into later runs without it, nothing is kept between two evaluations but those figures.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .draw.plots import curves
from .errors import FormatError, VitruvianError
from .evaluate import IN_PIXELS, LOWER_IS_BETTER, PAIRS_ITSELF, check_metrics, counts, evaluate, write_csv
from .extras import need
from .formats.writing import write_text
from .metrics import MetricResult
from .predict import Selection, load
from .provenance import provenance
from .types import Record

FOLDER = "epochs"
"""Where a run keeps the weights of its epochs, as ``epoch-0004.safetensors`` (counted from 0)."""

_NAME = re.compile(r"epoch-(\d{4,})\.safetensors")
_CURVES = ("AP50", "AP75", "AR", "AR50")  # of COCO's numbers, those that are plotted beside AP
_SELECTION = Selection()  # how people are scored, and in a detector's boxes dropped: never otherwise over epochs
_CHUNKS, _CHUNK_BYTES = 16, 65536


def kept_epochs(run: str | os.PathLike) -> dict[int, Path]:
    """Epoch -> weight file of every kept epoch of a training run's folder, in order; `VitruvianError` for none."""
    folder = Path(run) / FOLDER
    found = {int(m.group(1)): path for path in folder.glob("epoch-*") if (m := _NAME.fullmatch(path.name))}
    if not found:
        raise VitruvianError(
            f"{folder}: no kept epochs (epoch-0000.safetensors, ...); expected the folder of a training run that kept "
            "them ('keep_epochs: true' in its recipe)"
        )
    return dict(sorted(found.items()))


def evaluate_epochs(
    run: str | os.PathLike,
    records: Sequence[Record],
    metrics: Sequence[str] = ("pck",),
    flip: bool | str = False,
    batch: int = 16,
    boxes: Mapping[Any, tuple[np.ndarray, np.ndarray]] | None = None,
    *,
    out: str | os.PathLike | None = None,
    split: str = "",
    backend: str | None = None,
    threads: int | None = None,
    per_joint: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure every kept epoch of a run; write ``<out>.json``, ``<out>.csv`` and plots, ``<out>-<metric>.png``.

    Parameters
    ----------
    run : a training run's folder, with kept epochs.
    records, metrics, flip, batch, boxes : as in `evaluate`, whose default ``select`` is kept to.
    out : the JSON file, whose name the others share; by default ``over-epochs.json`` in the run's folder. It is written
        after each epoch. One file holds figures on one set of people, of one kind of boxes, with or without flip.
    split : what to call the data.
    backend, threads : as in `vitruvian.load`.
    per_joint : put a curve for each joint into the plots.
    progress : called with (images done, images in all), over all epochs that are measured.

    Returns
    -------
    The JSON file's content: ``epochs`` is a list of ``{"epoch", "weights", "metrics": {metric: {"value", "joints",
    ...}}}`` in order, ``best`` says for each metric at which epoch it was best. The epoch that is best on these very
    people flatters the model: report another split's figure of it.

    Raises
    ------
    VitruvianError
        No kept epochs, an existing ``out`` of other people, boxes or flip test, and what `evaluate` raises.
    MissingExtraError
        matplotlib is not installed.
    """
    check_metrics(metrics, detected=boxes is not None)
    need("matplotlib", "evaluate", "plots over epochs")  # known before hours of measuring, not after
    kept = kept_epochs(run)
    out = Path(run) / "over-epochs.json" if out is None else Path(out)
    about = {
        "run": Path(run).resolve().name,
        "split": split,
        "people": _fingerprint_of(records, boxes),
        "boxes": "truth" if boxes is None else "detected",
        "flip": flip,
        "rescore_above": _SELECTION.rescore_above,
    }
    weights = {epoch: _weights_fingerprint(path) for epoch, path in kept.items()}
    report = {**about, **provenance(), "names": {}, "best": {}, "epochs": []}
    entries = _earlier(out, about, report, weights)
    todo = {
        e: lacking for e in kept if (lacking := [m for m in metrics if m not in entries.get(e, _NOTHING)["metrics"]])
    }
    for i, (epoch, lacking) in enumerate(todo.items()):
        with load(kept[epoch], backend, threads) as predictor:
            advance = None if progress is None else _shifted(progress, i, len(todo))
            results = evaluate(predictor, records, lacking, flip, batch, boxes, advance, _SELECTION)
        entry = entries.setdefault(epoch, {"epoch": epoch, "weights": weights[epoch], "metrics": {}})
        entry["metrics"] |= {name: _summary(result) for name, result in results.items()}
        report["names"] |= {name: result.name for name, result in results.items()}
        _write(out, report, entries)
    _write(out, report, entries)
    write_csv(out.with_suffix(".csv"), _rows(report))
    for metric in dict.fromkeys(metrics):
        _plot(out.with_name(f"{out.stem}-{metric}.png"), report, metric, per_joint)
    return report


_NOTHING: dict[str, Any] = {"metrics": {}}


def _earlier(
    out: Path, about: Mapping[str, Any], report: dict[str, Any], weights: Mapping[int, str]
) -> dict[int, dict[str, Any]]:
    """The entries of an earlier evaluation by epoch, its metrics' names put into ``report``; none for new weights."""
    if not out.is_file():
        return {}
    try:
        found = json.loads(out.read_text(encoding="utf-8"))
        before = {key: found[key] for key in ("people", "boxes", "flip")}
        entries = {int(entry["epoch"]): entry for entry in found["epochs"]}
        names = dict(found["names"])
        same_training = all(entries[e]["weights"] == weights[e] for e in entries if e in weights)
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise FormatError(
            out, f"not an evaluation over epochs ({error!r}); remove it or choose another file with --out"
        ) from error
    different = [key for key, value in before.items() if value != about[key]]
    if different:
        raise VitruvianError(
            f"{out} holds figures with other {' and '.join(different)} (split '{found.get('split')}', boxes "
            f"{before['boxes']}, flip {before['flip']}; now '{about['split']}', {about['boxes']}, {about['flip']}); "
            "remove it or choose another file with --out"
        )
    if not same_training:  # trained anew in the same folder: epochs that are not there yet must not linger
        return {}
    if found.get("rescore_above") != about["rescore_above"]:  # people were ranked otherwise: what depends on that goes
        for metric in PAIRS_ITSELF:
            names.pop(metric, None)
            for entry in entries.values():
                entry["metrics"].pop(metric, None)
    report["names"] = names
    return entries


def _summary(result: MetricResult) -> dict[str, Any]:
    """What is kept of a metric: not the single people, which are the same every epoch."""
    summary: dict[str, Any] = {"value": result.value}
    stats = result.to_dict().get("stats")
    if stats is not None:
        summary["stats"] = stats
    for key in ("mean_joint", "pooled", "persons", "persons_without_scale", "scales_used"):
        if key in result.details:
            summary[key] = result.details[key]
    summary["joints"] = {str(next(iter(row.values()))): row["value"] for row in result.table}
    return summary


def _write(out: Path, report: dict[str, Any], entries: Mapping[int, dict[str, Any]]) -> None:
    report["epochs"] = [entries[epoch] for epoch in sorted(entries)]
    for metric in report["names"]:
        values = {e["epoch"]: v for e in report["epochs"] if (v := _value(e, metric)) is not None}
        if values:
            pick = min if metric in LOWER_IS_BETTER else max
            best = pick(values, key=lambda epoch: values[epoch])  # of equals the earliest
            report["best"][metric] = {"epoch": best, "value": values[best]}
    write_text(out, json.dumps(report, indent=2, allow_nan=False) + "\n")


def _value(entry: Mapping[str, Any], metric: str) -> float | None:
    return entry["metrics"].get(metric, {}).get("value")


def _rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row an epoch: each metric's headline, COCO's further numbers, then the joints."""
    rows = []
    for entry in report["epochs"]:
        row: dict[str, Any] = {"epoch": entry["epoch"]}
        for metric in report["names"]:
            row[metric] = _value(entry, metric)
        for metric, labels in _columns(report).items():
            summary = entry["metrics"].get(metric, {})
            for part, label in labels:
                row[f"{metric} {label}"] = summary.get(part, {}).get(label)
        rows.append(row)
    return rows


def _columns(report: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """metric -> (``stats`` or ``joints``, label) of everything that some epoch has of it."""
    return {
        metric: list(
            dict.fromkeys(
                (part, label)
                for part in ("stats", "joints")
                for entry in report["epochs"]
                for label in entry["metrics"].get(metric, {}).get(part, {})
            )
        )
        for metric in report["names"]
    }


def _plot(path: Path, report: Mapping[str, Any], metric: str, per_joint: bool) -> None:
    entries = [entry for entry in report["epochs"] if metric in entry["metrics"]]
    name = report["names"][metric]
    series = {name.split(" (")[0]: [_value(entry, metric) for entry in entries]}
    for part, label in _columns(report)[metric]:
        if (part == "joints" and per_joint) or label in _CURVES:
            series[label.replace("_", " ")] = [entry["metrics"][metric].get(part, {}).get(label) for entry in entries]
    data = f"{report['split']}, " if report["split"] else ""
    flip = {True: "yes", False: "no"}.get(report["flip"], report["flip"])
    title = f"{report['run']}: {name}\n{data}boxes: {report['boxes']}, flip test: {flip}"
    curves(
        path,
        [entry["epoch"] for entry in entries],
        series,
        title=title,
        y_label="pixels" if metric in IN_PIXELS else "share",
        best="min" if metric in LOWER_IS_BETTER else "max",
    )


def _shifted(progress: Callable[[int, int], None], i: int, count: int) -> Callable[[int, int], None]:
    """Progress within epoch ``i`` of ``count`` as progress in all."""
    return lambda done, total: progress(i * total + done, count * total)


def _fingerprint_of(records: Sequence[Record], boxes: Mapping[Any, tuple[np.ndarray, np.ndarray]] | None) -> str:
    """Tells one set of annotated people, and of detected boxes, from another.

    Only people who are looked for: others are read for some metrics and not for others.
    """
    digest = hashlib.sha256()
    for record in records:
        persons = [person for person in record.persons if counts(person)]
        if not persons:
            continue
        name = str(record.image_id) if record.image_path is None else record.image_path.name
        digest.update(f"{name}|{len(persons)}|{','.join(record.skeleton.joints)}\n".encode())
        for person in persons:
            box = np.full(4, np.nan) if person.box_xyxy is None else np.asarray(person.box_xyxy, np.float64)
            for array in (person.keypoints_px, person.visibility, box):
                digest.update(np.ascontiguousarray(array).tobytes())
    for image_id in sorted(boxes or (), key=str):
        digest.update(f"{image_id}\n".encode())
        for array in (boxes or {})[image_id]:
            digest.update(np.ascontiguousarray(array, np.float64).tobytes())
    return digest.hexdigest()[:16]


def _weights_fingerprint(path: Path) -> str:
    """Tells two trainings' files apart by their size and samples all over them: reading them whole would take long."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for start in np.linspace(0, max(0, size - _CHUNK_BYTES), _CHUNKS).astype(int):
            file.seek(int(start))
            digest.update(file.read(_CHUNK_BYTES))
    return digest.hexdigest()[:16]
