"""Fixtures shared by all tests: fresh randomness that can be repeated, and the real data where it exists."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

_ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fresh seed, printed so that a failure can be repeated (set VITRUVIAN_TEST_SEED to that number)."""
    seed = int(os.environ.get("VITRUVIAN_TEST_SEED") or np.random.SeedSequence().generate_state(1)[0])
    print(f"seed: {seed}")
    return np.random.default_rng(seed)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photos and annotations; tests that need it are skipped where it does not exist."""
    path = Path(os.environ.get("VITRUVIAN_SHARED_DATA") or _ROOT.parent / "shared" / "data")
    if not path.is_dir():
        pytest.skip(f"the real data is not here ({path.name} not found; set VITRUVIAN_SHARED_DATA to its folder)")
    return path
