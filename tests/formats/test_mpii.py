"""MPII's four layouts: hand-made files of each published structure, round trips, and malformed files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitruvian.errors import FormatError
from vitruvian.formats import mpii
from vitruvian.formats.matlab import cell_row, struct_array
from vitruvian.formats.reading import IMAGE_MISSING, NO_JOINTS, OUTSIDE, ZERO_AREA
from vitruvian.skeletons import COCO17, MPII16
from vitruvian.types import Person, Record

io = pytest.importorskip("scipy.io")
h5py = pytest.importorskip("h5py")

JOINTS = np.arange(1, 33, dtype=float).reshape(16, 2)  # in MATLAB's pixels


def mat_person(visible=lambda k: 1, **fields) -> dict:
    points = [{"x": x, "y": y, "id": float(k), "is_visible": visible(k)} for k, (x, y) in enumerate(JOINTS)]
    points = struct_array(points, ("x", "y", "id", "is_visible"))
    person = {
        "x1": 5.0, "y1": 6.0, "x2": 25.0, "y2": 36.0, "scale": 0.5,
        "annopoints": struct_array([{"point": points}], ("point",)),
        "objpos": struct_array([{"x": 21.0, "y": 31.0}], ("x", "y")),
    }  # fmt: skip
    return {k: v for k, v in (person | fields).items() if v is not None}


def save_mat(path: Path, people: list[list[dict]], **changes) -> Path:
    names = ("x1", "y1", "x2", "y2", "scale", "annopoints", "objpos")
    annolist = [
        {
            "image": struct_array([{"name": f"{i:09d}.jpg"}], ("name",)),
            "annorect": struct_array(rows, names) if rows else None,
            "frame_sec": 12.0,
            "vididx": 2.0,
        }
        for i, rows in enumerate(people, 1)
    ]
    acts = [{"cat_name": "dancing", "act_name": "salsa", "act_id": 7.0} for _ in people]
    release = {
        "annolist": struct_array(annolist, ("image", "annorect", "frame_sec", "vididx")),
        "img_train": np.array([[i % 2 == 0 for i in range(len(people))]], dtype=np.uint8),
        "version": "12",
        "single_person": cell_row([np.array([[1.0]]) for _ in people]),
        "act": struct_array(acts, ("cat_name", "act_name", "act_id")),
        "video_list": cell_row(["one", "two"]),
    }
    io.savemat(path, {"RELEASE": {k: v for k, v in (release | changes).items() if v is not None}}, oned_as="row")
    return path


# --- the official file ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3])
def test_the_official_structure(tmp_path, count):
    def visible(k: int):
        return {0: 0.0, 1: "0", 2: "1", 8: None, 9: None}.get(k, 1.0)

    path = save_mat(tmp_path / "m.mat", [[mat_person(visible)] * (i + 1) for i in range(count)])
    result = mpii.read(path)
    assert [len(r.persons) for r in result.records] == list(range(1, count + 1))
    for i, record in enumerate(result.records):
        assert (record.image_id, str(record.image_path)) == (f"{i + 1:09d}", f"{i + 1:09d}.jpg")
        assert record.extra == {
            "split": "test" if i % 2 else "train",
            "activity": {"cat_name": "dancing", "act_name": "salsa", "act_id": 7.0},
            "video": "two",
            "frame_sec": 12.0,
            "single_person": [0],
        }
        for p, person in enumerate(record.persons):
            np.testing.assert_array_equal(person.keypoints_px, JOINTS - 1)
            assert person.visibility.tolist() == [1, 1] + [2] * 14
            np.testing.assert_array_equal(person.head_box_xyxy, [4, 5, 24, 35])
            assert (person.id, person.extra) == (p, {"scale": 0.5, "center": [20.0, 30.0]})
            # 200 x 0.5 about (20, 30 + 15 x 0.5)
            np.testing.assert_array_equal(person.box_xyxy, [-30, -12.5, 70, 87.5])


def test_people_without_joints_are_the_rule_in_the_test_set(tmp_path):
    head = dict.fromkeys(("x1", "y1", "x2", "y2"))
    path = save_mat(tmp_path / "m.mat", [[mat_person(), mat_person(annopoints=None, **head)], []])
    result = mpii.read(path)
    assert [len(r.persons) for r in result.records] == [1, 0]
    assert result.report.counts() == {NO_JOINTS: {"person": 1}}
    assert result.report.skipped[0].record == "image 000000001.jpg, person 1"
    kept = mpii.read(path, keep_unlabelled=True).records[0].persons[1]
    assert kept.extra["scale"] == 0.5
    assert kept.head_box_xyxy is None


def _point(**change) -> np.ndarray:
    point = {"x": 3.0, "y": 4.0, "id": 0.0, "is_visible": 1.0} | change
    rows = struct_array([{k: v for k, v in point.items() if v is not None}], tuple(point))
    return struct_array([{"point": rows}], ("point",))


@pytest.mark.parametrize(
    ("person", "changes", "record", "field", "says"),
    [
        ({"annopoints": _point(x=None)}, {}, "annolist(1), annorect(1), point(1)", "x", "missing"),
        ({"annopoints": _point(y="up")}, {}, "annolist(1), annorect(1), point(1)", "y", "got str 'up'"),
        ({"annopoints": _point(id=16.0)}, {}, "annolist(1), annorect(1), point(1)", "id", "0 to 15, got 16"),
        ({"annopoints": _point(is_visible=3.0)}, {}, "annolist(1), annorect(1), point(1)", "is_visible", "0 or 1"),
        ({"annopoints": 5.0}, {}, "annolist(1), annorect(1)", "annopoints", "a struct"),
        ({"x2": None}, {}, "annolist(1), annorect(1)", "x2", "missing"),
        ({"scale": "big"}, {}, "annolist(1), annorect(1)", "scale", "got str 'big'"),
        ({"objpos": struct_array([{"x": 1.0}], ("x",))}, {}, "annolist(1), annorect(1)", "y", "missing"),
        ({}, {"img_train": np.ones((1, 2))}, None, "img_train", "has 2 entries, but there are 3 images"),
        ({}, {"annolist": None}, None, "annolist", "missing"),
        ({}, {"act": struct_array([{"act_id": 1.0}] * 2, ("act_id",))}, None, "act", "has 2 entries"),
        ({}, {"video_list": cell_row(["one"])}, "annolist(1)", "vididx", "refers to video 2"),
    ],
)
def test_a_wrong_official_structure_names_file_record_and_field(tmp_path, person, changes, record, field, says):
    path = save_mat(tmp_path / "m.mat", [[mat_person(**person)], [], []], **changes)
    with pytest.raises(FormatError, match=says) as error:
        mpii.read(path)
    assert (error.value.path, error.value.record, error.value.field) == (path, record, field)


def test_other_matlab_files_say_what_is_missing(tmp_path):
    io.savemat(tmp_path / "m.mat", {"joints": np.zeros(3)})
    with pytest.raises(FormatError, match="no struct 'RELEASE', only joints"):
        mpii.read(tmp_path / "m.mat")


# --- JSON ----------------------------------------------------------------------------------------------------------


def entry_vis(**change) -> dict:
    entry = {"image": "a.jpg", "joints": JOINTS.tolist(), "joints_vis": [1] * 16, "center": [21, 31], "scale": 0.5}
    return {k: v for k, v in (entry | change).items() if v is not None}


def entry_self(**change) -> dict:
    joints = np.concatenate([JOINTS, np.ones((16, 1))], axis=1)
    joints[0, 2], joints[1], joints[2, 2] = 0, 0, 2
    entry = {
        "dataset": "MPI", "isValidation": 1.0, "img_paths": "a.jpg", "img_width": 60.0, "img_height": 50.0,
        "objpos": [21, 31], "joint_self": joints.tolist(), "scale_provided": 0.5,
        "joint_others": [], "annolist_index": 5.0, "people_index": 2.0, "numOtherPeople": 0.0,
    }  # fmt: skip
    return {k: v for k, v in (entry | change).items() if v is not None}


def save_json(tmp_path: Path, entries) -> Path:
    path = tmp_path / "m.json"
    path.write_text(json.dumps(entries))
    return path


def test_joints_vis_says_labelled_not_visible(tmp_path):
    joints = JOINTS.copy()
    joints[3] = -1
    entries = [
        entry_vis(),
        entry_vis(image="b.jpg"),
        entry_vis(joints=joints.tolist(), joints_vis=[1, 1, 1, 0] + [1] * 12),
    ]
    first, second = mpii.read(save_json(tmp_path, entries)).records
    assert (first.image_id, second.image_id) == ("a", "b")
    assert [p.visibility.tolist() for p in first.persons] == [[2] * 16, [2, 2, 2, 0] + [2] * 12]
    np.testing.assert_array_equal(first.persons[0].keypoints_px, JOINTS - 1)
    assert first.persons[0].extra == {"scale": 0.5, "center": [20.0, 30.0]}
    np.testing.assert_array_equal(first.persons[0].box_xyxy, [-30, -12.5, 70, 87.5])


def test_joint_self_tells_hidden_visible_and_outside(tmp_path):
    (record,) = mpii.read(save_json(tmp_path, [entry_self(), entry_self(people_index=1)])).records
    assert record.size_wh == (60, 50)
    assert record.extra == {"split": "valid"}
    assert [p.id for p in record.persons] == [1, 0]
    for person in record.persons:
        assert person.visibility.tolist() == [1, 0, 0] + [2] * 13
        np.testing.assert_array_equal(person.keypoints_px[3:], JOINTS[3:] - 1)
        assert person.extra == {"scale": 0.5, "center": [20.0, 30.0]}


@pytest.mark.parametrize(
    ("entry", "field", "says"),
    [
        (entry_vis(image=None), "image", "and so is 'img_paths'"),
        (entry_vis(joints_vis=None), "joints_vis", "missing"),
        (entry_vis(joints_vis=[1] * 15), "joints_vis", "16 finite numbers, got 15"),
        (entry_vis(joints_vis=[1] * 15 + [2]), "joints_vis", "0 or 1, got 2"),
        (entry_vis(joints=[[1, 2]] * 15), "joints", "16x2 finite numbers, got 15x2"),
        (entry_vis(joints=[[1, 2]] * 15 + [[1, "x"]]), "joints", "got str 'x'"),
        (entry_vis(scale="x"), "scale", "got str"),
        (entry_vis(center=[1]), "center", "2 finite numbers, got 1"),
        (entry_self(joint_self=None), "joint_self", "missing"),
        (entry_self(joint_self=[[1, 2, 5]] * 16), "joint_self", "0, 1 or 2, got 5"),
        (entry_self(people_index=1.5), "people_index", "whole number"),
    ],
)
def test_malformed_lists_name_the_entry(tmp_path, entry, field, says):
    path = save_json(tmp_path, [entry_vis(), entry])
    with pytest.raises(FormatError, match=says) as error:
        mpii.read(path)
    assert (error.value.path, error.value.record, error.value.field) == (path, "entry 1", field)


def test_json_of_another_kind(tmp_path):
    with pytest.raises(FormatError, match="expected a list of people"):
        mpii.read(save_json(tmp_path, {"images": []}))
    with pytest.raises(FormatError, match="entry 0: expected named fields"):
        mpii.read(save_json(tmp_path, [3]))


# --- h5 ------------------------------------------------------------------------------------------------------------


def columns(**change) -> dict:
    part = np.stack([JOINTS, JOINTS, -np.ones((16, 2))])
    part[1, 4] = 0
    visible = np.stack([np.ones(16), np.ones(16), -np.ones(16)])
    visible[0, 2] = visible[1, 4] = 0
    found = {
        "imgname": np.array([b"a.jpg", b"a.jpg", b"b.jpg"]),
        "part": part, "visible": visible, "index": np.array([4.0, 4, 6]), "person": np.array([0.0, 1, 0]),
        "center": np.tile([21, 31 + 15 * 0.5], (3, 1)), "scale": np.full(3, 0.5 * 1.25),
        "normalize": np.full(3, 9.5), "torsoangle": np.zeros(3),
    }  # fmt: skip
    return {k: v for k, v in (found | change).items() if v is not None}


def save_h5(path: Path, data: dict) -> Path:
    with h5py.File(path, "w") as file:
        for key, value in data.items():
            file[key] = value
    return path


def test_the_hourglass_arrays_give_back_the_published_scale(tmp_path):
    result = mpii.read(save_h5(tmp_path / "m.h5", columns()))
    first, second = result.records
    assert (first.image_id, second.image_id, second.persons) == ("a", "b", ())
    assert [p.visibility.tolist() for p in first.persons] == [[2, 2, 1] + [2] * 13, [2] * 4 + [0] + [2] * 11]
    np.testing.assert_array_equal(first.persons[0].keypoints_px, JOINTS - 1)
    assert [p.id for p in first.persons] == [0, 1]
    assert first.persons[0].extra == {"scale": 0.5, "center": [20.0, 30.0], "normalize": 9.5, "torsoangle": 0.0}
    np.testing.assert_array_equal(first.persons[0].box_xyxy, [-30, -12.5, 70, 87.5])
    assert result.report.counts() == {NO_JOINTS: {"person": 1}}
    assert result.report.skipped[0].record == "image b.jpg, row 2"


def test_the_later_file_has_plain_scales_and_names_as_codes(tmp_path):
    codes = np.zeros((3, 16))
    codes[:, :5] = [list(b"a.jpg"), list(b"a.jpg"), list(b"b.jpg")]
    plain = {"center": np.tile([21.0, 31], (3, 1)), "scale": np.full(3, 0.5), "istrain": np.array([1, 1, 0])}
    first, second = mpii.read(save_h5(tmp_path / "m.h5", columns(imgname=codes, **plain))).records
    assert (first.image_id, first.extra, second.extra) == ("a", {"split": "train"}, {"split": "test"})
    assert first.persons[0].extra["scale"] == 0.5
    assert first.persons[0].extra["center"] == [20.0, 30.0]


@pytest.mark.parametrize(
    ("change", "record", "field", "says"),
    [
        ({"part": None}, None, "part", "missing; the arrays here are: center"),
        ({"part": np.ones((3, 15, 2))}, None, "part", r"\(3, 16, 2\), got float64 \(3, 15, 2\)"),
        ({"scale": np.ones(4)}, None, "scale", "got float64"),
        ({"center": np.full((3, 2), np.nan)}, "row 0", "center", "finite"),
        ({"visible": np.full((3, 16), 3.0)}, "row 0", "visible", "0 or 1"),
        ({"imgname": np.array([b"a", b"", b"b"])}, "row 1", "imgname", "empty"),
        ({"imgname": np.full((3, 4), 900)}, "row 0", "imgname", "not text"),
    ],
)
def test_malformed_arrays_name_file_row_and_field(tmp_path, change, record, field, says):
    path = save_h5(tmp_path / "m.h5", columns(**change))
    with pytest.raises(FormatError, match=says) as error:
        mpii.read(path)
    assert (error.value.path, error.value.record, error.value.field) == (path, record, field)


def test_h5_files_that_are_none(tmp_path):
    path = tmp_path / "m.h5"
    with pytest.raises(FormatError, match="no such file"):
        mpii.read(path)
    path.write_bytes(save_h5(tmp_path / "n.h5", columns()).read_bytes()[:1000])
    with pytest.raises(FormatError, match="HDF5"):
        mpii.read(path)


# --- all layouts ---------------------------------------------------------------------------------------------------

LAYOUTS = {
    "mat": ("m.mat", {}),
    "vis": ("m.json", {}),
    "self": ("m.json", {"layout": "joint_self"}),
    "h5": ("m.h5", {}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_round_trip(tmp_path, rng, make_records, assert_same, layout):
    name, options = LAYOUTS[layout]
    # The h5 has whole pixels, and h5 and JSON lists have an image only through its people.
    records = make_records(MPII16, people=[1, 2, 3], codes=(0, 2) if layout == "vis" else (0, 1, 2))
    whole = [
        tuple(
            replace(
                person,
                keypoints_px=np.round(person.keypoints_px) + (layout != "h5") * 0.25,
                head_box_xyxy=rng.uniform(0, 50, 4),
                id=i,
                extra={"scale": float(rng.uniform(0.1, 3)), "center": rng.uniform(0, 90, 2).tolist()},
            )
            for i, person in enumerate(record.persons)
        )
        for record in records
    ]
    records = [replace(r, persons=p, extra={"split": "valid"}) for r, p in zip(records, whole, strict=True)]
    back = mpii.read(mpii.write(records, tmp_path / name, **options), tolerance_px=2).records
    assert_same(back, records, 1e-9)
    for a, b in zip(back, records, strict=True):
        for p, q in zip(a.persons, b.persons, strict=True):
            assert p.extra["scale"] == pytest.approx(q.extra["scale"], abs=1e-9)
            assert p.extra["center"] == pytest.approx(q.extra["center"], abs=1e-9)
            assert p.id == (None if layout == "vis" else q.id)
            if layout == "mat":
                np.testing.assert_allclose(p.head_box_xyxy, q.head_box_xyxy)
            if layout == "h5":
                x0, y0, x1, y1 = q.head_box_xyxy
                assert p.extra["normalize"] == pytest.approx(0.6 * np.hypot(x1 - x0, y1 - y0))
        if layout == "self":
            assert (a.size_wh, a.extra) == (b.size_wh, {"split": "valid"})


def test_what_the_official_file_says_of_images_survives(tmp_path):
    people = [[mat_person()], [], [mat_person(annopoints=None), mat_person()]]
    first = mpii.read(save_mat(tmp_path / "a.mat", people), keep_unlabelled=True).records
    second = mpii.read(mpii.write(first, tmp_path / "b.mat"), keep_unlabelled=True).records
    assert [r.extra for r in second] == [r.extra for r in first]
    assert [[p.extra for p in r.persons] for r in second] == [[p.extra for p in r.persons] for r in first]
    assert [len(r.persons) for r in second] == [1, 0, 2]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_box_alone_becomes_the_square_around_it(tmp_path, layout):
    name, options = LAYOUTS[layout]
    box = np.array([10.0, 20, 50, 100])
    person = Person(np.full((16, 2), 30.0), np.full(16, 2), box_xyxy=box)
    record = Record(Path("a.jpg"), "a", (60, 120), MPII16, (person,))
    (back,) = mpii.read(mpii.write([record], tmp_path / name, **options)).records
    np.testing.assert_allclose(back.persons[0].box_xyxy, [-10, 20, 70, 100])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_reason_to_skip(tmp_path, layout):
    name, options = LAYOUTS[layout]
    scale = {"scale": 0.5, "center": [20.0, 30.0]}
    good = Person(np.full((16, 2), 9.0), np.full(16, 2), extra=scale)
    far = np.full((16, 2), 9.0)
    far[:3] = 999
    people = {
        "a": (good, Person(np.zeros((16, 2)), np.zeros(16), extra=scale)),
        "b": (Person(far, np.full(16, 2), extra=scale), Person(far + 500, np.full(16, 2), extra=scale)),
        "c": (good,),
    }
    records = [Record(Path(f"{k}.jpg"), k, (40, 30), MPII16, p) for k, p in people.items()]
    path = mpii.write(records, tmp_path / name, **options)
    (tmp_path / "images").mkdir()
    for k in "ab":
        Image.new("L", (40, 30)).save(tmp_path / "images" / f"{k}.jpg")
    result = mpii.read(path)
    assert [len(r.persons) for r in result.records] == [1, 1]
    assert result.records[1].persons[0].labelled.tolist() == [False] * 3 + [True] * 13
    assert result.report.counts() == {
        NO_JOINTS: {"person": 1},
        OUTSIDE: {"joints": 3, "person": 1},
        IMAGE_MISSING: {"image": 1},
    }


def test_a_scale_of_zero_is_no_scale(tmp_path):
    (record,) = mpii.read(save_json(tmp_path, [entry_vis(scale=0)])).records
    assert record.persons[0].box_xyxy is None
    assert ZERO_AREA not in mpii.read(save_json(tmp_path, [entry_vis(scale=0)])).report.counts()


def test_writing_refuses_what_the_layouts_cannot_hold(tmp_path, make_records):
    with pytest.raises(FormatError, match="remap"):
        mpii.write(make_records(COCO17), tmp_path / "m.json")
    with pytest.raises(FormatError, match="unknown layout"):
        mpii.write(make_records(MPII16), tmp_path / "m.json", layout="x")
    with pytest.raises(FormatError, match="neither scale and center nor a box"):
        mpii.write(make_records(MPII16, people=[1], with_box=False), tmp_path / "m.json")
    with pytest.raises(FormatError, match="no image path"):
        mpii.write([Record(None, 1, None, MPII16)], tmp_path / "m.mat")
    for function in (mpii.read, lambda path: mpii.write([], path)):
        with pytest.raises(FormatError, match=r"\.mat, \.json"):
            function(tmp_path / "m.xml")
    assert list(tmp_path.iterdir()) == []
