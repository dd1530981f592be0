"""A small Human3.6M of the tests' own: joints in the world, cameras around them, and files in its layouts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from vitruvian.data.h36m.names import CAMERAS, OF_32, SIZES_WH
from vitruvian.geometry.cameras import Camera, look_at


@dataclass
class World:
    """Two subjects, takes of a few frames with 32 joints in mm (z up), four distorted cameras for each subject."""

    takes: dict[str, dict[str, np.ndarray]]
    cameras: dict[tuple[str, str], Camera]

    def seen(self, subject: str, take: str, camera: str) -> np.ndarray:
        return self.cameras[subject, camera].world_to_camera(self.takes[subject][take])

    def pixels(self, subject: str, take: str, camera: str) -> np.ndarray:
        return self.cameras[subject, camera].camera_to_image(self.seen(subject, take, camera))

    def seen_17(self, subject: str, take: str, camera: str) -> np.ndarray:
        return self.seen(subject, take, camera)[:, OF_32]


@pytest.fixture
def world(rng: np.random.Generator) -> World:
    takes: dict[str, dict[str, np.ndarray]] = {}
    cameras = {}
    for subject in ("S1", "S9"):
        takes[subject] = {
            name: rng.normal((0, 0, 900), 350, (frames, 32, 3))
            for name, frames in (("Walking 1", 4), ("Walking", 3), ("WalkDog", 2))
        }
        for i, name in enumerate(CAMERAS):
            angle = np.pi / 4 + i * np.pi / 2 + rng.uniform(-0.2, 0.2)
            position = np.array([5000 * np.cos(angle), 5000 * np.sin(angle), rng.uniform(1300, 1700)])
            cameras[subject, name] = Camera(
                rng.uniform(1140, 1150, 2),
                rng.uniform(500, 515, 2),
                look_at(position, np.array([0, 0, 900.0]), np.array([0, 0, 1.0]), float(rng.normal(0, 2))),
                position,
                rng.uniform(-0.2, 0.2, 3),
                rng.uniform(-0.002, 0.002, 2),
                "h36m",
                SIZES_WH[name],
            )
    for name in CAMERAS:  # lenses are the same whoever is filmed
        lens = cameras["S1", name]
        there = cameras["S9", name]
        cameras["S9", name] = Camera(
            lens.focal_px, lens.centre_px, there.rotation, there.position_mm, lens.radial, lens.tangential, "h36m",
            SIZES_WH[name],
        )  # fmt: skip
    return World(takes, cameras)


def write_xml(path: Path, world: World) -> Path:
    """``metadata.xml``, with cameras for the two subjects and zeros for the others."""
    w0 = np.zeros(300)
    for (subject, name), camera in world.cameras.items():
        c, s = CAMERAS.index(name), int(subject[1:]) - 1
        r = camera.rotation  # = Rx Ry Rz
        angles = [np.arctan2(-r[1, 2], r[2, 2]), np.arcsin(r[0, 2]), np.arctan2(-r[0, 1], r[0, 0])]
        w0[6 * (11 * c + s) :][:6] = [*angles, *camera.position_mm]
        lens = (camera.focal_px, camera.centre_px, camera.radial, camera.tangential)
        w0[264 + 9 * c : 273 + 9 * c] = np.concatenate(lens)
    for c in range(4):
        assert w0[264 + 9 * c] > 0
    numbers = " ".join(repr(float(v)) for v in w0)
    path.write_text(f"<?xml version='1.0'?><database><dbname>x</dbname><w0>[{numbers}]</w0></database>", "utf-8")
    return path


@pytest.fixture(name="write_xml")
def write_xml_fixture():
    return write_xml
