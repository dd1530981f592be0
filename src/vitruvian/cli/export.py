"""``vitruvian export``: a trained checkpoint as one ONNX file, compared with torch before it is kept; or as int8,
judged on annotated people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._common import plural

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from ..export.weights import Weights
    from ..preprocess import Preprocess
    from ..weights import Card


@click.command(short_help="Turn a trained checkpoint into an ONNX file.")
@click.argument("model")
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path), metavar="OUT.onnx")
@click.option(
    "--images", type=click.Path(exists=True, path_type=Path), help="Photos to compare on; without it, drawn people."
)
@click.option("--count", type=click.IntRange(1), default=32, show_default=True, help="Crops to compare on.")
@click.option(
    "--weights",
    "stored",
    type=click.Choice(["float32", "float16", "int8"]),
    help="How large weights are stored: float32 rounds nothing, float16 takes half, int8 a quarter of its size. "
    "Arithmetic stays in float32.  [default: float16]",
)
@click.option(
    "--int8",
    "int8_data",
    nargs=2,
    metavar="FORMAT ANNOTATIONS",
    help="Compute in 8 bits: a quarter of these photos shows the ranges, the rest judges; --images is their folder.",
)
@click.option("--force", is_flag=True, help="With --int8: keep it, even if it loses more than 0.5 points.")
@click.option("--limit", type=click.IntRange(4), help="With --int8: only the first so many photos with people.")
def command(
    model: str,
    out: Path,
    images: Path | None,
    count: int,
    stored: Weights | None,
    int8_data: tuple[str, str] | None,
    force: bool,
    limit: int | None,
) -> None:
    """Export MODEL (a training run's folder, a .safetensors file, or an .onnx file of ours) to OUT.onnx.

    The file's outputs are compared with torch's; one that differs is not written. With --int8 the command says what
    that loses in PCK and AP; beyond 0.5 points it writes a file for arithmetic in floats instead.
    """
    from ..extras import need

    if int8_data is None and (force or limit):
        raise click.UsageError("--force and --limit belong to --int8")
    if int8_data is not None and stored is not None:
        raise click.UsageError("--int8 and --weights exclude each other")

    from ..weights.onnx_file import is_onnx

    if not is_onnx(out):
        raise click.BadParameter(f"must end in .onnx (or .onnx.gz), got '{out}'", param_hint="OUT.onnx")
    need("torch", "train", "export")
    from ..export import export_onnx
    from ..models import build_model
    from ..weights.checkpoint import load_into, read_card
    from ..weights.zoo import find_weights

    weights = find_weights(model)
    card = read_card(weights)
    network = build_model(card.model, len(card.skeleton), card.codec, **card.options)
    load_into(network, weights)
    if int8_data is not None:
        _int8(network, card, out, int8_data, images, count, force, limit)
        return
    crops = _drawn_crops(card.preprocess, count) if images is None else _photo_crops(card.preprocess, images, count)
    report = export_onnx(network, card, out, crops, weights=stored or "float16")
    what = "drawn people (give --images for photos)" if images is None else f"photos of {images}"
    click.echo(f"wrote {report.path} ({report.bytes / 1e6:.1f} MB): {card.name}, weights of {weights}")
    click.echo(
        f"compared with torch on {plural(report.crops, 'crop')} of {what}: outputs differ by at most "
        f"{report.max_output_difference:.1e} of the largest, joints by {report.max_keypoint_px:.4f} px, "
        f"scores by {report.max_score:.1e}"
    )


def _int8(
    network: nn.Module,
    card: Card,
    out: Path,
    data: tuple[str, str],
    images: Path | None,
    count: int,
    force: bool,
    limit: int | None,
) -> None:
    """Every fourth photo shows the ranges, with at most ``count`` people; the others judge."""
    import numpy as np

    from ..data.dataset import photo
    from ..evaluate import counts, truth_box
    from ..export.int8 import ALLOWED_POINTS, export_int8
    from ..formats import read

    result = read(data[0], data[1], images=images)
    click.echo(str(result.report))
    records = [record for record in result.records if any(map(counts, record.persons))][:limit]
    if len(records) < 4:
        raise click.ClickException(f"int8 needs four photos with people at least, got {len(records)}; better hundreds")
    fit, judge = records[::4], [record for i, record in enumerate(records) if i % 4]
    crops = []
    for record in fit[:: max(1, len(fit) // count)]:
        image = photo(record)
        crops += [card.preprocess.crop(image, truth_box(p))[0] for p in record.persons if counts(p)]
    report = export_int8(network, card, out, np.stack(crops[:count]), judge, force=force)
    for name, row in report.figures.items():
        click.echo(f"{name}: float32 {row['float32']:.4f}, int8 {row['int8']:.4f}, loss {row['loss']:+.2f} points")
    click.echo(
        f"ranges of {plural(report.crops, 'crop')}, judged on {plural(report.people, 'person')} of other photos; "
        f"int8 {report.bytes / 1e6:.1f} MB, float32 {report.bytes_float / 1e6:.1f} MB, "
        f"{report.speed_up:.2f} times as fast here"
    )
    for name, row in report.of_weights.items():
        click.echo(f"{name} with weights alone in 8 bits: {row['int8']:.4f}, loss {row['loss']:+.2f} points")
    if report.kind != "int8":
        click.echo(
            f"int8 loses more than {ALLOWED_POINTS} points; written for arithmetic in floats, weights stored as "
            f"{report.kind.removesuffix(' weights')} (--force keeps int8)"
        )
    click.echo(f"wrote {report.path} ({report.kind}, {out.stat().st_size / 1e6:.1f} MB): {card.name}")


def _photo_crops(preprocess: Preprocess, images: Path, count: int) -> np.ndarray:
    """(N, h, w, 3) whole photos, spread over the folder."""
    import numpy as np

    from ..data.images import find_images, read_image

    paths = find_images(images)
    chosen = np.unique(np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int))
    return _whole(preprocess, (read_image(paths[i]) for i in chosen))


def _drawn_crops(preprocess: Preprocess, count: int) -> np.ndarray:
    from ..synth import render

    return _whole(preprocess, (render(0, i, (160, 208)) for i in range(count)))


def _whole(preprocess: Preprocess, images: object) -> np.ndarray:
    import numpy as np

    from ..geometry import boxes

    return np.stack(
        [preprocess.crop(image, boxes.whole_image((image.shape[1], image.shape[0])))[0] for image in images]  # type: ignore[attr-defined]
    )
