"""`curves` and `reliability_plot`: what is in the picture that matplotlib draws."""

from __future__ import annotations

import re

import numpy as np
import pytest

from vitruvian.data import read_image
from vitruvian.draw import curves
from vitruvian.draw.plots import reliability_plot
from vitruvian.errors import MissingExtraError, ShapeError


def words_of(svg: str) -> str:
    """The text of an SVG: matplotlib leaves it as a comment beside the outlines it draws."""
    return "\n".join(re.findall(r"<!-- (.*?) -->", svg, flags=re.DOTALL))


def test_a_png_and_nothing_else_is_left(tmp_path):
    pytest.importorskip("matplotlib")
    path = curves(tmp_path / "new" / "a.png", [0, 1, 2], {"PCK": [0.1, 0.5, 0.4]})
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]
    image = read_image(path)
    assert image.shape == (600, 960, 3)
    blue = (np.abs(image.astype(int) - (0, 0x72, 0xB2)) < 30).all(axis=2)
    assert blue.sum() > 500  # the curve
    rows = np.argwhere(blue).min(axis=0), np.argwhere(blue).max(axis=0)
    assert rows[1][1] - rows[0][1] > 600  # over the whole width


@pytest.mark.parametrize(("best", "said"), [("max", "best: 0.5 at epoch 4"), ("min", "best: 0.1 at epoch 0")])
def test_the_best_of_the_first_curve_is_named(tmp_path, best, said):
    pytest.importorskip("matplotlib")
    values = {"PCK": [0.1, None, 0.5, float("nan"), 0.5], "left ankle": [0.9, 0, 0, 0, 0]}
    path = curves(tmp_path / "a.svg", [0, 2, 4, 6, 8], values, title="the title", y_label="share", best=best)
    words = words_of(path.read_text(encoding="utf-8"))
    for expected in (said, "the title", "share", "epoch", "PCK", "left ankle"):
        assert expected in words
    curves(tmp_path / "b.svg", [0, 2, 4, 6, 8], {"PCK": [None] * 5})
    assert "best" not in words_of((tmp_path / "b.svg").read_text(encoding="utf-8"))


def test_a_gap_is_not_bridged(tmp_path):
    pytest.importorskip("matplotlib")
    drawn = [
        curves(tmp_path / f"{i}.png", range(5), {"a": [0, 1, middle, 1, 0]}, best=None)
        for i, middle in ((0, 1), (1, None))
    ]
    blue = [(np.abs(read_image(p).astype(int) - (0, 0x72, 0xB2)) < 30).all(axis=2) for p in drawn]
    columns = [b.any(axis=0) for b in blue]
    inside = slice(columns[0].argmax(), len(columns[0]) - columns[0][::-1].argmax())
    assert columns[0][inside].all()
    assert not columns[1][inside].all()


def test_many_curves_are_told_apart(tmp_path):
    pytest.importorskip("matplotlib")
    series = {f"joint {i}": [i, i + 1] for i in range(20)}
    svg = curves(tmp_path / "a.svg", [0, 1], series).read_text(encoding="utf-8")
    lines = set()
    for style in re.findall(r'style="([^"]*)"', svg):
        found = dict(part.strip().split(": ", 1) for part in style.split(";") if ": " in part)
        if found.get("fill") == "none" and found.get("stroke-width") in ("2.4", "1.3"):
            lines.add((found.get("stroke"), found.get("stroke-dasharray")))
    assert len(lines) == 20


def test_misuse(tmp_path, monkeypatch):
    with pytest.raises(ShapeError, match="nothing to plot"):
        curves(tmp_path / "a.png", [], {"a": []})
    with pytest.raises(ShapeError, match="curve 'a' has 1 values for 2"):
        curves(tmp_path / "a.png", [0, 1], {"a": [0.5]})
    import vitruvian.extras

    def missing(name):
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(vitruvian.extras.importlib, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"vitruvian\[evaluate\]"):
        curves(tmp_path / "a.png", [0], {"a": [1]})
    assert not list(tmp_path.iterdir())


def test_a_reliability_diagram_names_its_error(tmp_path):
    pytest.importorskip("matplotlib")
    models = {"plain": ([0.2, 0.9], [0.5, 0.75], [2, 4]), "mapped": ([0.5, 0.75], [0.5, 0.75], [2, 4])}
    words = words_of(reliability_plot(tmp_path / "a.svg", models, right="near").read_text(encoding="utf-8"))
    assert "plain: error 0.200" in words  # (2 x 0.3 + 4 x 0.15) / 6
    assert "mapped: error 0.000" in words
    assert "share of joints: near" in words
    assert [p.name for p in tmp_path.iterdir()] == ["a.svg"]


@pytest.mark.parametrize("models", [{}, {"a": ([0.5], [0.5, 0.6], [1])}])
def test_a_reliability_diagram_of_nothing_is_refused(models, tmp_path):
    with pytest.raises(ShapeError, match="three columns"):
        reliability_plot(tmp_path / "a.png", models)
    assert not list(tmp_path.iterdir())
