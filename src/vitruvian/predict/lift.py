"""`Lifter`: 2D joints in, 3D joints out, with ONNX Runtime.

The camera-space position, where the camera is known, is the translation for which the lifted joints project nearest to
the 2D ones: a linear least squares problem (as in Mehta et al., "VNect", SIGGRAPH 2017, section 4.2; here with each
equation divided by the depth that is sought for, which makes it linear).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from ..errors import ShapeError, VitruvianError
from ..geometry.cameras import Camera
from ..skeletons import Skeleton
from ..transforms.lifting import (
    INPUT_JOINTS,
    LEAST_JOINTS,
    OUTPUT_JOINTS,
    from_skeleton,
    input_joints,
    lifter_inputs,
)
from ..types import Poses
from ..types3d import Poses3D
from ..weights.card import METADATA_KEY
from ..weights.lifter_card import LifterCard
from ..weights.lifter_zoo import find_lifter
from .backends.ort import open_session

STANDARD_HEIGHT_MM = 1700.0
"""The height that goes with the standard size of a lifter's people."""

# The 2D joints that those rest on which have no 2D joint of their name.
_RESTS_ON = {
    "pelvis": ("left_hip", "right_hip"),
    "spine": ("left_hip", "right_hip", "left_shoulder", "right_shoulder"),
    "thorax": ("left_shoulder", "right_shoulder"),
    "neck_base": ("left_shoulder", "right_shoulder"),
}


def load_lifter(name: str | os.PathLike = "default", threads: int | None = None) -> Lifter:
    """Load a lifter: a shipped one's name, or an ``.onnx`` file. `WeightsError` where there is none."""
    return Lifter(find_lifter(name), threads)


class Lifter:
    """A loaded lifter. Use it as a context manager, or call `close`, to release the runtime's memory early.

    Parameters
    ----------
    path : an ONNX file that `vitruvian.export.export_lifter` wrote.
    threads : CPU threads; None leaves the choice to ONNX Runtime.

    Raises
    ------
    WeightsError
        No such file, not an ONNX model, or one without a lifter's card.
    """

    def __init__(self, path: str | os.PathLike, threads: int | None = 1) -> None:
        import onnxruntime as ort

        path = Path(path)
        session = open_session(path, threads)
        self.card = LifterCard.from_json(session.get_modelmeta().custom_metadata_map.get(METADATA_KEY), path)
        self._session: ort.InferenceSession | None = session

    def __repr__(self) -> str:
        return f"<Lifter {self.card.name}: {len(OUTPUT_JOINTS)} joints from {len(INPUT_JOINTS)}>"

    def __enter__(self) -> Lifter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the runtime; closing twice is fine."""
        self._session = None

    def __call__(
        self,
        poses: Poses,
        camera: Camera | None = None,
        *,
        threshold: float | None = None,
        height_mm: float | None = None,
    ) -> Poses3D:
        """Lift the people of one image.

        Parameters
        ----------
        poses : with joints of any skeleton that shares 6 or more names with ``lsp14``.
        camera : of the image, where known: the result is then in its axes, with ``translation_mm``. Without one the
            axes are those of a camera that looks at the person.
        threshold : joints with a score of this or less count as missing; None: those that are not `Poses.present`.
        height_mm : how tall the people are; by default all have the standard size, see `LifterCard.scale`.

        Returns
        -------
        `Poses3D` of ``h36m17``; NaN for people with fewer than 6 joints.

        Raises
        ------
        ShapeError
            A skeleton with too few joints in common, or a height that is not positive.
        VitruvianError
            A lifter of rows of poses (use `lift_frames`), or one that was closed.
        """
        if self.card.frames != 1:
            raise VitruvianError(f"lifter '{self.card.name}' needs {self.card.frames} poses in a row; use lift_frames")
        points, scores = _seen(poses.keypoints, _counted(poses, threshold), poses.skeleton)
        plane, turn = _plane(points, camera)
        joints = self.run(lifter_inputs(plane, scores)) if len(points) else np.zeros((0, len(OUTPUT_JOINTS), 3))
        return self._result(joints, points, scores, turn, camera, height_mm, path=poses.path, ids=poses.ids)

    def lift_frames(
        self,
        frames: Sequence[Poses],
        camera: Camera | None = None,
        *,
        threshold: float | None = None,
        height_mm: float | None = None,
    ) -> Poses3D:
        """Lift one person over successive frames, each a `Poses` of that person alone: N results for N frames.

        Works with both kinds of lifters; one of rows of poses sees each frame's neighbours, the ends repeated.
        Parameters and errors as in a call; `ShapeError` for frames without exactly one person.
        """
        if not frames:
            raise ShapeError("lift_frames needs at least one frame")
        wrong = next((i for i, f in enumerate(frames) if len(f) != 1 or f.skeleton != frames[0].skeleton), None)
        if wrong is not None:
            raise ShapeError(
                f"frame {wrong} has {len(frames[wrong])} people of '{frames[wrong].skeleton.name}'; want 1"
            )
        keypoints = np.concatenate([frame.keypoints for frame in frames])
        found = np.concatenate([_counted(frame, threshold) for frame in frames])
        points, scores = _seen(keypoints, found, frames[0].skeleton)
        plane, turn = _plane(points, camera)
        inputs, reach = lifter_inputs(plane, scores), self.card.frames // 2
        if reach:
            ends = [inputs[:1].repeat(reach, 0), inputs, inputs[-1:].repeat(reach, 0)]
            joints = self.run(np.concatenate(ends)[None])[0]
        else:
            joints = self.run(inputs)
        return self._result(joints, points, scores, turn, camera, height_mm)

    def run(self, inputs: np.ndarray) -> np.ndarray:
        """What the network makes of inputs (N, 14, 3), or (B, T, 14, 3) for rows of poses: joints in mm."""
        if self._session is None:
            raise VitruvianError("this lifter was closed; load it again")
        (joints,) = self._session.run(None, {"inputs": np.asarray(inputs, np.float32)})
        return np.asarray(joints)

    def _result(
        self,
        joints: np.ndarray,
        points: np.ndarray,
        scores: np.ndarray,
        turn: np.ndarray | None,
        camera: Camera | None,
        height_mm: float | None,
        path: Path | None = None,
        ids: np.ndarray | None = None,
    ) -> Poses3D:
        card, scale, axes, translation = self.card, self.card.scale, self.card.axes, None
        joints = np.where(((scores > 0).sum(1) >= LEAST_JOINTS)[:, None, None], joints, np.nan)
        if height_mm is not None:
            if not (np.isfinite(height_mm) and height_mm > 0):
                raise ShapeError(f"height_mm must be positive, got {height_mm}")
            joints = joints * (height_mm / STANDARD_HEIGHT_MM)
            scale = f"millimetres of a person {height_mm:.0f} mm tall, as was said"
        if turn is not None and camera is not None:
            joints = np.einsum("nij,nkj->nki", turn, joints)
            translation = place(joints, points, scores, camera)
            axes = "of the camera that was given: x right, y down, z forwards"
        return Poses3D(
            joints,
            _scores(scores),
            card.outputs,
            card.root,
            axes,
            scale,
            translation_mm=translation,
            path=path,
            ids=ids,
        )


def place(joints_mm: np.ndarray, points_px: np.ndarray, scores: np.ndarray, camera: Camera) -> np.ndarray:
    """(N, 3) translations in mm that bring joints (N, 17, 3), in the camera's axes, nearest to their 2D positions.

    ``points_px`` (N, 14, 2) and ``scores`` (N, 14) are of `INPUT_JOINTS`; joints weigh by their score. NaN for people
    without a 3D pose or of whom no place in front of the camera fits.
    """
    places = np.full((len(joints_mm), 3), np.nan)
    plane = camera.undistort((points_px - camera.centre_px) / camera.focal_px)
    for i, body in enumerate(input_joints(joints_mm)):
        used = (scores[i] > 0) & np.isfinite(plane[i]).all(1)
        if not np.isfinite(body).all() or used.sum() < LEAST_JOINTS:
            continue
        # x + tx = u (z + tz) and y + ty = v (z + tz), for each joint
        (u, v), weight, xyz = plane[i, used].T, np.sqrt(scores[i, used]), body[used]
        one, none = np.ones_like(u), np.zeros_like(u)
        left = np.concatenate([np.stack([one, none, -u], 1), np.stack([none, one, -v], 1)])
        right = np.concatenate([u * xyz[:, 2] - xyz[:, 0], v * xyz[:, 2] - xyz[:, 1]])
        both = np.concatenate([weight, weight])
        found = np.linalg.lstsq(left * both[:, None], right * both, rcond=None)[0]
        if found[2] + xyz[:, 2].min() > 0:
            places[i] = found
    return places


def _counted(poses: Poses, threshold: float | None) -> np.ndarray:
    """(N, K) scores, 0 of joints that count as missing."""
    return np.where(poses.present if threshold is None else poses.scores > threshold, poses.scores, 0.0)


def _seen(keypoints: np.ndarray, scores: np.ndarray, skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    points, scores = from_skeleton(keypoints, scores, skeleton)
    return points, np.where(np.isfinite(points).all(2), scores, 0.0)


def _plane(points: np.ndarray, camera: Camera | None) -> tuple[np.ndarray, np.ndarray | None]:
    """What a camera that looks straight at each person would see, and (N, 3, 3) the turn from its axes to the camera's.

    Without a camera the points themselves: lifters know neither place nor scale.
    """
    if camera is None:
        return points, None
    plane = camera.undistort((points - camera.centre_px) / camera.focal_px)
    rays = np.concatenate([plane, np.ones_like(plane[..., :1])], axis=-1)
    rays = np.where(np.isfinite(rays), rays, np.nan)
    known = np.asarray(np.isfinite(plane).all(2))
    middle = np.where(known[..., None], rays, 0).sum(1) + np.array([0, 0, 1e-9])
    forward = middle / np.linalg.norm(middle, axis=1, keepdims=True)
    # The shortest turn from z to the ray (Rodrigues), so that up stays up.
    x, y, z = forward.T
    along = 1 / (1 + z)
    turn = np.stack(
        [
            np.stack([1 - x * x * along, -x * y * along, x], 1),
            np.stack([-x * y * along, 1 - y * y * along, y], 1),
            np.stack([-x, -y, z], 1),
        ],
        axis=1,
    )
    straight = np.einsum("nji,nkj->nki", turn, rays)
    return straight[..., :2] / straight[..., 2:], turn


def _scores(scores: np.ndarray) -> np.ndarray:
    """(N, 17) scores of the joints of the result from (N, 14) of the inputs."""
    out = np.zeros((len(scores), len(OUTPUT_JOINTS)))
    for k, joint in enumerate(OUTPUT_JOINTS.joints):
        rests = _RESTS_ON.get(joint, (joint,))
        out[:, k] = np.mean([scores[:, INPUT_JOINTS.index(name)] for name in rests], axis=0)
    return out
