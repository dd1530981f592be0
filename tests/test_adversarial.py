"""Adversarial objectives: identities, signs, labels, the equilibrium; each against a closed form."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vitruvian import adversarial as A
from vitruvian.errors import ShapeError


def _draw(rng: np.random.Generator, shape: tuple[int, int] = (6, 5)) -> tuple:
    """Logits for real and fake maps, labels and weights, as torch tensors; every label comes."""
    real, fake = (torch.from_numpy(rng.normal(0, 1.5, shape)) for _ in range(2))
    right = torch.from_numpy(rng.integers(0, 2, shape).astype(np.float64))
    right[0, 0], right[0, 1] = 0, 1
    weights = torch.from_numpy((rng.random(shape) < 0.8).astype(np.float64))
    weights[0, :2] = 1
    return real, fake, right, weights


def _by_hand(mode: str, real: float, fake: float, p: float) -> tuple[float, float]:
    """Discriminator's and generator's loss of one joint, straight from the formulas in probabilities."""
    r, d = 1 / (1 + np.exp(-real)), 1 / (1 + np.exp(-fake))
    if mode == "sane":
        return -np.log(r) - (p * np.log(d) + (1 - p) * np.log(1 - d)), -np.log(d)
    inner = (d - p) if mode == "paper" else abs(d - p)
    term = np.log(1 - inner)
    return -np.log(r) - term, -term if mode == "cooperative" else term


@pytest.mark.parametrize("mode", A.MODES)
def test_losses_are_the_formulas_averaged_over_joints_that_count(mode: str, rng: np.random.Generator) -> None:
    real, fake, right, weights = _draw(rng)
    sums, total = np.zeros(2), 0.0
    for i, j in np.ndindex(*real.shape):
        if weights[i, j] > 0:
            sums += _by_hand(mode, float(real[i, j]), float(fake[i, j]), float(right[i, j]))
            total += 1
    expected = sums / total
    assert A.discriminator_loss(mode, real, fake, right, weights).item() == pytest.approx(expected[0], rel=1e-4)
    assert A.generator_loss(mode, fake, right, weights).item() == pytest.approx(expected[1], rel=1e-4)


def test_identity_of_the_absolute_value(rng: np.random.Generator) -> None:
    """BCE(|P - p|, 0) = BCE(P, p) for binary p."""
    bce = torch.nn.functional.binary_cross_entropy
    probability = torch.from_numpy(rng.uniform(0.01, 0.99, (50,)))
    label = torch.from_numpy(rng.integers(0, 2, 50).astype(np.float64))
    left = bce((probability - label).abs(), torch.zeros(50, dtype=torch.float64), reduction="none")
    np.testing.assert_allclose(left.numpy(), bce(probability, label, reduction="none").numpy(), rtol=1e-9)


@pytest.mark.parametrize("mode", A.MODES)
def test_whether_generator_and_discriminator_pull_apart(mode: str, rng: np.random.Generator) -> None:
    """The sign of the two gradients at the discriminator's logit for generated maps."""
    real, fake, right, weights = _draw(rng)
    gradients = []
    for loss in (
        lambda f: A.discriminator_loss(mode, real, f, right, weights),
        lambda f: A.generator_loss(mode, f, right, weights),
    ):
        leaf = fake.clone().requires_grad_()
        loss(leaf).backward()
        gradients.append(leaf.grad)
    judge, generator = gradients
    counted, wrong = weights > 0, (weights > 0) & (right == 0)
    assert (judge[counted] != 0).all()  # type: ignore[index]
    same = torch.sign(judge) == torch.sign(generator)  # type: ignore[arg-type]
    if mode == "cooperative":
        torch.testing.assert_close(judge, generator)
    elif mode in ("paper", "paper_abs"):
        torch.testing.assert_close(judge, -generator)  # type: ignore[operator]
    else:
        assert not same[wrong].any(), "a wrong joint: the judge lowers D, the generator raises it"
        assert same[counted & (right == 1)].all(), "a right joint is to look right to both"
    if mode in ("sane", "paper"):
        assert (generator[counted] < 0).all(), "the generator always raises D"  # type: ignore[index]
    if mode == "paper_abs":
        assert (generator[counted & (right == 1)] > 0).all(), "the perverse half: right joints are to look wrong"  # type: ignore[index]
    assert (generator[weights == 0] == 0).all()  # type: ignore[index]


def test_nobody_counts_gives_zero_and_not_nan(rng: np.random.Generator) -> None:
    real, fake, right, weights = _draw(rng)
    for mode in A.MODES:
        assert A.discriminator_loss(mode, real, fake, right, weights * 0).item() == 0


def test_right_by_distance_is_pckh(rng: np.random.Generator) -> None:
    truth = torch.tensor([[[10.0, 10.0], [20.0, 20.0], [30.0, 30.0]], [[5.0, 5.0], [6.0, 6.0], [float("nan")] * 2]])
    found = truth + torch.tensor([[[0.0, 4.999], [3.0, 4.001], [3.0, 4.0]], [[0.0, 0.0]] * 3])
    weights = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    right, counted = A.right_by_distance(found, truth, torch.tensor([10.0, float("nan")]), weights, 0.5)
    assert right[0].tolist() == [1, 0, 1]
    assert counted.tolist() == [[1, 1, 0], [0, 0, 0]], "nobody is judged by a length that is not known"


def test_right_by_maps_compares_energies() -> None:
    """A map of half the height has a quarter of the energy as error; an empty one all of it."""
    truth = torch.zeros(1, 4, 8, 8)
    truth[0, :3, 3, 3] = 1.0
    found = torch.stack([truth[0, 0] * 0.5, truth[0, 0] * 0, truth[0, 0], truth[0, 0] * 0])[None]
    assert A.right_by_maps(found, truth, 0.25).tolist() == [[1, 0, 1, 1]]
    assert A.right_by_maps(found, truth, 0.2499).tolist() == [[0, 0, 1, 1]]
    found[0, 3, 0, 0] = 0.6
    assert A.right_by_maps(found, truth, 0.25)[0, 3] == 0, "a peak where nothing is"


def test_equilibrium_by_hand() -> None:
    k = lambda now, real, fake: A.equilibrium(*map(torch.tensor, (now, real, fake)), 0.5, 0.1).item()  # noqa: E731
    assert k(0.3, 2.0, 0.4) == pytest.approx(0.3 + 0.1 * (1.0 - 0.4))
    assert k(0.01, 0.0, 1.0) == 0.0
    assert k(0.99, 5.0, 0.0) == 1.0


def test_reconstruction_by_hand(rng: np.random.Generator) -> None:
    rebuilt, maps = (torch.from_numpy(rng.normal(size=(2, 3, 4, 5))) for _ in range(2))
    weights = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    errors = [((rebuilt[i, j] - maps[i, j]) ** 2).mean().item() for i, j in ((0, 0), (0, 2), (1, 2))]
    assert A.reconstruction(rebuilt, maps, weights).item() == pytest.approx(np.mean(errors), rel=1e-5)


def test_what_does_not_fit_is_refused(rng: np.random.Generator) -> None:
    real, fake, right, weights = _draw(rng)
    with pytest.raises(ShapeError, match="unknown adversarial mode 'insane'; known: sane"):
        A.generator_loss("insane", fake, right, weights)
    with pytest.raises(ShapeError, match="one shape"):
        A.discriminator_loss("sane", real, fake[:, :1], right, weights)
