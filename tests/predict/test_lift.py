"""Lifting through ONNX Runtime: against torch, cameras, joints by name, rows of poses, refusals; the shipped lifter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vitruvian.errors import ExportError, ShapeError, VitruvianError, WeightsError
from vitruvian.geometry.cameras import Camera
from vitruvian.metrics.pose3d import mpjpe
from vitruvian.predict.lift import Lifter, load_lifter, place
from vitruvian.skeletons import COCO17, H36M17, LSP14, Skeleton
from vitruvian.transforms.lifting import input_joints, lifter_inputs, standard_size
from vitruvian.types import Poses
from vitruvian.weights.lifter_card import LifterCard
from vitruvian.weights.lifter_zoo import LIFTER_FILES, LIFTER_ZOO, find_lifter


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both kinds of lifters with fresh weights."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    from vitruvian.export.lifter import export_lifter
    from vitruvian.models.lifter import build_lifter

    torch.manual_seed(0)
    rng, folder, files = np.random.default_rng(0), tmp_path_factory.mktemp("lifters"), {}
    for name, shape in (("lifter_mlp", (4, 14, 3)), ("lifter_temporal", (2, 12, 14, 3))):
        options = {"width": 16} if name == "lifter_mlp" else {"width": 16, "levels": 2}
        network = build_lifter(name, **options)
        card = LifterCard(name, name, options, frames=int(network.frames), notes="For tests.")
        files[name] = folder / f"{name}.onnx"
        inputs = rng.normal(size=shape).astype(np.float32)
        assert export_lifter(network, card, files[name], inputs) < 0.01
        with pytest.raises(ExportError, match="differs from torch"):
            export_lifter(network, card, folder / "no.onnx", inputs, tolerance_mm=-1)
        assert not (folder / "no.onnx").exists()
        small = folder / f"{name}.onnx.gz"
        assert export_lifter(network, card, small, inputs, weights="int8") < 0.01
        assert small.stat().st_size < files[name].stat().st_size
    return files


def _poses(points: np.ndarray, skeleton: Skeleton = LSP14, scores: np.ndarray | None = None) -> Poses:
    count = len(points)
    scores = np.ones(points.shape[:2]) if scores is None else scores
    return Poses(points, scores, np.tile([0.0, 0, 9, 9], (count, 1)), skeleton, (640, 480))


def test_place_and_size_in_the_photo_do_not_matter(rng: np.random.Generator, tiny: dict[str, Path]) -> None:
    points, scores = rng.normal(0, 100, (3, 14, 2)), rng.uniform(0.2, 1, (3, 14))
    with Lifter(tiny["lifter_mlp"]) as lifter:
        here, there = (lifter(_poses(p, scores=scores), threshold=0) for p in (points, points * 2.5 + 300))
        np.testing.assert_allclose(here.joints_mm, there.joints_mm, atol=0.05)
        np.testing.assert_allclose(
            here.joints_mm, lifter.run(lifter_inputs(points.astype(np.float32), scores.astype(np.float32))), atol=0.05
        )
        assert here.skeleton == H36M17
        assert not here.joints_mm[:, 0].any()
        taller = lifter(_poses(points, scores=scores), threshold=0, height_mm=1870.0)
        np.testing.assert_allclose(taller.joints_mm, here.joints_mm * 1.1, rtol=1e-4)
        assert "1870" in taller.scale
        assert lifter(_poses(np.zeros((0, 14, 2)))).joints_mm.shape == (0, 17, 3)
    with pytest.raises(VitruvianError, match="closed"):
        lifter(_poses(points))


def test_people_with_few_joints_are_not_lifted(rng: np.random.Generator, tiny: dict[str, Path]) -> None:
    points, scores = rng.normal(0, 100, (3, 17, 2)), np.full((3, 17), 0.8)
    scores[1, 5:12] = 0.1  # shoulders, elbows, wrists, a hip: 5 of the 12 joints that COCO shares are left
    points[2, 11:] = np.nan
    with Lifter(tiny["lifter_mlp"]) as lifter:
        found = lifter(_poses(points, COCO17, scores), threshold=0.2)
    assert found.lifted.tolist() == [True, False, True]
    assert found.scores[2, H36M17.index("left_knee")] == 0
    assert found.scores[2, H36M17.index("thorax")] == pytest.approx(0.8)


def test_by_default_joints_that_are_not_in_the_picture_count_as_missing(
    rng: np.random.Generator, tiny: dict[str, Path]
) -> None:
    points, presence = rng.uniform(50, 400, (2, 14, 2)), np.ones((2, 14))
    points[0, 3], presence[1, 5] = (-3.0, 200.0), 0.1
    poses = replace(_poses(points), presence=presence, present_above=0.5)
    scores = np.ones((2, 14))
    scores[0, 3] = scores[1, 5] = 0
    with Lifter(tiny["lifter_mlp"]) as lifter:
        for found in (lifter(poses).joints_mm, lifter(_poses(points, scores=scores), threshold=0).joints_mm):
            np.testing.assert_array_equal(found, lifter(replace(poses, scores=scores), threshold=0).joints_mm)
        rows = lifter.lift_frames([poses.select(0), poses.select(1)]).joints_mm
        np.testing.assert_allclose(rows, lifter(poses).joints_mm, atol=0.05)
        assert (lifter(poses, threshold=0).joints_mm != lifter(poses).joints_mm).any(axis=(1, 2)).all()


def test_the_translation_is_found_again(rng: np.random.Generator) -> None:
    """Exact 2D joints of a body: where it stood, with distortion, whatever is missing."""
    camera = Camera(
        np.array([900, 950]), np.array([310, 250]), np.eye(3), np.zeros(3), radial=np.array([0.05, -0.01, 0])
    )
    bodies = rng.normal(0, 300, (4, 17, 3))
    bodies -= bodies[:, :1]
    where = np.column_stack([rng.uniform(-1500, 1500, 4), rng.uniform(-800, 800, 4), rng.uniform(3000, 7000, 4)])
    points = camera.camera_to_image(input_joints(bodies + where[:, None]))
    scores = rng.uniform(0.3, 1, (4, 14))
    scores[0, :5] = 0
    np.testing.assert_allclose(place(bodies, points, scores, camera), where, atol=1e-3)
    scores[1, :9] = 0
    assert np.isnan(place(bodies, points, scores, camera)[1]).all()


def test_a_camera_turns_the_result_with_the_line_of_sight(rng: np.random.Generator, tiny: dict[str, Path]) -> None:
    """The same person before a camera that looks elsewhere, all of them in both pictures: the same body, turned."""
    body = rng.normal(0, 250, (17, 3))
    body += np.array([0, 0, 4000]) - body.mean(0)
    straight = Camera(np.array([400, 400]), np.array([320, 240]), np.eye(3), np.zeros(3))
    # Turned the shortest way to a person off its centre, since after a roll "up" would be another direction.
    ray = np.array([rng.uniform(-900, 900), rng.uniform(-600, 600), 4000.0])
    x, y, z = ray / np.linalg.norm(ray)
    across = np.array([[0, 0, x], [0, 0, y], [-x, -y, 0]])  # the cross product with (0, 0, 1) x ray
    aside = (np.eye(3) + across + across @ across / (1 + z)).T
    np.testing.assert_allclose(aside @ ray, [0, 0, np.linalg.norm(ray)], atol=1e-9)
    other = Camera(np.array([400, 400]), np.array([320, 240]), aside, np.zeros(3))
    with Lifter(tiny["lifter_mlp"]) as lifter:
        views = [
            lifter(_poses(c.world_to_image(input_joints(body))[None].astype(np.float32)), c) for c in (straight, other)
        ]
    world = [v.joints_mm[0].astype(np.float64) @ c.rotation for v, c in zip(views, (straight, other), strict=True)]
    assert mpjpe(world[0][None], world[1][None]) < 0.01 * np.linalg.norm(world[0], axis=1).mean()
    assert "camera that was given" in views[1].axes
    assert views[0].translation_mm is not None


def test_rows_of_poses(rng: np.random.Generator, tiny: dict[str, Path]) -> None:
    frames = [_poses(rng.normal(0, 100, (1, 14, 2))) for _ in range(5)]
    with Lifter(tiny["lifter_temporal"]) as lifter:
        found = lifter.lift_frames(frames, threshold=0)
        assert len(found) == 5
        assert found.lifted.all()
        still = lifter.lift_frames(frames[:1] * 4, threshold=0)
        np.testing.assert_allclose(still.joints_mm, still.joints_mm[:1].repeat(4, 0), atol=0.05)
        with pytest.raises(VitruvianError, match="9 poses in a row"):
            lifter(frames[0])
        with pytest.raises(ShapeError, match="frame 1 has 2 people"):
            lifter.lift_frames([frames[0], _poses(np.zeros((2, 14, 2)))])
        with pytest.raises(ShapeError, match="at least one"):
            lifter.lift_frames([])
    with Lifter(tiny["lifter_mlp"]) as lifter:
        alone = lifter(frames[2], threshold=0).joints_mm[0]
        np.testing.assert_allclose(lifter.lift_frames(frames, threshold=0).joints_mm[2], alone, atol=0.05)


@pytest.mark.parametrize("name", ["lifter_mlp", "lifter_temporal"])
def test_eight_bits_and_compression(rng: np.random.Generator, tiny: dict[str, Path], name: str) -> None:
    """A file of either is found by its path, and lifts the same people to nearly the same place."""
    path = tiny[name].with_suffix(".onnx.gz")
    assert find_lifter(path) == path
    inputs = rng.normal(size=(4, 14, 3) if name == "lifter_mlp" else (2, 12, 14, 3)).astype(np.float32)
    with Lifter(tiny[name]) as half, Lifter(path) as small:
        expected, found = half.run(inputs), small.run(inputs)
    assert 0 < np.abs(found - expected).max() < 0.1 * np.abs(expected).max()


def test_files_that_are_none(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"hello")
    with pytest.raises(WeightsError, match="not an ONNX model"):
        Lifter(tmp_path / "x.onnx")
    with pytest.raises(WeightsError, match="expected a lifter"):
        Lifter(tiny_model)
    with pytest.raises(WeightsError, match="did you mean 'lifter-s'"):
        find_lifter("lifter_s")


def test_the_table_is_the_folder() -> None:
    assert set(LIFTER_ZOO.values()) == {path.name for path in LIFTER_FILES.glob("*.onnx")}


@pytest.mark.parametrize("name", LIFTER_ZOO)
def test_the_shipped_lifters(name: str) -> None:
    with load_lifter(name) as lifter:
        card = lifter.card
    assert find_lifter(name).stat().st_size < 700_000
    assert card.name == name
    assert "acknowledge" in card.data[0]["terms"]
    assert card.metrics
    assert LifterCard.from_json(card.to_json()) == card


def test_the_default_lifts_held_out_takes(shared_data: Path, rng: np.random.Generator) -> None:
    """As good as its card says, from 2D joints in pixels; a mirrored picture gives the mirrored body."""
    from vitruvian.formats.mocap_npz import read_mocap_npz
    from vitruvian.geometry.cameras import random_camera

    take = next(t for t in read_mocap_npz(shared_data / "mocap" / "cmu_h36m17_15fps.npz") if t.name == "02_02")
    bodies = standard_size(take.positions_mm)
    errors, mirrored = [], []
    with load_lifter() as lifter:
        for _ in range(8):
            camera = random_camera(rng, np.zeros(3), distance_mm=(3000, 6000), elevation_deg=(-5, 20))
            truth = camera.world_to_camera(bodies) - camera.world_to_camera(bodies)[:, :1]
            points = camera.world_to_image(bodies).astype(np.float32)
            found = lifter(_poses(points, H36M17), threshold=0).joints_mm
            errors.append(mpjpe(found, truth))
            other = lifter(_poses((points * [-1, 1])[:, H36M17.flip], H36M17), threshold=0).joints_mm
            mirrored.append(mpjpe(other[:, H36M17.flip] * [-1, 1, 1], found))
    assert np.mean(errors) < 75
    assert np.mean(mirrored) < 60
