"""The grid task: exact cells of toy poses, clipping against dense sampling, mirroring, decoding, refusals."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from vitruvian.codecs.grid import GridCodec, segment_shares
from vitruvian.errors import ShapeError
from vitruvian.skeletons import COCO17, H36M17, Skeleton
from vitruvian.types import Outputs

_LINE = Skeleton("line", ("a", "b", "c"), ((0, 1), (1, 2)), (0.1, 0.1, 0.1))


def _cells(codec: GridCodec, points: list, visibility: list | None = None) -> list[set[tuple[int, int]]]:
    """For each joint of one pose the (row, column) of the cells that are marked."""
    keypoints = np.array([points], np.float32)
    seen = np.full((1, len(points)), 2) if visibility is None else np.array([visibility])
    target = codec.encode(keypoints, seen).arrays["grid"][0]
    assert set(np.unique(target)) <= {0.0, 1.0}
    return [{(int(r), int(c)) for r, c in np.argwhere(joint)} for joint in target]


def test_the_systems_target_has_1700_entries() -> None:
    codec = GridCodec()
    assert int(np.prod(codec.shapes(17)["grid"])) == 1700
    windows = codec.windows_xyxy
    assert windows.shape == (10, 10, 4)
    np.testing.assert_allclose(windows[..., 2:] - windows[..., :2], 13)
    np.testing.assert_allclose(np.diff(windows[0, :, 0]), 12.8)
    np.testing.assert_allclose(np.diff(windows[:, 0, 1]), 12.8)
    assert (windows[0, 0, :2] < -0.5).all()  # all of the input lies in some window
    assert (windows[-1, -1, 2:] > 127.5).all()
    np.testing.assert_allclose((windows[0, 0, :2] + windows[-1, -1, 2:]) / 2, 63.5)


def test_a_toy_pose_by_hand() -> None:
    """Cells of 10 pixels that only touch: columns -0.5...9.5...19.5 and so on."""
    codec = GridCodec((40, 30), (4, 3), (10.0, 10.0), 0.3, _LINE.edges)
    # a-b runs from x = 4.5 to 34.5 along one row: 5/30, 10/30, 10/30, 5/30 of it in the columns. b-c stays in a cell.
    assert _cells(codec, [(4.5, 14.0), (34.5, 14.0), (34.5, 18.0)]) == [
        {(1, 0), (1, 1), (1, 2)},
        {(1, 3), (1, 1), (1, 2)},
        {(1, 3)},
    ]
    # A limit of a third is not exceeded by a third: only the joints' own cells are left.
    strict = GridCodec((40, 30), (4, 3), (10.0, 10.0), 1 / 3 + 1e-9, _LINE.edges)
    assert _cells(strict, [(4.5, 14.0), (34.5, 14.0), (34.5, 18.0)]) == [{(1, 0)}, {(1, 3)}, {(1, 3)}]
    # Without c, or with a outside: what remains.
    assert _cells(codec, [(4.5, 4.0), (4.5, 8.0), (np.nan, np.nan)], [2, 2, 0]) == [{(0, 0)}, {(0, 0)}, set()]
    # An edge of 40 pixels from outside the input: 5 outside, 10 in column 0 (a quarter), 20 in columns 1 and 2.
    assert _cells(codec, [(-5.5, 5.0), (27.0, 5.0), (27.0, 5.0)]) == [set(), {(0, 1), (0, 2), (0, 0)}, {(0, 2)}]


def test_thirty_percent_of_a_diagonal() -> None:
    """From the middle of cell (0, 0) to the middle of cell (2, 2) of a grid with cells of 10: 1/4, 1/2, 1/4."""
    ends = [(4.5, 4.5), (24.5, 24.5)]
    one = ((0, 1),)
    for share, more in ((0.2, {(0, 0), (1, 1), (2, 2)}), (0.3, {(1, 1)}), (0.51, set())):
        codec = GridCodec((30, 30), (3, 3), (10.0, 10.0), share, one)
        assert _cells(codec, ends) == [{(0, 0)} | more, {(2, 2)} | more]


def test_a_joint_in_the_overlap_is_in_both_windows() -> None:
    codec = GridCodec(edges=())
    assert _cells(codec, [(12.1, 5.0)]) == [{(0, 0)}]
    assert _cells(codec, [(12.3, 12.3)]) == [{(0, 0), (0, 1), (1, 0), (1, 1)}]
    assert _cells(codec, [(12.5, 5.0)]) == [{(0, 1)}]
    assert _cells(codec, [(-0.5, -0.5), (127.5, 127.5)]) == [{(0, 0)}, {(9, 9)}]
    touching = GridCodec(window_wh=(12.8, 12.8), edges=())
    corners = [(-0.5, -0.5), (127.5, 127.5), (63.5, 12.3)]
    assert _cells(touching, corners) == [{(0, 0)}, {(9, 9)}, {(r, c) for r in (0, 1) for c in (4, 5)}]


@pytest.mark.parametrize(
    ("grid_wh", "window_wh", "size_wh", "skeleton"),
    [((10, 10), (13.0, 13.0), (128, 128), H36M17), ((7, 5), (30.0, 11.0), (96, 70), COCO17)],
)
def test_cells_are_those_of_dense_sampling(grid_wh, window_wh, size_wh, skeleton, rng: np.random.Generator) -> None:
    """Every edge as 4,001 points: the share within a window is known to a few thousandths, and undecided so near."""
    codec = GridCodec.for_skeleton(skeleton, grid_wh=grid_wh, window_wh=window_wh, size_wh=size_wh)
    points = rng.uniform(0, np.array(size_wh) - 1, (4, len(skeleton), 2))
    points[1] = points[1, :1] + (points[1] - points[1, :1]) * 0.2  # a small pose: short edges
    visibility = rng.integers(0, 3, points.shape[:2])
    got = codec.encode(points, visibility).arrays["grid"].reshape(4, len(skeleton), -1)
    windows, undecided, checked = codec.windows_xyxy.reshape(-1, 4), 0, 0
    t = np.linspace(0, 1, 4001)[:, None]
    within = lambda p, w: ((p >= w[:2]) & (p <= w[2:])).all(axis=-1)  # noqa: E731
    for b in range(4):
        for j in range(len(skeleton)):
            if visibility[b, j] == 0:
                assert not got[b, j].any()
                continue
            near = [n for edge in skeleton.edges if j in edge for n in edge if n != j and visibility[b, n]]
            lines = [points[b, j] + t * (points[b, n] - points[b, j]) for n in near]
            for window, marked in zip(windows, got[b, j], strict=True):
                shares = [within(line, window).mean() for line in lines]
                if any(abs(share - 0.3) < 2e-3 for share in shares):
                    undecided += 1
                    continue
                checked += 1
                assert marked == (within(points[b, j], window) or any(share > 0.3 for share in shares))
    assert checked > 20 * undecided


def test_shares_over_a_tiling_add_up_to_one(rng: np.random.Generator) -> None:
    windows = GridCodec((50, 40), (5, 4), (10.0, 10.0)).windows_xyxy.reshape(-1, 4)
    a, b = rng.uniform(-0.5, [49.5, 39.5], (2, 50, 2))
    b[:10, 0] = a[:10, 0]  # upright and level ones as well
    b[10:20, 1] = a[10:20, 1]
    shares = segment_shares(a, b, windows)
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(segment_shares(b, a, windows), shares, atol=1e-12)
    assert (segment_shares(a, a, windows) == 0).all()
    assert (segment_shares(a + 100, b + 100, windows) == 0).all()


@pytest.mark.parametrize("codec", [GridCodec(), GridCodec((96, 64), (6, 4), (20.0, 9.0))])
def test_the_mirrored_pose_has_the_flipped_target(codec: GridCodec, rng: np.random.Generator) -> None:
    points = np.round(rng.uniform(0, np.array(codec.size_wh) - 1, (6, 17, 2)) * 8) / 8 + 1 / 32
    mirrored = points[:, H36M17.flip].copy()
    mirrored[..., 0] = codec.size_wh[0] - 1 - mirrored[..., 0]
    seen = np.full(points.shape[:2], 2)
    plain = codec.encode(points, seen).arrays["grid"]
    again = codec.flip(Outputs(codec.encode(mirrored, seen).arrays), H36M17).arrays["grid"]
    np.testing.assert_array_equal(again, plain)


def test_the_best_cell_is_found(rng: np.random.Generator) -> None:
    codec = GridCodec()
    logits = rng.normal(size=(3, 17, 10, 10)).astype(np.float32)
    rows, columns = rng.integers(0, 10, (2, 3, 17))
    np.put_along_axis(logits.reshape(3, 17, 100), (rows * 10 + columns)[..., None], 6.0, axis=2)
    found, scores = codec.decode(Outputs({"grid": logits}))
    np.testing.assert_allclose(found, np.stack([columns, rows], axis=-1) * 12.8 + 5.9, atol=1e-5)
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-6)), atol=1e-6)
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(codec.decode(Outputs({"grid": torch.from_numpy(logits)}))[0], found)


def test_short_edges_decode_to_the_joints_own_cell(rng: np.random.Generator) -> None:
    """Where no edge and no overlap adds a cell, a target decodes to within half a window."""
    codec = GridCodec(edges=())
    points = rng.uniform(0, 127, (20, 17, 2))
    target = codec.encode(points, np.full((20, 17), 2)).arrays["grid"]
    found, _ = codec.decode(Outputs({"grid": target}))
    assert np.abs(found - points).max() <= 6.5 + 1e-3


def test_what_is_outside_or_unlabelled_has_no_weight() -> None:
    targets = GridCodec(edges=((0, 1),)).encode(
        np.array([[[5, 5], [-9, 5], [np.nan, 3], [8, 8], [5, 127.6]]]), np.array([[2, 2, 2, 0, 1]])
    )
    assert targets.weights.tolist() == [[1, 0, 0, 0, 0]]
    assert targets.arrays["grid"][0, 0].sum() == 1
    assert not targets.arrays["grid"][0, 1:].any()


def test_torch_makes_the_same_targets(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    points = rng.uniform(-20, 148, (5, 17, 2)).astype(np.float32)
    points[0, 0] = np.nan
    visibility = rng.integers(0, 3, (5, 17))
    numpy = GridCodec().encode(points, visibility)
    tensors = GridCodec().encode_torch(torch.from_numpy(points), torch.from_numpy(visibility))
    np.testing.assert_array_equal(tensors.arrays["grid"].numpy(), numpy.arrays["grid"])
    np.testing.assert_array_equal(tensors.weights.numpy(), numpy.weights)


def test_the_record_survives_json() -> None:
    codec = GridCodec.for_skeleton(COCO17, grid_wh=(8, 6), share=0.25)
    fields = json.loads(json.dumps(asdict(codec)))
    assert GridCodec(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}) == codec
    assert codec.resized((256, 128)).window_wh == (26.0, 13.0)
    assert codec.resized((256, 128)).resized((128, 128)) == codec


def test_refusals() -> None:
    for fields in ({"grid_wh": (0, 3)}, {"window_wh": (0.0, 5.0)}, {"share": 1.5}, {"edges": ((1, 1),)}):
        with pytest.raises(ShapeError):
            GridCodec(**fields)
    with pytest.raises(ShapeError, match="edges name joints"):
        GridCodec().encode(np.zeros((1, 5, 2)), np.zeros((1, 5)))
    with pytest.raises(ShapeError, match=r"\(B, K, 2\)"):
        GridCodec().encode(np.zeros((1, 17, 3)), np.zeros((1, 17)))
    with pytest.raises(ShapeError, match=r"\(B, K, 10, 10\)"):
        GridCodec().decode(Outputs({"grid": np.zeros((1, 17, 10, 9), np.float32)}))
