"""BVH, Biovision's hierarchy of joints with a line of channel values a frame.

Source: Meredith & Maddock, "Motion Capture File Formats Explained", University of Sheffield CS-01-11, section 2. A
joint's rotation is the product of its channels' in the order of the file, on column vectors: ``Zrotation Xrotation``
is Rz Rx. Position channels take the place of the offset, axis by axis, as Blender reads them; some other programs add
the two, which is the same wherever the offset is 0.

BVH has no unit and no upward axis: ``unit_mm`` says what one unit is (10 for centimetres, the common one), and the axes
stay as they are in the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import FormatError, ShapeError
from .motion import Motion, axis_rotation
from .writing import write_text

_CHANNELS = {f"{axis}{kind}" for axis in "xyz" for kind in ("position", "rotation")}


@dataclass(frozen=True, eq=False)
class BvhClip:
    """A BVH file as it is: the hierarchy, and the channels' values.

    Attributes
    ----------
    joints : J names; an end site is ``<its parent>_end``.
    parents : index of each joint's parent, -1 for the root.
    offsets : (J, 3) from the parent, in the file's unit.
    channels : for each joint its channels in order, in lower case, as ``("zrotation", "xrotation", "yrotation")``;
        empty for end sites.
    values : (F, C) all channels of all joints, in order; degrees for rotations.
    frame_time : seconds from one frame to the next.
    """

    joints: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray
    channels: tuple[tuple[str, ...], ...]
    values: np.ndarray
    frame_time: float

    def __post_init__(self) -> None:
        count, width = len(self.joints), sum(map(len, self.channels))
        offsets, values = np.asarray(self.offsets, np.float64), np.asarray(self.values, np.float64)
        fits = offsets.shape == (count, 3) and len(self.parents) == len(self.channels) == count
        if not fits or values.ndim != 2 or values.shape[1] != width:
            raise ShapeError(
                f"a clip of {count} joints and {width} channels needs offsets ({count}, 3), values (F, {width}), and "
                f"parents and channels for each joint; got {offsets.shape}, {values.shape}, {len(self.parents)}, "
                f"{len(self.channels)}"
            )
        if not (np.isfinite(offsets).all() and np.isfinite(values).all() and self.frame_time > 0):
            raise ShapeError("a clip's offsets and values must be finite, and its frame time positive")
        object.__setattr__(self, "offsets", offsets)
        object.__setattr__(self, "values", values)

    def motion(self, unit_mm: float = 10.0, name: str = "") -> Motion:
        """Positions by forward kinematics; one unit of the file is ``unit_mm`` millimetres."""
        frames, count, at = len(self.values), len(self.joints), 0
        positions, turns = np.zeros((frames, count, 3)), np.zeros((frames, count, 3, 3))
        for i, (parent, channels) in enumerate(zip(self.parents, self.channels, strict=True)):
            place, turn = np.tile(self.offsets[i], (frames, 1)), np.broadcast_to(np.eye(3), (frames, 3, 3))
            for channel in channels:
                if channel.endswith("rotation"):
                    turn = turn @ axis_rotation(channel[0], self.values[:, at])
                else:
                    place[:, "xyz".index(channel[0])] = self.values[:, at]
                at += 1
            if parent < 0:
                positions[:, i], turns[:, i] = place, turn
            else:
                positions[:, i] = positions[:, parent] + np.einsum("fij,fj->fi", turns[:, parent], place)
                turns[:, i] = turns[:, parent] @ turn
        return Motion(self.joints, self.parents, positions * unit_mm, 1 / self.frame_time, name)


def read_bvh(path: str | os.PathLike, *, unit_mm: float = 10.0) -> Motion:
    """Read a BVH file as a `Motion`; end sites become joints named ``<parent>_end``.

    Raises `FormatError` for a malformed file.
    """
    return read_bvh_clip(path).motion(unit_mm, Path(path).stem)


def read_bvh_clip(path: str | os.PathLike) -> BvhClip:
    """Read a BVH file as it is; `FormatError` names the joint or the frame where it is malformed."""
    if not Path(path).is_file():
        raise FormatError(path, "no such file; expected a .bvh file")
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(path, f"is not a text file ({error})") from error
    head, found, tail = text.partition("MOTION")
    if not found:
        raise FormatError(path, "has no MOTION section; is it truncated?")
    joints, parents, offsets, channels = _hierarchy(path, head)
    values, frame_time = _motion(path, tail, sum(map(len, channels)))
    return BvhClip(tuple(joints), tuple(parents), np.array(offsets), tuple(channels), values, frame_time)


def write_bvh(path: str | os.PathLike, clip: BvhClip, decimals: int = 6) -> Path:
    """Write a clip; reading it gives the same clip, to ``decimals`` digits behind the point.

    Raises `FormatError` for what BVH cannot say: a root without channels, several roots, names with blanks, joints
    that do not follow their parents depth first (the order of BVH), or an end site with children.
    """
    lines, stack, depth_first = ["HIERARCHY"], [], True
    for i, (name, parent) in enumerate(zip(clip.joints, clip.parents, strict=True)):
        while stack and stack[-1] != parent:
            stack.pop()
            lines.append("\t" * len(stack) + "}")
        depth_first &= (parent < 0) == (i == 0) and (not stack) == (i == 0)
        end = not clip.channels[i]
        if not depth_first or len(name.split()) != 1 or (end and (i == 0 or name != f"{clip.joints[parent]}_end")):
            problem = "BVH needs one root with channels, joints depth first, and end sites named '<parent>_end'"
            raise FormatError(path, problem, record=f"joint '{name}'")
        if end and i in clip.parents:
            raise FormatError(path, "a joint without channels is an end site and can have no children", record=name)
        indent = "\t" * len(stack)
        lines += [indent + ("End Site" if end else f"{'JOINT' if i else 'ROOT'} {name}"), indent + "{"]
        lines.append(indent + "\tOFFSET " + " ".join(f"{v:.{decimals}f}" for v in clip.offsets[i]))
        if not end:
            spelled = [c[0].upper() + c[1:] for c in clip.channels[i]]
            lines.append(f"{indent}\tCHANNELS {len(spelled)} {' '.join(spelled)}")
        stack.append(i)
    while stack:
        stack.pop()
        lines.append("\t" * len(stack) + "}")
    lines += ["MOTION", f"Frames: {len(clip.values)}", f"Frame Time: {clip.frame_time:.9g}"]
    lines += [" ".join(f"{v:.{decimals}f}" for v in row) for row in clip.values]
    return write_text(path, "\n".join(lines) + "\n")


def _hierarchy(path: object, head: str) -> tuple[list[str], list[int], list[list[float]], list[tuple[str, ...]]]:
    joints: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[tuple[str, ...]] = []
    stack: list[int] = []
    tokens = iter(head.split())
    if next(tokens, None) != "HIERARCHY":
        raise FormatError(path, "does not begin with HIERARCHY; is it a BVH file?")
    for token in tokens:
        word = token.upper()
        if word in ("ROOT", "JOINT", "END"):
            name = _token(path, tokens)
            if word == "END":
                name = f"{joints[stack[-1]]}_end" if stack else name
            if (word == "ROOT") != (not joints) or (word != "ROOT" and not stack) or name in joints:
                raise FormatError(
                    path, "expected one ROOT and joints inside it, no name twice", record=f"joint '{name}'"
                )
            if _token(path, tokens) != "{":
                raise FormatError(path, "expected '{' after the joint's name", record=f"joint '{name}'")
            joints.append(name)
            parents.append(stack[-1] if stack else -1)
            offsets.append([0.0, 0.0, 0.0])
            channels.append(())
            stack.append(len(joints) - 1)
        elif word == "OFFSET" and stack:
            offsets[stack[-1]] = [_number(path, _token(path, tokens), joints[stack[-1]]) for _ in range(3)]
        elif word == "CHANNELS" and stack:
            count = _number(path, _token(path, tokens), joints[stack[-1]])
            names = [_token(path, tokens).lower() for _ in range(int(count) if 0 <= count <= 6 else 0)]
            if len(names) != count or not set(names) <= _CHANNELS or len(set(names)) != len(names):
                problem = f"expected up to 6 different channels like Zrotation, got {count:g}: {' '.join(names)}"
                raise FormatError(path, problem, record=f"joint '{joints[stack[-1]]}'")
            channels[stack[-1]] = tuple(names)
        elif word == "}" and stack:
            stack.pop()
        else:
            raise FormatError(path, f"unexpected '{token}' in the hierarchy")
    if stack or not joints:
        raise FormatError(path, f"the hierarchy ends with {len(stack)} joints open; is it truncated?")
    return joints, parents, offsets, channels


def _motion(path: object, tail: str, width: int) -> tuple[np.ndarray, float]:
    words = tail.split()
    if len(words) < 5 or words[0] != "Frames:" or words[2:4] != ["Frame", "Time:"]:
        raise FormatError(path, "expected 'Frames: <number>' and 'Frame Time: <seconds>' after MOTION")
    count, frame_time = _number(path, words[1], "Frames"), _number(path, words[4], "Frame Time")
    if count < 0 or count != int(count) or frame_time <= 0:
        raise FormatError(path, f"expected a whole number of frames and a positive time, got {count:g}, {frame_time:g}")
    if len(words) - 5 != int(count) * width:
        problem = f"{count:g} frames of {width} channels need {int(count) * width} values, got {len(words) - 5}"
        raise FormatError(path, problem, record="MOTION")
    try:
        values = np.array(words[5:], np.float64).reshape(int(count), width)
    except ValueError as error:
        raise FormatError(path, f"a value is no number ({error})", record="MOTION") from error
    if not np.isfinite(values).all():
        raise FormatError(path, "a value is not finite", record=f"frame {int(np.argwhere(~np.isfinite(values))[0, 0])}")
    return values, frame_time


def _token(path: object, tokens: Iterator[str]) -> str:
    token = next(tokens, None)
    if token is None:
        raise FormatError(path, "the hierarchy ends in the middle of a joint; is it truncated?")
    return token


def _number(path: object, text: str, record: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise FormatError(path, f"expected a number, got '{text}'", record=record)
    return value
