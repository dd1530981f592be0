"""RTMPose: the published sizes, what the attention does, the temperature, ONNX."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch.utils.flop_counter import FlopCounterMode

from vitruvian.codecs import HeatmapCodec, SimccCodec
from vitruvian.errors import VitruvianError
from vitruvian.models import build_model
from vitruvian.models.rtmpose import CspStage, GatedAttention, PoolPyramid, ScaleNorm

# Parameters in millions and multiply-adds in G at 256x192 with 17 joints, as the project publishes them
# (github.com/open-mmlab/mmpose, projects/rtmpose/README.md, "Body 2d (17 Keypoints)"). Its counter adds norms and
# activations, which are less than 2 %.
_PUBLISHED = {"t": (3.34, 0.36), "s": (5.47, 0.68), "m": (13.59, 1.93), "l": (27.66, 4.16)}
_SMALL = {"width": 8, "hidden": 32, "keys": 16}


@pytest.mark.parametrize("size", _PUBLISHED)
def test_published_parameters_and_operations(size):
    millions, giga = _PUBLISHED[size]
    with torch.device("meta"):
        network = build_model(f"rtmpose_{size}", 17, SimccCodec()).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, 256, 192))
    assert round(sum(p.numel() for p in network.parameters()) / 1e6, 2) == millions
    assert 0.98 * giga <= counter.get_total_flops() / 2e9 <= giga


def test_head_by_counting():
    """7x7 maps with bias, three gains of norms, 48 cells to 256 numbers, a gated unit of 512 and 128, two axes."""
    with torch.device("meta"):
        head = build_model("rtmpose_s", 17, SimccCodec()).head
    unit = 256 * (2 * 512 + 128) + 4 * 128 + 512 * 256 + 256
    assert sum(p.numel() for p in head.parameters()) == 17 * (49 * 512 + 1) + 2 + 48 * 256 + unit + 256 * (384 + 512)


def test_scale_norm_has_a_root_mean_square_of_its_gain(rng):
    x = torch.from_numpy(rng.normal(3, 5, (4, 7, 24)).astype(np.float32))
    norm = ScaleNorm(24)
    torch.nn.init.constant_(norm.gain, 1.7)
    np.testing.assert_allclose((norm(x) ** 2).mean(-1).sqrt().detach(), 1.7, rtol=1e-5)
    np.testing.assert_allclose(norm(10 * x).detach(), norm(x).detach(), rtol=1e-5)
    assert (norm(torch.zeros(1, 1, 24)) == 0).all()


def test_gated_attention_against_its_formula(rng):
    """Joint by joint, in float64."""
    torch.manual_seed(int(rng.integers(1 << 30)))
    unit = GatedAttention(6, 10, 4).double()
    x = torch.from_numpy(rng.normal(size=(1, 3, 6)))
    with torch.no_grad():
        found = unit(x)[0].numpy()
        weight, out = unit.project.weight.numpy(), unit.out.weight.numpy()
    gamma, beta = unit.gamma.detach().numpy(), unit.beta.detach().numpy()
    normed = x[0].numpy() / np.sqrt((x[0].numpy() ** 2).mean(-1, keepdims=True))
    parts = normed @ weight.T
    parts = parts / (1 + np.exp(-parts))
    gate, values, shared = np.split(parts, [10, 20], axis=1)
    for i in range(3):
        seen = np.zeros(10)
        for j in range(3):
            likeness = (shared[i] * gamma[0] + beta[0]) @ (shared[j] * gamma[1] + beta[1]) / np.sqrt(4)
            seen += max(likeness, 0) ** 2 * values[j]
        np.testing.assert_allclose(found[i], x[0, i].numpy() + out @ (gate[i] * seen), atol=1e-10)


def test_joints_see_each_other(rng):
    """A change in one joint's vector reaches the others, through the attention alone."""
    unit = GatedAttention(16, 32, 8)
    x = torch.from_numpy(rng.normal(size=(1, 5, 16)).astype(np.float32))
    changed = x.clone()
    changed[0, 2] = -changed[0, 2] + 1
    with torch.no_grad():
        difference = (unit(changed) - unit(x)).abs().amax(-1)[0]
    assert (difference > 0).all()


def test_a_stage_without_channel_weights_halves_its_input(rng):
    """The attention over channels is a hard sigmoid: at 0 it is 1/2 for all of them, at 3 and more it is 1."""
    stage = CspStage(8, 1, shortcut=True).eval()
    x = torch.from_numpy(rng.normal(size=(2, 8, 6, 5)).astype(np.float32))
    torch.nn.init.zeros_(stage.weigh.weight)
    with torch.no_grad():
        both = torch.cat([stage.blocks(stage.through(x)), stage.around(x)], dim=1)
        for bias, factor in ((0.0, 0.5), (4.0, 1.0), (-3.0, 0.0), (1.5, 0.75)):
            torch.nn.init.constant_(stage.weigh.bias, bias)
            np.testing.assert_allclose(stage(x), stage.mix(both * factor), atol=1e-6)


def test_a_pool_pyramid_spreads_a_bright_cell_by_six(rng):
    """13 cells wide, so 6 to each side; beyond that nothing changes."""
    pyramid = PoolPyramid(4).eval()
    torch.nn.init.constant_(pyramid.reduce[0].weight, 1.0)
    torch.nn.init.constant_(pyramid.mix[0].weight, 1.0)
    dark = torch.zeros(1, 4, 21, 21)
    bright = dark.clone()
    bright[0, :, 10, 10] = 5
    with torch.no_grad():
        changed = (pyramid(bright) - pyramid(dark)).abs().sum(1)[0] > 1e-6
    expected = np.zeros((21, 21), bool)
    expected[4:17, 4:17] = True
    np.testing.assert_array_equal(changed, expected)


def test_the_temperature_divides_the_logits(rng):
    codecs = [SimccCodec((64, 96)), SimccCodec((64, 96), temperature=0.1)]
    seed, outputs = int(rng.integers(1 << 30)), []
    inputs = torch.from_numpy(rng.normal(size=(1, 3, 96, 64)).astype(np.float32))
    for codec in codecs:
        torch.manual_seed(seed)
        with torch.no_grad():
            outputs.append(build_model("rtmpose_t", 5, codec, **_SMALL).eval()(inputs))
    for name, plain in outputs[0].items():
        np.testing.assert_allclose(outputs[1][name], 10 * plain, rtol=1e-5)


@pytest.mark.parametrize(
    ("codec", "options", "said"),
    [
        (HeatmapCodec(), {}, "gives SimCC's bins"),
        (SimccCodec(), {"width": 9}, "even"),
        (SimccCodec(), {"kernel": 4}, "odd"),
        (SimccCodec(), {"blocks": (1, 2)}, "blocks"),
        (SimccCodec(), {"hidden": -1}, "hidden"),
        (SimccCodec(), {"depth": 3}, "depth"),
    ],
)
def test_what_does_not_fit_is_refused(codec, options, said):
    with pytest.raises(VitruvianError, match=said):
        build_model("rtmpose_s", 17, codec, **options)
