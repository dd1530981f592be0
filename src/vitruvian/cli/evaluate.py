"""``vitruvian evaluate``: measure models on annotated images, joint by joint, or a training over its epochs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ._common import flip_of, images_option, plural, progress_bar, runtime_options, select_option

if TYPE_CHECKING:
    from ..metrics import MetricResult
    from ..types import Record

_FILE = click.Path(dir_okay=False, path_type=Path)
_PICTURES, _PICTURE_PX = 16, 320
_TRUTH = "truth"


@click.command(short_help="Measure models on annotated images.")
@click.argument("model")
@click.argument("format_name", metavar="FORMAT")
@click.argument("annotations", type=click.Path(path_type=Path))
@images_option
@click.option(
    "--metric", "metrics", multiple=True, default=("pck",), show_default=True, help="May be given several times."
)
@click.option(
    "--boxes",
    "kinds",
    metavar="FILE|truth",
    multiple=True,
    default=(_TRUTH,),
    help="A detector's boxes (COCO detections), for oks_ap, instead of the annotated ones. Given several times, "
    "'truth' being the annotated ones, all are measured.",
)
@click.option(
    "--by",
    multiple=True,
    help="Also measure each kind of people alone: size (COCO's small, medium, large), joints (how many are labelled), "
    "hidden (how many of these are); may be given several times.",
)
@click.option("--compare", "others", metavar="MODEL", multiple=True, help="Another model; may be given several times.")
@click.option("--table", type=_FILE, help="Write joints x models as .md (percent) or .csv.")
@click.option(
    "--pictures",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"Draw truth (red) and each model's prediction (yellow) side by side, {_PICTURES} images into this folder.",
)
@click.option("--over-epochs", is_flag=True, help="MODEL is a training's folder: measure every epoch it kept.")
@click.option("--per-joint", is_flag=True, help="With --over-epochs: a curve for each joint in the plots.")
@click.option(
    "--out", type=_FILE, help="Write the figures as JSON (over epochs: over-epochs.json in MODEL, if not given)."
)
@click.option("--limit", type=click.IntRange(1), help="Only the first so many images that have people.")
@select_option("who is found twice (OKS over 0.9); for oks_ap")
@runtime_options(batch=16)
def command(
    model: str,
    format_name: str,
    annotations: Path,
    images: Path | None,
    metrics: tuple[str, ...],
    kinds: tuple[str, ...],
    by: tuple[str, ...],
    others: tuple[str, ...],
    table: Path | None,
    pictures: Path | None,
    over_epochs: bool,
    per_joint: bool,
    out: Path | None,
    limit: int | None,
    select: bool,
    backend: str | None,
    threads: int | None,
    batch: int,
    flip: bool,
    flip_by: str,
) -> None:
    """Measure MODEL on ANNOTATIONS of FORMAT (coco, lsp, mpii, openpose, yolo), on the annotated boxes.

    FORMAT may also be masks: a folder with images/ and the masks of their people in masks/, for mask_dice,
    mask_dice_in_box, mask_iou and mask_boundary_f, which are then the default. Of models trained on masks and heat maps
    it also prints how well these are met in the crops.

    Prints a table with a row a joint for each metric: pck, pckh, auc, epe, oks_ap and more (a misspelt name lists
    them all). oks_ap ranks people by the mean of their joints that score more than 0.2 (times the box's score, with
    --boxes), or with --no-select by the mean of all. With --over-epochs writes JSON, CSV and plots over a training's
    epochs; what is already in the JSON is not measured again.
    """
    from ..data.mask_folder import NAME as FOLDERS
    from ..data.mask_folder import read_mask_folder
    from ..evaluate import MASK_METRICS, MASKS, check_groups, counts, masked
    from ..formats import read
    from ..formats.coco import read_detections
    from ..predict import Selection

    given = click.get_current_context().get_parameter_source("metrics")
    if format_name == FOLDERS and given is ParameterSource.DEFAULT:
        metrics = MASK_METRICS
    if over_epochs and (others or table or pictures):
        raise click.UsageError("--over-epochs is about one training; leave out --compare, --table and --pictures")
    if per_joint and not over_epochs:
        raise click.UsageError("--per-joint belongs to --over-epochs")
    if over_epochs and not select:
        raise click.UsageError("--over-epochs always selects; leave out --no-select")
    flipped = flip_of(flip, flip_by)
    files = _box_files(kinds)
    if over_epochs and len(files) > 1:
        raise click.UsageError("--over-epochs takes one kind of boxes")
    _check_names((model, *others), metrics, any(files.values()), table, over_epochs)
    check_groups(by, any(files.values()))
    if over_epochs and by:
        raise click.UsageError("--by is about one model, not a training over its epochs; leave it out")
    detections = {kind: None if file is None else read_detections(file) for kind, file in files.items()}
    # People without joints belong to COCO's rules: predictions that fall on them are no false alarms.
    by_mask = all(name.startswith(MASKS) for name in metrics)
    if format_name == FOLDERS:
        records = read_mask_folder(annotations, images)
        click.echo(f"{FOLDERS}: {plural(len(records), 'image')} from {annotations}")
    else:
        result = read(format_name, annotations, images=images, keep_unlabelled="oks_ap" in metrics or by_mask)
        click.echo(str(result.report))
        records = result.records
    if limit is not None:
        records = [r for r in records if any(map(masked if by_mask else counts, r.persons))][:limit]
    split = _split(annotations, limit)
    options: dict[str, Any] = {"flip": flipped, "batch": batch, "boxes": next(iter(detections.values()))}
    runtime = {"backend": backend, "threads": threads}
    if over_epochs:
        _over_epochs(model, records, metrics, options | runtime | {"split": split, "out": out, "per_joint": per_joint})
        return
    measured: dict[str, Mapping[str, MetricResult]] = {}
    reports, shown = [], {}
    for name in (model, *others):
        for kind, boxes in detections.items():
            # The truth's boxes hold as many different people as there are.
            same = None if boxes is None else Selection().same_person
            options |= {"boxes": boxes, "select": Selection(same_person=same) if select else None, "by": by}
            found, report = _measure(name, records, metrics, options, runtime, split, kind)
            title = report["model"] if len(detections) == 1 else f"{report['model']}, boxes: {kind}"
            measured[_unused(title, measured)] = found
            reports.append(report)
        shown[_unused(reports[-1]["model"], shown)] = name
    if len(detections) > 1:
        _beside_each_other(measured)
    _write_files(reports, measured, out, table)
    if pictures is not None:
        _draw(shown, records, options, runtime, pictures)


def _beside_each_other(measured: Mapping[str, Mapping[str, MetricResult]]) -> None:
    for title, found in measured.items():
        values = (f"{r.name} {'-' if r.value is None else f'{r.value:.4f}'}" for r in found.values())
        click.echo("; ".join([title, *values]))


def _box_files(kinds: Sequence[str]) -> dict[str, Path | None]:
    """What each kind of boxes is called -> its file, None for the truth's."""
    files: dict[str, Path | None] = {}
    for kind in kinds:
        file = None if kind == _TRUTH else Path(kind)
        if file is not None and not file.is_file():
            raise click.BadParameter(f"'{kind}' is neither a file nor '{_TRUTH}'", param_hint="--boxes")
        files[_unused(kind if file is None else file.name, files)] = file
    return files


def _check_names(
    models: Sequence[str], metrics: Sequence[str], detected: bool, table: Path | None, over_epochs: bool
) -> None:
    """Say what is misspelt before data are read, which takes long."""
    from ..epochs import kept_epochs
    from ..evaluate import check_metrics, check_table_path
    from ..weights.zoo import find_weights

    check_metrics(metrics, detected)
    if table is not None:
        check_table_path(table)
    for model in models:
        _ = kept_epochs(model) if over_epochs else find_weights(model)


def _measure(
    model: str,
    records: Sequence[Record],
    metrics: Sequence[str],
    options: dict[str, Any],
    runtime: dict[str, Any],
    split: str,
    boxes: str,
) -> tuple[dict[str, MetricResult], dict[str, Any]]:
    """Measure one model, print what was found, and return it with its report."""
    from ..evaluate import evaluate, to_report
    from ..predict import load
    from ..predict.maps import map_figures

    bar, advance = progress_bar("evaluating", len(records))
    with load(model, **runtime) as predictor, bar:
        measured = evaluate(predictor, records, metrics, **options, progress=advance)
        about = {"split": split, "boxes": boxes, "images": len(records)} | {k: options[k] for k in ("flip", "select")}
        report = to_report(measured, predictor, **about)
        report["maps"] = map_figures(predictor, records)
    click.echo(
        f"{report['model']} ({report['runtime']}) on {plural(len(records), 'image')}, boxes: {boxes}, "
        f"flip test: {_flip_text(options['flip'])}"
    )
    for found in measured.values():
        click.echo(f"\n{found.to_text()}\n{_counts(found)}\n")
        for rows in found.details.get("by", {}).values():
            values = ((row, "-" if row["value"] is None else f"{row['value']:.4f}") for row in rows)
            click.echo(
                "; ".join(f"{row['group']} {value} ({plural(row['people'], 'person')})" for row, value in values)
            )
    for name, value in report["maps"].items():
        click.echo(f"{name}: {value:.4f}")
    return measured, report


def _draw(
    models: Mapping[str, str],
    records: Sequence[Record],
    options: dict[str, Any],
    runtime: dict[str, Any],
    folder: Path,
) -> None:
    """Title -> model: what each finds on the truth's boxes, spread over the data."""
    import numpy as np

    from ..data.dataset import photo
    from ..data.images import write_image
    from ..draw import side_by_side
    from ..evaluate import counts, truth_box
    from ..predict import load

    usable = [record for record in records if any(map(counts, record.persons))]
    places = np.unique(np.linspace(0, len(usable) - 1, min(_PICTURES, len(usable))).round().astype(int))
    chosen = [usable[i] for i in places]
    people = [[p for p in record.persons if counts(p)] for record in chosen]
    boxes = [np.stack([truth_box(p) for p in persons]) for persons in people]
    images = [photo(record) for record in chosen]
    found = {}
    for title, model in models.items():
        with load(model, **runtime) as predictor:
            found[title] = predictor.predict(images, boxes, flip=options["flip"], batch=options["batch"])
    folder.mkdir(parents=True, exist_ok=True)
    for i, (record, image, persons) in enumerate(zip(chosen, images, people, strict=True)):
        drawn = side_by_side(
            image,
            persons,
            {title: poses[i] for title, poses in found.items()},
            threshold=0.0,
            skeleton=record.skeleton,
            height_px=_PICTURE_PX,
        )
        write_image(folder / f"{i:02d}-{Path(str(record.image_path)).stem}.png", drawn)
    click.echo(f"wrote {plural(len(chosen), 'picture')} into {folder}")


def _write_files(
    reports: list[dict[str, Any]],
    measured: Mapping[str, Mapping[str, MetricResult]],
    out: Path | None,
    table: Path | None,
) -> None:
    from ..evaluate import joint_table, write_joint_table
    from ..formats.writing import write_text

    if out is not None:
        report = reports[0] if len(reports) == 1 else {**reports[0], "compared_with": reports[1:]}
        write_text(out, json.dumps(report, indent=2, allow_nan=False) + "\n")
        click.echo(f"wrote {out}")
    if table is not None:
        click.echo(f"wrote {write_joint_table(table, joint_table(measured))}")


def _over_epochs(run: str, records: Sequence[Record], metrics: Sequence[str], options: dict[str, Any]) -> None:
    from ..epochs import evaluate_epochs, kept_epochs

    epochs = len(kept_epochs(run))
    bar, advance = progress_bar(plural(epochs, "epoch"), epochs * len(records))
    with bar:
        report = evaluate_epochs(run, records, metrics, **options, progress=advance)
    names = report["names"]
    rows = [("epoch", *names)]
    for entry in report["epochs"]:
        values = [entry["metrics"].get(name, {}).get("value") for name in names]
        rows.append((str(entry["epoch"]), *("-" if value is None else f"{value:.4f}" for value in values)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))
    for name, best in report["best"].items():
        click.echo(f"best {names[name]}: {best['value']:.4f} at epoch {best['epoch']}, chosen on these very people")
    out = options["out"] or Path(run) / "over-epochs.json"
    click.echo(f"wrote {out}, {out.with_suffix('.csv').name} and {plural(len(set(metrics)), 'plot')} beside it")


def _unused(name: str, taken: Mapping[str, Any]) -> str:
    """A column's title that no other column has."""
    number, title = 2, name
    while title in taken:
        title, number = f"{name} ({number})", number + 1
    return title


def _counts(found: MetricResult) -> str:
    """Who and what the figure is about: the metric's own counts, and joints that the model does not have."""
    numbers = {k: v for k, v in found.details.items() if isinstance(v, int) and not isinstance(v, bool)}
    parts = [f"{name.replace('_', ' ')}: {value:,}" for name, value in numbers.items()]
    scales = found.details.get("scales_used")
    if scales:
        parts.append("measured by " + ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in scales.items()))
    lacking = found.details.get("joints_lacking")
    if lacking:
        parts.append(f"not among the model's joints: {', '.join(lacking)}")
    return "; ".join(parts)


def _split(annotations: Path, limit: int | None) -> str:
    """What to call the data: the last folder and the file, without the rest of this machine's paths."""
    name = "/".join(part for part in annotations.parts[-2:] if part not in ("/", ".", ".."))
    return name if limit is None else f"{name}, first {limit} images with people"


def _flip_text(flip: bool | str) -> str:
    return f"yes, averaging {flip}" if isinstance(flip, str) else "yes" if flip else "no"
