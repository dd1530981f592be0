"""ViTPose: the published sizes, attention against its formula, positions, stochastic depth, the simple decoder."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch.utils.flop_counter import FlopCounterMode

from vitruvian.codecs import HeatmapCodec, SimccCodec
from vitruvian.errors import VitruvianError
from vitruvian.models import build_model
from vitruvian.models.layers import TransformerBlock, placed
from vitruvian.models.vitpose import PATCH, SIZES, SimpleDecoder

_SMALL = {"width": 32, "depth": 2, "heads": 4}


def _counted(size, decoder):
    """Parameters of the transformer and of the whole network, and G multiply-adds at 256x192."""
    with torch.device("meta"):
        network = build_model(f"vitpose_{size}", 17, HeatmapCodec(), decoder=decoder).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, 256, 192))
    sizes = {name: p.numel() for name, p in network.named_parameters()}
    head = sum(n for name, n in sizes.items() if name.startswith("head."))
    return sum(sizes.values()) - head, sum(sizes.values()), counter.get_total_flops() / 2e9


def test_published_parameters():
    """The paper says 86 M of the ViT-B. Of the released float32 files (Voxel51's model zoo: 343.33 and 327.75 MiB)
    nearly all are parameters; the class token's position, 768 numbers, is what ours has not."""
    backbone, classic, _ = _counted("b", "deconvolutions")
    assert round(backbone / 1e6) == 86
    assert 4 * classic / 2**20 == pytest.approx(343.33, rel=1e-3)
    assert 4 * _counted("b", "simple")[1] / 2**20 == pytest.approx(327.75, rel=1e-3)


@pytest.mark.parametrize("size", SIZES)
def test_operations_by_counting(size):
    """Of 192 tokens; every product that the networks consist of."""
    width, depth, _ = SIZES[size]
    tokens = (256 // PATCH) * (192 // PATCH)
    blocks = depth * (12 * tokens * width**2 + 2 * tokens**2 * width)
    patches = tokens * 3 * PATCH**2 * width
    classic = 16 * 256 * tokens * (width + 4 * 256) + 16 * tokens * 256 * 17
    simple = 16 * tokens * 9 * width * 17
    for decoder, head in (("deconvolutions", classic), ("simple", simple)):
        assert _counted(size, decoder)[2] == pytest.approx((blocks + patches + head) / 1e9, rel=1e-6)


def test_a_block_against_its_formula(rng):
    """In float64, head by head."""
    torch.manual_seed(int(rng.integers(1 << 30)))
    block = TransformerBlock(12, 3, drop=0.0).double().eval()
    x = rng.normal(size=(5, 12))
    with torch.no_grad():
        found = block(torch.from_numpy(x)[None])[0].numpy()
        weights = {name: p.numpy() for name, p in block.named_parameters()}

        def norm(v):
            return (v - v.mean(-1, keepdims=True)) / np.sqrt(v.var(-1, keepdims=True) + 1e-6)

        queries, keys, values = np.split(norm(x) @ weights["qkv.weight"].T + weights["qkv.bias"], 3, axis=1)
        seen = []
        for h in range(3):
            part = slice(4 * h, 4 * h + 4)
            likeness = np.exp(queries[:, part] @ keys[:, part].T / np.sqrt(4))
            seen.append(likeness / likeness.sum(-1, keepdims=True) @ values[:, part])
        y = x + np.concatenate(seen, axis=1) @ weights["out.weight"].T + weights["out.bias"]
        inner = torch.nn.functional.gelu(
            torch.from_numpy(norm(y) @ weights["mlp.0.weight"].T + weights["mlp.0.bias"])
        ).numpy()
    np.testing.assert_allclose(found, y + inner @ weights["mlp.2.weight"].T + weights["mlp.2.bias"], atol=1e-10)


def test_without_positions_moved_patches_are_moved_tokens(rng):
    """The transformer itself does not know where a patch is; with positions it does."""
    network = build_model("vitpose_s", 3, HeatmapCodec((64, 64)), **_SMALL, decoder="simple").eval()
    network.head = torch.nn.Identity()
    image = torch.from_numpy(rng.normal(size=(1, 3, 64, 64)).astype(np.float32))
    moved = torch.roll(image, (PATCH, 2 * PATCH), (2, 3))
    with torch.no_grad():
        assert not torch.allclose(network(moved), torch.roll(network(image), (1, 2), (2, 3)), atol=1e-4)
        torch.nn.init.zeros_(network.positions)
        np.testing.assert_allclose(network(moved), torch.roll(network(image), (1, 2), (2, 3)), atol=1e-4)


def test_positions_are_interpolated_for_another_size(rng):
    network = build_model("vitpose_s", 3, HeatmapCodec((64, 96)), **_SMALL).eval()
    with torch.no_grad():
        torch.nn.init.constant_(network.positions, 0.7)
        tokens = placed(torch.zeros(1, 24, 3, 5), network.positions[:, :1].expand(1, 24, -1, -1))
        np.testing.assert_allclose(tokens, 0.7, atol=1e-6)
        assert network(torch.zeros(1, 3, 64, 32))["heatmaps"].shape == (1, 3, 16, 8)


def test_stochastic_depth_keeps_the_mean_and_rests_when_evaluating(rng):
    block = TransformerBlock(8, 2, drop=0.25)
    torch.manual_seed(int(rng.integers(1 << 30)))
    branch = torch.ones(4000, 3, 8)
    kept = block.train()._kept(branch)
    np.testing.assert_allclose(np.unique(kept.numpy()), [0, 1 / 0.75], rtol=1e-6)
    assert (kept == kept[:, :1, :1]).all()  # a whole picture's branch or none of it
    assert abs(float(kept.mean()) - 1) < 6 * np.sqrt(0.25 / 0.75 / 4000)
    assert torch.equal(block.eval()._kept(branch), branch)


def test_stochastic_depth_rises_to_the_last_block():
    network = build_model("vitpose_s", 3, HeatmapCodec(), depth=4, width=32, heads=4, drop_path=0.3)
    np.testing.assert_allclose([block.drop for block in network.blocks], [0, 0.1, 0.2, 0.3])


def test_the_simple_decoder_enlarges_by_the_pixel_rule(rng):
    """A linear slope across stride-16 cells stays the same slope on stride-4 maps, centre over centre."""
    decoder = SimpleDecoder(1, 1, HeatmapCodec((128, 128)))
    with torch.no_grad():
        decoder.project.weight.zero_()
        decoder.project.weight[0, 0, 1, 1] = 1
        slope = torch.arange(8.0).expand(1, 1, 8, 8) * PATCH + (PATCH - 1) / 2 + 1  # input pixels, plus 1: above ReLU
        maps = decoder(slope)["heatmaps"][0, 0]
    centres = np.arange(32) * 4 + 1.5
    np.testing.assert_allclose(maps[:, 2:-2], np.broadcast_to(centres + 1, (32, 32))[:, 2:-2], atol=1e-4)


@pytest.mark.parametrize(
    ("codec", "options", "said"),
    [
        (SimccCodec(), {"decoder": "simple"}, "simple for heatmaps"),
        (HeatmapCodec(), {"decoder": "heavy"}, "heavy"),
        (HeatmapCodec(), {"width": 100, "heads": 3}, "multiple of heads"),
        (HeatmapCodec(), {"drop_path": 1.0}, "drop_path"),
        (HeatmapCodec(), {"depth": -2}, "depth"),
    ],
)
def test_what_does_not_fit_is_refused(codec, options, said):
    with pytest.raises(VitruvianError, match=said):
        build_model("vitpose_s", 17, codec, **options)
