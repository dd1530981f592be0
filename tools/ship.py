"""Make a shipped model from a training run: ``python tools/ship.py RUN RECIPE``.

Exports the run's best weights (checked against torch on real crops), measures the exported file itself on people it was
not trained on, and writes figures, data sources and their terms onto its card; the figures also go into
``benchmarks/results/accuracy.json``, or ``detector.json`` for a person detector.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the benchmarks, which are not installed

import numpy as np
import onnx
from benchmarks import accuracy, detector
from benchmarks.common import DATA, save

from vitruvian import read
from vitruvian.codecs import BoxesCodec, codec_from_dict
from vitruvian.data import read_image
from vitruvian.evaluate import counts, truth_box
from vitruvian.export import export_onnx
from vitruvian.geometry import boxes
from vitruvian.models import build_model
from vitruvian.provenance import portable
from vitruvian.training import Recipe
from vitruvian.training.run import sources_of
from vitruvian.weights.card import METADATA_KEY, Card
from vitruvian.weights.checkpoint import load_into, read_card
from vitruvian.weights.zoo import FILES, ZOO

NOTES = (
    "For people who fill most of their box, in photos. Trained on few photos, most of them of sports: expect mistakes "
    "on crowds, on heavy occlusion, and on the joints of the face, which only about 160 people had labels for. The "
    "score of a joint is the height of its heatmap's peak, not a calibrated probability; a joint that is hidden or "
    "outside of the picture still gets a position."
)
DETECTOR_NOTES = (
    "Finds people in photos, in any pose, from about a thirtieth of the photo's longer side on. Trained from "
    "scratch on few photos (62 with every person's box) and on composites of them: expect misses in crowds, of the "
    "heavily hidden and of the very small, and now and then a box on something that is nobody."
)


def crops_for(card: Card, count: int = 32) -> np.ndarray:
    """(count, h, w, 3) uint8 crops of real people, for comparing the export with torch; whole photos for a detector."""
    if isinstance(card.codec, BoxesCodec):
        images = [read_image(record.image_path) for record in detector.held_back()[0] if record.image_path is not None]
        whole = [boxes.whole_image((image.shape[1], image.shape[0])) for image in images]
        return np.stack([card.preprocess.crop(image, box)[0] for image, box in zip(images, whole, strict=True)])
    folder = DATA / "photos" / "lspet" / "dev"
    records = read("coco", folder / "person_keypoints_dev.json", images=folder / "images").records[:count]
    crops = []
    for record in records:
        person = next(p for p in record.persons if counts(p))
        assert record.image_path is not None
        crops.append(card.preprocess.crop(read_image(record.image_path), truth_box(person))[0])
    return np.stack(crops)


def rewrite_card(path: Path, card: Card) -> None:
    """Replace the card inside an ONNX file."""
    model: Any = onnx.load(str(path))
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            entry.value = card.to_json()
    onnx.save(model, str(path))


def pose_figures() -> list[dict[str, Any]]:
    """Measure the shipped pose model; the rows for its card."""
    measured = accuracy.run()
    save("accuracy", measured)
    rows = []
    for row in measured["rows"]:
        for flip, value in ((False, row["value"]), (True, row["value_flip"])):
            fields = {"metric": row["metric"], "split": row["data"], "people": row["people"], "boxes": "ground truth"}
            rows.append({**fields, "flip": flip, "value": round(value, 4)})
    return rows


def detector_figures() -> list[dict[str, Any]]:
    """Measure the shipped detector; the rows for its card."""
    measured = detector.run()
    save("detector", measured)
    found, split = measured["boxes"], {"split": "COCO, held back", "people": measured["boxes"]["people"]}
    rows = [{"metric": f"person {name}", **split, "value": round(found["stats"][name], 4)} for name in ("AP50", "AP")]
    nobody = {"split": "COCO without people, held back", "photos": found["photos_without_people"]}
    value = round(found["false_positives_per_photo_without_people"], 3)
    return [*rows, {"metric": "false positives per photo", **nobody, "value": value}]


def main(run_folder: str, recipe_path: str) -> int:
    """Export, measure, write the card."""
    source, recipe = Path(run_folder) / "best.safetensors", Recipe.load(recipe_path)
    card = read_card(source)
    boxes_found = isinstance(card.codec, BoxesCodec)
    notes = DETECTOR_NOTES if boxes_found else NOTES
    card = replace(
        card, name=recipe.name, data=sources_of(recipe), notes=notes, provenance=portable(card.provenance),
        codec=codec_from_dict({**recipe.codec, "size_wh": list(recipe.input.size_wh)}),
    )  # fmt: skip
    network = build_model(card.model, len(card.skeleton), card.codec, **card.options)
    load_into(network, source)
    target = FILES / ZOO[recipe.name]
    report = export_onnx(network, card, target, crops_for(card))
    print(f"{target.name}: {report.bytes / 1e6:.1f} MB, joints within {report.max_keypoint_px:.4f} px of torch")
    rows = detector_figures() if boxes_found else pose_figures()
    print(*rows, sep="\n")
    rewrite_card(target, card.with_metrics(*rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
