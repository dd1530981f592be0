"""What the readers find in the real data, where it exists."""

from __future__ import annotations


def test_data_on_coco(call, shared_data, tmp_path):
    folder = shared_data / "photos" / "coco" / "train"
    sheet = tmp_path / "sheet.jpg"
    arguments = ["data", "coco", folder / "person_keypoints_train2017.json", "--sheet", sheet, "--count", "4"]
    done = call(*arguments)
    assert done.exit_code == 0, done.output
    assert "78 images" in done.output
    assert "right_ankle" in done.output
    assert sheet.stat().st_size > 10_000


def test_data_on_native_lsp(call, shared_data):
    done = call("data", "lsp", shared_data / "native" / "lspet" / "joints.mat")
    assert done.exit_code == 0, done.output
    assert "12 images, 12 persons" in done.output
    assert "head_top" in done.output
