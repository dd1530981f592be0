"""`Card`: everything that turns pixels into named joints survives the file, and what is broken is refused by name."""

from __future__ import annotations

import json

import pytest

from vitruvian.codecs import HeatmapCodec, SimccCodec
from vitruvian.errors import WeightsError
from vitruvian.preprocess import Preprocess
from vitruvian.skeletons import SKELETONS
from vitruvian.weights import Card
from vitruvian.weights.calibration import Calibration
from vitruvian.weights.card import INT8_RECORD


def card(**changes) -> Card:
    fields = {
        "name": "some model",
        "model": "compact",
        "skeleton": SKELETONS["coco17"],
        "preprocess": Preprocess(size_wh=(96, 128), padding=1.3),
        "codec": HeatmapCodec(size_wh=(96, 128), sigma=1.5, activation="softmax"),
        "options": {"widths": (8, 16, 16, 16)},
        "data": ({"name": "photos", "terms": "CC0"},),
        "metrics": ({"metric": "PCK", "value": 0.5},),
        "provenance": {"commit": "abc"},
        "notes": "ü and 日本",
    }
    return Card(**{**fields, **changes})


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda s: s.name)
@pytest.mark.parametrize("codec", [HeatmapCodec(refine="quarter"), SimccCodec(split=3.0)], ids=lambda c: c.kind)
def test_a_card_survives_json(skeleton, codec):
    before = card(skeleton=skeleton, codec=codec, preprocess=Preprocess(padding=1.3))
    assert Card.from_json(before.to_json()) == before


def test_options_come_back_as_they_were():
    """JSON knows no tuples, and a builder that gets a list for one may not equal the trained one."""
    options = {"widths": (8, 16, 16, 16), "deconvs": 2, "name": "x", "nested": ((1, 2), (3,))}
    assert Card.from_json(card(options=options).to_json()).options == options


def test_an_input_size_that_the_codec_does_not_have_is_refused():
    """Joints would come out on another scale, silently."""
    with pytest.raises(WeightsError, match=r"\(96, 128\).*\(192, 256\)"):
        card(codec=HeatmapCodec())
    data = json.loads(card().to_json())
    data["preprocess"]["size_wh"] = [192, 256]
    with pytest.raises(WeightsError, match=r"file\.onnx"):
        Card.from_json(json.dumps(data), "file.onnx")


def test_what_is_not_plain_data_is_named():
    with pytest.raises(WeightsError, match="'some model'.*set"):
        card(provenance={"versions": {1, 2}}).to_json()


@pytest.mark.parametrize("name", ["person_above", "present_above"])
def test_least_scores_travel_and_are_no_duty(name):
    assert name not in json.loads(card().to_json())
    assert getattr(Card.from_json(card().to_json()), name) is None
    assert getattr(Card.from_json(card(**{name: 0.46}).to_json()), name) == 0.46


@pytest.mark.parametrize("name", ["person_above", "present_above"])
@pytest.mark.parametrize("wrong", [1.7, -0.1, float("nan"), "x", [0.5]])
def test_a_least_score_that_cannot_be_is_refused(wrong, name):
    with pytest.raises(WeightsError, match=name):
        card(**{name: wrong})
    data = json.loads(card().to_json())
    with pytest.raises(WeightsError, match=rf"file\.onnx.*{name}"):
        Card.from_json(json.dumps({**data, name: wrong}), "file.onnx")


def test_a_calibration_travels_and_is_no_duty():
    """Cards without one are the text they were before there were any; one that cannot be is named."""
    plain = card()
    assert "calibration" not in json.loads(plain.to_json())
    assert Card.from_json(plain.to_json()).calibration is None
    curve = Calibration(((0, 0), (0.5, 0.7), (1, 0.99)), right="near", fitted_on="these")
    assert Card.from_json(card(calibration=curve).to_json()).calibration == curve
    data = json.loads(card(calibration=curve).to_json())
    data["calibration"]["knots"][1] = [0.5, 2]
    with pytest.raises(WeightsError, match=r"file\.onnx.*knots"):
        Card.from_json(json.dumps(data), "file.onnx")


def test_the_record_of_8_bits_says_how_a_file_computes():
    assert card().precision == "float32"
    small = card(provenance={"commit": "abc", INT8_RECORD: {"people": 3}})
    assert small.precision == "int8"
    again = small.as_float()
    assert again.precision == "float32"
    assert again.provenance == {"commit": "abc", "weights_were_int8": {"people": 3}}
    assert card().as_float() == card()


def test_metrics_are_added_not_replaced():
    more = card().with_metrics({"metric": "AP", "value": 0.1})
    assert [m["metric"] for m in more.metrics] == ["PCK", "AP"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.pop("skeleton"), "skeleton"),
        (lambda d: d["skeleton"].update(sigmas=[1.0]), "sigmas"),
        (lambda d: d["codec"].update(kind="magic"), "magic"),
        (lambda d: d["codec"].update(speed=3), "speed"),
        (lambda d: d["preprocess"].update(gamma=2), "gamma"),
        (lambda d: d.update(version=99), "99"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(change, said):
    data = json.loads(card().to_json())
    change(data)
    with pytest.raises(WeightsError, match=said) as caught:
        Card.from_json(json.dumps(data), "model.onnx")
    assert "model.onnx" in str(caught.value)


@pytest.mark.parametrize("text", [None, "", "[1]", "{not json"])
def test_no_card_is_an_error_that_names_the_file(text):
    with pytest.raises(WeightsError, match=r"file\.onnx"):
        Card.from_json(text, "file.onnx")
