"""`TABLES`: the tables of the docs, each made of a file of ``benchmarks/results``."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def _load(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def _origin(result: dict) -> str:
    p = result["provenance"]
    return f"*{p['machine']}; {p['date']}, commit {p['commit']}; `{p['command']}`*"


def accuracy() -> str:
    """Accuracy of the shipped pose models on held-back people."""
    result = _load("accuracy")
    first, *_ = result["models"]
    kinds = [f"{r['metric']}, {r['people']} people of {r['data']}" for r in first["rows"]]
    rows = [
        (
            m["model"],
            f"{m['megabytes']:.1f} MB",
            f"{m['ms_per_person_batch_1']:.1f} / {m['ms_per_person_batch_8']:.1f}",
            *(f"{r['value']:.3f} / {r['value_flip']:.3f}" for r in m["rows"]),
        )
        for m in result["models"]
    ]
    header = ("model", "file", "ms a person, batch 1 / 8", *(f"{kind}; with flip" for kind in kinds))
    return _table(header, rows) + "\n\n" + _origin(result)


def groups() -> str:
    """Accuracy of the shipped pose models on kinds of people."""
    result = _load("accuracy")
    found: dict[tuple, list[str]] = {}
    for model in result["models"]:
        for r in model["rows"]:
            for group in (group for rows in r["groups_flip"].values() if len(rows) > 1 for group in rows):
                value = "-" if group["value"] is None else f"{group['value']:.3f}"
                found.setdefault((r["data"], group["group"], group["people"]), []).append(value)
    header = ("people", "of these", "number", *(f"{model['model']}, with flip" for model in result["models"]))
    return _table(header, [(*about, *values) for about, values in found.items()]) + "\n\n" + _origin(result)


def scores() -> str:
    """What the shipped pose models' scores and presence are worth."""
    result = _load("scores")
    figures = ("ece", "brier", "presence_auc")
    rows = [
        (m["model"], r["scores"], r["data"], f"{r['joints']:,}", *(f"{r[k]:.3f}" for k in figures))
        for m in result["models"]
        for r in m["rows"]
    ]
    first, *_ = (m["presence"] for m in result["models"])
    said = f"lspet/dev in photos cut off within the person: {first['in_the_picture']:,} joints in the picture, "
    said += f"{first['cut_off']:,} cut off. A joint of the first kind has a higher presence than one of the second in "
    each = []
    for m in result["models"]:
        p = m["presence"]
        each.append(
            f"{100 * p['auc']:.1f} % of the pairs ({m['model']}; at its card's limit of {p['above'] or 0:g} "
            f"{100 * p['kept']:.0f} % of the first are kept, {100 * p['dropped']:.0f} % of the second dropped)"
        )
    header = ("model", "scores", "people", "joints", "error (ECE)", "Brier", "labelled above unlabelled")
    return _table(header, rows) + f"\n\n{said}{', '.join(each)}.\n\n" + _origin(result)


def per_joint() -> str:
    """PCK@0.2 for each joint."""
    result = _load("accuracy")
    found: dict[str, dict[str, dict]] = {}
    names = [m["model"] for m in result["models"]]
    for model in result["models"]:
        for joint in model["per_joint"]:
            found.setdefault(joint["joint"], {})[model["model"]] = joint
    rows = [
        (
            joint,
            next(iter(of.values()))["count"],
            *(f"{of[name]['value']:.3f}" if name in of else "-" for name in names),
        )
        for joint, of in found.items()
    ]
    header = ("joint", "labelled", *(f"{name}, PCK@0.2 with flip" for name in names))
    return _table(header, rows) + "\n\n" + _origin(result)


def speed() -> str:
    """Milliseconds a person on two threads."""
    result = _load("predict_speed")
    rows = [
        (r["runtime"], r["batch"], r["ms_per_person"], r["gflops"], f"{r['share_of_matrix_product']:.2f}")
        for r in result["network"]
    ]
    header = ("runtime", "batch", "ms per person", "GFLOP/s", "share of a matrix product's rate")
    end = result["end_to_end"]
    stages = ", ".join(f"{k} {v}" for k, v in end["milliseconds"].items())
    return (
        _table(header, rows)
        + f"\n\nA {end['photo']} with {end['people']} people, milliseconds: {stages}. "
        + f"Outside the network: {end['share_outside_network']:.1%}.\n\n"
        + _origin(result)
    )


def size() -> str:
    """The installation's size."""
    result, memory = _load("install"), _load("memory")
    rows = [
        ("core in site-packages", f"{result['site_packages_mb']} MB"),
        ("packages, this one included", result["package_count"]),
        ("`import vitruvian`", f"{result['import_seconds_median'] * 1000:.0f} ms, without torch"),
        ("peak memory over a folder of 1,000 images", f"{memory['peak_mb']} MB"),
        ("its growth from the second to the last tenth", f"{memory['growth_mb_second_to_last_tenth']} MB"),
    ]
    return _table(("", "measured"), rows) + "\n\n" + _origin(result)


def training_speed() -> str:
    """Loader, model and both."""
    result = _load("train_speed")
    rows = [(k, v) for k, v in result["images_per_second"].items()]
    return (
        _table(("", "images per second"), rows)
        + f"\n\nTogether over the slower: {result['together_over_slower']:.2f}.\n\n"
        + _origin(result)
    )


def adversarial() -> str:
    """Supervised against each adversarial mode."""
    result = _load("adversarial_ablation")
    rows = [(a["arm"], *_accuracy(a)) for a in result["arms"]]
    return _table(("arm", "seeds", "PCK@0.2", "against the control"), rows) + "\n\n" + _origin(result)


def attention() -> str:
    """Each kind and scope of attention against none: accuracy, parameters and time."""
    if not (RESULTS / "attention_ablation.json").is_file():
        return "Not measured yet: `python -m benchmarks attention_ablation`, about an hour on two cores."
    result = _load("attention_ablation")
    measured = {arm["arm"]: _accuracy(arm) for arm in result["arms"]}
    by_size: dict[str, list[dict]] = {}
    for cost in result["cost"]:
        by_size.setdefault("x".join(map(str, cost["input_wh"])), []).append(cost)
    plain, *_ = result["cost"]
    rows = [
        (
            costs[0]["arm"],
            *measured.get(costs[0]["arm"], ("-", "-", "-")),
            f"{costs[0]['parameters'] - plain['parameters']:,}",
            *(f"{c['ms_per_person_batch_1']:.1f} / {c['ms_per_person_batch_8']:.1f}" for c in costs),
            *(f"{c['over_none_batch_1']:.2f} / {c['over_none_batch_8']:.2f}" for c in costs),
        )
        for costs in zip(*by_size.values(), strict=True)
    ]
    times = [f"{what}, {size}" for what in ("ms per person", "over none") for size in by_size]
    header = ("attention", "seeds", "PCK@0.2", "against none", "parameters added", *times)
    cut = "" if result["finished"] else " Some arms are still to be run."
    widths = " and ".join(f"{costs[0]['width']} at {size}" for size, costs in by_size.items())
    return (
        _table(header, rows)
        + f"\n\n{result['model']}, {result['input_wh'][0]}x{result['input_wh'][1]}, {result['epochs']} epochs; "
        + f"{result['metric']}. Times on ONNX Runtime with two threads at batch 1 / 8, all networks in turns; channels "
        + f"of the deconvolutions: {widths}.{cut}\n\n"
        + _origin(result)
    )


def _accuracy(arm: dict) -> tuple[int, str, str]:
    """Seeds, mean and gain, both with their spread where there are several seeds."""

    def figure(found: dict, sign: str = "") -> str:
        spread = f" ± {found['deviation']:.4f}" if arm["seeds"] > 1 else ""
        return f"{found['mean']:{sign}.4f}{spread}"

    gain = arm.get("gain")
    return arm["seeds"], figure(arm), "-" if gain is None else figure(gain, "+")


def hourglass() -> str:
    """The two-stack hourglass beside the shipped model."""
    result = _load("hourglass")
    rows = [
        (
            r["model"],
            f"{r['parameters'] / 1e6:.2f} M",
            "x".join(str(side) for side in r["input_wh"]),
            f"{r['pck']:.3f}",
            f"{r['pck_flip']:.3f}",
            r["ms_per_person"],
        )
        for r in result["rows"]
    ]
    header = ("model", "parameters", "input", "PCK@0.2 on lspet/dev", "with flip", "ms per person, batch 8")
    return _table(header, rows) + "\n\n" + _origin(result)


def detector() -> str:
    """The person detector by itself, and what it does to the pose model."""
    result = _load("detector")
    about, speed = result["boxes"], result["throughput"]
    people = f"{about['people']} people in {about['photos']} COCO photos"
    empty = f"{about['photos_without_people']} photos without people"

    def column(look: dict[str, Any]) -> list[str]:
        found, left, poses = (look[key] for key in ("boxes", "checked_by_poses", "end_to_end"))
        shares = [f"{left[f'{which}_at_threshold']:.3f}" for which in ("recall", "precision")]
        return [
            f"{found['stats']['AP50']:.3f} / {found['stats']['AP']:.3f}",
            f"{found['recall_at_threshold']:.3f} / {found['precision_at_threshold']:.3f}",
            f"{found['false_positives_per_photo_without_people']:.2f}",
            " / ".join([*shares, f"{left['false_positives_per_photo_without_people']:.2f}"]),
            f"{poses['detected']['AP']:.3f} / {poses['ground truth']['AP']:.3f}",
            f"{look['ms_per_photo']:.1f}",
        ]

    names = (
        f"person AP50 / AP, {people}",
        f"recall / precision at score {result['min_score']:g}",
        f"false positives a photo, {empty}",
        "after the pose model's check: recall / precision / false positives",
        "OKS AP of the poses, flip test: detected / true boxes",
        "milliseconds a photo, 2 threads",
    )
    rows = list(zip(names, column(result), column(result["once"]), strict=True))
    batched = (
        f"{speed['people']} people in {speed['photos']} photos, batched against one person at a time: "
        f"{speed['ratio']:.1f} x."
    )
    return _table(("", "default", "`--detect-once`"), rows) + f"\n\n{batched}\n\n" + _origin(result)


def lifting() -> str:
    """Lifters and baselines on held-out motion capture."""
    result = _load("lifting")
    rows = [
        (
            r["lifter"],
            r["takes"],
            r["inputs"],
            *(f"{r[name]:.1f}" for name in ("mpjpe_mm", "pa_mpjpe_mm", "n_mpjpe_mm")),
            f"{r['pck3d_150']:.3f}",
            f"{r['mpjve_mm_per_s']:.0f}",
        )
        for r in result["rows"]
    ]
    header = ("lifter", "takes", "2D", "MPJPE", "PA-MPJPE", "N-MPJPE", "PCK3D at 150 mm", "MPJVE, mm/s")
    split = "; ".join(
        f"{name}: {count['takes']} takes, {count['frames']:,} frames" for name, count in result["split"].items()
    )
    said = f"{result['data']}, {result['cameras']} random cameras a take. {split}."
    return _table(header, rows) + f"\n\n{said}\n\n" + _origin(result)


def masks() -> str:
    """The shipped model of masks on held-back people."""
    if not (RESULTS / "masks.json").is_file():
        return "Not measured yet: `python -m benchmarks masks`, which needs the shipped model."
    result = _load("masks")
    names = {
        "mask_dice": "Dice",
        "mask_dice_in_box": "Dice in the box",
        "mask_iou": "IoU",
        "mask_boundary_f": "boundary F",
    }
    rows = [
        (r["data"], r["people"], "yes" if r["flip"] else "no", *(f"{r[name]:.3f}" for name in names))
        for r in result["rows"]
    ]
    said = f"{result['ms_per_person']} ms a person on two threads, {result['batch']} people a photo (640x480), no flip"
    return _table(("people", "number", "flip", *names.values()), rows) + f"\n\n{said}\n\n" + _origin(result)


def masks_joints() -> str:
    """System 0's experiments."""
    return _masks_joints("experiments", ("dice", "fashion_dice", "coco_dice", "pck", "heat_mse", "heat_mse_of_zeros"))


def harmonic() -> str:
    """The harmonic network against U-Nets: accuracy, and how soon."""
    figures = ("dice", "fashion_dice", "coco_dice", "dice_upright", "dice_any_angle", "dice_worst_angle")
    text = _masks_joints("harmonic_against_unet", figures)
    if not (RESULTS / "masks_joints.json").is_file():
        return text
    learning = _load("masks_joints")["learning"]
    levels = list(learning[0]["until_dice"])
    rows = []
    for arm in learning:
        found = [arm["until_dice"][level] for level in levels]
        rows.append((arm["arm"], *(_soon(level) for level in found)))
    soon = _table(("views / seconds until Dice is", *levels), rows)
    return f"{text}\n\n{soon}"


def _soon(found: Mapping[str, Any]) -> str:
    """Mean views and seconds of the seeds that reach a level, and how many do where not all of them."""
    if found["views"] is None:
        return "never"
    reach, seeds = found["seeds_that_reach_it"].split(" of ")
    some = "" if reach == seeds else f" ({reach} of {seeds})"
    return f"{found['views']:,} / {found['seconds']:.0f}{some}"


def _masks_joints(part: str, figures: Sequence[str]) -> str:
    if not (RESULTS / "masks_joints.json").is_file():
        return "Not measured yet: `python -m benchmarks masks_joints`, half an hour on two cores."
    result = _load("masks_joints")
    rows = []
    for arm in result[part]:
        cells = (
            "-" if name not in arm else f"{arm[name]['mean']:.3f} ± {arm[name]['deviation']:.3f}" for name in figures
        )
        about = (arm["arm"], arm["seeds"], f"{arm['parameters']:,}", f"{arm['views']:,}")
        rows.append((*about, *cells))
    header = ("arm", "seeds", "parameters", "views", *(name.replace("_", " ") for name in figures))
    cut = "" if result["finished"] else " Some runs are still to be made."
    size = "x".join(map(str, result["input_wh"]))
    return _table(header, rows) + f"\n\n{result['data']}; {size}.{cut}\n\n" + _origin(result)


def harmonic_speed() -> str:
    """What harmonic convolutions cost."""
    if not (RESULTS / "harmonic_speed.json").is_file():
        return "Not measured yet: `python -m benchmarks harmonic_speed`, a minute on two cores."
    result = _load("harmonic_speed")
    rows = [
        (rival.replace("_", " "), f"{result['parameters'][rival]:,}", *(f"{kinds[rival]:.2f}" for kinds in ratios))
        for ratios in [list(result["harmonic_over"].values())]
        for rival in result["harmonic_over"]["training"]
    ]
    header = ("harmonic network against", "parameters", *(f"{kind}, times" for kind in result["harmonic_over"]))
    size = "x".join(map(str, result["input_wh"]))
    said = f"{result['parameters']['harmonic']:,} parameters, {size}, batches of {result['batch']}; "
    said += f"the system reported {result['reported_by_the_system']}."
    return _table(header, rows) + f"\n\n{said}\n\n" + _origin(result)


def data_ablation() -> str:
    """What each change of vitruvian-s's data and augmentation brings."""
    header = ("change", "seeds", "PCK@0.2", "against as before", "OKS AP", "PCK@0.2 with flip")
    more = "; OKS AP of COCO people held back"
    return _two_figures("data_ablation", "an hour and a half", "arms", header, " further", more, ("flip",))


def mask_body() -> str:
    """A mask network of its own against a head on the pose network."""
    header = ("arm", "seeds", "Dice, fashion", "against own body", "Dice, COCO")
    return _two_figures("mask_body", "half an hour", "fashion", header)


def _two_figures(
    name: str, time: str, first: str, header: Sequence[str], which: str = "", more: str = "", also: Sequence[str] = ()
) -> str:
    """An ablation's arms by the figure ``first``, and of each that on COCO people, and those of ``also``."""
    if not (RESULTS / f"{name}.json").is_file():
        return f"Not measured yet: `python -m benchmarks {name}`, {time} on two cores."
    result = _load(name)
    others = [{row["arm"]: _accuracy(row)[1] for row in result.get(other, ())} for other in ("coco", *also)]
    rows = [(a["arm"], *_accuracy(a), *(other.get(a["arm"], "-") for other in others)) for a in result[first]]
    said = f"{result['crops']:,}{which} crops an arm; {result['metric']}{more}."
    said += "" if result["finished"] else " Some runs are still to be made."
    return _table(header, rows) + f"\n\n{said}\n\n" + _origin(result)


def grid_pretraining() -> str:
    """What the grid task brings to 3D regression."""
    result = _load("grid_pretraining")
    first = {a: statistics.fmean(r["val_mpjpe_mm"][0] for r in result["runs"] if r["arm"] == a) for a in _arms(result)}
    rows = [
        (
            r["arm"],
            r["seeds"],
            f"{first[r['arm']]:.1f}",
            *("{mean:.1f} ± {deviation:.1f}".format(**r[name]) for name in ("test_mpjpe_mm", "test_pa_mpjpe_mm")),
            r["epochs_until_as_good_as_scratch"],
        )
        for r in result["arms"]
    ]
    mean = result["mean_pose"]
    rows.append(("mean pose", "", "", f"{mean['test_mpjpe_mm']:.1f}", f"{mean['test_pa_mpjpe_mm']:.1f}", ""))
    header = ("transfer", "seeds", "MPJPE after one epoch", "MPJPE", "PA-MPJPE", "epochs until as good as from scratch")
    counts, epochs = result["pictures"], result["epochs"]
    said = f"mm; {counts['train']:,} rendered pictures, {epochs['grid']} epochs of the grid task, {epochs['pose']} of "
    said += f"regression; {counts['test']} test pictures with bodies, takes and clothes of their own."
    return _table(header, rows) + f"\n\n{said}\n\n" + _origin(result)


def _arms(result: dict) -> list[str]:
    return [row["arm"] for row in result["arms"]]


TABLES: dict[str, Callable[[], str]] = {
    "accuracy": accuracy,
    "adversarial": adversarial,
    "attention": attention,
    "data_ablation": data_ablation,
    "detector": detector,
    "grid_pretraining": grid_pretraining,
    "groups": groups,
    "harmonic": harmonic,
    "harmonic_speed": harmonic_speed,
    "hourglass": hourglass,
    "lifting": lifting,
    "mask_body": mask_body,
    "masks": masks,
    "masks_joints": masks_joints,
    "per_joint": per_joint,
    "scores": scores,
    "size": size,
    "speed": speed,
    "training_speed": training_speed,
}
