"""Make a shipped model from a training run: ``python tools/ship.py RUN RECIPE [--int8] [--calibrate]``.

Exports the run's best weights (checked against torch on real crops; with ``--int8`` in 8 bits, where that loses little
on held-back people), measures the exported file itself on people it was not trained on, and writes figures, data
sources and their terms onto its card; the figures also go into ``benchmarks/results/accuracy.json``, ``detector.json``
for a person detector, or ``masks.json`` for a model of masks. A new model is added to `ZOO` first. RUN may also be a
weight file or a shipped model's name. ``--calibrate`` turns scores into chances, fitted on the recipe's validation
people; ``--begun-with`` puts the data of another shipped model onto the card, and ``--also`` gives a detector's int8
more people to be judged on. ``--card-only``, with a shipped model's name as RUN, leaves its network as it is: after a
change of the recipe's codec, of the calibration or of what is measured.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the benchmarks, which are not installed

import click
import numpy as np
from benchmarks import accuracy, detector, masks, scores
from benchmarks.common import lspet_dev, save

from measure_limits import with_limits
from vitruvian import load
from vitruvian.analyze import analyze, calibrated
from vitruvian.codecs import BoxesCodec, codec_from_dict
from vitruvian.data import read_image
from vitruvian.data.dataset import in_skeleton, photo
from vitruvian.evaluate import counts, masked, truth_box
from vitruvian.export import export_onnx
from vitruvian.export.int8 import export_int8
from vitruvian.formats import read
from vitruvian.geometry import boxes
from vitruvian.metrics.boxes import box_stats
from vitruvian.models import build_model
from vitruvian.predict import PersonDetector
from vitruvian.predict.backends import OrtBackend
from vitruvian.predict.masks import has_masks
from vitruvian.provenance import portable, provenance
from vitruvian.training import Recipe
from vitruvian.training.build import sources_of
from vitruvian.training.sources import load_records
from vitruvian.types import Record
from vitruvian.weights.card import Card
from vitruvian.weights.checkpoint import load_into, read_card
from vitruvian.weights.onnx_file import write_card
from vitruvian.weights.zoo import FILES, ZOO, find_weights

NOTES = (
    "For people who fill most of their box, in photos. Trained on few photos, most of them of sports: expect mistakes "
    "on crowds, on heavy occlusion, and on faces, most of whose labels are another model's. A "
    "joint that is hidden or outside of the picture still gets a position. "
)
SCORES = "The score of a joint is the height of its heatmap's peak, not a calibrated probability."
CALIBRATED_SCORES = "The score of a joint is the chance that it is right ({right})."
DETECTOR_NOTES = (
    "Finds people in photos, in any pose, from about a fiftieth of the photo's longer side on (a thirtieth where "
    "somebody is large, or looking once). Begun with a pose model's stages and trained "
    "on few photos (62 with every person's box), on composites of them and on rendered people: expect misses "
    "in crowds, of the heavily hidden and of the very small, and now and then a box on something that is nobody. "
    "Behind it a pose model drops boxes without a person's joints."
)
_FURTHER = 1500  # photos
MASK_NOTES = (
    "The mask of the person in a box, who fills most of it. Trained on street fashion, sports people (whose masks are "
    "another model's), rendered people and a small part of COCO: expect mistakes where people overlap, on what they "
    "hold or ride, on small people and in bad light. The network's number for a pixel is how sure it is, not a "
    "calibrated probability."
)


def kind_of(card: Card) -> str:
    """What a model finds: ``"boxes"``, ``"masks"`` alone, or ``"joints"``."""
    if isinstance(card.codec, BoxesCodec):
        return "boxes"
    return "masks" if has_masks(card) and not card.codec.finds_joints else "joints"


def data_of(path: Path) -> tuple[dict[str, Any], ...]:
    """What a card says of the data of all parts of a training: NAME-1.yaml, NAME-2.yaml and so on, and NAME.yaml."""
    parts = [*sorted(path.parent.glob(f"{path.stem}-[0-9].yaml")), path]
    found: dict[str, dict[str, Any]] = {}
    for number, part in enumerate(parts, start=1):
        for row in sources_of(Recipe.load(part)):
            same = found.setdefault(row["name"], row | ({"parts": []} if len(parts) > 1 else {}))
            (a, b), (c, d) = same["share_of_photos"], row["share_of_photos"]
            same |= {"share_of_photos": [min(a, c), max(b, d)], "repeat": row["repeat"]}
            if len(parts) > 1 and number not in same["parts"]:
                same["parts"].append(number)
    return tuple(found.values())


def begun(card: Card) -> tuple[dict[str, Any], ...]:
    """The data of a model whose weights a training began with; what that one began with says so already."""
    return tuple({"of": card.name, **row} for row in card.data)


def crops_for(recipe: Recipe, card: Card, each: int = 64) -> np.ndarray:
    """(N, h, w, 3) uint8 crops of a person of each of ``each`` photos of each source; whole photos for a detector."""
    whole, part, crops = kind_of(card) == "boxes", masked if kind_of(card) == "masks" else counts, []
    for source in recipe.train:
        records = [record for record in load_records(source) if whole or any(map(part, record.persons))]
        for record in records[:: max(1, len(records) // each)][:each]:
            image = photo(record)
            size_wh = (image.shape[1], image.shape[0])
            box = boxes.whole_image(size_wh) if whole else truth_box(next(filter(part, record.persons)))
            crops.append(card.preprocess.crop(image, box)[0])
    return np.stack(crops)


def average_precision(backend: OrtBackend, records: Sequence[Record]) -> dict[str, float | None]:
    """How int8 judges a person detector."""
    every = PersonDetector(backend, detector.LEAST, once=True)  # or a score decides which photos have parts
    found = [every(read_image(record.image_path)) for record in records if record.image_path is not None]
    stats = box_stats(detector.people_and_crowds(records), found)
    return {"AP50": stats["AP50"], "AP": stats["AP"]}


def export(
    network: Any, card: Card, target: Path, crops: np.ndarray, int8: bool, weight_bits: int, also: Sequence[Record] = ()
) -> None:
    """Write the shipped file, and say what that cost; ``also`` as the command line's."""
    options = {"threads": 2, "weight_bits": weight_bits}
    if not int8:
        report = export_onnx(network, card, target, crops[:: max(1, len(crops) // 32)])
        print(f"{target.name}: {report.bytes / 1e6:.1f} MB, within {report.max_output_difference:.1e} of torch")
        return
    kind = kind_of(card)
    if kind == "boxes":
        records = [*detector.held_back()[0], *also]
        found = export_int8(network, card, target, crops, records, judge=average_precision, **options)
    elif kind == "masks":
        found = export_int8(network, card, target, crops, masks.fashion(), ("mask_dice",), **options)
    else:
        found = export_int8(network, card, target, crops, lspet_dev(), **options)
    print(f"{target.name}: {found.kind}, {target.stat().st_size / 1e6:.1f} MB; int8 {found.speed_up:.2f} x as fast")
    print(*(f"  {name}: {row}" for name, row in found.figures.items()), sep="\n")
    print(*(f"  {name}, weights alone: {row}" for name, row in found.of_weights.items()), sep="\n")


def calibrate(target: Path, recipe: Recipe) -> Card:
    """The card of the shipped pose model with scores calibrated on the recipe's validation people and, since those do
    sports, on people of everyday photos, which it was trained on."""
    everyday = [source for source in recipe.train if "photos/coco" in source.path]
    sources = [(source, "") for source in recipe.val] + [(source, ", trained on") for source in everyday]
    where = " and ".join(f"{Path(of.path).name}, share {list(of.fraction)}{seen}" for of, seen in sources)
    with load(target, threads=2) as predictor:
        records = [in_skeleton(record, predictor.skeleton) for of, _ in sources for record in load_records(of)]
        analysis = analyze(predictor, records)
        card = predictor.card
    curve, before, after = calibrated(analysis, where)
    print(f"calibrated on {len(records)} photos of {where}: ECE {before.ece:.4f} -> {after.ece:.4f} (other half)")
    return replace(card, calibration=curve, notes=f"{NOTES}{CALIBRATED_SCORES.format(right=curve.right)}")


def pose_figures(name: str) -> list[dict[str, Any]]:
    """Measure the shipped pose models; the rows for the card of ``name``."""
    every = accuracy.run()
    save("accuracy", every)
    measured = next(model for model in every["models"] if model["model"] == name)
    rows = []
    for row in measured["rows"]:
        for flip, value in ((False, row["value"]), (True, row["value_flip"])):
            fields = {"metric": row["metric"], "split": row["data"], "people": row["people"], "boxes": "ground truth"}
            rows.append({**fields, "flip": flip, "value": round(value, 4)})
        kinds = [group for groups in row["groups_flip"].values() if len(groups) > 1 for group in groups]
        for group in (g for g in kinds if g["value"] is not None):
            about = {**fields, "flip": True, "people": group["people"], "of": group["group"]}
            rows.append({**about, "value": round(group["value"], 4)})
    first = measured["rows"][0]
    for joint in measured["per_joint"]:
        about = {"metric": first["metric"], "split": first["data"], "joint": joint["joint"], "labelled": joint["count"]}
        rows.append({**about, "boxes": "ground truth", "flip": True, "value": round(joint["value"], 4)})
    times = [speed(measured[f"ms_per_person_batch_{n}"], batch=n) for n in (1, 8)]
    return [*rows, *score_figures(name), *times]


def speed(milliseconds: float, thing: str = "person", **about: Any) -> dict[str, Any]:
    """A row of time, with the machine that took it."""
    where = {"machine": provenance()["machine"], "threads": 2, **about}
    return {"metric": f"ms a {thing}", **where, "value": round(milliseconds, 1)}


def score_figures(name: str) -> list[dict[str, Any]]:
    """Measure what the shipped pose models' scores are worth; the rows for the card of ``name``."""
    every = scores.run()
    save("scores", every)
    measured = next(model for model in every["models"] if model["model"] == name)
    rows = []
    for row in measured["rows"]:
        about = {"split": row["data"], "joints": row["joints"], "scores": row["scores"]}
        rows.append({"metric": "expected calibration error", **about, "value": round(row["ece"], 4)})
    found, split = measured["presence"], {"split": "lspet/dev, photos cut off within the person"}
    rows.append({"metric": "presence, area under the curve", **split, "value": round(found["auc"], 4)})
    for name in ("kept", "dropped"):
        which = "in the picture kept" if name == "kept" else "cut off dropped"
        rows.append({"metric": f"joints {which}", **split, "value": round(found[name], 4)})
    return rows


def detector_figures(_: str) -> list[dict[str, Any]]:
    """Measure the shipped detector; the rows for its card."""
    measured = detector.run()
    save("detector", measured)
    found, split = measured["boxes"], {"split": "COCO, held back", "people": measured["boxes"]["people"]}
    rows = [{"metric": f"person {name}", **split, "value": round(found["stats"][name], 4)} for name in ("AP50", "AP")]
    nobody = {"split": "COCO without people, held back", "photos": found["photos_without_people"]}
    value = round(found["false_positives_per_photo_without_people"], 3)
    time = speed(measured["ms_per_photo"], "photo")
    return [*rows, {"metric": "false positives per photo", **nobody, "value": value}, time]


def mask_figures(_: str) -> list[dict[str, Any]]:
    """Measure the shipped model of masks; the rows for its card."""
    measured = masks.run()
    save("masks", measured)
    rows = []
    for row in measured["rows"]:
        about = {"split": row["data"], "people": row["people"], "boxes": "ground truth", "flip": row["flip"]}
        for metric, name in (("mean Dice", "mask_dice"), ("mean Dice in the box", "mask_dice_in_box")):
            rows.append({"metric": metric, **about, "value": round(row[name], 4)})
    return [*rows, speed(measured["ms_per_person"], batch=measured["batch"])]


FIGURES = {"boxes": detector_figures, "masks": mask_figures, "joints": pose_figures}


@click.command()
@click.argument("run")
@click.argument("recipe_path", metavar="RECIPE")
@click.option("--int8", is_flag=True, help="Ship 8 bits, where that loses little on held-back people.")
@click.option(
    "--weight-bits", type=click.IntRange(2, 8), default=7, show_default=True, help="With --int8; fewer: a smaller file."
)
@click.option("--calibrate", "calibrates", is_flag=True, help="Turn a pose model's scores into chances.")
@click.option("--card-only", is_flag=True, help="Leave the network of a shipped model as it is.")
@click.option("--padding", type=float, help="Crops' margin, where validation people say another than training's.")
@click.option(
    "--also",
    type=click.Path(path_type=Path),
    help="COCO boxes of everybody in photos that int8 of a detector is judged on "
    "as well, after the held-back ones, whose 84 people move by a point of AP by chance.",
)
@click.option("--begun-with", metavar="NAME", help="A shipped model whose weights the training began with.")
def main(
    run: str,
    recipe_path: str,
    begun_with: str | None,
    int8: bool,
    weight_bits: int,
    calibrates: bool,
    card_only: bool,
    padding: float | None,
    also: Path | None,
) -> None:
    """Export, measure, write the card."""
    source, recipe = find_weights(run), Recipe.load(recipe_path)
    if recipe.name not in ZOO:
        raise click.UsageError(f"'{recipe.name}' is not among {sorted(ZOO)}; add it to ZOO in weights/zoo.py first")
    card, target = read_card(source), FILES / ZOO[recipe.name]
    if not card_only:
        card = card.as_float()
    elif source != target or int8:
        raise click.UsageError(f"--card-only is for '{recipe.name}' as RUN, without --int8")
    kind = kind_of(card)
    if also and not (int8 and kind == "boxes"):
        raise click.UsageError("--also is for detectors with --int8")
    if calibrates and kind != "joints":
        raise click.UsageError(f"--calibrate is for models of joints; '{recipe.name}' finds {kind}")
    data = data_of(Path(recipe_path))
    if begun_with:
        data += begun(read_card(find_weights(begun_with)))
    card = replace(
        card, name=recipe.name, data=data, provenance=portable(card.provenance), calibration=None,
        person_above=None, present_above=None,
        notes={"boxes": DETECTOR_NOTES, "masks": MASK_NOTES, "joints": NOTES + SCORES}[kind],
        metrics=tuple(row for row in card.metrics if row.get("split") == "validation"),
        codec=codec_from_dict({**recipe.codec, "size_wh": list(recipe.input.size_wh)}),
        preprocess=replace(card.preprocess, padding=padding or card.preprocess.padding),
    )  # fmt: skip
    if card_only:
        write_card(target, target, card)
    else:
        network = build_model(card.model, len(card.skeleton), card.codec, **card.options)
        load_into(network, source)
        further = read("coco", also, keep_unlabelled=True).records[:_FURTHER] if also else ()
        export(network, card, target, crops_for(recipe, card), int8, weight_bits, further)
    if calibrates:
        write_card(target, target, calibrate(target, recipe))
    if kind == "joints":  # after the calibration, which changes scores
        write_card(target, target, with_limits(target))
    rows = FIGURES[kind](recipe.name)
    print(*rows, sep="\n")
    write_card(target, target, read_card(target).with_metrics(*rows))


if __name__ == "__main__":
    main()
