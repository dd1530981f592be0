"""``vitruvian predict`` on real files: what it writes, what it says, and its exit status."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vitruvian.cli.predict import FORMATS, STYLES
from vitruvian.data import read_image, write_image


@pytest.fixture
def predict(call, tiny_model):
    """With a network that finds joints everywhere, and without a detector, which would find nobody in noise."""
    return lambda *arguments: call("predict", *arguments, "--model", tiny_model, "--threads", 1, "--detector", "none")


@pytest.fixture
def photos(rng, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, size in enumerate([(70, 90), (64, 64), (120, 50)]):
        write_image(folder / f"{i + 1}.png", rng.integers(0, 256, (*size, 3), dtype=np.uint8))
    return folder


def _detections(path, *rows):
    entries = [{"image_id": i, "category_id": 1, "bbox": list(box), "score": score} for i, box, score in rows]
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def test_the_detector_looks_for_people(call, photos, tiny_model, tmp_path):
    for i in (1, 2, 3):
        write_image(photos / f"{i}.png", np.full((60 + 10 * i, 80, 3), 90, np.uint8))
    arguments = ("--model", tiny_model, "--threads", 1, "--out", tmp_path / "out", "--detector", "default")
    done = call("predict", photos, *arguments)
    assert done.exit_code == 0
    assert "found by the detector that comes along, score 0." in done.output
    assert "0 people in 3 images" in done.output  # they are grey
    assert "nobody was found in 3 images" in done.output
    assert json.loads((tmp_path / "out" / "keypoints.json").read_text()) == []
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"1.png", "2.png", "3.png", "keypoints.json"}


def test_a_detector_of_another_maker(call, photos, tiny_model, tmp_path, one_person_onnx):
    """An ONNX file without a card is read as its layout says."""
    arguments = ("predict", photos / "1.png", "--model", tiny_model, "--out", tmp_path / "out", "--no-draw")
    layout = ("--detector-layout", "yolo_transposed", "--detect-above", 0.6)
    done = call(*arguments, "--detector", one_person_onnx, *layout)
    assert done.exit_code == 0, done.stderr
    assert "score 0.6 or more" in done.output
    (entry,) = json.loads((tmp_path / "out" / "keypoints.json").read_text())
    assert entry["bbox"][2] == pytest.approx(24 * 90 / 64, abs=0.02)  # the photo is 90 wide, its letterbox 64
    bare = call(*arguments, "--detector", one_person_onnx)
    assert bare.exit_code == 1  # no card, no layout
    assert "say how its outputs are read: --detector-layout" in bare.stderr
    other = call(*arguments, "--detector", one_person_onnx, *layout, "--detector-person", 1)  # it has one class
    assert other.exit_code == 1
    assert call(*arguments, "--detector", tiny_model).exit_code == 1  # finds joints


@pytest.mark.parametrize("detector", [(), ("--detector", "none")])
def test_a_layout_is_for_a_file(call, photos, tiny_model, tmp_path, detector):
    done = call(
        "predict", photos, "--model", tiny_model, "--out", tmp_path / "out", "--detector-layout", "yolo", *detector
    )
    assert done.exit_code == 2
    assert "--detector-layout needs --detector FILE" in done.output


@pytest.mark.parametrize("option", [("--detector-person", 1), ("--detector-input", "bgr-255")])
def test_details_of_others_detectors_need_their_layout(call, photos, tiny_model, tmp_path, option):
    done = call("predict", photos, "--model", tiny_model, "--out", tmp_path / "out", *option)
    assert done.exit_code == 2
    assert f"{option[0]} is for detectors of other makers; give --detector-layout" in done.output


def test_colours_and_scale_of_others_detectors(one_person_onnx):
    from vitruvian.cli._detector import DetectorChoice

    for name, mean in ((None, (0, 0, 0)), ("bgr-imagenet", (103.53, 116.28, 123.675))):
        detector = DetectorChoice(str(one_person_onnx), None, "yolo_transposed", input=name).load(1)
        assert detector.preprocess.mean == mean


def test_layouts_and_inputs_are_the_detectors():
    from vitruvian.cli._detector import INPUTS, LAYOUTS
    from vitruvian.predict import detector_layouts, detectors

    assert tuple(detector_layouts.LAYOUTS) == LAYOUTS
    assert tuple(detectors.INPUTS) == INPUTS


def test_formats_are_the_writers():
    from vitruvian.formats import RESULT_WRITERS

    assert set(FORMATS) == set(RESULT_WRITERS)


def test_styles_are_those_of_drawings():
    from vitruvian.draw import skeleton

    assert STYLES == skeleton.STYLES


def test_one_photo(predict, photos, tmp_path):
    out = tmp_path / "deep" / "out"
    done = predict(photos / "1.png", "--out", out)
    assert done.exit_code == 0
    assert "whole image is one person" in done.output
    assert "left_shoulder" in done.output
    assert "1 person in 1 image" in done.output
    for name in ("1.png", "keypoints.json"):
        assert f"wrote {out / name}" in done.output
    assert {p.name for p in out.iterdir()} == {"1.png", "keypoints.json"}
    (entry,) = json.loads((out / "keypoints.json").read_text())
    assert entry["image_id"] == 1
    assert len(entry["keypoints"]) == 57
    np.testing.assert_allclose(entry["bbox"], [-0.5, -0.5, 90, 70])
    assert read_image(out / "1.png").shape == (70, 90, 3)


def test_threshold_decides_what_is_drawn(predict, photos, tmp_path):
    plain = read_image(photos / "1.png")
    for threshold, touched in ((0.0, True), (1.0, False)):
        predict(photos / "1.png", "--out", tmp_path / "out", "--min-score", threshold)
        assert np.any(read_image(tmp_path / "out" / "1.png") != plain) == touched


def test_folders_globs_and_all_formats(predict, photos, tmp_path):
    pytest.importorskip("pyarrow")
    formats = [word for name in FORMATS for word in ("--format", name)]
    for source in (photos, photos / "*.png"):
        out = tmp_path / f"out{len(str(source))}"
        done = predict(source, "--out", out, "--no-draw", "--flip", "--batch", 2, *formats)
        assert done.exit_code == 0
        assert "3 people in 3 images" in done.output
        assert "left_shoulder" not in done.output  # the table is for a single image
        names = {p.name for p in out.iterdir()}
        assert {"keypoints.json", "keypoints.csv", "keypoints.parquet"} < names
        assert sum(name.endswith("_keypoints.json") for name in names) == 3
        assert not [name for name in names if name.endswith(".png")]


def test_corrupt_images_do_not_stop_the_others(predict, photos, tmp_path):
    (photos / "2.png").write_bytes((photos / "2.png").read_bytes()[:100])
    (photos / "9.jpg").write_bytes(b"")
    done = predict(photos, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "2.png" in done.stderr
    assert "9.jpg" in done.stderr
    assert "2 of 4 images failed" in done.stderr
    assert "failed" not in done.stdout
    assert [e["image_id"] for e in json.loads((tmp_path / "out" / "keypoints.json").read_text())] == [1, 3]
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"1.png", "3.png", "keypoints.json"}


def test_nothing_but_corrupt_images(predict, photos, tmp_path):
    """Results of an earlier run must not pass for this one's."""
    pytest.importorskip("pyarrow")
    out, formats = tmp_path / "out", [word for name in FORMATS for word in ("--format", name)]
    assert predict(photos / "1.png", photos / "2.png", "--out", out, *formats).exit_code == 0
    (out / "notes.txt").touch()
    (photos / "1.png").write_bytes(b"no picture")
    done = predict(photos / "1.png", "--out", out, *formats)
    assert done.exit_code == 1
    assert "0 people in 0 images" in done.stdout
    left = {path.name for path in out.iterdir()}
    assert left == {
        "keypoints.json", "keypoints.csv", "keypoints.parquet", "2.png", "2_keypoints.json", "notes.txt",
    }  # fmt: skip
    assert json.loads((out / "keypoints.json").read_text()) == []
    assert len((out / "keypoints.csv").read_text().splitlines()) == 1


def test_a_run_that_leaves_nothing_leaves_no_folder(predict, photos, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "a.png").write_bytes(b"no picture")
    for out in (tmp_path / "made" / "deep", tmp_path / "mine" / "deep"):
        assert predict(photos, "--backend", "abacus", "--out", out).exit_code == 1
        assert predict(tmp_path / "a.png", "--format", "openpose", "--out", out).exit_code == 1
    assert not (tmp_path / "made").exists()
    assert list((tmp_path / "mine").iterdir()) == []
    assert predict(photos, "--backend", "abacus", "--out", tmp_path / "mine").exit_code == 1
    assert (tmp_path / "mine").is_dir()  # it was there before


def test_boxes(predict, photos, tmp_path):
    file = _detections(
        tmp_path / "d.json",
        ("1", (10, 5, 40, 60), 0.75),
        ("1", (30, 5, 30, 60), 0.5),
        (2, (0, 0, 64, 64), 0.25),
        (2, (500, 0, 64, 64), 0.25),  # outside
        (2, (5, 5, 0, 9), 0.25),  # no area
    )
    done = predict(photos, "--boxes", file, "--out", tmp_path / "out", "--no-select")
    assert done.exit_code == 0
    assert f"3 boxes from {file}" in done.output
    assert "1 image not mentioned there" in done.output
    assert "2 boxes without area inside the image left out" in done.output
    assert "whole image" not in done.output
    entries = json.loads((tmp_path / "out" / "keypoints.json").read_text())
    assert [e["image_id"] for e in entries] == ["1", "1", 2]  # as the file says them; nobody in 3: no phantom
    np.testing.assert_allclose(entries[1]["bbox"], [30, 5, 30, 60])
    ratio = [e["score"] / np.mean(e["keypoints"][2::3]) for e in entries]
    np.testing.assert_allclose(ratio, [0.75, 0.5, 0.25], rtol=0.02)


def test_boxes_that_are_not_used_are_counted(predict, photos, tmp_path):
    file = _detections(
        tmp_path / "d.json", ("1", (10, 5, 40, 60), 0.75), (2, (0, 0, 64, 64), 0.5), (8, (0, 0, 9, 9), 1)
    )
    entries = json.loads(file.read_text(encoding="utf-8"))
    entries[1]["category_id"] = 3
    file.write_text(json.dumps(entries), encoding="utf-8")
    done = predict(photos, "--boxes", file, "--out", tmp_path / "out")
    assert done.exit_code == 0
    assert "1 box from" in done.output
    assert "1 image not mentioned there" in done.output
    assert "1 image with boxes of other categories only" in done.output
    assert "1 further image in the file not among these photos" in done.output


def test_people_found_twice_are_dropped(predict, photos, tmp_path):
    """Two boxes that are the same give the same pose; the surest is kept, scored by its joints above 0.2."""
    box = (10, 5, 40, 60)
    file = _detections(tmp_path / "d.json", ("1", box, 0.5), ("1", box, 0.75))
    for options, boxes in (((), [0.75]), (("--no-select",), [0.5, 0.75])):
        done = predict(photos / "1.png", "--boxes", file, "--out", tmp_path / "out", *options)
        assert done.exit_code == 0
        entries = json.loads((tmp_path / "out" / "keypoints.json").read_text())
        assert len(entries) == len(boxes)
        assert ("1 box dropped: no person's joints" in done.output) == (not options)
        for entry, score in zip(entries, boxes, strict=True):
            joints = np.array(entry["keypoints"][2::3])
            limits = (-1.0,) if options else (0.19999, 0.20001)  # one just above 0.2 is written as 0.2
            means = [joints[joints > limit].mean() if (joints > limit).any() else 0.0 for limit in limits]
            assert min(abs(entry["score"] - score * mean) for mean in means) < 2e-4


def test_boxes_of_other_images(predict, photos, tmp_path):
    done = predict(
        photos, "--boxes", _detections(tmp_path / "d.json", ("cat", (0, 0, 9, 9), 1)), "--out", tmp_path / "o"
    )
    assert done.exit_code == 1
    assert "mentions none of the 3 images; its image ids are 'cat'" in done.stderr


def test_photos_are_never_overwritten(predict, photos):
    before = {p.name: p.read_bytes() for p in photos.iterdir()}
    assert predict(photos, "--out", photos).exit_code == 0
    assert {name: (photos / name).read_bytes() for name in before} == before
    assert {f"{i}_pose.png" for i in (1, 2, 3)} < {p.name for p in photos.iterdir()}


def test_photos_of_the_same_name(predict, photos, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    write_image(other / "1.png", np.zeros((30, 30, 3), np.uint8))
    out = tmp_path / "out"
    assert predict(photos / "1.png", other / "1.png", "--out", out).exit_code == 0
    pictures = sorted(p for p in out.iterdir() if p.suffix == ".png")
    assert len(pictures) == 2
    assert {read_image(p).shape for p in pictures} == {(70, 90, 3), (30, 30, 3)}


def test_misuse(predict, photos, tmp_path):
    done = predict(tmp_path / "nowhere.jpg")
    assert done.exit_code == 1
    assert "no such file" in done.stderr
    (tmp_path / "file").touch()
    done = predict(photos, "--out", tmp_path / "file")
    assert done.exit_code == 2
    assert "--out" in done.stderr
    for nowhere in (("",), (photos, "--out", "")):
        done = predict(*nowhere)
        assert done.exit_code != 0
        assert "for the current folder say '.'" in done.stderr


def test_missing_parquet_is_said_before_the_work(predict, photos, tmp_path, monkeypatch):
    from vitruvian import extras
    from vitruvian.errors import MissingExtraError

    def need(module, extra, purpose):
        raise MissingExtraError(module, extra, purpose)

    monkeypatch.setattr(extras, "need", need)
    done = predict(photos, "--format", "parquet", "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "pip install 'vitruvian[tables]'" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_photo_named_like_anothers_cut_out_does_not_replace_it(tmp_path):
    from vitruvian.cli._pictures import picture_names

    photos = [tmp_path / "a.jpg", tmp_path / "a_cut.png", tmp_path / "a_3d.png"]
    names = ["a", "a_cut", "a_3d"]
    assert picture_names(photos, names, tmp_path / "out") == ["a", "a_cut_pose", "a_3d_pose"]
    assert picture_names(photos[1:], names[1:], tmp_path) == ["a_cut_pose", "a_3d_pose"]
    assert picture_names(photos, names, tmp_path) == ["a_pose", "a_cut_pose", "a_3d_pose"]
    again = [*photos, tmp_path / "a_pose.png"]  # a photo's name cannot be moved onto another photo
    assert picture_names(again, [*names, "a_pose"], tmp_path)[0] == "a_pose2"


def test_nothing_of_the_users_is_replaced_or_removed(predict, photos, rng):
    """Neither photos whose names look like ours, nor pictures beside them that we did not write."""
    for name in ("1_pose.png", "2_cut.png", "3_3d.png"):
        write_image(photos / name, rng.integers(0, 256, (40, 30, 3), dtype=np.uint8))
    (photos / "1_pose2_3d.html").write_text("mine", encoding="utf-8")
    before = {p.name: p.read_bytes() for p in photos.iterdir()}
    for _ in range(2):  # the second time finds the first one's files
        assert predict(photos / "1.png", photos / "2.png", "--out", photos).exit_code == 0
        assert {name: (photos / name).read_bytes() for name in before} == before
        made = {p.name for p in photos.iterdir()} - set(before)
        assert made == {"1_pose3.png", "2_pose.png", "keypoints.json"}


def test_anothers_drawing_is_no_cut_out(predict, photos, tmp_path):
    """Though it has its name: ``a_cut.png`` of the photo ``a_cut.jpg``, made before."""
    out = tmp_path / "out"
    (photos / "2.png").rename(photos / "1_cut.png")
    assert predict(photos / "1_cut.png", "--out", out).exit_code == 0
    before = (out / "1_cut.png").read_bytes()
    assert predict(photos / "1.png", "--out", out).exit_code == 0
    (photos / "1.png").write_bytes(b"no picture")
    assert predict(photos / "1.png", "--out", out).exit_code == 1
    assert {p.name for p in out.iterdir()} == {"1_cut.png", "keypoints.json"}
    assert (out / "1_cut.png").read_bytes() == before


def test_what_a_photo_is_called_does_not_depend_on_failures(predict, photos, tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
    (tmp_path / "x" / "1.png").write_bytes((photos / "1.png").read_bytes())
    (tmp_path / "y" / "1.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    done = predict(tmp_path / "x", tmp_path / "y", "--out", out, "--format", "coco", "--format", "openpose")
    assert done.exit_code == 1
    assert {p.name for p in out.iterdir()} == {"x__1.png", "x__1_keypoints.json", "keypoints.json"}
    assert [row["image_id"] for row in json.loads((out / "keypoints.json").read_text())] == ["x__1"]


def test_image_ids_are_those_of_the_boxes(predict, photos, tmp_path):
    file = _detections(tmp_path / "d.json", ("1.png", (10, 5, 40, 60), 0.75), ("0002", (0, 0, 64, 64), 0.5))
    (photos / "2.png").rename(photos / "0002.png")
    assert predict(photos, "--boxes", file, "--out", tmp_path / "out").exit_code == 0
    entries = json.loads((tmp_path / "out" / "keypoints.json").read_text())
    assert {e["image_id"] for e in entries} == {"1.png", "0002"}


def test_photos_that_the_boxes_cannot_tell_apart_keep_their_own_names(predict, photos, tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.png").write_bytes((photos / "1.png").read_bytes())
    file = _detections(tmp_path / "d.json", ("1.png", (10, 5, 40, 60), 0.75))
    assert predict(tmp_path / "x", tmp_path / "y", "--boxes", file, "--out", tmp_path / "out").exit_code == 0
    entries = json.loads((tmp_path / "out" / "keypoints.json").read_text())
    assert [e["image_id"] for e in entries] == ["x__1", "y__1"]


def test_a_least_score_without_a_detector_is_refused(call, photos, tiny_model):
    done = call("predict", photos, "--model", tiny_model, "--detector", "none", "--detect-above", "0.9")
    assert done.exit_code == 2
    assert "--detect-above is for a detector" in done.output


def test_boxes_of_a_file_ask_no_detector(predict, call, photos, tiny_model, tmp_path, one_person_onnx):
    file = _detections(
        tmp_path / "d.json", ("1", (10, 5, 40, 60), 0.75), ("1", (30, 5, 30, 60), 0.5), (2, (0, 0, 9, 9), 0)
    )
    layout = ("--detector", one_person_onnx, "--detector-layout", "yolo_transposed")
    for options in (layout, layout[:2], ("--detect-once",)):
        done = call("predict", photos, "--model", tiny_model, "--boxes", file, *options, "--out", tmp_path / "no")
        assert done.exit_code == 2
        assert "--boxes has the boxes" in done.output
    done = predict(photos, "--boxes", file, "--detect-above", 0.6, "--out", tmp_path / "out", "--no-select")
    assert done.exit_code == 0
    assert "; 2 boxes with a score below 0.6 left out" in done.output
    assert "nobody was found in 2 images (a lower --detect-above may find more)" in done.output
    (entry,) = json.loads((tmp_path / "out" / "keypoints.json").read_text())
    np.testing.assert_allclose(entry["bbox"], [10, 5, 40, 60])


def test_looking_once(call, photos, tiny_model, tmp_path):
    done = call("predict", photos / "1.png", "--model", tiny_model, "--out", tmp_path / "out", "--detect-once")
    assert done.exit_code == 0, done.output
    assert "Boxes: found by the detector that comes along, score 0.25 or more, whole images alone." in done.output
    for options, said in (
        (("--detector", "none"), "--detector none asks nobody"),
        (("--detector", tiny_model, "--detector-layout", "yolo"), "others look once anyway"),
    ):
        done = call("predict", photos, "--model", tiny_model, *options, "--detect-once")
        assert done.exit_code == 2
        assert said in done.output


def test_a_model_of_masks_alone_is_refused(call, photos, tmp_path):
    done = call("predict", photos, "--model", "vitruvian-mask", "--out", tmp_path / "out", "--threads", 1)
    assert done.exit_code == 2
    assert "finds no joints" in done.output
    assert not (tmp_path / "out").exists()
