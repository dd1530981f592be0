"""A page of a pose model's worst mistakes that may be shown: ``python tools/failures.py [MODEL] [--out PICTURE]``.

The photos that models are measured on belong to others, so the people here are rendered ones, of bodies, clothes and
takes of the held-out split. What is worst is what `vitruvian analyze` calls so; its colours are those of its pages.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the benchmarks, which are not installed

from benchmarks.common import DATA

from vitruvian import load, read
from vitruvian.analyze import analyze, picture, worst
from vitruvian.draw import contact_sheet
from vitruvian.formats.writing import atomic_path
from vitruvian.synth.humans.generate import SynthOptions, generate

_KINDS = {"inversion": 4, "miss": 3, "jitter": 1}
_SEED = 20_261


def main() -> int:
    arguments = argparse.ArgumentParser(description="A page of a pose model's worst mistakes on rendered people.")
    arguments.add_argument("model", nargs="?", default="default")
    arguments.add_argument("--out", type=Path, default=Path("docs/images/failures.jpg"))
    arguments.add_argument("--count", type=int, default=200, help="pictures to render")
    options = arguments.parse_args()
    recorded = (str(DATA / "mocap" / "cmu_bone_rotations.npz"),)
    look = SynthOptions(seed=_SEED, split="val", poses=recorded, wardrobe=str(DATA / "wardrobe.tar.xz"))
    with tempfile.TemporaryDirectory() as folder, load(options.model, detector=None) as predictor:
        generate(folder, options.count, look, processes=2)
        annotations = Path(folder) / f"person_keypoints_{predictor.skeleton.name}.json"
        found = analyze(predictor, read("coco", annotations, images=Path(folder) / "images").records)
        kinds, people = worst(found, max(_KINDS.values())), {(p.image, p.person): p for p in found.taxonomy.people}
        rows = [(kind, row) for kind, number in _KINDS.items() for row in kinds[kind][:number]]
        tiles = [picture(found, *row) for _, row in rows]
        captions = [f"{kind}: OKS {people[image, person].oks:.2f}" for kind, (image, _, person) in rows]
    sheet = contact_sheet(tiles, captions=captions, columns=4, tile_wh=(200, 200))
    with atomic_path(options.out) as temporary:
        Image.fromarray(sheet).save(temporary, "JPEG", quality=80)
    print(f"{options.out}: {options.out.stat().st_size / 1e3:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
