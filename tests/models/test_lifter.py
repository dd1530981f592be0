"""Lifters: parameters by counting, what a result depends on, the root, learning, refusals."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vitruvian.errors import ShapeError, VitruvianError
from vitruvian.losses import pose_mpjpe
from vitruvian.models.lifter import LIFTERS, MlpLifter, TemporalLifter, build_lifter


def _tensor(rng: np.random.Generator, *shape: int) -> torch.Tensor:
    return torch.from_numpy(rng.normal(size=shape).astype(np.float32))


@pytest.mark.parametrize(("width", "blocks"), [(256, 2), (1024, 2), (8, 1)])
def test_parameters_of_the_mlp_by_counting(width: int, blocks: int) -> None:
    """Every linear layer has a bias, and a norm of two numbers a unit; 16 joints come out, the root is no parameter."""
    count = sum(p.numel() for p in MlpLifter(width, blocks).parameters())
    assert count == (42 + 1 + 2) * width + 2 * blocks * (width + 3) * width + (width + 1) * 48


def test_parameters_of_the_temporal_one_by_counting() -> None:
    count = sum(p.numel() for p in TemporalLifter(128, 3).parameters())
    assert count == (3 * 42 + 2) * 128 + 2 * ((3 * 128 + 2) + (128 + 2)) * 128 + (128 + 1) * 48


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_a_result_sees_its_neighbours_and_no_others(rng: np.random.Generator, levels: int) -> None:
    torch.manual_seed(int(rng.integers(2**31)))
    network = TemporalLifter(16, levels).eval()
    frames, t = 3**levels, 2
    assert network.frames == frames
    inputs = _tensor(rng, 1, frames + 5, 14, 3).requires_grad_()
    found = network(inputs)
    assert found.shape == (1, 6, 17, 3)
    found[0, t].abs().sum().backward()
    touched = inputs.grad.abs().sum((0, 2, 3)) > 0  # type: ignore[union-attr]
    assert not touched[:t].any()
    assert not touched[t + frames :].any()
    assert touched[t + frames // 2]  # the residual way of its own frame


def test_rows_and_windows_agree(rng: np.random.Generator) -> None:
    """Each result of a long row is that of its window alone."""
    network = TemporalLifter(16, 2).eval()
    inputs = _tensor(rng, 2, 14, 14, 3)
    with torch.no_grad():
        whole = network(inputs)
        for t in range(6):
            torch.testing.assert_close(network(inputs[:, t : t + 9])[:, 0], whole[:, t], rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("name", LIFTERS)
def test_the_root_is_zero_and_every_parameter_learns(rng: np.random.Generator, name: str) -> None:
    network = build_lifter(name, width=16, dropout=0.0).train()
    shape = (8, 14, 3) if network.frames == 1 else (4, 30, 14, 3)
    found = network(_tensor(rng, *shape))
    assert found.shape == ((8, 17, 3) if network.frames == 1 else (4, 4, 17, 3))
    assert not found[..., 0, :].any()
    (found * _tensor(rng, *found.shape)).sum().backward()
    for key, parameter in network.named_parameters():
        # A bias before a norm cancels: its gradient is rounding.
        assert parameter.grad is not None, key
        assert parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize("name", LIFTERS)
def test_it_learns_a_linear_rule(rng: np.random.Generator, name: str) -> None:
    torch.manual_seed(0)
    network = build_lifter(name, width=64, dropout=0.0, **({} if name == "lifter_mlp" else {"levels": 1})).train()
    rule = _tensor(rng, 42, 48) * 60
    inputs = _tensor(rng, *((256, 14, 3) if network.frames == 1 else (16, 18, 14, 3)))
    seen = inputs if network.frames == 1 else inputs[:, 1:-1]
    truth = torch.nn.functional.pad((seen.flatten(-2) @ rule).unflatten(-1, (16, 3)), (0, 0, 1, 0)).flatten(0, -3)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(150):
        loss = pose_mpjpe(network(inputs).flatten(0, -3), truth, torch.ones(truth.shape[:2]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 3


def test_refusals() -> None:
    with pytest.raises(ShapeError, match="x, y, score"):
        MlpLifter(8)(torch.zeros(2, 17, 2))
    with pytest.raises(ShapeError, match="B, T"):
        TemporalLifter(8)(torch.zeros(2, 14, 3))
    for options in ({"width": 0}, {"depth": 3}):
        with pytest.raises(VitruvianError, match="lifter_mlp"):
            build_lifter("lifter_mlp", **options)
    with pytest.raises(VitruvianError, match="unknown lifter"):
        build_lifter("lifter")
