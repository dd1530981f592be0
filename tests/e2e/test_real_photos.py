"""The shipped model on real photos of people it was not trained on; skipped where the data is not."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

import vitruvian
from vitruvian.cli import main
from vitruvian.evaluate import counts, truth_box

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sports(shared_data):
    """The 500 people of lspet/dev."""
    folder = shared_data / "photos" / "lspet" / "dev"
    return vitruvian.read("coco", folder / "person_keypoints_dev.json", images=folder / "images").records


@pytest.fixture(scope="module")
def model():
    with vitruvian.load(threads=2) as predictor:
        yield predictor


def test_it_finds_sports_people(sports, model):
    """Not below what MediaPipe's full model reaches on such photos (0.557); the figure is in ``benchmarks/results``."""
    pytest.importorskip("faster_coco_eval")
    result = vitruvian.evaluate(model, sports, ["pck"], flip=True)["pck"]
    assert result.value >= 0.58
    table = {row["joint"]: row["value"] for row in result.table}
    assert table["head_top"] > 0.75


def test_a_mirrored_photo_gives_the_mirrored_person(sports, model):
    """With the flip test, exactly: what the network says of photo and mirror image is averaged either way."""
    from vitruvian.data import read_image

    differences = []
    for record in sports[:20]:
        image = read_image(record.image_path)
        width = image.shape[1]
        box = truth_box(record.persons[0])
        mirrored_box = np.array([width - 1 - box[2], box[1], width - 1 - box[0], box[3]])
        straight = model.predict(image, box[None], flip=True)
        mirrored = model.predict(np.ascontiguousarray(image[:, ::-1]), mirrored_box[None], flip=True)
        back = mirrored.keypoints[:, model.skeleton.flip] * [-1, 1] + [width - 1, 0]
        sure = straight.scores > 0.3
        differences.append(np.abs(back - straight.keypoints)[sure].max(initial=0))
    assert np.median(differences) < 0.2


def test_predict_writes_results_that_coco_tools_read(shared_data, tmp_path):
    """Detections in, OKS AP out, through pycocotools itself."""
    coco = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    folder = shared_data / "photos" / "coco" / "train"
    annotations = folder / "person_keypoints_train2017.json"
    records = vitruvian.read("coco", annotations, images=folder / "images").records[:12]
    boxes = [
        {"image_id": r.image_id, "category_id": 1, "score": 0.9,
         "bbox": [float(v) for v in (p.box_xyxy[0], p.box_xyxy[1], *(p.box_xyxy[2:] - p.box_xyxy[:2]))]}
        for r in records for p in r.persons if counts(p)
    ]  # fmt: skip
    (tmp_path / "boxes.json").write_text(json.dumps(boxes), encoding="utf-8")
    paths = [str(r.image_path) for r in records]
    arguments = ["predict", *paths, "--boxes", str(tmp_path / "boxes.json"), "--out", str(tmp_path / "out"), "--flip"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "out" / "keypoints.json").read_text(encoding="utf-8"))
    assert len(found) == len(boxes)
    assert {f["image_id"] for f in found} == {b["image_id"] for b in boxes}
    for result in found:
        result["keypoints"] = result["keypoints"][: 17 * 3]  # COCO's joints come first
    truth = coco.COCO(str(annotations))
    judge = evaluation.COCOeval(truth, truth.loadRes(found), "keypoints")
    judge.params.imgIds = [r.image_id for r in records]
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    assert judge.stats[0] > 0.02


def test_a_folder_with_a_broken_photo_still_gives_the_others(sports, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for record in sports[:3]:
        (photos / record.image_path.name).write_bytes(record.image_path.read_bytes())
    broken = photos / "broken.webp"
    broken.write_bytes(sports[3].image_path.read_bytes()[:900])
    options = ["--detector", "none", "--out", str(tmp_path / "out"), "--format", "csv"]
    done = CliRunner().invoke(main, ["predict", str(photos), *options])
    assert done.exit_code == 1
    assert "broken.webp" in done.output
    rows = (tmp_path / "out" / "keypoints.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 1 + 3 * 19
    assert len(list((tmp_path / "out").glob("*.png")) + list((tmp_path / "out").glob("*.webp"))) >= 3
