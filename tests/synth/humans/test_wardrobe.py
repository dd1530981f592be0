"""Garments: fitted by the files' own rule, bound to the bones of what they hang on, read from folders and archives."""

from __future__ import annotations

import tarfile

import numpy as np
import pytest
from PIL import Image

from vitruvian.errors import FormatError
from vitruvian.synth.humans.body import PARTS
from vitruvian.synth.humans.wardrobe import load_wardrobe

HEAD = "name apron\nobj_file apron.obj\nx_scale 0 8 2.0\ny_scale 0 16 4.0\nz_scale 0 3 5.0\ntag Male\n"
OBJ = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nf 1/1 2/2 3/3 4/4\n"


def make_wardrobe(folder, verts="0\n5\n1 2 3 0.5 0.25 0.25 0.1 -0.2 0.3\n6\n", extra="delete_verts\n3 - 5 9\n"):
    place = folder / "clothes" / "apron"
    place.mkdir(parents=True)
    (place / "apron.mhclo").write_text(f"# free\n{HEAD}verts 0\n{verts}\n{extra}")
    (place / "apron.obj").write_text(OBJ)
    (folder / "textures").mkdir()
    for name in ("apron_diffuse", "skin_pale", "other"):
        Image.new("RGB", (8, 8), (10, 20, 30)).save(folder / "textures" / f"{name}.png")
    return folder


def test_fitting_is_the_files_own_rule(body, tmp_path):
    wardrobe = load_wardrobe(make_wardrobe(tmp_path / "w"), body)
    (garment,) = wardrobe.garments["suit"]
    vertices, _ = body.rest(np.eye(len(body))[3])
    scale = np.abs([vertices[0, 0] - vertices[8, 0], vertices[0, 1] - vertices[16, 1], vertices[0, 2] - vertices[3, 2]])
    offset = np.array([0.1, -0.2, 0.3]) * scale / (2.0, 4.0, 5.0)
    expected = [
        vertices[0], vertices[5], 0.5 * vertices[1] + 0.25 * vertices[2] + 0.25 * vertices[3] + offset, vertices[6],
    ]  # fmt: skip
    np.testing.assert_allclose(garment.fit(vertices), expected, atol=0.05)


def test_what_else_a_file_says(body, tmp_path):
    wardrobe = load_wardrobe(make_wardrobe(tmp_path / "w"), body)
    (garment,) = wardrobe.garments["suit"]
    assert (garment.name, garment.tags) == ("apron", {"male"})
    assert np.flatnonzero(garment.hides).tolist() == [3, 4, 5, 9]
    np.testing.assert_allclose(garment.weights.sum(axis=1), 1, atol=1e-6)
    assert set(garment.part) == {1 + PARTS.index("torso")}
    assert garment.triangles.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert set(wardrobe.textures) == {"apron"}
    assert set(wardrobe.skins) == {"skin_pale"}


def test_where_it_hangs_says_what_it_is(body, tmp_path):
    head = np.flatnonzero(body.vertex_part == 1 + PARTS.index("head"))[:4]
    foot = np.flatnonzero(body.vertex_part == 1 + PARTS.index("left_foot"))[:4]
    for vertices, folder, kind in ((head, "clothes", "hat"), (foot, "clothes", "shoes"), (head, "hair", "hair")):
        made = make_wardrobe(tmp_path / kind, "\n".join(str(v) for v in vertices))
        (made / "clothes").rename(made / "part")
        (made / folder).mkdir()
        (made / "part" / "apron").rename(made / folder / "apron")
        assert [k for k, found in load_wardrobe(made, body).garments.items() if found] == [kind]


def test_an_archive_and_a_cache_hold_the_same(body, tmp_path):
    folder = make_wardrobe(tmp_path / "w")
    with tarfile.open(tmp_path / "w.tar.xz", "w:xz") as tar:
        tar.add(folder, ".")
    first = load_wardrobe(folder, body)
    for again in (
        load_wardrobe(tmp_path / "w.tar.xz", body),
        load_wardrobe(folder, body, tmp_path / "cache"),
        load_wardrobe(folder, body, tmp_path / "cache"),
    ):
        (mine,), (other,) = first.garments["suit"], again.garments["suit"]
        for name in ("share", "offset", "weights", "part", "corner_uv", "normals", "hides", "triangles"):
            np.testing.assert_array_equal(getattr(mine, name), getattr(other, name))
        np.testing.assert_array_equal(first.textures["apron"], again.textures["apron"])
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize(
    ("verts", "words"),
    [
        ("0\n5\n6\n", "binds 3"),
        ("0\n5\n6\n999999\n", "another base mesh"),
        ("", "binds no vertices"),
        ("0\n5\n6\n1 2 x 0 0 0 0 0 0\n", "malformed"),
    ],
)
def test_malformed_garments_are_named(body, tmp_path, verts, words):
    with pytest.raises(FormatError, match=words):
        load_wardrobe(make_wardrobe(tmp_path / "w", verts), body)


def test_things_that_are_no_wardrobe(body, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "no.tar").write_bytes(b"no")
    for name, words in (("empty", "nothing to wear"), ("no.tar", "no wardrobe"), ("none.tar", "no wardrobe")):
        with pytest.raises(FormatError, match=words):
            load_wardrobe(tmp_path / name, body)
