"""PersonNet: its size, its gradients, its answer's shape and range."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vitruvian.codecs import BoxesCodec, HeatmapCodec
from vitruvian.errors import VitruvianError
from vitruvian.models import build_model
from vitruvian.models.compact import CompactNet
from vitruvian.models.detector import PersonNet

_SMALL = {"widths": (4, 6, 8, 10, 12), "depths": (1, 1, 1), "neck": 8}


def test_it_is_small_enough_for_cpus() -> None:
    """At most 2 M parameters and 1.5 GFLOP (a multiplication and an addition are two) at 320x320."""
    from torch.utils.flop_counter import FlopCounterMode

    network = PersonNet(1, BoxesCodec()).eval()
    assert sum(p.numel() for p in network.parameters()) <= 2_000_000
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, 320, 320))
    assert counter.get_total_flops() <= 1.5e9


def test_forward_gives_the_codecs_arrays_and_every_parameter_learns(rng: np.random.Generator) -> None:
    codec = BoxesCodec(size_wh=(96, 64))
    network = build_model("detector", 1, codec, **_SMALL).train()
    arrays = network(torch.from_numpy(rng.normal(size=(2, 3, 64, 96)).astype(np.float32)))
    assert {k: tuple(v.shape[1:]) for k, v in arrays.items()} == codec.shapes(1)
    assert bool((arrays["edges"] > 0).all())
    loss = sum(
        (v * torch.from_numpy(rng.normal(size=tuple(v.shape)).astype(np.float32))).sum() for v in arrays.values()
    )
    loss.backward()  # type: ignore[union-attr]
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert bool((parameter.grad != 0).any()), name


def test_points_see_the_place_they_are_at(rng: np.random.Generator) -> None:
    """A change in one corner of the picture changes the scores near it most, in the order of the codec's points."""
    codec = BoxesCodec(size_wh=(96, 64))
    wide = {**_SMALL, "widths": (8, 12, 16, 20, 24), "neck": 32}  # narrower ones may have no living ReLU at a corner
    network = build_model("detector", 1, codec, **wide).eval()
    points, strides = codec.points_px()
    blank = torch.zeros(1, 3, 64, 96)
    for x, y in ((3, 3), (91, 3), (3, 59), (91, 59)):
        touched = blank.clone()
        touched[..., y - 3 : y + 4, x - 3 : x + 4] = 8 * torch.from_numpy(rng.normal(size=(3, 7, 7))).float()
        with torch.no_grad():
            change = (network(touched)["people"] - network(blank)["people"]).abs()[0].numpy()
        finest = strides == 8
        mean = np.average(points[finest], axis=0, weights=change[finest] ** 2 + 1e-12)
        assert (mean[0] > 47.5) == (x > 47.5)
        assert (mean[1] > 31.5) == (y > 31.5)


def test_it_can_begin_as_a_pose_model() -> None:
    """Stem and stages of the two families have one shape and one naming; other blocks are passed over."""
    stages = {"depths": (1, 2, 0), "inner": (6, 7, 12)}
    pose = CompactNet(5, HeatmapCodec((64, 96)), widths=(6, 8, 10, 12), neck=(8, 8), **{**stages, "depths": (1, 2, 1)})
    network = PersonNet(1, BoxesCodec(), widths=(32, 6, 8, 10, 12), neck=8, **stages)
    theirs = pose.state_dict()
    shared = [name for name in network.state_dict() if name.startswith(("stem", "stage"))]
    assert {name.split(".")[0] for name in shared} == {"stem", "stage8", "stage16", "stage32"}
    for name in shared:
        assert network.state_dict()[name].shape == theirs[name].shape, name
    again = PersonNet(1, BoxesCodec(), widths=(32, 6, 8, 10, 12), neck=8, **stages)
    again.load_state_dict({name: theirs[name] for name in shared}, strict=False)
    image = torch.rand(1, 3, 96, 64)
    with torch.no_grad():
        torch.testing.assert_close(again.eval().stage8(again.stem(image)), pose.eval().stage8(pose.stem(image)))


def test_other_codecs_are_refused() -> None:
    with pytest.raises(VitruvianError, match="codec of boxes"):
        PersonNet(17, HeatmapCodec())
    with pytest.raises(VitruvianError, match="codec of boxes"):
        PersonNet(1, BoxesCodec(strides=(8, 16)))
