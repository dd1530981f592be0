"""``vitruvian explain`` on real files."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from vitruvian.data import read_image, write_image


@pytest.fixture
def photo(rng, tmp_path):
    return write_image(tmp_path / "photo.png", rng.integers(0, 256, (90, 120, 3), dtype=np.uint8))


@pytest.fixture
def explain(call):
    return lambda *arguments: call("explain", *arguments, "--threads", 1)


def test_a_picture_and_a_page(explain, photo, tiny_model, tmp_path):
    out = tmp_path / "out"
    done = explain(photo, "--model", tiny_model, "--out", out, "--detector", "none")
    assert done.exit_code == 0, done.stderr
    assert "whole image is one person" in done.output
    assert "1 person explained" in done.output
    assert "No attention" in done.output
    for name in ("photo_explained.png", "photo_explained.html"):
        assert f"wrote {out / name}" in done.output
    assert min(read_image(out / "photo_explained.png").shape[:2]) > 200
    page = (out / "photo_explained.html").read_text(encoding="utf-8")
    assert "left shoulder" in page
    assert "tiny" in page


def test_boxes_and_how_many(explain, photo, tiny_model, tmp_path):
    rows = [
        {"image_id": "photo", "category_id": 1, "bbox": box, "score": score}
        for box, score in (([5, 5, 40, 60], 0.2), ([60, 20, 50, 60], 0.9))
    ]
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps(rows))
    for options, people in (((), 2), (("--people", 1), 1)):
        done = explain(photo, "--model", tiny_model, "--boxes", file, "--out", tmp_path, *options)
        assert done.exit_code == 0, done.stderr
        assert f"2 boxes from {file}" in done.output
        assert len(re.findall("<section", (tmp_path / "photo_explained.html").read_text())) == people
    file.write_text(json.dumps([rows[0] | {"image_id": "photo", "bbox": [500, 500, 9, 9]}]))
    done = explain(photo, "--model", tiny_model, "--boxes", file, "--out", tmp_path)
    assert done.exit_code == 0  # nobody is no failure
    assert "0 people explained" in done.output
    assert "Nobody was found" in (tmp_path / "photo_explained.html").read_text()


def test_attention_is_shown_where_there_is_any(explain, photo, tiny_checkpoint, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from vitruvian.predict.backends.torch_backend import TorchBackend

    def attention(self, crops):
        return {"part": np.ones((len(crops), len(self.card.skeleton), 4, 4), np.float32)}

    monkeypatch.setattr(TorchBackend, "attention", attention)
    done = explain(photo, "--model", tiny_checkpoint, "--out", tmp_path, "--detector", "none")
    assert done.exit_code == 0, done.stderr
    assert "No attention" not in done.output
    (data,) = re.findall(r"^const PEOPLE = (.*);$", (tmp_path / "photo_explained.html").read_text(), flags=re.MULTILINE)
    assert all(joint["attention"] for joint in json.loads(data)[0]["joints"])


def test_misuse(explain, photo, tiny_model, tmp_path):
    done = explain(tmp_path / "gone.jpg", "--model", tiny_model, "--out", tmp_path)
    assert done.exit_code == 1
    assert "gone.jpg" in done.stderr
    assert explain(photo, "--model", tmp_path / "nothing.onnx").exit_code == 1
    assert explain(photo, "--people", 0).exit_code == 2
