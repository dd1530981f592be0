"""Every model of the table, with every head: shapes, gradients, parameter counts, batch independence, refusals."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import vitruvian.models
from vitruvian.codecs import CODECS, BoxesCodec, HeatmapCodec, PixelsCodec, SimccCodec
from vitruvian.errors import ShapeError, VitruvianError
from vitruvian.models import MODELS, build_model
from vitruvian.models.layers import build_head

# Parameters with 17 joints at 256x192 and Gaussian heatmaps. A SimpleBaseline's: the ResNet of torchvision without its
# last layer (11,176,512; 21,284,672; 23,508,032; 42,500,160; 58,143,808), deconvolutions of 16 x 256 x (channels + 512)
# without bias, their norms 3 x 512, and the 1x1 head 17 x 257. `test_compact_net_by_counting` derives CompactNet's;
# the hourglass (two stacks) is compared with the published counts in tests/models/test_hourglass.py, the U-Net (here up
# to stride 4) in tests/models/test_unet.py, RTMPose (with SimCC's bins) in tests/models/test_rtmpose.py and ViTPose in
# tests/models/test_vitpose.py.
_PARAMETERS = {
    "attention_resnet_18": 15_425_241,
    "attention_resnet_34": 25_533_401,
    "attention_resnet_50": 34_048_217,
    "attention_resnet_101": 53_040_345,
    "attention_resnet_152": 68_683_993,
    "compact": 3_741_572,
    "detector": 1_967_781,
    "harmonic": 13_122_801,
    "hourglass": 6_571_554,
    "rtmpose_t": 3_337_007,
    "rtmpose_s": 5_473_251,
    "rtmpose_m": 13_587_611,
    "rtmpose_l": 27_660_339,
    "simple_baseline_18": 15_376_721,
    "simple_baseline_34": 25_484_881,
    "simple_baseline_50": 33_999_697,
    "simple_baseline_101": 52_991_825,
    "simple_baseline_152": 68_635_473,
    "unet": 30_318_673,
    "vitpose_s": 24_290_193,
    "vitpose_b": 89_993_745,
}
_RESNETS = {18: 11_176_512, 34: 21_284_672, 50: 23_508_032, 101: 42_500_160, 152: 58_143_808}
# Options that make each model quick to run; the two deepest ResNets are only counted.
_SMALL: dict[str, dict[str, Any]] = {
    "attention_resnet_18": {"width": 16},  # the backbones are SimpleBaseline's
    "compact": {"widths": (8, 12, 16, 20), "depths": (1, 2, 1), "neck": (12, 8)},
    "detector": {"widths": (4, 6, 8, 10, 12), "depths": (1, 1, 1), "neck": 8},
    "harmonic": {"streams": ((2, 2), (3, 3), (4, 4))},
    "hourglass": {"width": 32},  # narrower ones have ReLUs that are dead for a whole small batch
    "rtmpose_t": {"width": 8, "hidden": 32, "keys": 16},  # the others differ in numbers alone
    "simple_baseline_18": {"width": 16},
    "simple_baseline_34": {"width": 16},
    "simple_baseline_50": {"width": 16},
    "unet": {"width": 4},
    "vitpose_s": {"width": 32, "depth": 2, "heads": 4},
}
_JOINTS = 5
_CASES = {
    "boxes": BoxesCodec(size_wh=(64, 96)),
    "heatmap": HeatmapCodec(size_wh=(64, 96)),
    "heatmap softmax": HeatmapCodec(size_wh=(64, 96), activation="softmax"),
    "pixels": PixelsCodec(size_wh=(64, 96), stride=4, heads=("mask", "heat", "classes")),
    "simcc": SimccCodec(size_wh=(64, 96)),
}


def test_the_table_is_the_folder() -> None:
    """One family a file; ResNet is the backbone of SimpleBaseline, discriminators judge what the others find, and the
    network of the grid task gives no array of a codec in the table."""
    files = {p.stem for p in Path(vitruvian.models.__file__).parent.glob("*.py")}
    files -= {"__init__", "resnet", "discriminators", "grid_pose", "lifter"}
    assert {re.sub(r"(_resnet)?(_(\d+|[tsmlb]))?$", "", name) for name in MODELS} == files
    assert set(MODELS) == set(_PARAMETERS)
    assert {codec.kind for codec in _CASES.values()} == set(CODECS)


@pytest.fixture(params=sorted(_SMALL))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=sorted(_CASES))
def codec(request: pytest.FixtureRequest, name: str) -> Any:
    if (name == "detector") != (request.param == "boxes"):
        pytest.skip("boxes are what detectors give, and all they give (tests/models/test_detector.py)")
    if name == "harmonic" and request.param == "simcc":
        pytest.skip("a harmonic U-Net gives maps only, and says so (tests/models/test_harmonic.py)")
    if name == "rtmpose_t" and request.param != "simcc":
        pytest.skip("RTMPose gives SimCC's bins only, and says so (tests/models/test_rtmpose.py)")
    if name in ("attention_resnet_18", "hourglass") and request.param in ("pixels", "simcc"):
        pytest.skip("these families give heatmaps only, and say so (tests/models/test_attention.py, test_hourglass.py)")
    return _CASES[request.param]


def _usual(model: str) -> str:
    """A codec that the model serves."""
    return "boxes" if model == "detector" else "simcc" if model.startswith("rtmpose") else "heatmap"


def _inputs(rng: np.random.Generator, codec: Any, batch: int) -> Any:
    width, height = codec.size_wh
    return torch.from_numpy(rng.normal(size=(batch, 3, height, width)).astype(np.float32))


def _count(network: Any) -> int:
    return sum(p.numel() for p in network.parameters())


def test_forward_gives_the_codecs_arrays_and_every_parameter_learns(
    name: str, codec: Any, rng: np.random.Generator
) -> None:
    network = build_model(name, _JOINTS, codec, **_SMALL[name]).train()
    arrays = network(_inputs(rng, codec, 2))
    stacks = arrays.pop("stacks", None)  # the intermediate maps of stacked networks, in training only
    assert stacks is None or torch.equal(stacks[:, -1], arrays["heatmaps"])
    assert {k: tuple(v.shape[1:]) for k, v in arrays.items()} == codec.shapes(_JOINTS)
    assert list(arrays) == list(codec.shapes(_JOINTS))
    assert all(v.dtype == torch.float32 and len(v) == 2 for v in arrays.values())
    # A random projection: a sum would have no gradient before a norm.
    loss = sum(
        (v * torch.from_numpy(rng.normal(size=tuple(v.shape)).astype(np.float32))).sum() for v in arrays.values()
    )
    loss.backward()  # type: ignore[union-attr]
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
        assert (parameter.grad != 0).any(), parameter_name


def test_people_of_a_batch_do_not_see_each_other(name: str, codec: Any, rng: np.random.Generator) -> None:
    network = build_model(name, _JOINTS, codec, **_SMALL[name]).eval()
    inputs = _inputs(rng, codec, 3)
    with torch.no_grad():
        together = network(inputs)
        for i in range(3):
            for key, alone in network(inputs[i : i + 1]).items():
                scale = together[key].abs().max().item()
                np.testing.assert_allclose(alone[0].numpy(), together[key][i].numpy(), atol=1e-4 * scale + 1e-7)
    changed = inputs.clone()
    changed[1:] += 1
    with torch.no_grad():
        for key, value in network(changed).items():
            assert torch.equal(value[0], together[key][0])
            assert not torch.equal(value[1], together[key][1])


def test_the_same_seed_builds_the_same_network(name: str) -> None:
    codec = _CASES[_usual(name)]
    first, second = (
        (torch.manual_seed(5), build_model(name, 3, codec, **_SMALL[name]))[1].state_dict() for _ in range(2)
    )
    assert all(torch.equal(first[k], second[k]) for k in first)


def test_channels_last_changes_nothing(name: str, rng: np.random.Generator) -> None:
    codec = _CASES[_usual(name)]
    network, inputs = build_model(name, _JOINTS, codec, **_SMALL[name]).eval(), _inputs(rng, codec, 1)
    with torch.no_grad():
        expected = next(iter(network(inputs).values())).numpy()
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        found = next(iter(network(inputs.to(memory_format=torch.channels_last)).values())).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max() + 1e-7)


@pytest.mark.parametrize("full", sorted(_PARAMETERS))
def test_parameter_counts(full: str) -> None:
    with torch.device("meta"):  # shapes without memory
        codec = {"boxes": BoxesCodec, "heatmap": HeatmapCodec, "simcc": SimccCodec}[_usual(full)]()
        assert _count(build_model(full, 17, codec)) == _PARAMETERS[full]


@pytest.mark.parametrize("depth", sorted(_RESNETS))
def test_attention_by_counting(depth: int) -> None:
    """SimpleBaseline, and a CRF for each of 3 levels and 17 joints: 3x3 unary with bias, an 11x11 kernel."""
    crf = (9 * 256 + 1) + 11 * 11
    assert _PARAMETERS[f"attention_resnet_{depth}"] == _PARAMETERS[f"simple_baseline_{depth}"] + (3 + 17) * crf


@pytest.mark.parametrize("depth", sorted(_RESNETS))
def test_simple_baselines_by_counting(depth: int) -> None:
    channels = 512 if depth < 50 else 2048
    deconvolutions = 16 * 256 * (channels + 256 + 256) + 3 * 2 * 256
    assert _PARAMETERS[f"simple_baseline_{depth}"] == _RESNETS[depth] + deconvolutions + 17 * 257


def test_compact_net_by_counting() -> None:
    """Every convolution k x k x in x out without bias, two numbers a channel for its norm."""
    conv = lambda c_in, c_out, k: c_in * c_out * k * k + 2 * c_out  # noqa: E731
    block = lambda c: 2 * conv(c, c, 3)  # noqa: E731
    total = conv(3, 32, 3) + conv(32, 48, 3)
    for c_in, c_out, depth in ((48, 96, 1), (96, 192, 2), (192, 256, 1)):
        total += conv(c_in, c_out, 3) + depth * block(c_out)
    total += conv(256, 128, 1) + conv(192, 128, 1) + conv(128, 128, 3)
    total += conv(128, 96, 1) + conv(96, 96, 1) + block(96)
    total += 17 * 4 * (96 + 1)  # four maps a joint, for the pixel shuffle
    assert total == _PARAMETERS["compact"]


def test_simcc_head_by_counting() -> None:
    with torch.device("meta"):
        network = build_model("compact", 17, SimccCodec())
    cells = (192 // 8) * (256 // 8)
    assert _count(network.head) == 17 * (96 + 1) + (cells + 1) * 384 + (cells + 1) * 512


@pytest.mark.parametrize(("stride", "factor"), [(8, 1), (4, 2), (2, 4)])
def test_heatmap_heads_reach_finer_maps_by_shuffling(stride: int, factor: int, rng: np.random.Generator) -> None:
    """A pixel shuffle: fine cell (f v + j, f u + i) is channel k f^2 + j f + i at coarse (v, u)."""
    codec = HeatmapCodec(size_wh=(64, 32), stride=stride)
    head = build_head(6, 3, 8, codec)
    torch.nn.init.normal_(head.project.weight)  # type: ignore[union-attr]
    features = torch.from_numpy(rng.normal(size=(1, 6, 4, 8)).astype(np.float32))
    with torch.no_grad():
        maps, coarse = head(features)["heatmaps"][0], head.project(features)[0]  # type: ignore[union-attr, operator]
    assert tuple(maps.shape) == codec.shapes(3)["heatmaps"]
    for k, v, u, j, i in ((0, 0, 0, 0, 0), (2, 3, 7, factor - 1, 0), (1, 2, 5, 0, factor - 1)):
        assert maps[k, factor * v + j, factor * u + i] == coarse[k * factor**2 + j * factor + i, v, u]


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        ("hrnet", {}, "unknown model 'hrnet'; known: attention_resnet_101, attention_resnet_152"),
        ("compact", {"wdiths": (1, 2, 3, 4)}, "wdiths"),
        ("compact", {"widths": (8, 16, 16)}, "widths"),
        ("compact", {"depths": (1, 2)}, "depths"),
        ("compact", {"neck": 16}, "neck"),
        ("compact", {"widths": "wide"}, "widths"),
        ("compact", {"widths": (8, 16, 16, -1)}, "widths"),
        ("simple_baseline_18", {"depth": 50}, "depth"),
        ("simple_baseline_18", {"deconvs": 4}, "stride 2"),
        ("simple_baseline_18", {"deconvs": 6}, "deconvs"),
        ("simple_baseline_18", {"width": 0}, "width"),
        ("simple_baseline_18", {"width": "256"}, "width"),
    ],
)
def test_options_that_do_not_fit_are_refused(model: str, options: dict, said: str) -> None:
    with pytest.raises(VitruvianError, match=said) as caught:
        build_model(model, 17, HeatmapCodec(), **options)
    assert model in str(caught.value)


@pytest.mark.parametrize("size_wh", [(192, 248), (176, 256)])
@pytest.mark.parametrize("model", ["compact", "simple_baseline_18"])
def test_inputs_that_the_strides_do_not_divide_are_refused_at_once(model: str, size_wh: tuple[int, int]) -> None:
    with pytest.raises(VitruvianError, match="multiples of 32"):
        build_model(model, 17, HeatmapCodec(size_wh=size_wh))


def test_features_too_fine_for_the_maps_are_refused() -> None:
    with pytest.raises(ShapeError, match="stride 8 cannot give heatmaps of stride 16"):
        build_head(4, 3, 8, HeatmapCodec(size_wh=(64, 64), stride=16))

    class Other:
        kind = "smell"

    with pytest.raises(ShapeError, match="no head for a codec of kind 'smell'"):
        build_head(4, 3, 8, Other())  # type: ignore[arg-type]
