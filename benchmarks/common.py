"""What benchmarks share: timing things in turns, comparing the arms of an ablation, a photo, and writing results."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from vitruvian import evaluate, load, read
from vitruvian.provenance import provenance
from vitruvian.training.sources import in_fraction
from vitruvian.types import Record
from vitruvian.weights.checkpoint import read_card
from vitruvian.weights.zoo import DEFAULT, ZOO, find_weights

RESULTS = Path(__file__).parent / "results"
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
_HELD_BACK = (0.0, 0.2)
_Name = TypeVar("_Name", bound=Hashable)


def save(name: str, result: dict[str, Any]) -> Path:
    """Write ``results/<name>.json`` with where it came from."""
    record = {"benchmark": name, "provenance": {**provenance(), "command": f"python -m benchmarks {name}"}, **result}
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return path


def unfinished(name: str, setting: dict[str, Any]) -> dict[str, Any]:
    """What a cut-off run of a benchmark with the same setting has written; empty where there is no such."""
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        return {}
    result = json.loads(path.read_text(encoding="utf-8"))
    same = not result["finished"] and all(result.get(key) == value for key, value in setting.items())
    return result if same else {}


def pose_models() -> list[str]:
    """The shipped models that find joints, the default first."""
    found = [name for name in ZOO if read_card(find_weights(name)).codec.finds_joints]
    return sorted(found, key=lambda name: (name != DEFAULT, name))


def lspet_dev() -> list[Record]:
    """The 500 sports people that no training sees."""
    folder = DATA / "photos/lspet/dev"
    return read("coco", folder / "person_keypoints_dev.json", images=folder / "images").records


def coco_held_back(keep_unlabelled: bool = False) -> list[Record]:
    """The fifth of the COCO photos, by hashed file name, that recipes of shipped models leave out.

    ``keep_unlabelled`` people have a box, perhaps a mask, but no joints.
    """
    path = DATA / "photos/coco/train/person_keypoints_train2017.json"
    found = read("coco", path, images=path.parent / "images", keep_unlabelled=keep_unlabelled).records
    return [record for record in found if in_fraction(Path(str(record.image_path)).name, _HELD_BACK)]


def runs_left(
    done: list[dict[str, Any]], todo: Iterable[tuple[int, str]], measure: Callable[[int, str], dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Make the runs of an ablation, pairs of a seed and an arm, that ``done`` lacks; each is added to it and given.

    A run holds what ``measure`` says and its minutes; one whose loss is no longer finite says so instead of figures.
    """
    for seed, arm in todo:
        if any(row["seed"] == seed and row["arm"] == arm for row in done):
            continue
        start = time.monotonic()
        try:
            found = measure(seed, arm)
        except FloatingPointError as error:
            found = {"diverged": str(error)}
        done.append({"seed": seed, "arm": arm, **found, "minutes": round((time.monotonic() - start) / 60, 2)})
        said = (f"{key} {value}" for key, value in done[-1].items() if not isinstance(value, list))
        print("  ", *said, flush=True)
        yield done[-1]


def dev_pck(run: Path, people: list[Record]) -> dict[str, Any]:
    """PCK of a training run's best epoch on ``people``, single pass, and the figure that chose the epoch."""
    with load(run, threads=2) as predictor:
        found = evaluate(predictor, people, ["pck"], batch=64)["pck"]
        chosen = predictor.card.metrics[0]
    return {"pck": found.value, "val_pck": chosen["value"], "epoch": chosen["epoch"]}


def compared(
    runs: list[dict[str, Any]], control: str, arms: Sequence[str], figure: str = "pck"
) -> list[dict[str, Any]]:
    """For each arm of an ablation that has runs: mean and spread over seeds, and of the gain over the same seed's
    control, which is None where no control has come to an end."""
    found = {arm: {r["seed"]: r[figure] for r in runs if r["arm"] == arm and figure in r} for arm in arms}
    rows = []
    for arm, by_seed in found.items():
        if by_seed:
            gains = [value - found[control][seed] for seed, value in by_seed.items() if seed in found[control]]
            rows.append(
                {
                    "arm": arm,
                    "seeds": len(by_seed),
                    **spread(list(by_seed.values())),
                    "gain": spread(gains) if gains else None,
                }
            )
    return rows


def spread(values: list[float]) -> dict[str, float]:
    """Mean and sample standard deviation (0 for one value)."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": round(statistics.fmean(values), 4), "deviation": round(deviation, 4)}


def alternate(tasks: Mapping[_Name, Callable[[], Any]], repeats: int) -> dict[_Name, float]:
    """Median milliseconds of each task; the tasks take turns, after one untimed turn each."""
    times: dict[_Name, list[float]] = {name: [] for name in tasks}
    for turn in range(repeats + 1):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            if turn:
                times[name].append((time.perf_counter() - start) * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def photo(width: int = 640, height: int = 480) -> np.ndarray:
    """(H, W, 3) uint8: smooth colour fields with fine texture, as costly to compress and sample as a real photo."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    image = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.float32)
    return np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
