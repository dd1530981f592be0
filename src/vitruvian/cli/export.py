"""``vitruvian export``: a trained checkpoint as one ONNX file, compared with torch before it is kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._common import plural

if TYPE_CHECKING:
    import numpy as np

    from ..preprocess import Preprocess


@click.command(short_help="Turn a trained checkpoint into an ONNX file.")
@click.argument("model")
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path), metavar="OUT.onnx")
@click.option(
    "--images", type=click.Path(exists=True, path_type=Path), help="Photos to compare on; without it, drawn people."
)
@click.option("--count", type=click.IntRange(1), default=32, show_default=True, help="Crops to compare on.")
@click.option("--full-precision", is_flag=True, help="Store weights as float32: twice the size, nothing rounded.")
def command(model: str, out: Path, images: Path | None, count: int, full_precision: bool) -> None:
    """Export MODEL (a training run's folder or a .safetensors file) to OUT.onnx.

    The file's outputs are compared with torch's; one that differs is not written.
    """
    from ..extras import need

    if out.suffix.lower() != ".onnx":
        raise click.BadParameter(f"must end in .onnx, got '{out}'", param_hint="OUT.onnx")
    need("torch", "train", "export")
    from ..export import export_onnx
    from ..models import build_model
    from ..weights.checkpoint import load_into, read_card
    from ..weights.zoo import find_weights

    weights = find_weights(model)
    card = read_card(weights)
    network = build_model(card.model, len(card.skeleton), card.codec, **card.options)
    load_into(network, weights)
    crops = _drawn_crops(card.preprocess, count) if images is None else _photo_crops(card.preprocess, images, count)
    report = export_onnx(network, card, out, crops, half_weights=not full_precision)
    what = "drawn people (give --images for photos)" if images is None else f"photos of {images}"
    click.echo(f"wrote {report.path} ({report.bytes / 1e6:.1f} MB): {card.name}, weights of {weights}")
    click.echo(
        f"compared with torch on {plural(report.crops, 'crop')} of {what}: outputs differ by at most "
        f"{report.max_output_difference:.1e} of the largest, joints by {report.max_keypoint_px:.4f} px, "
        f"scores by {report.max_score:.1e}"
    )


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
