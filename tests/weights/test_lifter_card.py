"""`LifterCard`: round trip, refusal of other conventions and of other cards."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from vitruvian.errors import WeightsError
from vitruvian.skeletons import COCO17
from vitruvian.weights.card import Card
from vitruvian.weights.lifter_card import LifterCard

_CARD = LifterCard(
    "x",
    "lifter_temporal",
    {"width": 8, "levels": 2},
    frames=9,
    fps=30.0,
    data=({"name": "n", "terms": "t"},),
    notes=".",
)


def test_round_trip() -> None:
    card = _CARD.with_metrics({"metric": "MPJPE", "value": 50.0})
    assert LifterCard.from_json(card.to_json()) == card


def test_refusals() -> None:
    with pytest.raises(WeightsError, match="this package knows"):
        replace(_CARD, inputs=COCO17)
    with pytest.raises(WeightsError, match="other conventions"):
        replace(_CARD, scale="metres")
    with pytest.raises(WeightsError, match="no Vitruvian card"):
        LifterCard.from_json(None)
    with pytest.raises(WeightsError, match="that of a lifter; expected a model of pictures"):
        Card.from_json(_CARD.to_json())
    record = json.loads(_CARD.to_json())
    del record["frames"]
    with pytest.raises(WeightsError, match="frames"):
        LifterCard.from_json(json.dumps(record))
    with pytest.raises(WeightsError, match="JSON cannot"):
        replace(_CARD, options={"x": object()}).to_json()
