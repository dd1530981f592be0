"""`tools/ship.py`: what a card says of the data that a network has seen."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
from vitruvian.weights.checkpoint import read_card
from vitruvian.weights.zoo import find_weights


def test_each_row_of_data_names_the_model_that_learned_from_it(load_tool, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "tools"))
    card = read_card(find_weights("vitruvian-m"))
    rows = load_tool("ship").begun(card)
    assert len(rows) == len(card.data)
    assert {row["of"] for row in rows} == {"vitruvian-m", "vitruvian-s"}  # which that one began with
    for row, before in zip(rows, card.data, strict=True):
        assert row["of"] == before.get("of", "vitruvian-m")
        assert {key: value for key, value in row.items() if key != "of"} == {
            k: v for k, v in before.items() if k != "of"
        }


def test_the_detectors_card_tells_them_apart():
    rows = read_card(find_weights("person-detector")).data
    assert {row.get("of") for row in rows} == {None, "vitruvian-m", "vitruvian-s"}
    pictures = [row for row in rows if "rendered" in row["name"] and "of" not in row]
    assert pictures
    assert all("Flickr" in row["terms"] for row in pictures)
