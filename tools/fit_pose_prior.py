"""Fit the shipped pose prior: ``python tools/fit_pose_prior.py FILE [FILE ...]``.

Files are those of `vitruvian.synth.humans.poses.read_poses`. Takes of the split ``val`` are left out, so that pictures
of ``vitruvian synth --split val`` with recorded poses show what the prior has not seen.
"""

from __future__ import annotations

import sys
from pathlib import Path
from zlib import crc32

import numpy as np

from vitruvian.synth.humans.bake import load_body
from vitruvian.synth.humans.generate import in_split
from vitruvian.synth.humans.poses import join, mirrored, read_poses
from vitruvian.synth.humans.prior import PATH, fit, to_features

SOURCE = "CMU Graphics Lab Motion Capture Database (mocap.cs.cmu.edu), free for all uses"


def main(paths: list[str]) -> None:
    """Fit to the files of ``paths`` and write the package's file."""
    import json
    from dataclasses import replace

    body = load_body(say=print)
    poses = join([read_poses(path, body) for path in paths])
    poses = poses.of_takes([i for i, n in enumerate(poses.names) if in_split("train", crc32(n.encode()))])
    features = to_features(np.concatenate([poses.rotations, mirrored(poses.rotations)]))
    prior = fit(features, np.random.default_rng(0))
    provenance = {
        "source": SOURCE, "files": [Path(p).name for p in paths], "poses": len(poses), "mirrored_too": True,
        "takes": len(np.unique(poses.take)), "held_out": "takes whose name's CRC-32 is 4 modulo 5", "seed": 0,
    }  # fmt: skip
    prior = replace(prior, provenance=json.dumps(provenance))
    prior.save()
    explained = np.var((features - prior.mean) @ prior.basis.T, axis=0).sum() / np.var(features, axis=0).sum()
    print(f"{PATH.name}: {PATH.stat().st_size / 1000:.0f} kB, {explained:.1%} of the variance, {provenance}")


if __name__ == "__main__":
    main(sys.argv[1:])
