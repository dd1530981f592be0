"""`make demo`: joints of the people in a photo, with the light core alone.

The default photo is the astronaut (Eileen Collins, NASA, public domain) that ships inside scikit-image's wheel; the
wheel is installed without its own needs, so its file is found by path rather than by importing the package.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from vitruvian.cli import main


def astronaut() -> Path:
    """The photo's path inside the installed scikit-image."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("scikit-image is not installed; run `make demo`, or give a photo: make demo PHOTO=path")
    path = Path(spec.submodule_search_locations[0]) / "data" / "astronaut.png"
    if not path.is_file():
        sys.exit(f"this scikit-image has no astronaut photo ({path.name}); give one: make demo PHOTO=path")
    return path


if __name__ == "__main__":
    photos = sys.argv[1:] or [str(astronaut())]
    main(["predict", *photos, "--out", "out", "--flip"])
