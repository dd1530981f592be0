"""COCO in small, from a server of our own: the layout, going on after interruptions, adopting, counting."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

import vitruvian.data.download
from vitruvian.data import prepare_coco
from vitruvian.data.prepare_coco import (
    ANNOTATIONS,
    ARCHIVES,
    Archive,
    CocoSplit,
    bytes_needed,
    count,
    find,
    plan,
    prepare,
    recipe_block,
)
from vitruvian.errors import DownloadError, FormatError
from vitruvian.skeletons import COCO17

IMAGES = {"train": 4, "val": 2}


@pytest.fixture(autouse=True)
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(vitruvian.data.download, "time", SimpleNamespace(sleep=slept.append))
    return slept


def annotations(images: int) -> dict:
    """Image i has i people: the first good, the second with four joints, the third small; the last image a crowd."""
    joints = {"good": 17, "poor": 4, "small": 17, "crowd": 0}
    rows = []
    for image in range(images):
        kinds = ["good", "poor", "small"][:image] + (["crowd"] if image == images - 1 else [])
        for kind in kinds:
            box = [10, 10, 30, 30] if kind == "small" else [10, 10, 100, 200]
            rows.append(
                {
                    "id": len(rows) + 1,
                    "image_id": image,
                    "category_id": 1,
                    "iscrowd": int(kind == "crowd"),
                    "bbox": box,
                    "num_keypoints": joints[kind],
                    "keypoints": [20, 20, 2] * joints[kind] + [0, 0, 0] * (17 - joints[kind]),
                }
            )
    return {
        "images": [{"id": i, "file_name": f"{i:012d}.jpg", "width": 640, "height": 480} for i in range(images)],
        "annotations": rows,
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO17.joints), "skeleton": []}],
    }


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return buffer.getvalue()


@pytest.fixture
def members(rng) -> dict[str, bytes]:
    """Everything that is to be there in the end."""
    files = {
        f"annotations/person_keypoints_{split}2017.json": json.dumps(annotations(images)).encode()
        for split, images in IMAGES.items()
    }
    for split, images in IMAGES.items():
        files |= {f"{split}2017/{i:012d}.jpg": rng.bytes(int(rng.integers(500, 20_000))) for i in range(images)}
    return files


@pytest.fixture
def archives(server, members) -> dict[str, Archive]:
    made = {}
    for name, images in ((ANNOTATIONS, 0), *reversed(IMAGES.items())):
        start = "annotations/" if name == ANNOTATIONS else f"{name}2017/"
        data = zipped({n: d for n, d in members.items() if n.startswith(start)})
        server.files[f"/{name}.zip"] = data
        grows = sum(len(d) for n, d in members.items() if n.startswith(start)) / len(data) + 0.1
        digest = hashlib.sha256(data).hexdigest()
        made[name] = Archive(f"{server.url}/{name}.zip", len(data), digest, grows, images)
    return made


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def gets(server) -> list[str]:
    return [path for method, path, _ in server.requests if method == "GET"]


def test_everything(server, archives, members, tmp_path):
    folder = tmp_path / "coco"
    seen: list[str] = []
    found = prepare(folder, progress=lambda what, done, total: seen.append(what), archives=archives)
    assert contents(folder) == members  # and nothing else: no archive, no note
    assert gets(server) == ["/annotations.zip", "/val.zip", "/train.zip"]
    assert found == [
        CocoSplit(split, folder / f"annotations/person_keypoints_{split}2017.json", folder / f"{split}2017")
        for split in ("train", "val")
    ]
    for done in ("downloading", "checking", "unpacking"):
        assert [what for what in dict.fromkeys(seen) if what.startswith(done)] == [
            f"{done} {name}.zip" for name in archives
        ]


def test_a_second_run_asks_nobody(server, archives, members, tmp_path):
    prepare(tmp_path, archives=archives)
    server.requests.clear()
    prepare(tmp_path, archives=archives)
    assert not server.requests
    assert contents(tmp_path) == members
    assert all(step.done for step in plan(tmp_path, archives=archives))
    assert bytes_needed(plan(tmp_path, archives=archives)) == 0


def test_a_part_of_it(server, archives, members, tmp_path):
    prepare(tmp_path, ["val"], archives=archives)
    assert set(contents(tmp_path)) == {n for n in members if "train2017/" not in n}
    prepare(tmp_path, ["train"], archives=archives)
    assert contents(tmp_path) == members
    assert gets(server).count("/annotations.zip") == 1


def test_no_images(server, archives, tmp_path):
    (val,) = prepare(tmp_path, ["val"], images=False, archives=archives)
    assert val.images is None
    assert gets(server) == ["/annotations.zip"]
    counts = count(val)
    assert (counts.images_listed, counts.images_there) == (2, None)
    with pytest.raises(FormatError, match="annotations alone"):
        recipe_block(val)


def test_zips_can_be_kept_and_are_not_fetched_again(server, archives, members, tmp_path):
    prepare(tmp_path, keep_zips=True, archives=archives)
    zips = {f"{name}.zip" for name in archives}
    assert set(contents(tmp_path)) == set(members) | zips
    shutil.rmtree(tmp_path / "train2017")
    server.requests.clear()
    assert [step.done for step in plan(tmp_path, archives=archives)] == [True, True, False]
    prepare(tmp_path, archives=archives)
    assert not server.requests
    assert set(contents(tmp_path)) == set(members) | zips - {"train.zip"}  # what was not touched stays


def test_an_interrupted_download_goes_on(server, archives, members, tmp_path, rng):
    cut = int(rng.integers(1, archives["train"].size))
    server.cuts = [None, None, cut]

    def stop(what: str, done: int, total: int) -> None:
        if what == "downloading train.zip" and done == cut:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path, archives=archives, progress=stop)
    steps = plan(tmp_path, archives=archives)
    assert [step.done for step in steps] == [True, True, False]
    assert steps[2].to_download == archives["train"].size - cut
    server.requests.clear()
    prepare(tmp_path, archives=archives)
    assert server.starts() == [cut]
    assert contents(tmp_path) == members


def test_an_interrupted_unpacking_goes_on(server, archives, members, tmp_path):
    calls: list[int] = []

    def stop(what: str, done: int, total: int) -> None:
        if what == "unpacking train.zip":
            calls.append(done)
            if len(calls) == 3:  # one call an image, as small as they are
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path, archives=archives, progress=stop)
    there = {name for name in members if (tmp_path / name).exists()}
    assert len([name for name in there if name.startswith("train2017")]) == 2
    left = plan(tmp_path, archives=archives)[2]
    assert left.to_download == 0
    assert left.to_unpack == sum(len(members[name]) for name in set(members) - there)
    server.requests.clear()
    prepare(tmp_path, archives=archives)
    assert not server.requests
    assert contents(tmp_path) == members


def test_too_little_space_is_said_before_anything_is_written(server, archives, tmp_path, monkeypatch):
    folder = tmp_path / "coco"
    needed = bytes_needed(plan(folder, archives=archives))
    assert needed >= sum(a.size for a in archives.values()) + 0.9 * sum(a.size * a.grows for a in archives.values())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed - 1))
    with pytest.raises(DownloadError, match="too little.*--split val, --no-images"):
        prepare(folder, archives=archives)
    assert not folder.exists()
    assert server.sent == 0
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed))
    prepare(folder, archives=archives)


def test_a_plan_writes_nothing(server, archives, tmp_path):
    folder = tmp_path / "coco"
    steps = plan(folder, archives=archives)
    assert [(s.name, s.to_download) for s in steps] == [(name, a.size) for name, a in archives.items()]
    assert not any(s.done or s.problem for s in steps)
    assert not folder.exists()
    assert server.sent == 0


def test_a_plan_without_a_server(archives, tmp_path):
    """The known sizes will do; without one there is no plan."""
    offline = {name: Archive("http://127.0.0.1:9/a.zip", a.size, None, a.grows) for name, a in archives.items()}
    steps = plan(tmp_path, archives=offline | {"val": Archive("http://127.0.0.1:9/a.zip", 1000, None, 1.0, images=1)})
    problems = {step.name: step.problem for step in steps}
    assert "no connection" in problems["val"]
    unknown = {ANNOTATIONS: Archive("http://127.0.0.1:9/a.zip", None, None, 1.0)}
    with pytest.raises(DownloadError, match="no connection"):
        plan(tmp_path, archives=unknown)


def test_another_size_than_the_known_one(server, archives, tmp_path):
    server.files["/val.zip"] += b"!"
    with pytest.raises(DownloadError, match="val.zip: expected .* the server offers"):
        prepare(tmp_path, archives=archives)
    assert server.sent == 0


def test_another_archive_of_the_same_size(server, archives, tmp_path):
    data = server.files["/val.zip"]
    server.files["/val.zip"] = data[:-1] + bytes([data[-1] ^ 1])
    with pytest.raises(DownloadError, match="expected SHA-256"):
        prepare(tmp_path, ["val"], archives=archives)
    assert not list(tmp_path.glob("val*"))


def test_a_corrupt_archive_without_a_known_checksum(server, archives, members, tmp_path):
    """The CRCs inside find it, and what is damaged does not come to lie among the images."""
    data = bytearray(zipped({n: d for n, d in members.items() if n.startswith("val2017/")}))
    data[100] ^= 0xFF
    server.files["/val.zip"] = bytes(data)
    archives["val"] = Archive(f"{server.url}/val.zip", len(data), None, 2.0, IMAGES["val"])
    with pytest.raises(DownloadError, match="val.zip: cannot be unpacked"):
        prepare(tmp_path, ["val"], archives=archives)
    for name, found in contents(tmp_path).items():
        assert name == "val.zip" or found == members[name]


def test_an_archive_that_lacks_images(server, archives, members, tmp_path):
    data = zipped({"val2017/000000000000.jpg": b"one"})
    server.files["/val.zip"] = data
    archives["val"] = Archive(f"{server.url}/val.zip", len(data), None, 2.0, IMAGES["val"])
    with pytest.raises(DownloadError, match="does not hold 2 images in val2017/, but 1"):
        prepare(tmp_path, ["val"], archives=archives)
    assert (tmp_path / "val.zip").exists()


def test_the_real_table():
    """Sizes in a sane relation: the system says 45 GB free, and a few for val alone."""
    assert list(ARCHIVES) == [ANNOTATIONS, "val", "train"]
    assert sum(a.images for a in ARCHIVES.values()) == 123_287
    for archive in ARCHIVES.values():
        assert archive.url.startswith("http://images.cocodataset.org/")
        assert archive.file_name.endswith("2017.zip")
        assert len(bytes.fromhex(archive.sha256 or "")) == 32
    steps = {
        name: prepare_coco.Step(name, a, a.size or 0, int((a.size or 0) * a.grows)) for name, a in ARCHIVES.items()
    }
    assert 42e9 < bytes_needed(list(steps.values())) < 46e9
    assert 2e9 < bytes_needed([steps[ANNOTATIONS], steps["val"]]) < 4e9


# --- adopting ------------------------------------------------------------------------------------------------------

LAYOUTS = [
    ("annotations", "{split}2017"),
    ("annotations", "images/{split}2017"),
    ("annotations", "images/{split}"),
    ("annotations", "{split}"),
    ("annotations_trainval2017/annotations", "images"),
    (".", "{split}2017"),
    ("{split}", "{split}/images"),
    (".", "."),
]


@pytest.mark.parametrize(("place", "photos"), LAYOUTS)
def test_adopting(members, tmp_path, place, photos):
    for name, data in members.items():
        split = "train" if "train2017" in name else "val"
        target = tmp_path / (place if name.endswith(".json") else photos).format(split=split) / Path(name).name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    before = contents(tmp_path)
    found = find(tmp_path)
    for split in found:
        counts = count(split)
        assert (counts.images_listed, counts.images_there) == (IMAGES[split.split], IMAGES[split.split])
        assert split.images is not None
        assert split.images.resolve() == (tmp_path / photos.format(split=split.split)).resolve()
    assert [split.split for split in found] == ["train", "val"]
    assert contents(tmp_path) == before


def test_adopting_a_part(members, tmp_path):
    (tmp_path / "val2017").mkdir()
    with pytest.raises(FormatError, match="no annotations of 'train'; looked for .*person_keypoints_train2017.json.*"):
        find(tmp_path)
    for name in ("annotations/person_keypoints_val2017.json", "val2017/000000000001.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(members[name])
    with pytest.raises(FormatError, match="no annotations of 'train'.*for 'val' alone use --split val"):
        find(tmp_path)
    (val,) = find(tmp_path, ["val"])
    counts = count(val)
    assert (counts.images_listed, counts.images_there) == (2, 1)
    (tmp_path / "val2017/000000000001.jpg").rename(tmp_path / "val2017/.hidden.jpg")
    with pytest.raises(FormatError, match="no images of 'val'; looked for .*val2017"):
        find(tmp_path, ["val"])
    assert find(tmp_path, ["val"], images=False) == [CocoSplit("val", val.annotations, None)]
    with pytest.raises(FormatError, match="is not a folder"):
        find(tmp_path / "nowhere")


# --- counting, and the recipe --------------------------------------------------------------------------------------


def test_counts(archives, tmp_path):
    train, val = (count(split) for split in prepare(tmp_path, archives=archives))
    # Images with 0, 1, 2, 3 people, and a crowd in the last; with 0 and 1.
    assert (train.images_there, train.images_with_people, train.persons) == (4, 3, 6)
    assert (val.images_there, val.images_with_people, val.persons) == (2, 1, 1)
    assert (train.selection.persons_kept, val.selection.persons_kept) == (3, 1)
    assert (train.selection.crowd, train.selection.few_joints, train.selection.small) == (1, 2, 1)


@pytest.mark.parametrize("name", ["coco", 'a "quoted", {odd}: né #1'])
def test_the_block_is_part_of_a_recipe(members, tmp_path, name):
    yaml = pytest.importorskip("yaml")
    train = CocoSplit("train", tmp_path / name / "a.json", tmp_path / name / "train2017")
    data = yaml.safe_load(recipe_block(train))
    assert set(data) == {"train", "val"}
    ((first,), (held_back,)) = data["train"], data["val"]
    for source in (first, held_back):
        assert source["format"] == "coco"
        assert Path(source["path"]) == train.annotations
        assert Path(source["images"]) == train.images
    assert held_back["fraction"][0] == 0.0
    assert 0 < held_back["fraction"][1] == first["fraction"][0] < 0.1  # no photo in both, none in neither
    assert first["fraction"][1] == 1.0
    assert (first["min_joints"], first["min_area_px"]) == (5, 900)
    assert not {"min_joints", "min_area_px"} & set(held_back)


def test_a_recipe_takes_the_block(tmp_path):
    yaml = pytest.importorskip("yaml")
    pytest.importorskip("lightning")
    from vitruvian.training.recipe import DataSource

    data = yaml.safe_load(recipe_block(CocoSplit("train", tmp_path / "a.json", tmp_path / "train2017"), 7, 400.5))
    (source,) = (DataSource.model_validate(entry) for entry in data["train"])
    assert (source.min_joints, source.min_area_px) == (7, 400.5)
    assert [DataSource.model_validate(entry).path for entry in data["val"]] == [source.path]
