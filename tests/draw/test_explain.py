"""The sheet's tiles and the page's layers: what is shown, where, and that the page needs nothing else."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from vitruvian.draw.explain import PersonMaps, _in_few_letters, explain_page, explain_sheet, relative
from vitruvian.draw.heatmaps import ramp
from vitruvian.errors import ShapeError

NAMES = ("nose", "left_knee", "<b>&odd")


def person(attention: bool = True, **fields) -> PersonMaps:
    """Black, 48 x 64; joint k has a map of 12 x 16 with one 1, at (2 + 3 k, 4 + 3 k)."""
    heatmaps = np.zeros((3, 16, 12), np.float32)
    part = np.full((3, 8, 6), 1e-4, np.float32)
    for k in range(3):
        heatmaps[k, 4 + 3 * k, 2 + 3 * k] = 1
        part[k, k, k] = 0.02
    keypoints = np.array([[9.5, 17.5], [21.5, 29.5], [np.nan, np.nan]])
    made = {
        "crop": np.zeros((64, 48, 3), np.uint8),
        "names": NAMES,
        "keypoints_px": keypoints,
        "scores": np.array([0.91, 0.5, 0.03]),
        "heatmaps": heatmaps,
        "holistic": np.full((16, 12), 3.0) if attention else None,
        "part": part if attention else None,
        "score": 0.75,
    }
    return PersonMaps(**(made | fields))


class Parts(HTMLParser):
    """Tags with their attributes, and the words between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)


def decoded(uri: str) -> np.ndarray:
    head, body = uri.split(",")
    assert re.fullmatch(r"data:image/(png|jpeg);base64", head)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(body))))


def people_of(page: str) -> list[dict]:
    (data,) = re.findall(r"^const PEOPLE = (.*);$", page, flags=re.MULTILINE)
    return json.loads(data)


def test_the_page_holds_everything():
    page = explain_page([person(), person(False)], np.zeros((90, 160, 3), np.uint8), title="a <i>.jpg", notes=["x & y"])
    parts = Parts(page)
    references = [v for _, attrs in parts.tags for k, v in attrs.items() if k in ("src", "href", "srcset", "data")]
    assert references
    assert all(reference.startswith("data:") for reference in references)
    assert not {tag for tag, _ in parts.tags} & {"link", "iframe", "object", "i", "b"}
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r"base64,[^\"]*", "", page))
    assert "a <i>.jpg" in parts.words  # as text, in the title and in the heading
    assert "x & y" in parts.words
    assert len([1 for tag, _ in parts.tags if tag == "section"]) == 2
    assert page.count("</script>") == 1  # no name can end it early
    assert decoded(next(a["src"] for t, a in parts.tags if t == "img")).shape == (90, 160, 3)


def test_the_layers_are_the_maps():
    first, second = people_of(explain_page([person(), person(False)], np.zeros((8, 8, 3), np.uint8), title="t"))
    assert [joint["name"] for joint in first["joints"]] == ["nose", "left knee", "<b>&odd"]
    assert [joint["score"] for joint in first["joints"]] == [0.91, 0.5, 0.03]
    assert first["joints"][0]["at"] == [round(10 / 48 * 100, 2), round(18 / 64 * 100, 2)]  # from the left edge
    assert first["joints"][2]["at"] is None
    assert decoded(first["crop"]).shape == (64, 48, 3)
    for k, joint in enumerate(first["joints"]):
        layer = decoded(joint["heatmap"])
        assert layer.shape == (16, 12, 4)
        assert np.argwhere(layer[..., 3] > 0).tolist() == [[4 + 3 * k, 2 + 3 * k]]  # elsewhere the photo is seen
        np.testing.assert_array_equal(layer[4 + 3 * k, 2 + 3 * k], [*ramp()[255], 255])
        attention = decoded(joint["attention"])
        assert attention.shape == (8, 6, 4)
        assert attention[k, k, 3] == 153  # over the highest value, however small that is, and the photo shines through
        assert attention[7, 5, 3] < 6
    assert (decoded(first["holistic"])[..., 3] == 153).all()
    assert second["holistic"] is None
    assert second["joints"][0]["attention"] is None


def test_nobody():
    page = explain_page([], np.zeros((8, 8, 3), np.uint8), title="t")
    assert "Nobody was found" in page
    assert people_of(page) == []
    assert explain_sheet([]).max() > 100


def test_the_sheet_shows_each_map_over_the_crop():
    plain = person(False, keypoints_px=np.full((3, 2), np.nan))
    sheet = explain_sheet([plain], tile_px=64, columns=4)
    gap, line = 4, 16
    top, step = line + gap, 48 + gap
    brightest = np.array(ramp()[255], int)
    assert (sheet[top : top + 64, gap : gap + 48] == 0).all()  # the crop itself
    for k in range(3):
        tile = sheet[top : top + 64, gap + (k + 1) * step :][:, :48].astype(int)
        y, x = np.unravel_index(np.abs(tile - brightest).sum(axis=2).argmin(), (64, 48))
        # map pixel u covers crop pixels 4 u ... 4 u + 3
        assert abs(x - (4 * (2 + 3 * k) + 1.5)) <= 1.5
        assert abs(y - (4 * (4 + 3 * k) + 1.5)) <= 1.5
    marked = explain_sheet([person(False)], tile_px=64, columns=4)
    changed = np.argwhere((marked != sheet).any(axis=2))
    first = changed[changed[:, 1] < gap + 2 * step] - [top, gap + step]
    np.testing.assert_allclose(first.mean(axis=0)[::-1], [9.5, 17.5], atol=0.6)  # a ring around the joint


def test_attention_is_below_and_people_below_each_other():
    with_it, without = explain_sheet([person()]), explain_sheet([person(False)])
    np.testing.assert_array_equal(with_it[: len(without)], without)
    assert len(with_it) == 2 * len(without)
    both = explain_sheet([person(False), person()])
    assert len(both) == len(without) + len(with_it)
    assert len(explain_sheet([person(False)], columns=2)) > len(explain_sheet([person(False)], columns=4))


def test_the_photo_shines_through_attention_that_is_high_all_over():
    """Two photos of a person, black and white, whose attention is the same: the tiles differ, those of heatmaps too."""
    flat = person(holistic=np.full((16, 12), 3.0), part=None, heatmaps=np.ones((3, 16, 12), np.float32))
    flat = replace(flat, keypoints_px=np.full((3, 2), np.nan))
    sheets = [explain_sheet([replace(flat, crop=np.full_like(flat.crop, v))]).astype(int) for v in (0, 255)]
    tile = (slice(sheets[0].shape[0] // 2 + 40, sheets[0].shape[0] // 2 + 60), slice(30, 40))
    lighter = (sheets[1] - sheets[0])[tile]
    np.testing.assert_allclose(lighter, 0.4 * 0.85 * 255, atol=2)
    heat = (slice(40, 60), slice(110, 120))
    assert (sheets[0][heat] == sheets[1][heat]).all()


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0, "0.00"), (0.594, "0.59"), (99.4, "99.40"), (312.4, "312"), (3.3e-4, "3e-4"), (2e7, "2e7"), (1e-12, "1e-12")],
)
def test_numbers_below_tiles_are_short(value, said):
    assert _in_few_letters(value) == said


def test_relative(rng):
    maps = rng.uniform(0, 9, (3, 5, 4))
    maps[1] = 0
    maps[2, 0, 0] = np.nan
    shown = relative(maps)
    np.testing.assert_allclose(shown[0], maps[0] / maps[0].max(), rtol=1e-6)
    assert shown[1].max() == 0
    assert shown[2].max() == 1
    assert shown[2, 0, 0] == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"crop": np.zeros((8, 8))}, r"\(H, W, 3\) uint8"),
        ({"scores": np.zeros(2)}, r"scores \(3,\), got \(2,\)"),
        ({"heatmaps": np.zeros((2, 4, 4))}, "heatmaps"),
        ({"part": np.zeros((3, 4))}, "part needs 3 axes"),
        ({"holistic": np.zeros((1, 4, 4))}, "holistic needs 2 axes"),
    ],
)
def test_what_does_not_fit_is_refused(change, said):
    with pytest.raises(ShapeError, match=said):
        person(**change)
    with pytest.raises(ShapeError, match="columns"):
        explain_sheet([person()], columns=0)
