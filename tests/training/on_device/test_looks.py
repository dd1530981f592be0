"""Colour and quality of batches, each against Pillow or a definition written out."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
ndimage = pytest.importorskip("scipy.ndimage")

from vitruvian.geometry import Affine
from vitruvian.training.on_device import looks
from vitruvian.transforms import RandomPhotometry, warp

_OFF = {f.name: 0.0 for f in dataclasses.fields(RandomPhotometry) if f.name != "low_res_factor"}


def batch(rng: np.random.Generator, count: int = 3, height: int = 32, width: int = 24):
    return torch.tensor(rng.integers(0, 256, (count, 3, height, width)), dtype=torch.float32)


def picture(rng: np.random.Generator, size_wh: tuple[int, int]) -> np.ndarray:
    """Smooth colours, as photos have them."""
    coarse = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return warp(coarse, Affine.scale(8), size_wh)


def hwc(image) -> np.ndarray:
    return image.permute(1, 2, 0).numpy()


def chw(image: np.ndarray):
    return torch.tensor(image).permute(2, 0, 1)[None].float()


def test_everything_off_is_the_identity(rng: np.random.Generator) -> None:
    images = batch(rng)
    got = looks.RandomLooks(RandomPhotometry(**_OFF))(images.clone(), torch.Generator())
    assert torch.equal(got, images)


def test_tone_is_its_formula(rng: np.random.Generator) -> None:
    images = batch(rng)
    gamma, contrast, shift = rng.uniform(0.7, 1.4, 3), rng.uniform(0.6, 1.4, 3), rng.uniform(-0.2, 0.2, 3)
    gains = rng.uniform(0.8, 1.2, (3, 3))
    found = looks.tone(images, *(torch.tensor(a, dtype=torch.float32) for a in (gamma, contrast, shift, gains)))
    for i in range(3):
        level = ((images[i].double().numpy() / 255) ** gamma[i] - 0.5) * contrast[i] + 0.5 + shift[i]
        wanted = 255 * gains[i][:, None, None] * level
        off = np.abs(found[i].numpy() - np.clip(wanted, 0, 255))
        assert off.max() <= 0.5 + 1e-3
    assert torch.equal(found, found.round())


def test_grey_is_luma_in_all_channels(rng: np.random.Generator) -> None:
    images = batch(rng)
    wanted = np.einsum("bchw,c->bhw", images.double().numpy(), [0.299, 0.587, 0.114])
    got = looks.grey(images).numpy()
    assert np.abs(got - wanted[:, None]).max() <= 0.5 + 1e-3


def test_blur_is_a_gaussian_with_repeated_edges(rng: np.random.Generator) -> None:
    images, sigma = batch(rng), rng.uniform(0.3, 2.5, 3)
    got = looks.gaussian(images, torch.tensor(sigma, dtype=torch.float32), 2.5)
    for i in range(3):
        wanted = ndimage.gaussian_filter(images[i].double().numpy(), (0, sigma[i], sigma[i]), mode="nearest", radius=8)
        assert np.abs(got[i].numpy() - wanted).max() <= 0.5 + 0.3  # tails beyond three sigma


def test_low_resolution_is_pillows(rng: np.random.Generator) -> None:
    """Boxes down and triangles up, for crops of different factors in one batch; no pixel is cut in two."""
    images, factors = batch(rng, 4, 50, 38), [1.2, 2.0, 3.3, 7.5]
    got = looks.low_resolution(images, torch.tensor(factors), 1.2)
    for image, factor, found in zip(images, factors, got, strict=True):
        small = Image.fromarray(hwc(image).astype(np.uint8)).resize(
            (int(38 / factor), int(50 / factor)), Image.Resampling.BOX
        )
        wanted = np.asarray(small.resize((38, 50), Image.Resampling.BILINEAR), float)
        assert np.abs(hwc(found) - wanted).max() <= 2


@pytest.mark.parametrize("quality", [20, 49, 50, 80])
def test_jpeg_is_nearly_pillows(quality: int, rng: np.random.Generator) -> None:
    """Of a picture whose sides are no multiples of 16; what JPEG changes is several times what ours is off."""
    image = picture(rng, (84, 70))
    noisy = np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noisy).save(buffer, "JPEG", quality=quality)
    wanted = np.asarray(Image.open(buffer).convert("RGB"), float)
    found = hwc(looks.jpeg(chw(noisy), torch.tensor([float(quality)]))[0])
    changed, off = np.abs(wanted - noisy).mean(), np.abs(found - wanted).mean()
    assert off < 0.25 * changed, (off, changed)


def test_crops_of_a_batch_have_qualities_of_their_own(rng: np.random.Generator) -> None:
    images = batch(rng)
    together = looks.jpeg(images, torch.tensor([20.0, 50.0, 80.0]))
    for i, quality in enumerate((20.0, 50.0, 80.0)):
        alone = looks.jpeg(images[i : i + 1], torch.tensor([quality]))[0]
        assert (together[i] == alone).float().mean() > 0.5  # a block in which a wave rounds otherwise differs


def test_erased_rectangles_have_their_size_and_place(rng: np.random.Generator) -> None:
    images = batch(rng, 3, 40, 30)
    size = torch.tensor([[0.5, 0.25], [0.1, 0.5], [0.5, 0.5]])
    at = torch.tensor([[0.0, 0.0], [0.999, 0.999], [0.5, 0.5]])
    colour = torch.tensor([[-1.0, -2.0, -3.0]] * 3)
    got = looks.erase(images, size, at, colour, torch.tensor([True, True, False]))
    wanted = images.clone()
    wanted[0, :, :10, :15] = colour[0][:, None, None]
    wanted[1, :, 20:, 27:] = colour[1][:, None, None]
    assert torch.equal(got, wanted)


@pytest.mark.parametrize("name", [n for n in _OFF if n.endswith("_prob")])
def test_changes_come_as_often_as_asked(name: str, rng: np.random.Generator) -> None:
    """Of 4,000 crops a share of 0.3, within 4.5 standard deviations; each switch works alone."""
    amounts = _OFF | {"blur_px": 2.0, "noise": 0.2, "erase_max": 0.4} | {name: 0.3}
    images = batch(rng, 4000, 16, 16)
    generator = torch.Generator().manual_seed(int(rng.integers(1 << 31)))
    got = looks.RandomLooks(RandomPhotometry(**amounts))(images.clone(), generator)
    changed = (got != images).flatten(1).any(1).float().mean().item()
    assert abs(changed - 0.3) < 4.5 * (0.21 / 4000) ** 0.5, changed
    assert got.min() >= 0
    assert got.max() <= 255
    assert torch.equal(got, got.round())


def test_draws_follow_the_generator(rng: np.random.Generator) -> None:
    images, change = batch(rng, 8), looks.RandomLooks(RandomPhotometry())
    a, b, c = (change(images.clone(), torch.Generator().manual_seed(seed)) for seed in (5, 5, 6))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
