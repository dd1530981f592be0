"""Discriminators: the published count, shapes, gradients, and what each of them can see."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vitruvian.errors import ShapeError
from vitruvian.models.discriminators import DISCRIMINATORS, FcDiscriminator, MapAutoencoder


def test_parameters_of_the_systems_discriminator() -> None:
    """Four bottlenecks of 128 channels, one from 19 with a shortcut, linear layers from 128 x 16 x 16 to 128 to 16."""
    block = lambda c: c * 64 + 64 + 64 * 64 * 9 + 64 + 64 * 128 + 128  # noqa: E731
    expected = 4 * block(128) + block(19) + 19 * 128 + 128 + (128 * 16 * 16 + 1) * 128 + 129 * 16
    with torch.device("meta"):
        count = sum(p.numel() for p in FcDiscriminator(16, True, (256, 256)).parameters())
    assert count == expected
    assert round(count / 1e6, 2) == 4.46


@pytest.mark.parametrize("picture", [True, False])
@pytest.mark.parametrize("name", sorted(DISCRIMINATORS))
def test_one_logit_a_joint_from_everything_it_sees(name: str, picture: bool, rng: np.random.Generator) -> None:
    judge = DISCRIMINATORS[name](5, picture, (32, 48), 8)
    draw = lambda channels: torch.from_numpy(rng.normal(size=(3, channels, 48, 32)).astype(np.float32))  # noqa: E731
    maps, image = draw(5).requires_grad_(), draw(3).requires_grad_()
    logits = judge(maps, image if picture else None)
    assert tuple(logits.shape) == (3, 5)
    (logits * torch.from_numpy(rng.normal(size=(3, 5)).astype(np.float32))).sum().backward()
    assert (maps.grad != 0).any(dim=(0, 2, 3)).all()  # type: ignore[union-attr, operator]
    assert not picture or (image.grad != 0).any(dim=(0, 2, 3)).all()  # type: ignore[union-attr, operator]
    for parameter_name, parameter in judge.named_parameters():
        assert parameter.grad is not None, parameter_name


def test_the_autoencoder_gives_maps_of_the_same_shape(rng: np.random.Generator) -> None:
    maps = torch.from_numpy(rng.normal(size=(2, 5, 32, 16)).astype(np.float32))
    picture = torch.from_numpy(rng.normal(size=(2, 3, 32, 16)).astype(np.float32))
    assert MapAutoencoder(5, (16, 32), 8)(maps, picture).shape == maps.shape


@pytest.mark.parametrize("name", sorted(DISCRIMINATORS))
def test_maps_that_the_poolings_do_not_divide_are_refused(name: str) -> None:
    with pytest.raises(ShapeError, match="multiples of 16"):
        DISCRIMINATORS[name](5, True, (24, 32), 8)
