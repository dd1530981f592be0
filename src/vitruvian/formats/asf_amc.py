"""Acclaim's ASF (a skeleton) with AMC (its movement): the original format of the CMU motion capture database.

Source: Meredith & Maddock, "Motion Capture File Formats Explained", University of Sheffield CS-01-11, section 3; the
unit is the database's own rule: lengths are inches divided by the skeleton's ``length`` of 0.45.

A bone's global rotation is its parent's times C M C^-1, with C the bone's ``axis`` and M the frame's angles; it leads
from where its parent ends by ``length`` along the rotated ``direction``. Angles apply in the order in which they are
listed. The axes stay those of the file (CMU: y up). An AMC holds no rate; CMU's was 120 frames a second.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import FormatError
from .motion import Motion, axis_rotation

_DEGREES = 180 / np.pi


@dataclass(frozen=True, eq=False)
class AsfSkeleton:
    """What an ASF file says.

    Attributes
    ----------
    bones : names, ``root`` first, each after its parent.
    parents : indices, -1 for the root.
    offsets : (J, 3) direction times length, in the rest pose and the file's unit; for the root its position.
    axes : (J, 3, 3) the rotations C.
    dofs : for each bone what an AMC gives, in order, as ``("rx", "ry")``.
    length : the file's unit: so many of its lengths are an inch.
    factor : from the file's angles to degrees.
    """

    bones: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray
    axes: np.ndarray
    dofs: tuple[tuple[str, ...], ...]
    length: float
    factor: float


def read_asf_amc(
    asf: str | os.PathLike, amc: str | os.PathLike, *, fps: float = 120.0, unit_mm: float | None = None
) -> Motion:
    """Read a skeleton and a take of it as a `Motion`.

    Parameters
    ----------
    asf, amc : the two files.
    fps : frames per second, which neither of them tells.
    unit_mm : millimetres of one unit of length; None takes 25.4 divided by the skeleton's ``length``.

    Returns
    -------
    A `Motion` with a joint for every bone, named after the bone and standing at its far *end*: ``ltibia`` is the left
    ankle, ``lfemur`` the left knee; ``root`` is the pelvis.

    Raises
    ------
    FormatError
        A malformed file, or an AMC whose bones or values are not the skeleton's.
    """
    skeleton = read_asf(asf)
    index = {name: i for i, name in enumerate(skeleton.bones)}
    values, factor = _read_amc(amc, skeleton, index)
    frames, count = len(values[0]), len(skeleton.bones)
    unit = 25.4 / skeleton.length if unit_mm is None else unit_mm
    positions, turns = np.zeros((frames, count, 3)), np.zeros((frames, count, 3, 3))
    for i, parent in enumerate(skeleton.parents):
        turn, shift = np.broadcast_to(np.eye(3), (frames, 3, 3)), np.zeros((frames, 3))
        for column, dof in enumerate(skeleton.dofs[i]):
            if dof[0] == "r":
                turn = axis_rotation(dof[1], values[i][:, column] * factor) @ turn  # listed first, applied first
            else:
                shift[:, "xyz".index(dof[1])] = values[i][:, column]
        turn = skeleton.axes[i] @ turn @ skeleton.axes[i].T
        if parent < 0:
            positions[:, i], turns[:, i] = skeleton.offsets[i] + shift, turn
        else:
            turns[:, i] = turns[:, parent] @ turn
            positions[:, i] = positions[:, parent] + turns[:, i] @ skeleton.offsets[i]
    return Motion(skeleton.bones, skeleton.parents, positions * unit, fps, Path(amc).stem)


def read_asf(path: str | os.PathLike) -> AsfSkeleton:
    """Read a skeleton; `FormatError` names the section or bone where it is malformed."""
    sections = _sections(path)
    units = {words[0]: words[1] for words in sections.get("units", []) if len(words) == 2}
    length = _floats(path, "units", [units.get("length", "1")], 1)[0]
    if length <= 0 or units.get("angle", "deg") not in ("deg", "rad"):
        raise FormatError(path, f"expected a positive length, and angles in deg or rad, got {units}", record="units")
    factor = 1.0 if units.get("angle", "deg") == "deg" else _DEGREES
    root = {words[0]: words[1:] for words in sections.get("root", [])}
    position = np.array(_floats(path, "root", root.get("position", ["0", "0", "0"]), 3))
    turned = _floats(path, "root", root.get("orientation", ["0", "0", "0"]), 3)
    order = _dofs(path, "root", root.get("order", ["TX", "TY", "TZ", "RX", "RY", "RZ"]))
    axes = {"root": _axis(path, "root", [*map(str, turned), *root.get("axis", ["XYZ"])], factor)}
    offsets, dofs = {"root": position}, {"root": order}
    for bone in _bones(path, sections.get("bonedata", [])):
        name = " ".join(bone.get("name", []))
        if not name or name in offsets:
            raise FormatError(path, f"expected a bone with a name of its own, got '{name}'", record="bonedata")
        direction = np.array(_floats(path, name, bone.get("direction", []), 3))
        norm = np.linalg.norm(direction)
        offsets[name] = direction / (norm or 1.0) * _floats(path, name, bone.get("length", []), 1)[0]
        axes[name] = _axis(path, name, bone.get("axis", ["0", "0", "0", "XYZ"]), factor)
        dofs[name] = _dofs(path, name, bone.get("dof", []))
        if any(dof[0] == "t" for dof in dofs[name]):
            raise FormatError(path, "only the root may be shifted; bones that are cannot be read", record=name)
    parents = _parents(path, sections.get("hierarchy", []), set(offsets))
    bones = tuple(parents)
    return AsfSkeleton(
        bones,
        tuple(-1 if parents[b] is None else bones.index(parents[b]) for b in bones),  # type: ignore[arg-type]
        np.array([offsets[b] for b in bones]),
        np.array([axes[b] for b in bones]),
        tuple(dofs[b] for b in bones),
        length,
        factor,
    )


def _lines(path: str | os.PathLike) -> list[str]:
    if not Path(path).is_file():
        raise FormatError(path, "no such file")
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise FormatError(path, f"is not a text file ({error})") from error
    return [line.split("#")[0].strip() for line in lines]


def _sections(path: str | os.PathLike) -> dict[str, list[list[str]]]:
    """The lines' words by section, whose headings begin with a colon."""
    sections: dict[str, list[list[str]]] = {}
    current: list[list[str]] = []
    for line in _lines(path):
        if line.startswith(":"):
            current = sections.setdefault(line[1:].split()[0].lower() if line[1:].split() else "", [])
        elif line:
            current.append(line.split())
    for needed in ("root", "bonedata", "hierarchy"):
        if needed not in sections:
            raise FormatError(path, f"has no section ':{needed}'; is it an ASF file, and complete?")
    return sections


def _bones(path: object, lines: list[list[str]]) -> list[dict[str, list[str]]]:
    bones: list[dict[str, list[str]]] = []
    inside = False
    for words in lines:
        if words[0] in ("begin", "end"):
            if inside == (words[0] == "begin"):
                raise FormatError(path, f"unexpected '{words[0]}'", record=f"bone {len(bones)}")
            inside = not inside
            if inside:
                bones.append({})
        elif inside:
            bones[-1][words[0].lower()] = words[1:]
    if inside:
        raise FormatError(path, "the last bone has no 'end'; is the file truncated?", record=f"bone {len(bones)}")
    return bones


def _parents(path: object, lines: list[list[str]], known: set[str]) -> dict[str, str | None]:
    """Each bone's parent, in the order of the hierarchy."""
    parents: dict[str, str | None] = {"root": None}
    for words in lines:
        if words in (["begin"], ["end"]):
            continue
        for child in words[1:]:
            if words[0] not in parents or child in parents or child not in known:
                problem = f"'{words[0]}' must come before '{child}', and both must be bones that are listed once"
                raise FormatError(path, problem, record="hierarchy")
            parents[child] = words[0]
    if set(parents) != known:
        raise FormatError(
            path, f"bones without a parent: {', '.join(sorted(known - set(parents)))}", record="hierarchy"
        )
    return parents


def _axis(path: object, name: str, words: Sequence[str], factor: float) -> np.ndarray:
    order = words[3].lower() if len(words) == 4 else ""
    if sorted(order) != ["x", "y", "z"]:
        raise FormatError(path, f"expected three angles and an order like XYZ, got {' '.join(words)}", record=name)
    rotation = np.eye(3)
    for axis, angle in zip(order, _floats(path, name, words[:3], 3), strict=True):
        rotation = axis_rotation(axis, np.array(angle * factor)) @ rotation
    return rotation


def _dofs(path: object, name: str, words: Sequence[str]) -> tuple[str, ...]:
    dofs = tuple(word.lower() for word in words)
    if not set(dofs) <= {"tx", "ty", "tz", "rx", "ry", "rz"} or len(set(dofs)) != len(dofs):
        raise FormatError(path, f"expected some of tx ty tz rx ry rz, got {' '.join(words)}", record=name, field="dof")
    return dofs


def _floats(path: object, record: str, words: Sequence[str], count: int) -> list[float]:
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = []
    if len(values) != count or not np.isfinite(values).all():
        raise FormatError(path, f"expected {count} numbers, got '{' '.join(words)}'", record=record)
    return values


def _read_amc(path: str | os.PathLike, skeleton: AsfSkeleton, index: dict[str, int]) -> tuple[list[np.ndarray], float]:
    """(F, D) values of each bone, and the factor that makes degrees of angles."""
    frames: list[list[list[float] | None]] = []
    factor = skeleton.factor
    for line in _lines(path):
        words = line.split()
        if not words or line.startswith(":"):
            factor = {":degrees": 1.0, ":radians": _DEGREES}.get(line.lower(), factor)
        elif len(words) == 1 and words[0].isdigit():
            frames.append([None] * len(skeleton.bones))
        else:
            where = f"frame {len(frames)}, bone '{words[0]}'"
            if not frames or words[0] not in index or frames[-1][index[words[0]]] is not None:
                raise FormatError(path, "expected a frame's number, then each bone of the skeleton once", record=where)
            i = index[words[0]]
            frames[-1][i] = _floats(path, where, words[1:], len(skeleton.dofs[i]))
    values = []
    for i, (name, dofs) in enumerate(zip(skeleton.bones, skeleton.dofs, strict=True)):
        rows = [frame[i] for frame in frames]
        if dofs and None in rows:
            raise FormatError(path, "the bone is missing", record=f"frame {rows.index(None) + 1}, bone '{name}'")
        values.append(np.array(rows, np.float64) if dofs and rows else np.zeros((len(frames), len(dofs))))
    if not frames:
        raise FormatError(path, "holds no frame; is it an AMC file?")
    return values, factor
