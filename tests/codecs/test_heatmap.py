"""`HeatmapCodec`: closed forms of the target, and decoding against a written-out loop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vitruvian.codecs import HeatmapCodec
from vitruvian.errors import ShapeError
from vitruvian.types import Outputs


def test_a_target_is_the_gaussian_at_the_exact_position(rng: np.random.Generator) -> None:
    codec = HeatmapCodec(size_wh=(48, 64), stride=4, sigma=1.7)
    x, y = rng.uniform(0, [47, 63])
    (heatmap,) = codec.encode(np.array([[[x, y]]]), np.array([[2]])).arrays["heatmaps"][0]
    for v in range(16):
        for u in range(12):
            distance = ((u + 0.5) * 4 - 0.5 - x) ** 2 + ((v + 0.5) * 4 - 0.5 - y) ** 2  # in input pixels
            assert heatmap[v, u] == pytest.approx(np.exp(-distance / 16 / (2 * 1.7**2)), rel=1e-4, abs=1e-7)


def test_softmax_targets_are_distributions(rng: np.random.Generator) -> None:
    codec = HeatmapCodec(size_wh=(48, 64), activation="softmax")
    points = rng.uniform(-0.5, [47.5, 63.5], (3, 7, 2))
    maps = codec.encode(points, np.full((3, 7), 2)).arrays["heatmaps"]
    np.testing.assert_allclose(maps.sum(axis=(2, 3)), 1, rtol=1e-5)


@pytest.mark.parametrize("outside", ["ignored", "empty"])
@pytest.mark.parametrize("unlabelled", ["ignored", "empty"])
def test_what_outside_and_unlabelled_joints_teach(outside: str, unlabelled: str) -> None:
    """Each by its own option: nothing (weight 0), or that the map is empty (weight 1). In numpy and in torch."""
    codec = HeatmapCodec(size_wh=(48, 64), outside=outside, unlabelled=unlabelled)
    points = np.array([[[20, 30], [20, 30], [-9, 30], [20, 99], [np.nan, np.nan], [5, 5], [-9, -9]]], np.float32)
    visibility = np.array([[2, 1, 2, 1, 0, 0, 0]])
    plain = HeatmapCodec(size_wh=(48, 64)).encode(points, visibility)
    expected = [1, 1] + [float(outside == "empty")] * 2 + [float(unlabelled == "empty")] * 3
    targets = codec.encode(points, visibility)
    assert targets.weights.tolist() == [expected]
    assert targets.weights.dtype == np.float32
    np.testing.assert_array_equal(targets.arrays["heatmaps"], plain.arrays["heatmaps"])
    assert targets.arrays["heatmaps"][0, 2:].max() == 0 < targets.arrays["heatmaps"][0, :2].min()
    torch = pytest.importorskip("torch")
    tensors = codec.encode_torch(torch.from_numpy(points), torch.from_numpy(visibility))
    assert tensors.weights.tolist() == [expected]
    np.testing.assert_allclose(tensors.arrays["heatmaps"].numpy(), targets.arrays["heatmaps"], rtol=1e-4, atol=1e-7)


def test_map_and_input_pixels_follow_the_centre_rule() -> None:
    codec = HeatmapCodec(size_wh=(192, 256), stride=4)
    assert codec.to_input(0) == 1.5  # the first cell covers pixels 0, 1, 2, 3
    assert codec.to_input(47) == 189.5
    assert codec.to_map(codec.to_input(7.25)) == 7.25
    assert codec.to_input(-0.5) == -0.5
    assert codec.map_wh == (48, 64)


def _decode_slowly(heatmap: np.ndarray, blur: float) -> tuple[float, float]:
    """DARK, section 3.2, one joint at a time: smooth the whole map, take its log, one Newton step from the peak."""
    height, width = heatmap.shape
    v, u = divmod(int(heatmap.argmax()), width)
    smooth = heatmap.astype(np.float64)
    if blur > 0:
        radius = int(np.ceil(3 * blur))
        weight = [np.exp(-(d**2) / (2 * blur**2)) for d in range(-radius, radius + 1)]
        total = sum(weight)
        smooth = np.zeros((height, width))
        for y in range(height):
            for x in range(width):
                for j in range(-radius, radius + 1):
                    for i in range(-radius, radius + 1):
                        if 0 <= y + j < height and 0 <= x + i < width:
                            smooth[y, x] += heatmap[y + j, x + i] * weight[j + radius] * weight[i + radius] / total**2
    if not (0 < u < width - 1 and 0 < v < height - 1):
        return float(u), float(v)
    log = np.pad(np.log(np.maximum(smooth, 1e-10)), 2, constant_values=np.log(1e-10))
    u2, v2 = u + 2, v + 2
    gradient = np.array([log[v2, u2 + 1] - log[v2, u2 - 1], log[v2 + 1, u2] - log[v2 - 1, u2]]) / 2
    mixed = (log[v2 + 1, u2 + 1] - log[v2 + 1, u2 - 1] - log[v2 - 1, u2 + 1] + log[v2 - 1, u2 - 1]) / 4
    hessian = np.array(
        [
            [log[v2, u2 + 1] - 2 * log[v2, u2] + log[v2, u2 - 1], mixed],
            [mixed, log[v2 + 1, u2] - 2 * log[v2, u2] + log[v2 - 1, u2]],
        ]
    )
    if not (np.linalg.eigvalsh(hessian) < 0).all():
        return float(u), float(v)
    step = -np.linalg.solve(hessian, gradient)
    if (np.abs(step) > 1.5).any():
        return float(u), float(v)
    return u + float(step[0]), v + float(step[1])


@pytest.mark.parametrize("blur", [0.0, 0.6, 1.0])
def test_taylor_step_equals_the_loop(blur: float, rng: np.random.Generator) -> None:
    """On skewed, noisy, flat and border maps alike, so that every condition of the step is met."""
    codec = HeatmapCodec(size_wh=(64, 48), stride=4, blur=blur)
    points = rng.uniform(-0.5, [63.5, 47.5], (4, 6, 2))
    maps = codec.encode(points, np.full((4, 6), 2)).arrays["heatmaps"].copy()
    maps[1] = 0.7 * maps[1] + 0.3 * np.roll(maps[1], (1, 2), axis=(1, 2))  # skewed: a mixed derivative
    maps[2] += rng.normal(0, 0.05, maps[2].shape)
    maps[3] = rng.uniform(0, 1, maps[3].shape)
    maps[3, 0] = 0.25
    found, _ = codec.decode(Outputs({"heatmaps": maps}))
    refined = 0
    for b in range(4):
        for k in range(6):
            slow = np.array(_decode_slowly(maps[b, k], blur))
            np.testing.assert_allclose(codec.to_map(found[b, k]), slow, atol=2e-3)
            refined += bool((slow % 1).any())
    assert refined >= 4


@pytest.mark.parametrize("blur", [0.4, 1.0, 1.5])
def test_the_smoothed_map_is_that_of_a_loop(blur: float, rng: np.random.Generator) -> None:
    """Whole pixels: the highest of a map smoothed pixel by pixel, weights over the border left out; and its height."""
    codec = HeatmapCodec(size_wh=(44, 36), sigma=1.5, refine="argmax", blur=blur, blur_first=True)
    maps = rng.uniform(0, 0.1, (2, 5, 9, 11)).astype(np.float32)
    found, scores = codec.decode(Outputs({"heatmaps": maps}))
    reach = int(np.ceil(3 * blur))
    for b in range(2):
        for k in range(5):
            smooth = np.zeros((9, 11))
            for y in range(9):
                for x in range(11):
                    near = [(j, i) for j in range(9) for i in range(11) if max(abs(j - y), abs(i - x)) <= reach]
                    weight = [np.exp(-((j - y) ** 2 + (i - x) ** 2) / (2 * blur**2)) for j, i in near]
                    smooth[y, x] = np.dot(weight, [maps[b, k, j, i] for j, i in near]) / sum(weight)
            v, u = divmod(int(smooth.argmax()), 11)
            y, x = divmod(int(maps[b, k].argmax()), 11)
            if min(x, y, 10 - x, 8 - y) < reach and max(abs(x - u), abs(y - v)) <= np.ceil(blur):
                u, v = x, y  # the map's own peak, which the border cuts
            np.testing.assert_allclose(codec.to_map(found[b, k]), (u, v), atol=1e-5)
            assert scores[b, k] == pytest.approx(min(smooth.max() * (1 + (blur / 1.5) ** 2), 1), rel=1e-4)


def test_the_likelier_place_goes_before_the_higher_pixel() -> None:
    """One high narrow peak, and two lower ones side by side that hold more together."""
    maps = np.zeros((1, 1, 64, 48), np.float32)
    maps[0, 0, 10, 10] = 1.0
    maps[0, 0, 40, 29] = maps[0, 0, 40, 31] = 0.8
    outputs = Outputs({"heatmaps": maps})
    raw, _ = HeatmapCodec(blur=1.5, refine="argmax").decode(outputs)
    codec = HeatmapCodec(blur=1.5, blur_first=True)
    found, _ = codec.decode(outputs)
    np.testing.assert_allclose(codec.to_map(raw[0, 0]), (10, 10), atol=1e-5)
    np.testing.assert_allclose(codec.to_map(found[0, 0]), (30, 40), atol=1e-3)


@pytest.mark.parametrize(("sigma", "blur"), [(1.5, 1.5), (2.0, 1.0), (1.5, 2.0)])
def test_perfect_maps_lose_nothing_by_being_smoothed(sigma: float, blur: float, rng: np.random.Generator) -> None:
    """Anywhere, at the border too: where joints are is what it would be if only their fractions were smoothed."""
    codec = HeatmapCodec(sigma=sigma, blur=blur, blur_first=True)
    points = rng.uniform(-1, [193, 257], (16, 17, 2)).astype(np.float32)
    points[:8] = np.where(rng.random((8, 17, 2)) < 0.5, points[:8], rng.uniform(-1, 20, (8, 17, 2)))
    visible = np.full((16, 17), 2)
    outputs = Outputs(codec.encode(points, visible).arrays)
    found, scores = codec.decode(outputs)
    after, plain = replace(codec, blur_first=False).decode(outputs)
    drawn = codec.encode(points, visible).weights > 0
    np.testing.assert_allclose(found[drawn], after[drawn], atol=0.05)  # between two pixels either may be the higher
    inside = drawn & ((points > 40) & (points < (150, 215))).all(axis=-1)
    np.testing.assert_allclose(found[inside], points[inside], atol=0.05)
    assert (scores[inside] >= plain[inside] - 1e-3).all()  # a smoothed peak is flatter between pixels
    assert (scores[drawn] >= plain[drawn] - 0.1).all()


def test_smoothing_helps_with_noise(rng: np.random.Generator) -> None:
    """Jagged maps: without smoothing the logarithm's second derivatives are those of the noise."""
    codec = HeatmapCodec()
    points = rng.uniform(30, [160, 220], (12, 17, 2)).astype(np.float32)
    maps = codec.encode(points, np.full((12, 17), 2)).arrays["heatmaps"]
    noisy = maps + rng.normal(0, 0.04, maps.shape).astype(np.float32)
    error = {}
    for name, decoder in {
        "argmax": HeatmapCodec(refine="argmax"),
        "plain": codec,
        "smoothed": HeatmapCodec(blur=2.0),
    }.items():
        found, _ = decoder.decode(Outputs({"heatmaps": noisy}))
        error[name] = float(np.linalg.norm(found - points, axis=-1).mean())
    assert error["smoothed"] < 0.7 * error["plain"]
    assert error["smoothed"] < 0.5 * error["argmax"]
    assert error["smoothed"] < 1.5


def test_quarter_goes_towards_the_higher_neighbour() -> None:
    codec = HeatmapCodec(size_wh=(32, 32), refine="quarter")
    maps = np.zeros((1, 3, 8, 8), np.float32)
    maps[0, :, 3, 4] = 1
    maps[0, 0, 3, 5] = maps[0, 0, 2, 4] = 0.5
    maps[0, 1, 3, 3] = maps[0, 1, 3, 5] = 0.5  # neighbours alike: no step
    maps[0, 2, 3, 4] = 0
    maps[0, 2, 0, 7] = 1  # a corner has a neighbour on one side only
    found = codec.to_map(codec.decode(Outputs({"heatmaps": maps}))[0][0])
    assert found.tolist() == [[4.25, 2.75], [4, 3], [7, 0]]


def test_scores_of_linear_maps_are_the_peaks_height() -> None:
    codec = HeatmapCodec(size_wh=(32, 32))
    maps = np.full((1, 4, 8, 8), -1, np.float32)
    maps[0, :, 4, 4] = [0.3, 1.7, -0.5, 1.0]
    np.testing.assert_allclose(codec.decode(Outputs({"heatmaps": maps}))[1], [[0.3, 1, 0, 1]])


def test_scores_of_softmax_maps_are_mass_near_the_peak() -> None:
    """Half of the mass far away halves the score."""
    codec = HeatmapCodec(size_wh=(192, 256), activation="softmax")
    points = np.array([[[49.5, 49.5]], [[149.5, 201.5]]])
    near, far = codec.encode(points, np.full((2, 1), 2)).arrays["heatmaps"]
    mixture = np.log(np.maximum(0.6 * near + 0.4 * far, 1e-30))
    found, score = codec.decode(Outputs({"heatmaps": mixture[None]}))
    np.testing.assert_allclose(found[0, 0], points[0, 0], atol=0.05)
    assert score[0, 0] == pytest.approx(0.6, abs=0.01)


@pytest.mark.parametrize("sigma", [1.0, 2.0, 5.0, 25.0])
def test_a_map_without_a_peak_scores_its_share_of_the_area(sigma: float) -> None:
    codec = HeatmapCodec(size_wh=(512, 640), stride=4, activation="softmax", sigma=sigma)
    logits = np.full((1, 1, 160, 128), 3.0, np.float32)
    logits[0, 0, 80, 64] += 1e-3  # a peak that holds nothing, so that the window lies inside
    (score,) = codec.decode(Outputs({"heatmaps": logits}))[1].ravel()
    side = 2 * round(2 * sigma) + 1
    offsets = np.arange(-200, 201)
    inside = (
        np.exp(-(offsets**2) / (2 * sigma**2))[np.abs(offsets) <= side // 2].sum()
        / np.exp(-(offsets**2) / (2 * sigma**2)).sum()
    )
    assert score == pytest.approx(side**2 / (128 * 160) / inside**2, rel=1e-3)


@pytest.mark.parametrize(
    "options",
    [
        {"refine": "guess"},
        {"outside": "somewhere"},
        {"unlabelled": "masked"},
        {"outside": "empty", "activation": "softmax"},
        {"unlabelled": "empty", "activation": "softmax"},
        {"refine": "upsampled", "activation": "softmax"},
        {"activation": "tanh"},
        {"sigma": 0},
        {"sigma": float("nan")},
        {"blur": -1},
        {"blur": float("nan")},
        {"blur_first": True},
        {"blur_first": True, "blur": 1.0, "refine": "quarter"},
        {"blur_first": True, "blur": 1.0, "refine": "upsampled"},
        {"size_wh": (190, 256)},
        {"size_wh": (192, 250)},
        {"stride": 0},
        {"stride": -4},
        {"size_wh": (0, 0)},
    ],
)
def test_options_that_cannot_be_are_refused(options: dict) -> None:
    with pytest.raises(ShapeError):
        HeatmapCodec(**options)


@pytest.mark.parametrize("unlabelled", ["ignored", "empty"])
@pytest.mark.parametrize("outside", ["ignored", "empty"])
def test_presence_is_known_of_labelled_joints(outside: str, unlabelled: str) -> None:
    """Inside, outside, without a label: 1, 0, and nothing, unless who has no label is said to be absent."""
    codec = HeatmapCodec((64, 96), presence=True, outside=outside, unlabelled=unlabelled)
    points = np.array([[[20.0, 30.0], [70.0, 30.0], [10.0, 10.0]]], np.float32)
    targets = codec.encode(points, np.array([[2, 1, 0]]))
    unknown = 0 if unlabelled == "empty" else -1
    np.testing.assert_array_equal(targets.arrays["presence"], [[1, 0, unknown]])
    assert "presence" not in HeatmapCodec((64, 96)).encode(points, np.array([[2, 1, 0]])).arrays
