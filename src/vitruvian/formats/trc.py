"""TRC, the text format of marker positions over time that OpenSim and other biomechanics programs read.

Source: OpenSim's user guide, "Marker (.trc) Files": a header of six lines, then tab-separated rows of frame number,
time in seconds, and x, y, z of every marker; an empty field is a marker that was not seen. OpenSim's models have y
upwards.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..errors import FormatError
from .motion import Motion
from .writing import write_text

_UNITS_MM = {"mm": 1.0, "cm": 10.0, "m": 1000.0}
_HEADER = 6  # lines before the data, the empty one included


def write_trc(path: str | os.PathLike, motion: Motion, decimals: int = 3) -> Path:
    """Write joints as markers, in mm; joints without a position become empty fields.

    Raises `FormatError` for names with tabs or line breaks, which the format cannot hold.
    """
    path = Path(path)
    bad = next((j for j in motion.joints if not j or any(c in j for c in "\t\r\n")), None)
    if bad is not None:
        raise FormatError(path, f"a marker's name can hold no tab or line break, got {bad!r}", record=motion.name)
    frames, count, rate = len(motion), len(motion.joints), f"{motion.fps:.9g}"
    keys = ["DataRate", "CameraRate", "NumFrames", "NumMarkers", "Units"]
    keys += ["OrigDataRate", "OrigDataStartFrame", "OrigNumFrames"]
    values = [rate, rate, str(frames), str(count), "mm", rate, "1", str(frames)]
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{path.name}",
        "\t".join(keys),
        "\t".join(values),
        "Frame#\tTime\t" + "\t\t\t".join(motion.joints) + "\t\t",
        "\t\t" + "\t".join(f"{axis}{k + 1}" for k in range(count) for axis in "XYZ"),
        "",
    ]
    for i, row in enumerate(motion.positions_mm.reshape(frames, -1)):
        cells = [f"{v:.{decimals}f}" if np.isfinite(v) else "" for v in row]
        lines.append("\t".join([str(i + 1), f"{i / motion.fps:.6f}", *cells]))
    return write_text(path, "\n".join(lines) + "\n")


def read_trc(path: str | os.PathLike) -> Motion:
    """Read markers as a `Motion` in mm, every marker a root of its own: the format knows no bones.

    Raises `FormatError` for a malformed file; it names the line.
    """
    path = Path(path)
    if not path.is_file():
        raise FormatError(path, "no such file; expected a .trc file")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise FormatError(path, f"is not a text file ({error})") from error
    if len(lines) < _HEADER - 1 or not lines[0].startswith("PathFileType"):
        raise FormatError(path, "does not begin with the five header lines of a TRC file")
    header = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=False))
    try:
        fps, count, frames = float(header["DataRate"]), int(header["NumMarkers"]), int(header["NumFrames"])
        unit = _UNITS_MM[header["Units"].strip().lower()]
    except (KeyError, ValueError) as error:
        raise FormatError(path, f"its header needs DataRate, NumMarkers, NumFrames, Units ({error})") from error
    joints = tuple(name.strip() for name in lines[3].split("\t")[2:] if name.strip())
    if len(joints) != count:
        raise FormatError(path, f"names {len(joints)} markers, but says that there are {count}", record="line 4")
    rows = [(n, line) for n, line in enumerate(lines[_HEADER - 1 :], _HEADER) if line.strip()]
    if len(rows) != frames:
        raise FormatError(path, f"says that there are {frames} frames, but has {len(rows)}; is it truncated?")
    positions = np.full((frames, count * 3), np.nan)
    for i, (number, line) in enumerate(rows):
        cells = line.split("\t")[2:]
        if len(cells) > count * 3 and any(c.strip() for c in cells[count * 3 :]):
            raise FormatError(path, f"expected {count * 3} values, got {len(cells)}", record=f"line {number}")
        for k, cell in enumerate(cells[: count * 3]):
            if cell.strip():
                try:
                    positions[i, k] = float(cell)
                except ValueError as error:
                    raise FormatError(path, f"'{cell}' is no number", record=f"line {number}") from error
    return Motion(joints, (-1,) * count, positions.reshape(frames, count, 3) * unit, fps, path.stem)
