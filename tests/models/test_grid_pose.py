"""The network of system 4: parameters by counting, Glorot's bound, transfer between the heads, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vitruvian.codecs.grid import GridCodec
from vitruvian.errors import ShapeError, VitruvianError
from vitruvian.losses import grid_cross_entropy, pose_mpjpe
from vitruvian.models.grid_pose import (
    GRID_MODELS,
    KERNELS,
    TRANSFERS,
    GridPoseNet,
    GridResNet,
    build_grid_model,
    transfer,
)

_SMALL = {"joints": 4, "kernels": (3, 4, 5), "hidden": (12, 16), "grid_wh": (3, 2), "size_wh": (48, 56)}


@pytest.mark.parametrize(
    ("kernels", "head", "millions"),
    [("full", "grid", 15.22), ("full", "pose", 11.84), ("fast", "grid", 7.80), ("fast", "pose", 4.42)],
)
def test_parameters_by_counting(kernels: str, head: str, millions: float) -> None:
    """Weights and biases layer by layer; the last map is 12 x 12, since 128 -> 124/2 -> 58/2 -> 24/2."""
    a, b, c = KERNELS[kernels]
    convolutions = a * (5 * 5 + 1) + b * (a * 5 * 5 + 1) + c * (b * 6 * 6 + 1)
    wide = (c * 12 * 12 + 1) * 1024 + (1024 + 1) * 2048
    last = (2048 + 1) * (1700 if head == "grid" else 51)
    with torch.device("meta"):
        network = GridPoseNet(17, head, KERNELS[kernels])
        count = sum(p.numel() for p in network.parameters())
        shape = next(iter(network(torch.empty(2, 1, 128, 128)).values())).shape
    assert count == convolutions + wide + last
    assert round(count / 1e6, 2) == millions
    assert shape == ((2, 17, 10, 10) if head == "grid" else (2, 17, 3))


def test_weights_start_as_glorot_has_them() -> None:
    """Uniform within sqrt(6 / (fan in + fan out)), so their variance is a third of the bound's square."""
    torch.manual_seed(3)
    network = GridPoseNet(**{**_SMALL, "hidden": (60, 80)})
    for name, fans in {"conv2": (3 * 25, 4 * 25), "fc2": (60, 80), "head": (80, 12)}.items():
        layer, bound = getattr(network, name), math.sqrt(6 / sum(fans))
        assert layer.weight.abs().max() <= bound
        assert layer.weight.abs().max() > 0.95 * bound
        assert layer.weight.var().item() == pytest.approx(bound**2 / 3, rel=0.2)
        assert (layer.bias == 0).all()


def test_forward_by_hand(rng: np.random.Generator) -> None:
    """The same arithmetic in numpy, with patches cut out one by one."""
    network = GridPoseNet(**_SMALL, head="grid")
    image = rng.normal(size=(1, 1, 56, 48)).astype(np.float32)
    x = image[0].astype(np.float64)
    for conv in (network.conv1, network.conv2, network.conv3):
        weight, bias = conv.weight.detach().double().numpy(), conv.bias.detach().double().numpy()
        patches = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(1, 2))
        x = np.einsum("chwij,ocij->ohw", patches, weight) + bias[:, None, None]
        x = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
        x = np.tanh(x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2).max(axis=(2, 4)))
    x = x.reshape(-1)
    for linear in (network.fc1, network.fc2):
        x = np.tanh(linear.weight.detach().double().numpy() @ x + linear.bias.detach().double().numpy())
    x = network.head.weight.detach().double().numpy() @ x
    found = network(torch.from_numpy(image))["grid"].detach().numpy()
    np.testing.assert_allclose(found[0], x.reshape(4, 2, 3), atol=1e-5)


@pytest.mark.parametrize("what", sorted(TRANSFERS))
def test_transfer_copies_what_it_says_and_nothing_else(what: str) -> None:
    grid, pose = GridPoseNet(**_SMALL, head="grid"), GridPoseNet(**_SMALL)
    with torch.no_grad():  # biases all start at 0, and would look copied
        for network in (grid, pose):
            for parameter in network.parameters():
                parameter.normal_()
    before = {name: value.clone() for name, value in pose.state_dict().items()}
    copied = transfer(grid, pose, what)
    assert copied == {"none": (), "conv": ("conv1", "conv2", "conv3")}.get(
        what, ("conv1", "conv2", "conv3", "fc1", "fc2")
    )
    for name, value in pose.state_dict().items():
        source = grid.state_dict()[name] if name.split(".")[0] in copied else before[name]
        assert torch.equal(value, source), name
    with torch.no_grad():
        grid.conv1.weight.add_(1)  # the copies are their own
    assert "conv1" not in copied or not torch.equal(pose.conv1.weight, grid.conv1.weight)
    back = transfer(pose, grid, what)  # and the other way round
    assert back == copied


def test_transfer_refuses_before_it_changes_anything() -> None:
    grid, pose = GridPoseNet(**_SMALL, head="grid"), GridPoseNet(**{**_SMALL, "hidden": (12, 17)})
    before = {name: value.clone() for name, value in pose.state_dict().items()}
    with pytest.raises(ShapeError, match="layer 'fc2'"):
        transfer(grid, pose, "conv+fc")
    assert all(torch.equal(value, before[name]) for name, value in pose.state_dict().items())
    assert transfer(grid, pose, "conv") == ("conv1", "conv2", "conv3")
    with pytest.raises(ShapeError, match="none, conv, conv\\+fc"):
        transfer(grid, pose, "all")


@pytest.mark.parametrize("head", ["grid", "pose"])
def test_every_parameter_learns_and_people_do_not_mix(head: str, rng: np.random.Generator) -> None:
    network = GridPoseNet(**_SMALL, head=head)
    images = torch.from_numpy(rng.normal(size=(3, 1, 56, 48)).astype(np.float32))
    (name, found), weights = next(iter(network(images).items())), torch.ones(3, 4)
    loss = (grid_cross_entropy if head == "grid" else pose_mpjpe)(found, torch.rand_like(found), weights)
    loss.backward()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert (parameter.grad != 0).any(), parameter_name
    alone = network(images[1:2])[name]
    np.testing.assert_allclose(alone[0].detach().numpy(), found[1].detach().numpy(), atol=1e-5)


def test_refusals() -> None:
    for options in ({"head": "both"}, {"kernels": (3, 4)}, {"size_wh": (128, 39)}, {"joints": 0}, {"hidden": (5, 0)}):
        with pytest.raises(ShapeError):
            GridPoseNet(**{**_SMALL, **options})
    with pytest.raises(ShapeError, match=r"expected images \(B, 1, 56, 48\), got \(1, 3, 56, 48\)"):
        GridPoseNet(**_SMALL)(torch.zeros(1, 3, 56, 48))
    GridPoseNet(**{**_SMALL, "size_wh": (40, 40)})  # the smallest there is


def test_the_resnet_by_counting() -> None:
    """ResNet-18 without its last layer has 11,176,512; 4 x 4 cells of 128 channels go into 1024 units."""
    with torch.device("meta"):
        for head, last in (("grid", 1700), ("pose", 51)):
            network = GridResNet(17, head)
            count = sum(p.numel() for p in network.parameters())
            neck = 512 * 128 + 2 * 128
            assert count == 11_176_512 + neck + (128 * 4 * 4 + 1) * 1024 + (1024 + 1) * last


def test_the_resnet_transfers_its_backbone_or_all_but_its_head() -> None:
    small = {"joints": 3, "neck": 2, "hidden": 4, "size_wh": (32, 32), "grid_wh": (2, 2)}
    grid = GridResNet(head="grid", **small)
    for what, expected in (("none", ()), ("conv", ("backbone",)), ("conv+fc", ("backbone", "neck", "fc"))):
        pose = GridResNet(head="pose", **small)
        before = {name: value.clone() for name, value in pose.state_dict().items()}
        with torch.no_grad():
            for parameter in grid.parameters():
                parameter.normal_()
        assert transfer(grid, pose, what) == expected
        for name, value in pose.state_dict().items():
            source = grid.state_dict()[name] if name.split(".")[0] in expected else before[name]
            assert torch.equal(value, source), name
    with pytest.raises(ShapeError, match="from a GridPoseNet to a GridResNet"):
        transfer(GridPoseNet(**_SMALL, head="grid"), GridResNet(**small), "conv")


def test_the_unit_scales_millimetres_and_never_logits() -> None:
    torch.manual_seed(0)
    one = GridPoseNet(**_SMALL)
    ten = GridPoseNet(**_SMALL, unit_mm=10.0)
    ten.load_state_dict(one.state_dict())
    image = torch.rand(2, 1, 56, 48)
    np.testing.assert_allclose(ten(image)["pose_mm"].detach(), 10 * one(image)["pose_mm"].detach(), rtol=1e-5)
    grid = GridPoseNet(**_SMALL, head="grid")
    other = GridPoseNet(**_SMALL, head="grid", unit_mm=10.0)
    other.load_state_dict(grid.state_dict())
    assert torch.equal(other(image)["grid"], grid(image)["grid"])


def test_the_table_builds_and_refuses() -> None:
    for name in GRID_MODELS:
        with torch.device("meta"):
            assert build_grid_model(name, 5, "grid", grid_wh=(3, 4)).shape == (5, 4, 3)
    with pytest.raises(VitruvianError, match="known: grid_conv, grid_resnet"):
        build_grid_model("grid_vit", 17, "pose")
    for options in ({"depht": 18}, {"size_wh": (48, 48)}, {"depth": 19}, {"unit_mm": 0}, {"channels": 2}):
        with pytest.raises(VitruvianError, match="'grid_resnet' cannot be built"):
            build_grid_model("grid_resnet", 17, "pose", **options)


@pytest.mark.parametrize("head", ["grid", "pose"])
def test_overfits_24_pictures(head: str, rng: np.random.Generator) -> None:
    """Four grey dots of their own brightness each; depth is how bright the picture's ground is."""
    images, points = np.zeros((24, 48, 48), np.float32), rng.uniform(6, 42, (24, 4, 2))
    depth = rng.uniform(-200, 200, (24, 1))
    v, u = np.mgrid[:48, :48]
    for image, joints, ground in zip(images, points, depth[:, 0], strict=True):
        image += 0.2 + ground / 2000
        for k, (x, y) in enumerate(joints):
            image[np.hypot(u - x, v - y) < 3] = 0.4 + 0.2 * k
    # Around 0, since with tanh and all inputs positive one start in forty learned too slowly to be done in time.
    inputs = torch.from_numpy((images[:, None] - images.mean()) / images.std())
    torch.manual_seed(int(rng.integers(1 << 30)))
    codec = GridCodec((48, 48), (4, 4), (14.0, 14.0), edges=((0, 1), (1, 2), (2, 3)))
    network = GridPoseNet(4, head, (8, 16, 32), (256, 256), (4, 4), (48, 48), unit_mm=50.0)
    targets = codec.encode(points, np.full((24, 4), 2))
    cells = torch.from_numpy(targets.arrays["grid"])
    joints_mm = torch.from_numpy(np.concatenate([(points - 24) * 20, np.repeat(depth[:, None], 4, 1)], 2)).float()
    weights = torch.ones(24, 4)
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=200)

    def error() -> float:
        found = network(inputs)[network.name].detach()
        if head == "pose":
            return pose_mpjpe(found, joints_mm, weights).item()
        marked = found > 0
        return 1 - 2 * (marked & (cells > 0)).sum().item() / (marked.sum() + cells.sum()).item()

    before = error()
    for _ in range(200):
        optimizer.zero_grad()
        found = network(inputs)[network.name]
        loss = grid_cross_entropy(found, cells, weights) if head == "grid" else pose_mpjpe(found, joints_mm, weights)
        loss.backward()
        optimizer.step()
        schedule.step()
    after = error()
    if head == "grid":
        assert before > 0.3
        assert after < 0.03, f"cells' F1 {1 - after:.3f}"
    else:
        assert before > 150
        assert after < 25, f"MPJPE {after:.1f} mm"
