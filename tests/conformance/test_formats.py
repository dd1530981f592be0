"""What every annotation format must do: a round trip, the same options, and an error of its own for broken files."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vitruvian.formats
from vitruvian.errors import FormatError
from vitruvian.formats import FORMATS, RESULT_WRITERS, read, write
from vitruvian.formats.reading import IMAGE_MISSING, NO_JOINTS, OUTSIDE, ReadResult
from vitruvian.skeletons import SKELETONS
from vitruvian.types import Person, Record

pytest.importorskip("scipy")
pytest.importorskip("yaml")


def test_the_table_is_what_the_folder_holds():
    modules = [
        importlib.import_module(f"vitruvian.formats.{m.name}") for m in pkgutil.iter_modules(vitruvian.formats.__path__)
    ]
    names = [m.__name__.split(".")[-1] for m in modules if hasattr(m, "read") and hasattr(m, "write")]
    assert sorted(FORMATS) == sorted(names)
    for name, entry in FORMATS.items():
        module = importlib.import_module(f"vitruvian.formats.{name}")
        assert (entry.read, entry.write) == (module.read, module.write)
        assert entry.about
        assert entry.skeleton is None or entry.skeleton in SKELETONS


@pytest.mark.parametrize("name", FORMATS)
def test_readers_share_their_options(name):
    parameters = inspect.signature(FORMATS[name].read).parameters
    assert list(parameters)[:2] == ["path", "images"]
    assert parameters["images"].default is None
    assert parameters["keep_unlabelled"].default is False
    assert parameters["tolerance_px"].default == 1.0


def test_unknown_formats_list_the_known_ones():
    for function in (lambda: read("x", "p"), lambda: write("x", [], "p")):
        with pytest.raises(FormatError, match=", ".join(FORMATS)):
            function()


def make(name: str, folder: Path, rng: np.random.Generator, count: int = 4) -> list[Record]:
    """One person an image, which every format can hold, and the images themselves."""
    skeleton = SKELETONS[FORMATS[name].skeleton or "coco17"]
    records = []
    for i in range(count):
        size_wh = (int(rng.integers(40, 300)), int(rng.integers(40, 300)))
        path = folder / "images" / f"im{i + 1:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", size_wh).save(path)
        keypoints = rng.uniform(0, np.array(size_wh) - 1, (len(skeleton), 2))
        visibility = rng.choice([0, 2, 2, 2], len(skeleton))
        visibility[rng.permutation(len(skeleton))[:2]] = 2
        low, high = keypoints.min(axis=0), keypoints.max(axis=0)
        person = Person(keypoints, visibility, box_xyxy=np.concatenate([low, high]))
        records.append(Record(path, path.stem, size_wh, skeleton, (person,)))
    return records


def store(name: str, records: list[Record], folder: Path) -> Path:
    return write(name, records, folder / FORMATS[name].file_name)


def load(name: str, path: Path, folder: Path, **options) -> ReadResult:
    return read(name, path, images=folder / "images", **options)


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_written_is_read(name, tmp_path, rng):
    records = make(name, tmp_path, rng)
    path = store(name, records, tmp_path)
    assert path.exists()
    for given in (path, str(path)):
        result = load(name, given, tmp_path)
        assert (result.report.images, result.report.persons, result.report.skipped) == (4, 4, ())
        assert result.report.joints == sum(int(p.labelled.sum()) for r in records for p in r.persons)
        assert name in str(result.report)
        json.dumps(result.report.to_dict())
        for got, expected in zip(result.records, records, strict=True):
            assert (got.image_path, got.image_id) == (expected.image_path, expected.image_id)
            assert got.size_wh == expected.size_wh or name == "mpii"
            assert got.skeleton is expected.skeleton
            assert got.source
            (p,), (q,) = got.persons, expected.persons
            np.testing.assert_array_equal(p.visibility, q.visibility)
            np.testing.assert_allclose(p.keypoints_px, q.keypoints_px, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", FORMATS)
def test_missing_images_are_reported_and_skipped(name, tmp_path, rng):
    records = make(name, tmp_path, rng)
    path = store(name, records, tmp_path)
    records[2].image_path.unlink()
    result = load(name, path, tmp_path)
    assert [r.image_id for r in result.records] == [r.image_id for i, r in enumerate(records) if i != 2]
    assert result.report.counts() == {IMAGE_MISSING: {"image": 1}}
    assert "im00003" in str(result.report)


@pytest.mark.parametrize("name", FORMATS)
def test_joints_outside_and_people_without_any_are_reported(name, tmp_path, rng):
    records = make(name, tmp_path, rng)

    def change(i: int, keypoints_px: np.ndarray, visibility: np.ndarray) -> None:
        person = replace(records[i].persons[0], keypoints_px=keypoints_px, visibility=visibility)
        records[i] = replace(records[i], persons=(person,))

    (first,), (second,), (third,) = (records[i].persons for i in range(3))
    stray = int(rng.choice(np.flatnonzero(first.labelled)))
    points = first.keypoints_px.copy()
    points[stray] = [records[0].size_wh[0] + 5.0, -9.0]
    change(0, points, first.visibility)
    change(1, second.keypoints_px - 400, second.visibility)
    change(2, third.keypoints_px, np.zeros_like(third.visibility))
    result = load(name, store(name, records, tmp_path), tmp_path)
    assert result.report.counts() == {OUTSIDE: {"joints": 1, "person": 1}, NO_JOINTS: {"person": 1}}
    for skip, image in zip(result.report.skipped, ("im00001", "im00002", "im00003"), strict=True):
        assert image in skip.record
    assert [len(r.persons) for r in result.records] == [1, 0, 0, 1]
    expected = first.labelled & (np.arange(len(points)) != stray)
    np.testing.assert_array_equal(result.records[0].persons[0].labelled, expected)


@pytest.mark.parametrize("name", FORMATS)
def test_broken_files_give_a_format_error_and_nothing_else(name, tmp_path, rng):
    """Files cut off or scribbled over anywhere: either they are still readable, or the error is a `FormatError`."""
    records = make(name, tmp_path, rng)
    path = store(name, records, tmp_path)
    folder = path if path.is_dir() else path.parent
    files = [f for f in folder.rglob("*") if f.is_file() and "images" not in f.parts]
    refused: list[FormatError] = []
    for _ in range(60):
        file = files[rng.integers(len(files))]
        good = file.read_bytes()
        place = int(rng.integers(len(good)))
        if rng.random() < 0.4:
            bad = good[:place]
        else:
            scribble = bytes(rng.choice(list(b'09.-eE"[]{},: \nnulNaN\xff\x00'), int(rng.integers(1, 4))).tolist())
            bad = good[:place] + scribble + good[place + int(rng.integers(0, 4)) :]
        file.write_bytes(bad)
        try:
            load(name, path, tmp_path)
        except FormatError as error:
            refused.append(error)
        finally:
            file.write_bytes(good)
    assert len(refused) > 5
    assert all(str(error).startswith(str(error.path)) and Path(str(error.path)).exists() for error in refused)
    assert load(name, path, tmp_path).report.persons == 4


def leaves(data, path=()):
    """Paths to all values of nested lists and dictionaries."""
    yield path
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield from leaves(value, (*path, key))


@pytest.mark.parametrize("name", ["coco", "mpii", "openpose"])
def test_any_value_replaced_or_removed_gives_a_format_error_or_is_allowed(name, tmp_path, rng):
    records = make(name, tmp_path, rng, count=2)
    path = store(name, records, tmp_path)
    file = path if path.is_file() else sorted(path.glob("*_keypoints.json"))[0]
    text = file.read_text()
    places = [place for place in leaves(json.loads(text)) if place]
    strange = [None, "x", "", -1, 3.7, 1e300, True, [], {}, [1], {"a": 1}, [[1, 2]], float("nan")]
    refused: list[FormatError] = []
    for _ in range(150):
        data = json.loads(text)
        *way, key = places[rng.integers(len(places))]
        inner = data
        for step in way:
            inner = inner[step]
        if rng.random() < 0.3:
            del inner[key]
        else:
            inner[key] = strange[rng.integers(len(strange))]
        file.write_text(json.dumps(data))
        try:
            load(name, path, tmp_path)
        except FormatError as error:
            refused.append(error)
    assert len(refused) > 30
    assert {error.path for error in refused} == {file}


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_does_not_exist_is_named(name, tmp_path):
    path = tmp_path / "none" / (FORMATS[name].file_name if FORMATS[name].file_name != "." else "x.json")
    with pytest.raises(FormatError, match="no such file") as error:
        read(name, path)
    assert str(path) in str(error.value)


def test_every_kind_of_result_has_a_writer_for_predict():
    assert set(RESULT_WRITERS) == {"coco", "openpose", "csv", "parquet"}


def test_optional_libraries_are_imported_only_when_they_are_needed():
    optional = {"scipy", "h5py", "yaml", "pyarrow", "pandas", "torch"}
    code = f"import sys, vitruvian.formats; print({optional} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
