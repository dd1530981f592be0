"""CompactNet with finer features, and what sides a family wants."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vitruvian.codecs import HeatmapCodec, PixelsCodec
from vitruvian.errors import VitruvianError
from vitruvian.models import build_model, side_multiple
from vitruvian.predict.backends.torch_backend import TorchBackend
from vitruvian.training import Recipe
from vitruvian.weights.checkpoint import read_card


def test_the_mask_network_is_small() -> None:
    recipe = Recipe.load(Path(__file__).resolve().parents[2] / "recipes" / "vitruvian-mask.yaml")
    codec = PixelsCodec((192, 256), stride=2, heads=("mask",))
    with torch.device("meta"):
        network = build_model("compact", 19, codec, **recipe.model.options)
    assert sum(p.numel() for p in network.parameters()) == 2_327_154


@pytest.mark.parametrize(("fine", "stride"), [((), 8), ((8,), 4), ((8, 6), 2), ((8, 6), 1)])
def test_finer_features_give_finer_maps(fine: tuple[int, ...], stride: int) -> None:
    codec = PixelsCodec((64, 32), stride=stride, heads=("mask",))
    network = build_model("compact", 3, codec, widths=(8, 8, 8, 8), depths=(0, 0, 0), neck=(8, 8), fine=fine).eval()
    assert network(torch.zeros(1, 3, 32, 64))["mask"].shape == (1, 2, 32 // stride, 64 // stride)


@pytest.mark.parametrize("fine", [(8, 8, 8), (0,), 8])
def test_other_widths_are_refused(fine: object) -> None:
    with pytest.raises(VitruvianError, match="compact"):
        build_model("compact", 3, PixelsCodec((64, 64), stride=2), fine=fine)


def test_sides() -> None:
    assert [side_multiple("unet"), side_multiple("unet", levels=3), side_multiple("compact")] == [16, 4, 32]
    assert side_multiple("harmonic", streams=((2, 2), (2, 2), (2, 2))) == 4
    assert side_multiple("harmonic") == 16
    assert side_multiple("unet", levels="many") == 32
    with pytest.raises(VitruvianError, match="multiples of 16"):
        build_model("unet", 3, PixelsCodec((40, 48)))


def test_inner_channels_are_those_between_the_two_convolutions() -> None:
    """Each one less takes 9 (in + out) weights and two of the batch norm from its block; the default is the width."""

    def count(**options: Any) -> int:
        return sum(p.numel() for p in build_model("compact", 19, HeatmapCodec(), **options).parameters())

    assert count(inner=(96, 192, 256)) == count() == 3_742_348
    assert count(inner=(96, 144, 160)) == count() - 2 * 48 * (9 * 384 + 2) - 96 * (9 * 512 + 2)
    with pytest.raises(VitruvianError, match="inner"):
        build_model("compact", 19, HeatmapCodec(), inner=(96, 144))


def test_context_reaches_every_place_and_begins_as_nothing() -> None:
    """A trained network is the same with fresh context; once that says something, the far end of a picture counts."""
    small = {"widths": (8, 8, 8, 8), "depths": (0, 0, 0), "neck": (8, 8)}
    codec = HeatmapCodec((32, 512))
    torch.manual_seed(0)
    plain = build_model("compact", 3, codec, **small).eval()
    network = build_model("compact", 3, codec, **small, context=1).eval()
    network.load_state_dict(plain.state_dict(), strict=False)
    images = torch.randn(1, 3, 512, 32, requires_grad=True)
    assert torch.equal(network(images)["heatmaps"], plain(images)["heatmaps"])

    def reached(model: torch.nn.Module) -> int:
        """The lowest row of the picture that the top row of the maps depends on."""
        (gradient,) = torch.autograd.grad(model(images)["heatmaps"][..., 0, :].sum(), images)
        return int(gradient.abs().sum((0, 1, 3)).nonzero().max())

    torch.nn.init.normal_(network.context[0].out.weight)
    assert reached(plain) < 200
    assert reached(network) == 511


def test_context_takes_other_sizes() -> None:
    network = build_model("compact", 3, HeatmapCodec((64, 64)), context=1).eval()
    assert network(torch.zeros(1, 3, 96, 32))["heatmaps"].shape == (1, 3, 24, 8)


def test_presence_is_one_linear_layer_that_leaves_the_maps_alone() -> None:
    """Of the features' means and maxima and the maps' peaks; its loss moves the body, but no map by way of a peak."""
    torch.manual_seed(0)
    codec = HeatmapCodec((64, 64), presence=True)
    small = {"widths": (8, 8, 8, 8), "depths": (0, 0, 0), "neck": (8, 6)}
    network = build_model("compact", 3, codec, **small)
    plain = build_model("compact", 3, HeatmapCodec((64, 64)), **small)
    count = lambda net: sum(p.numel() for p in net.parameters())  # noqa: E731
    assert count(network) - count(plain) == (2 * 6 + 3) * 3 + 3
    seen = {}
    network.head.register_forward_pre_hook(lambda module, inputs: seen.update(features=inputs[0]))
    found = network(torch.rand(2, 3, 64, 64))
    peaks = found["heatmaps"].amax((2, 3))
    taken = torch.cat([seen["features"].mean((2, 3)), seen["features"].amax((2, 3)), peaks], dim=1)
    torch.testing.assert_close(found["presence"], network.head.presence(taken))
    found["presence"].sum().backward()
    assert network.head.project.weight.grad is None
    assert network.stem[0][0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["hourglass", "attention_resnet_18"])
def test_a_family_without_that_output_says_so(name: str) -> None:
    with torch.device("meta"), pytest.raises(VitruvianError, match="no output for the codec's presence"):
        build_model(name, 3, HeatmapCodec((128, 128), presence=True))


SMALL: dict[str, Any] = {"widths": (8, 8, 8, 8), "depths": (0, 1, 1), "neck": (8, 6)}


Networks = Callable[[HeatmapCodec], tuple[torch.nn.Module, torch.nn.Module]]


@pytest.fixture
def stacked(load_tool: Callable[[str], Any]) -> Networks:
    """A network of one pass, and one of two that begins with its weights as `tools/stack.py` hands them on."""

    def build(codec: HeatmapCodec) -> tuple[torch.nn.Module, torch.nn.Module]:
        torch.manual_seed(0)  # of networks as narrow as these some are dead
        plain, deeper = (build_model("compact", 3, codec, **SMALL, stacks=stacks) for stacks in (1, 2))
        with torch.no_grad():  # heads start near zero
            plain.head.project.weight.mul_(300)
        deeper.load_state_dict(load_tool("stack").stacked(plain.state_dict(), deeper.state_dict()))
        return plain, deeper

    return build


@pytest.mark.parametrize("presence", [False, True])
def test_a_second_pass_begins_as_the_first(stacked: Networks, presence: bool) -> None:
    """The same arrays; in training the maps of both passes too, which are the same as well."""
    codec = HeatmapCodec((64, 64), presence=presence)
    images = torch.rand(2, 3, 64, 64)
    plain, deeper = stacked(codec)
    expected, found = plain.eval()(images), deeper.eval()(images)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    expected, found = plain.train()(images), deeper.train()(images)
    assert found.keys() - expected.keys() == {"stacks"}
    torch.testing.assert_close(found["stacks"], torch.stack([expected["heatmaps"]] * 2, dim=1))


def test_the_second_pass_hears_of_the_first(stacked: Networks) -> None:
    """Once the merge says something, what the first pass alone made of the picture moves the last maps."""
    _, deeper = stacked(HeatmapCodec((64, 64)))
    again = deeper.eval().again[0]
    torch.nn.init.normal_(again.merge.weight)
    images = torch.rand(1, 3, 64, 64)
    before = deeper(images)["heatmaps"]
    with torch.no_grad():
        deeper.fuse8.conv2[1].bias.add_(1)
    assert not torch.allclose(deeper(images)["heatmaps"], before)
    torch.nn.init.zeros_(again.merge.weight)
    silent = deeper(images)["heatmaps"]
    with torch.no_grad():
        deeper.fuse8.conv2[1].bias.add_(1)
    assert torch.equal(deeper(images)["heatmaps"], silent)


def test_every_pass_is_taught(stacked: Networks) -> None:
    _, deeper = stacked(HeatmapCodec((64, 64), presence=True))
    found = deeper.train()(torch.rand(2, 3, 64, 64))
    (found["stacks"].square().mean() + found["presence"].square().mean()).backward()
    assert [name for name, p in deeper.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("options", [{"stacks": 0}, {"stacks": 2, "context": 1}, {"stacks": 2, "fine": (8,)}])
def test_stacks_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(VitruvianError, match="stacks"):
        build_model("compact", 3, HeatmapCodec((64, 64)), **options)


def test_the_tool_writes_a_deeper_network_once(
    load_tool: Callable[[str], Any], tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That finds what the shallower one does; what has two passes already is refused."""
    deep, deeper = tmp_path / "deep.safetensors", tmp_path / "deeper.safetensors"
    monkeypatch.setattr("sys.argv", ["stack.py", str(tiny_checkpoint), str(deep)])
    load_tool("stack").main()
    crops = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    expected, found = (TorchBackend(path).run(crops).arrays for path in (tiny_checkpoint / "best.safetensors", deep))
    np.testing.assert_array_equal(found["heatmaps"], expected["heatmaps"])
    assert read_card(deep).options["stacks"] == 2
    monkeypatch.setattr("sys.argv", ["stack.py", str(deep), str(deeper)])
    with pytest.raises(SystemExit):
        load_tool("stack").main()
    assert not deeper.exists()
