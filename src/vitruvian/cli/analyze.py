"""``vitruvian analyze``: what kind of mistakes a model makes, what each costs, and the worst of them as a web page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._common import console, flip_of, images_option, plural, progress_bar, runtime_options

if TYPE_CHECKING:
    from ..analyze import Analysis
    from ..types import Record
    from ..weights.calibration import Calibration

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(short_help="Sort a model's mistakes into kinds, with pictures.")
@click.argument("model")
@click.argument("format_name", metavar="FORMAT")
@click.argument("annotations", type=click.Path(path_type=Path))
@images_option
@click.option("--page", "page_path", type=_FILE, help="Write tables and the worst examples as a web page (.html).")
@click.option("--examples", type=click.IntRange(1), default=8, show_default=True, help="Pictures of each kind.")
@click.option("--out", type=_FILE, help="Write the figures as JSON.")
@click.option("--reliability", type=_FILE, help="Plot scores against what is right (.png, .svg, .pdf).")
@click.option("--calibrate", type=_FILE, help="Write the model with scores calibrated on these people (.onnx).")
@click.option("--limit", type=click.IntRange(1), help="Only the first so many images that have people.")
@runtime_options(batch=16)
def command(
    model: str,
    format_name: str,
    annotations: Path,
    images: Path | None,
    page_path: Path | None,
    examples: int,
    out: Path | None,
    reliability: Path | None,
    calibrate: Path | None,
    limit: int | None,
    backend: str | None,
    threads: int | None,
    batch: int,
    flip: bool,
    flip_by: str,
) -> None:
    """Sort the mistakes of MODEL on ANNOTATIONS of FORMAT (coco, lsp, ...): jitter, inversion, swap, miss, score
    errors, false positives and negatives, as in Ronchi and Perona, ICCV 2017, and what AP would be without each.

    MODEL predicts on the annotated boxes; or it is a file of COCO keypoint results (.json), from any tool.
    """
    from ..evaluate import counts
    from ..formats import read
    from ..formats.writing import write_text
    from ..weights.onnx_file import is_onnx

    results = Path(model).suffix.lower() == ".json"
    if results and (reliability or calibrate or flip or backend):
        raise click.UsageError("--reliability, --calibrate, --flip and --backend are about a model, not about results")
    if calibrate is not None and not is_onnx(calibrate):
        raise click.BadParameter(f"must end in .onnx or .onnx.gz, got '{calibrate}'", param_hint="--calibrate")
    found = read(format_name, annotations, images=images, keep_unlabelled=results)
    click.echo(str(found.report))
    records = found.records
    if limit is not None:
        records = [record for record in records if any(map(counts, record.persons))][:limit]
    options = {"flip": flip_of(flip, flip_by), "batch": batch}
    runtime = {"backend": backend, "threads": threads}
    analysis, about = _analyze(model, results, records, options, runtime, plain=calibrate is not None)
    _print(analysis)
    split = "/".join(annotations.parts[-2:])
    if out is not None:
        from ..provenance import provenance

        report = {"model": about, "split": split, "flip": options["flip"], **provenance(), **analysis.to_dict()}
        write_text(out, json.dumps(report, indent=2, allow_nan=False) + "\n")
        click.echo(f"wrote {out}")
    if page_path is not None:
        from ..analyze import page

        notes = (f"{about} on {split}, {plural(len(analysis.records), 'image')}",)
        write_text(page_path, page(analysis, f"Mistakes of {about}", notes, examples))
        click.echo(f"wrote {page_path}")
    if reliability is not None or calibrate is not None:
        _calibrate(model, analysis, split, reliability, calibrate)


def _analyze(
    model: str,
    results: bool,
    records: Sequence[Record],
    options: dict[str, Any],
    runtime: dict[str, Any],
    plain: bool,
) -> tuple[Analysis, str]:
    """The analysis and what to call the model; ``plain`` takes scores without the calibration that it may have."""
    from ..analyze import analyze

    if results:
        from ..formats.coco import read_results

        if not records:
            raise click.ClickException("the annotations have no image")
        found = read_results(model, records[0].skeleton, records=records, clip_scores=True)
        return analyze(found, records), Path(model).name
    from ..predict import load

    bar, advance = progress_bar("predicting", len(records))
    with load(model, **runtime) as predictor, bar:
        if plain:
            predictor.card = replace(predictor.card, calibration=None)
        return analyze(predictor, records, **options, progress=advance), predictor.card.name


def _print(analysis: Analysis) -> None:
    from rich.table import Table

    from ..metrics.taxonomy import KINDS

    report, show = analysis.to_dict(), console()
    percent = lambda value: "-" if value is None else f"{100 * value:.1f}"  # noqa: E731
    table = Table("joint", "labelled", *KINDS, title="Joints of people who were found, by kind, percent")
    for row in [*report["joints"], {"joint": "all", **report["all_joints"]}]:
        table.add_row(row["joint"], f"{row['labelled']:,}", *(percent(row[kind]) for kind in KINDS))
    show.print(table)
    gains = Table(
        "corrected", "AP, it alone", "AP, with all above", title=f"OKS AP {percent(report['ap'])}, and without"
    )
    for kind, alone in report["ap_if_corrected_alone"].items():
        gains.add_row(kind.replace("_", " "), percent(alone), percent(report["ap_if_corrected_so_far"][kind]))
    show.print(gains)
    click.echo(", ".join(f"{name.replace('_', ' ')}: {number:,}" for name, number in report["people"].items()))
    if analysis.calibration is not None and analysis.calibration.value is not None:
        details = analysis.calibration.details
        auc = details["presence_auc"]
        click.echo(
            f"{analysis.calibration.name}: {analysis.calibration.value:.4f}, Brier {details['brier']:.4f}"
            + ("" if auc is None else f"; labelled above unlabelled joints: {auc:.3f}")
        )


def _calibrate(model: str, analysis: Analysis, split: str, figure: Path | None, out: Path | None) -> None:
    """Fit on all people, judge on halves that were not fitted on; plot and write what was asked for."""
    from ..analyze import calibrated
    from ..draw.plots import reliability_plot
    from ..weights.checkpoint import read_card
    from ..weights.zoo import find_weights

    curve, before, after = calibrated(analysis, split)
    click.echo(
        f"calibrated on half of the images and judged on the other, in turns: ECE {before.ece:.4f} -> {after.ece:.4f}"
    )
    if figure is not None:
        columns = {name: (r.score, r.right, r.count) for name, r in (("as it is", before), ("calibrated", after))}
        click.echo(f"wrote {reliability_plot(figure, columns, right=curve.right)}")
    if out is not None:
        _write(find_weights(model), out, curve)
        click.echo(f"wrote {out}: {read_card(out).name} with calibrated scores")


def _write(source: Path, out: Path, curve: Calibration) -> None:
    from ..weights.checkpoint import read_card
    from ..weights.onnx_file import is_onnx, write_card

    if not is_onnx(source):
        raise click.ClickException(
            f"--calibrate writes a copy of an .onnx file, and {source.name} is none; export it first"
        )
    write_card(source, out, replace(read_card(source), calibration=curve))
