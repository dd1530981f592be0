"""LSP and LSPET ``joints.mat``: both layouts, what each can hold, and the real file where it exists."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from vitruvian.errors import FormatError
from vitruvian.formats import lsp
from vitruvian.formats.reading import IMAGE_MISSING, NO_JOINTS, OUTSIDE
from vitruvian.skeletons import COCO17, LSP14

io = pytest.importorskip("scipy.io")


def save(path, joints) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    io.savemat(path, {"joints": joints})


def test_lsp_is_3_by_14_and_marks_hidden_joints(tmp_path, rng):
    joints = rng.uniform(1, 90, (3, 14, 5))
    joints[2] = rng.integers(0, 2, (14, 5))
    save(tmp_path / "joints.mat", joints)
    records = lsp.read(tmp_path).records
    assert [r.image_id for r in records] == [f"im{i:04d}" for i in range(1, 6)]
    for i, record in enumerate(records):
        np.testing.assert_allclose(record.persons[0].keypoints_px, joints[:2, :, i].T - 1)
        np.testing.assert_array_equal(record.persons[0].visibility, np.where(joints[2, :, i] == 1, 1, 2))


def test_lspet_is_14_by_3_and_marks_labelled_joints(tmp_path, rng):
    joints = rng.uniform(1, 90, (14, 3, 5))
    joints[:, 2] = rng.integers(0, 2, (14, 5))
    joints[0, 2] = 1
    save(tmp_path / "joints.mat", joints)
    records = lsp.read(tmp_path / "joints.mat").records
    assert [r.image_id for r in records] == [f"im{i:05d}" for i in range(1, 6)]
    for i, record in enumerate(records):
        labelled = joints[:, 2, i] == 1
        np.testing.assert_allclose(record.persons[0].keypoints_px[labelled], joints[labelled, :2, i] - 1)
        np.testing.assert_array_equal(record.persons[0].visibility, np.where(labelled, 2, 0))


def test_the_first_pixel_of_matlab_is_at_zero(tmp_path):
    joints = np.ones((14, 3, 1))
    save(tmp_path / "joints.mat", joints)
    np.testing.assert_array_equal(lsp.read(tmp_path).records[0].persons[0].keypoints_px, np.zeros((14, 2)))


@pytest.mark.parametrize(("variant", "codes"), [("lspet", (0, 2)), ("lsp", (1, 2))])
@pytest.mark.parametrize("count", [1, 3, 14])
def test_round_trip(tmp_path, make_records, assert_same, variant, codes, count):
    records = make_records(LSP14, count=count, people=[1], codes=codes, with_box=False)
    path = lsp.write(records, tmp_path / "joints.mat", variant=variant)
    result = lsp.read(path)
    assert {r.source for r in result.records} == {variant}
    assert_same([*result.records], [*records] if variant == "lspet" else [_renamed(r, 4) for r in records], 1e-9)


def _renamed(record, digits):
    from dataclasses import replace

    return replace(record, image_id=f"im{int(record.image_id[2:]):0{digits}d}")


def test_every_reason_to_skip(tmp_path):
    joints = np.full((14, 3, 5), 10.0)
    joints[:, 2] = 1
    joints[:, 2, 1] = 0
    joints[3, :2, 2] = 500
    joints[:, :2, 3] = -500
    save(tmp_path / "joints.mat", joints)
    (tmp_path / "images").mkdir()
    for i in (1, 2, 3, 4):
        Image.new("L", (50, 40)).save(tmp_path / "images" / f"im{i:05d}.jpg")
    result = lsp.read(tmp_path)
    assert [len(r.persons) for r in result.records] == [1, 0, 1, 0]
    assert {r.size_wh for r in result.records} == {(50, 40)}
    assert result.report.counts() == {
        NO_JOINTS: {"person": 1},
        OUTSIDE: {"joints": 1, "person": 1},
        IMAGE_MISSING: {"image": 1},
    }
    assert [s.record for s in result.report.skipped] == [f"im{i:05d}.jpg" for i in (2, 3, 4, 5)]


@pytest.mark.parametrize(
    ("variables", "field", "says"),
    [
        ({"other": np.zeros(3)}, "joints", "no variable 'joints', only other"),
        ({"joints": np.zeros((13, 3, 5))}, "joints", r"14x3xN \(LSPET\), got"),
        ({"joints": np.array(["a", "b"])}, "joints", "expected numbers"),
        ({"joints": np.full((14, 3, 5), 2.0)}, "joints", "0 or 1, got 2"),
        (
            {"joints": np.ones((3, 14, 5)) * [[[np.nan]], [[1]], [[1]]]},
            "joints",
            "'right_ankle' has no finite position",
        ),
    ],
)
def test_malformed_files_name_file_record_and_field(tmp_path, variables, field, says):
    path = tmp_path / "joints.mat"
    io.savemat(path, variables)
    with pytest.raises(FormatError, match=says) as error:
        lsp.read(path)
    assert (error.value.path, error.value.field) == (path, field)


def test_files_that_are_no_matlab_files(tmp_path):
    path = tmp_path / "joints.mat"
    with pytest.raises(FormatError, match="no such file"):
        lsp.read(path)
    path.write_bytes(b"MATLAB 5.0 MAT-file")
    with pytest.raises(FormatError, match="MATLAB file"):
        lsp.read(path)
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(400))
    with pytest.raises(FormatError, match="-v7 in MATLAB"):
        lsp.read(path)
    save(path, np.ones((14, 3, 2)))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(FormatError, match="MATLAB file"):
        lsp.read(path)


def test_a_folder_name_against_the_shape_asks_for_the_variant(tmp_path):
    path = tmp_path / "lspet_dataset" / "joints.mat"
    save(path, np.ones((3, 14, 2)))
    with pytest.raises(FormatError, match="variant="):
        lsp.read(path)
    assert lsp.read(path, variant="lspet").records[0].persons[0].visibility.tolist() == [2] * 14
    assert lsp.read(path, variant="lsp").records[0].persons[0].visibility.tolist() == [1] * 14
    with pytest.raises(FormatError, match="'lsp' or 'lspet'"):
        lsp.read(path, variant="x")


def test_writing_refuses_what_the_format_cannot_hold(tmp_path, make_records):
    path = tmp_path / "joints.mat"
    with pytest.raises(FormatError, match="exactly one person"):
        lsp.write(make_records(LSP14, people=[2]), path)
    with pytest.raises(FormatError, match="remap"):
        lsp.write(make_records(COCO17, people=[1]), path)
    with pytest.raises(FormatError, match="variant='lspet'"):
        lsp.write(make_records(LSP14, people=[1], codes=(0,)), path, variant="lsp")
    with pytest.raises(FormatError, match="'lsp' or 'lspet'"):
        lsp.write(make_records(LSP14, people=[1]), path, variant="x")
    assert not path.exists()


def test_the_whole_of_lsp_is_split_in_two(tmp_path):
    save(tmp_path / "joints.mat", np.ones((3, 14, 2000)))
    splits = [r.extra["split"] for r in lsp.read(tmp_path).records]
    assert splits == ["train"] * 1000 + ["test"] * 1000


def test_the_real_native_file_agrees_with_the_cropped_photos_labels(shared_data):
    """The 12 native photos are among the pack's cropped ones: labels must agree up to the crop's shift and scale."""
    result = lsp.read(shared_data / "native/lspet")
    assert (result.report.images, result.report.persons, result.report.skipped) == (12, 12, ())
    packed = json.loads((shared_data / "photos/lspet/train/person_keypoints_train.json").read_text())
    rows = np.array([row["keypoints"] for row in packed["annotations"]]).reshape(-1, 14, 3)
    for record in result.records:
        (person,) = record.persons
        same = (rows[:, :, 2] > 0) == person.labelled
        candidates = rows[same.all(axis=1)][:, person.labelled, :2]
        points = person.keypoints_px[person.labelled]
        centred, theirs = points - points.mean(axis=0), candidates - candidates.mean(axis=1, keepdims=True)
        scales = (centred * theirs).sum(axis=(1, 2)) / (centred**2).sum()
        errors = np.abs(theirs - scales[:, None, None] * centred).max(axis=(1, 2))
        best = int(np.argmin(errors))
        assert errors[best] < 0.011  # the pack rounds to a hundredth of a pixel
        assert 0.8 < scales[best] < 1.001
        assert (points >= -1).all()
        assert (points <= record.size_wh).all()
