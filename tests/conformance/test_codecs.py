"""Every codec of the table: encode, decode and flip belong together, in numpy and in torch."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vitruvian.codecs
from vitruvian.codecs import CODECS, HeatmapCodec, PixelsCodec, SimccCodec, codec_from_dict, codec_to_dict
from vitruvian.errors import ShapeError, WeightsError
from vitruvian.skeletons import VITRUVIAN19
from vitruvian.types import Outputs

_VARIANTS: dict[str, Any] = {
    **{f"{kind} by default": build() for kind, build in CODECS.items() if kind != "boxes"},
    "heatmap argmax": HeatmapCodec(refine="argmax"),
    "heatmap quarter": HeatmapCodec(refine="quarter"),
    "heatmap blurred": HeatmapCodec(blur=1.5),
    "heatmap blurred first": HeatmapCodec(blur=1.5, blur_first=True),
    "heatmap softmax blurred first": HeatmapCodec(activation="softmax", blur=1.5, blur_first=True),
    "heatmap upsampled": HeatmapCodec(size_wh=(96, 128), refine="upsampled"),
    "heatmap upsampled odd maps": HeatmapCodec(size_wh=(74, 94), stride=2, sigma=3.0, refine="upsampled"),
    "heatmap odd maps": HeatmapCodec(size_wh=(76, 92), sigma=1.5),
    "heatmap stride 8": HeatmapCodec(stride=8, sigma=1.2),
    "heatmap stride 2": HeatmapCodec(size_wh=(96, 128), stride=2, sigma=3.0),
    "heatmap with presence": HeatmapCodec(presence=True),
    "heatmap softmax": HeatmapCodec(activation="softmax"),
    "heatmap softmax quarter": HeatmapCodec(activation="softmax", refine="quarter"),
    "heatmap softmax wide": HeatmapCodec(size_wh=(128, 128), stride=2, activation="softmax", sigma=25.0),
    "pixels values": PixelsCodec(classes="values"),
    "pixels shares": PixelsCodec(classes="shares", heads=("classes", "heat"), sigma=2.0, refine="argmax"),
    "pixels each heat": PixelsCodec(heads=("heat",), heat="each", sigma=2.0),
    "pixels stride 4": PixelsCodec(size_wh=(256, 384), stride=4),
    "simcc argmax": SimccCodec(refine="argmax"),
    "simcc whole pixels": SimccCodec(split=1.0, sigma=4.0),
    "simcc thirds": SimccCodec(size_wh=(75, 101), split=3.0, sigma=2.0),
    "simcc coarse": SimccCodec(split=0.5, sigma=6.0),
    "simcc by temperature": SimccCodec(sigma=2.6, temperature=0.1),
}


def test_the_table_is_the_folder() -> None:
    folder = Path(vitruvian.codecs.__file__).parent
    modules = {p.stem for p in folder.glob("*.py") if not p.stem.startswith("_")}  # _upsampled serves heatmaps
    assert modules - {"grid"} == set(CODECS)  # a task to learn features from; it decodes to no more than a window
    assert all(build.kind == kind for kind, build in CODECS.items())
    # Boxes are not made of joints; tests/codecs/test_boxes.py is their suite.
    assert {codec.kind for codec in _VARIANTS.values()} == set(CODECS) - {"boxes"}


@pytest.fixture(params=sorted(_VARIANTS))
def codec(request: pytest.FixtureRequest) -> Any:
    return _VARIANTS[request.param]


def _step(codec: Any) -> float:
    """Input pixels between two cells of the representation."""
    return 1 / codec.split if codec.kind == "simcc" else codec.stride


def _perfect(codec: Any, arrays: dict[str, np.ndarray]) -> Outputs:
    """What a network would say that has learned its targets exactly."""
    if codec.kind == "heatmap" and codec.activation == "linear":
        return Outputs(dict(arrays))
    if codec.kind == "pixels" and "heat" in arrays:
        return Outputs({k: v if k == "heat" else np.log(np.maximum(v, 1e-37)) for k, v in arrays.items()})
    return Outputs({k: np.log(np.maximum(v, 1e-37)).astype(np.float32) for k, v in arrays.items()})


def _tolerance(codec: Any) -> float:
    """Largest error in input pixels, in the interior."""
    if codec.refined:
        return 0.05
    return _step(codec) / (4 if codec.refine == "quarter" else 2) + 1e-3


def _joints(codec: Any, rng: np.random.Generator, count: int = 8, multiple: float | None = None) -> np.ndarray:
    """(B, 19, 2) float32 sub-pixel positions in the interior: beyond the reach of a smoothing from the border."""
    if codec.kind == "pixels":
        return _joints_apart(codec, rng, count, multiple)
    blur = getattr(codec, "blur", 0.0)
    margin = 1.6 * _step(codec) + ((3 * blur + 2) * codec.stride if blur else 0)
    low, high = margin, np.array(codec.size_wh) - 1 - margin
    points = rng.uniform(low, high, (count, len(VITRUVIAN19), 2))
    if multiple is not None:
        points = np.round(points / multiple) * multiple
    return points.astype(np.float32)


def _joints_apart(codec: Any, rng: np.random.Generator, count: int, multiple: float | None) -> np.ndarray:
    """As `_joints`, each in a cell of its own of a 4 x 5 grid: a pixel has one label, so near joints would compete."""
    cell = np.array(codec.size_wh) / (4, 5)
    cells = np.stack([rng.permutation(20)[: len(VITRUVIAN19)] for _ in range(count)])
    corner = np.stack([cells % 4, cells // 4], axis=-1) * cell
    points = corner + rng.uniform(
        4 * codec.sigma * codec.stride, cell - 4 * codec.sigma * codec.stride, (*cells.shape, 2)
    )
    if multiple is not None:
        points = np.round(points / multiple) * multiple
    return points.astype(np.float32)


def _visible(points: np.ndarray) -> np.ndarray:
    return np.full(points.shape[:2], 2, np.int8)


def test_round_trip(codec: Any, rng: np.random.Generator) -> None:
    points = _joints(codec, rng)
    targets = codec.encode(points, _visible(points))
    assert (targets.weights == 1).all()
    found, scores = codec.decode(_perfect(codec, targets.arrays))
    assert found.shape == points.shape
    assert found.dtype == scores.dtype == np.float32
    assert np.abs(found - points).max() <= _tolerance(codec)


def test_scores_tell_certain_from_lost(codec: Any, rng: np.random.Generator) -> None:
    points = _joints(codec, rng)
    targets = codec.encode(points, _visible(points))
    _, certain = codec.decode(_perfect(codec, targets.arrays))
    assert certain.shape == points.shape[:2]
    assert certain.min() >= (0.9 if codec.sigma >= 2 else 0.8)
    assert certain.max() <= 1
    if codec.sigma < 20:  # a target that covers most of the map cannot be told from nothing
        lost = {k: np.zeros((2, *shape), np.float32) for k, shape in codec.shapes(len(VITRUVIAN19)).items()}
        assert codec.decode(Outputs(lost))[1].max() <= 0.25
    wild = {k: rng.normal(0, 5, (4, *shape)).astype(np.float32) for k, shape in codec.shapes(len(VITRUVIAN19)).items()}
    found, scores = codec.decode(Outputs(wild))
    assert ((scores >= 0) & (scores <= 1)).all()
    low, high = -0.5 - 1.5 * _step(codec), np.array(codec.size_wh) - 0.5 + 1.5 * _step(codec)
    assert ((found >= low) & (found <= high)).all()


def test_shapes_are_those_of_the_targets(codec: Any, rng: np.random.Generator) -> None:
    points = _joints(codec, rng, 3)
    targets = codec.encode(points, _visible(points))
    shapes = codec.shapes(len(VITRUVIAN19))
    assert list(targets.arrays) == list(shapes)
    for name, array in targets.arrays.items():
        assert array.shape == (3, *shapes[name])
        assert array.dtype == np.float32
    assert targets.weights.shape == points.shape[:2]
    assert targets.weights.dtype == np.float32


def test_the_mirrored_image_is_the_flipped_target(codec: Any, rng: np.random.Generator) -> None:
    """To the last bit or two, on positions that floats hold exactly: no shift by a cell (HRNet's cost 2 AP)."""
    points = _joints(codec, rng, multiple=0.25)
    width = codec.size_wh[0]
    mirrored = points[:, VITRUVIAN19.flip].copy()
    mirrored[..., 0] = width - 1 - mirrored[..., 0]
    plain = codec.encode(points, _visible(points)).arrays
    flipped = codec.flip(Outputs(codec.encode(mirrored, _visible(points)).arrays), VITRUVIAN19).arrays
    assert list(flipped) == list(plain)
    for name, array in plain.items():
        # Thirds of a pixel, exponents that a temperature of 0.1 makes ten times as large, sums in another order.
        rough = codec.kind == "simcc" and (codec.split == 3 or codec.temperature is not None)
        if rough or codec.sigma > 20:
            np.testing.assert_allclose(flipped[name], array, rtol=2e-5, atol=1e-9)
        else:
            np.testing.assert_allclose(flipped[name], array, rtol=3e-7, atol=1e-12)


def test_averaging_with_the_mirror_moves_nothing(codec: Any, rng: np.random.Generator) -> None:
    """What test-time flipping does, with a network that answers perfectly both times."""
    points = _joints(codec, rng)
    mirrored = points[:, VITRUVIAN19.flip].copy()
    mirrored[..., 0] = codec.size_wh[0] - 1 - mirrored[..., 0]
    plain = _perfect(codec, codec.encode(points, _visible(points)).arrays)
    other = codec.flip(_perfect(codec, codec.encode(mirrored, _visible(points)).arrays), VITRUVIAN19)
    both = Outputs({k: (plain.arrays[k] + other.arrays[k]) / 2 for k in plain.arrays})
    assert np.abs(codec.decode(both)[0] - points).max() <= _tolerance(codec)


def test_flipping_twice_changes_nothing(codec: Any, rng: np.random.Generator) -> None:
    arrays = {k: rng.normal(size=(2, *s)).astype(np.float32) for k, s in codec.shapes(len(VITRUVIAN19)).items()}
    before = {k: v.copy() for k, v in arrays.items()}
    twice = codec.flip(codec.flip(Outputs(arrays), VITRUVIAN19), VITRUVIAN19).arrays
    for name in arrays:
        np.testing.assert_array_equal(twice[name], arrays[name])
        np.testing.assert_array_equal(arrays[name], before[name])


def test_tensors_are_flipped_as_arrays_are_and_without_a_warning(codec: Any, rng: np.random.Generator) -> None:
    """As training with a teacher does, for whose users torch's warning of a read-only index was noise."""
    torch = pytest.importorskip("torch")
    arrays = {k: rng.normal(size=(2, *s)).astype(np.float32) for k, s in codec.shapes(len(VITRUVIAN19)).items()}
    expected = codec.flip(Outputs(arrays), VITRUVIAN19).arrays
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)  # else most come once a process
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = codec.flip(Outputs({k: torch.from_numpy(v) for k, v in arrays.items()}), VITRUVIAN19).arrays
    finally:
        torch.set_warn_always(before)
    assert list(found) == list(expected)
    for name in found:
        np.testing.assert_array_equal(found[name].numpy(), expected[name])


def test_joints_outside_or_unlabelled_have_no_weight(codec: Any) -> None:
    if codec.kind == "pixels":
        pytest.skip("joints in one pixel compete for it; see tests/codecs/test_pixels.py")
    width, height = codec.size_wh
    cases = [
        ((5.0, 5.0), 2, 1), ((5.0, 5.0), 1, 1), ((5.0, 5.0), 0, 0), ((np.nan, np.nan), 0, 0), ((np.nan, np.nan), 2, 0),
        ((-0.5, -0.5), 2, 1), ((width - 0.5, height - 0.5), 2, 1), ((0.0, height - 1.0), 1, 1),
        ((-0.75, 5.0), 2, 0), ((5.0, -0.75), 2, 0), ((width - 0.25, 5.0), 2, 0), ((5.0, height - 0.25), 2, 0),
        ((1e9, 5.0), 2, 0), ((5.0, -np.inf), 2, 0),
    ]  # fmt: skip
    points = np.array([[c[0] for c in cases]], np.float32)
    visibility = np.array([[c[1] for c in cases]], np.int8)
    targets = codec.encode(points, visibility)
    assert targets.weights[0].tolist() == [c[2] for c in cases]
    for name, array in targets.arrays.items():
        assert np.isfinite(array).all()
        empty = array[0, [i for i, c in enumerate(cases) if not c[2]]]
        assert (empty <= 0).all() if name == "presence" else (empty == 0).all()  # -1: it is not known
        assert (
            array[0, [i for i, c in enumerate(cases) if c[2]]].reshape(sum(c[2] for c in cases), -1).sum(axis=1) > 0
        ).all()


def test_joints_at_the_border_decode_to_the_border(codec: Any) -> None:
    """Within half a cell: the outermost cells have no neighbour to be refined with."""
    width, height = codec.size_wh
    x, y = (
        np.array([-0.4, 0, 0.7, width / 2, width - 1.3, width - 0.6]),
        np.array([-0.4, 0, 3, height - 2, height - 0.6]),
    )
    if codec.kind == "pixels":
        pytest.skip("joints in one corner compete for its pixels; see tests/codecs/test_pixels.py")
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(1, -1, 2).astype(np.float32)
    found, scores = codec.decode(_perfect(codec, codec.encode(points, _visible(points)).arrays))
    slack = 3 * codec.blur * codec.stride if codec.kind == "heatmap" else 0  # smoothing reaches over the border
    if codec.refine == "upsampled":  # beyond the outermost cell's centre its map is flat, which favours the border
        slack = codec.stride / 2
    assert np.abs(found - points).max() <= max(0.5, _step(codec) / 2 + 1e-3 + slack)
    assert scores.min() >= 0.75


def test_torch_makes_the_same_targets(codec: Any, rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    width, height = codec.size_wh
    points = rng.uniform(-10, [width + 10, height + 10], (6, 19, 2)).astype(np.float32)
    points[0, :4] = [[-0.5, -0.5], [width - 0.5, height - 0.5], [np.nan, np.nan], [width - 0.25, 3]]
    visibility = rng.integers(0, 3, (6, 19)).astype(np.int8)
    visibility[0, :4] = 2
    numpy, tensors = (
        codec.encode(points, visibility),
        codec.encode_torch(torch.from_numpy(points), torch.from_numpy(visibility)),
    )
    np.testing.assert_array_equal(tensors.weights.numpy(), numpy.weights)
    assert tensors.weights.dtype == torch.float32
    assert list(tensors.arrays) == list(numpy.arrays)
    for name, array in numpy.arrays.items():
        assert tensors.arrays[name].dtype == torch.float32
        # What is left to 1 of a share near 1 has lost digits.
        atol = 1e-6 if codec.kind == "pixels" else 1e-7
        np.testing.assert_allclose(tensors.arrays[name].numpy(), array, rtol=1e-4, atol=atol)


def test_torch_outputs_decode_alike(codec: Any, rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    points = _joints(codec, rng, 4)
    outputs = _perfect(codec, codec.encode(points, _visible(points)).arrays)
    found, scores = codec.decode(outputs)
    tensors = Outputs({k: torch.from_numpy(v) for k, v in outputs.arrays.items()})
    for precision in (torch.float32, torch.bfloat16):  # validation decodes in the midst of mixed precision
        with torch.autocast("cpu", dtype=precision, enabled=precision is not torch.float32):
            again, scores_again = codec.decode(tensors)
        assert isinstance(again, np.ndarray)
        np.testing.assert_allclose(again, found, atol=2e-3)
        np.testing.assert_allclose(scores_again, scores, atol=1e-5)


def test_batch_entries_do_not_mix(codec: Any, rng: np.random.Generator) -> None:
    arrays = {k: rng.normal(size=(3, *s)).astype(np.float32) for k, s in codec.shapes(5).items()}
    found, scores = codec.decode(Outputs(arrays))
    for i in range(3):
        alone, score = codec.decode(Outputs({k: v[i : i + 1] for k, v in arrays.items()}))
        np.testing.assert_array_equal(alone[0], found[i])
        np.testing.assert_allclose(score[0], scores[i], rtol=1e-5)
    nobody, none = codec.decode(Outputs({k: v[:0] for k, v in arrays.items()}))
    assert nobody.shape == (0, 5, 2)
    assert none.shape == (0, 5)


def test_decoding_and_encoding_leave_their_input_alone(codec: Any, rng: np.random.Generator) -> None:
    points = _joints(codec, rng, 2)
    points[0, 0] = np.nan
    kept = points.copy()
    visibility = _visible(points)
    outputs = _perfect(codec, codec.encode(points, visibility).arrays)
    before = {k: v.copy() for k, v in outputs.arrays.items()}
    codec.decode(outputs)
    np.testing.assert_array_equal(points, kept)
    assert (visibility == 2).all()
    for name, array in before.items():
        np.testing.assert_array_equal(outputs.arrays[name], array)


def test_record_survives_json(codec: Any) -> None:
    again = codec_from_dict(json.loads(json.dumps(codec_to_dict(codec))))
    assert again == codec
    assert type(again) is type(codec)
    assert hash(again) == hash(codec)


def test_records_that_do_not_fit_are_refused(codec: Any) -> None:
    record = codec_to_dict(codec)
    with pytest.raises(WeightsError, match=r"unknown codec kind 'smell'; known: boxes, heatmap, pixels, simcc"):
        codec_from_dict({**record, "kind": "smell"})
    with pytest.raises(WeightsError, match="colour"):
        codec_from_dict({**record, "colour": "red"})
    with pytest.raises(WeightsError, match="unknown codec kind None"):
        codec_from_dict({k: v for k, v in record.items() if k != "kind"})


def test_resizing_keeps_everything_else(codec: Any) -> None:
    larger = codec.resized((2 * codec.size_wh[0], 2 * codec.size_wh[1]))
    assert larger.size_wh == (2 * codec.size_wh[0], 2 * codec.size_wh[1])
    assert {**codec_to_dict(larger), "size_wh": 0} == {**codec_to_dict(codec), "size_wh": 0}
    assert larger.resized(codec.size_wh) == codec


def test_arrays_of_another_shape_are_refused(codec: Any) -> None:
    """Also maps of another size, which would silently be read on the wrong scale."""
    shapes = codec.shapes(3)
    for change in (lambda s: (2, *s[:-1], s[-1] + 1), lambda s: s, lambda s: (2, 2, *s)):
        with pytest.raises(ShapeError, match="must be"):
            codec.decode(Outputs({k: np.zeros(change(s), np.float32) for k, s in shapes.items()}))
