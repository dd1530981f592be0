"""Clothes, shoes, hats and hair from a wardrobe: Wavefront OBJ with MakeHuman's ``.mhclo`` fitting files.

A wardrobe is a folder, or a ``.tar`` of one (any compression), in any arrangement: each ``.mhclo`` names its ``.obj``
beside it. ``<name>_diffuse.*`` anywhere is a garment's texture, ``skin_*`` a skin's.

Fitting follows the files' own rule (MakeHuman's documentation, "mhclo file format"): a vertex is a weighted mean of
three vertices of the base mesh plus an offset, which is scaled on each axis by the distance of two reference vertices.
Bones move a garment's vertex as they move those three.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from zlib import crc32

import numpy as np
from PIL import Image

from ...errors import FormatError
from ...formats.writing import atomic_path
from .body import PARTS, BodyModel, part_of_weights, vertex_normals

_TEXTURE_KINDS = (".webp", ".png", ".jpg", ".jpeg")
_TEXTURE_PX = 512
_NOT_WORN = {"eyes", "eyebrows", "eyelashes", "teeth", "tongue", "3dobjs", "proxymeshes"}
"""MakeHuman's folders of other things in the same format."""
KINDS = ("suit", "shoes", "hat", "hair")


@dataclass(frozen=True, eq=False)
class Garment:
    """One thing to wear, bound to a body.

    Attributes
    ----------
    name, kind : its file's stem, and one of `KINDS`.
    tags : of its file, in lower case (``male``, ``casual``).
    base, share : (G, 3) vertices of the body and their shares, for each of G vertices.
    offset : (G, 3), to be multiplied by the scales of ``references``: (3, 2) vertices and (3,) divisors, x, y, z.
    weights : (G, B) bone weights; ``part`` (G,) the part ids that follow from them.
    triangles : (T, 3) over corners; ``corner_vertex`` (C,), ``corner_uv`` (C, 2); ``normals`` (G, 3) at rest.
    hides : (V,) bool, vertices of the body that it covers.
    """

    name: str
    kind: str
    tags: frozenset[str]
    base: np.ndarray
    share: np.ndarray
    offset: np.ndarray
    references: np.ndarray
    divisors: np.ndarray
    weights: np.ndarray
    part: np.ndarray
    triangles: np.ndarray
    corner_vertex: np.ndarray
    corner_uv: np.ndarray
    normals: np.ndarray
    hides: np.ndarray

    def fit(self, vertices_mm: np.ndarray) -> np.ndarray:
        """(G, 3) float32 mm: its vertices on a body at rest, (V, 3) mm."""
        return _fit(vertices_mm, self.base, self.share, self.offset, self.references, self.divisors)


@dataclass(frozen=True)
class Wardrobe:
    """What there is to wear: garments by kind, garments' textures by name, and skins (RGB arrays)."""

    garments: dict[str, list[Garment]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    textures: dict[str, np.ndarray] = field(default_factory=dict)
    skins: dict[str, np.ndarray] = field(default_factory=dict)


def load_wardrobe(path: str | os.PathLike, body: BodyModel, cache: str | os.PathLike | None = None) -> Wardrobe:
    """Read a wardrobe and bind it to a body.

    Parameters
    ----------
    cache : a folder for what was read, which is twenty times as fast the next time; None keeps nothing.

    Raises `FormatError` for a path that is neither folder nor tar, a wardrobe without a garment, a malformed garment.
    """
    kept = None if cache is None else Path(cache) / f"wardrobe-{_key(Path(path), body)}.npz"
    if kept is not None and kept.exists():
        return _unpack(kept, body)
    out = _read(Path(path), body)
    if kept is not None:
        _pack(kept, out)
    return out


def _key(path: Path, body: BodyModel) -> str:
    """What changes when a file of the wardrobe or the body does."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()]
    told = f"1 {path.resolve()} {stats} {body.shapes.shape} {crc32(body.shapes.tobytes())}"
    return hashlib.sha256(told.encode()).hexdigest()[:16]


_PACKED = (
    "base",
    "share",
    "offset",
    "references",
    "divisors",
    "triangles",
    "corner_vertex",
    "corner_uv",
    "normals",
    "hides",
)


def _pack(path: Path, wardrobe: Wardrobe) -> None:
    garments = [g for kind in KINDS for g in wardrobe.garments[kind]]
    arrays = {f"{i}.{name}": getattr(g, name) for i, g in enumerate(garments) for name in _PACKED}
    about = [[g.name, g.kind, sorted(g.tags)] for g in garments]
    pictures = {"texture": wardrobe.textures, "skin": wardrobe.skins}
    arrays |= {f"{kind}.{name}": picture for kind, found in pictures.items() for name, picture in found.items()}
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, about=np.array(json.dumps(about)), **arrays)


def _unpack(path: Path, body: BodyModel) -> Wardrobe:
    out = Wardrobe()
    try:
        with np.load(path, allow_pickle=False) as file:
            for i, (name, kind, tags) in enumerate(json.loads(str(file["about"]))):
                arrays = {field: file[f"{i}.{field}"] for field in _PACKED}
                weights = _weights(arrays["base"], arrays["share"], body)
                part = part_of_weights(weights, body.bone_part)
                out.garments[kind].append(Garment(name, kind, frozenset(tags), weights=weights, part=part, **arrays))
            for key in file.files:
                kind, _, name = key.partition(".")
                if kind in ("texture", "skin"):
                    (out.textures if kind == "texture" else out.skins)[name] = file[key]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise FormatError(path, f"is a broken cache ({error}); delete it") from error
    return out


def _read(path: Path, body: BodyModel) -> Wardrobe:
    files = dict(_files(path))
    out = Wardrobe()
    for name in sorted(files):
        place = PurePosixPath(name)
        if place.suffix == ".mhclo":
            if not {word.lower() for word in place.parts[:-1]} & _NOT_WORN:
                garment = _garment(name, files, body)
                out.garments[garment.kind].append(garment)
        elif place.suffix.lower() in _TEXTURE_KINDS:
            if place.stem.startswith("skin_"):
                out.skins[place.stem] = _picture(name, files[name])
            elif place.stem.endswith("_diffuse"):
                out.textures[place.stem.removesuffix("_diffuse")] = _picture(name, files[name])
    if not any(out.garments.values()):
        raise FormatError(path, "holds nothing to wear: expected .mhclo files with the .obj they name beside them")
    return out


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    wanted = (".mhclo", ".obj", *_TEXTURE_KINDS)
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.suffix.lower() in wanted and file.is_file():
                yield file.relative_to(path).as_posix(), file.read_bytes()
        return
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                if member.isfile() and PurePosixPath(member.name).suffix.lower() in wanted:
                    yield member.name.removeprefix("./"), tar.extractfile(member).read()  # type: ignore[union-attr]
    except (OSError, tarfile.TarError) as error:
        raise FormatError(path, f"is no wardrobe ({error}); expected a folder or a tar archive of one") from error


def _picture(name: str, data: bytes) -> np.ndarray:
    try:
        picture = Image.open(io.BytesIO(data)).convert("RGB")
    except OSError as error:
        raise FormatError(name, f"is not a picture ({error})") from error
    return np.asarray(picture.resize((_TEXTURE_PX, _TEXTURE_PX), Image.Resampling.LANCZOS))


def _garment(name: str, files: dict[str, bytes], body: BodyModel) -> Garment:
    place = PurePosixPath(name)
    lines = [line.split("#")[0].split() for line in files[name].decode("utf-8", "replace").splitlines()]
    head: dict[str, list[str]] = {}
    tags, rows, hidden, mode = set(), [], [], "head"
    for words in lines:
        if not words:
            continue
        if words[0] in ("verts", "weights", "delete_verts"):
            mode = words[0]
        elif mode == "verts" and _is_number(words[0]):
            rows.append(words)
        elif mode == "delete_verts" and _is_number(words[0]):
            hidden += words
        else:
            if words[0] == "tag":
                tags.add(" ".join(words[1:]).lower())
            else:
                head[words[0]] = words[1:]
    obj = (place.parent / " ".join(head.get("obj_file", [place.stem + ".obj"]))).as_posix()
    if obj not in files or not rows:
        raise FormatError(name, f"names '{obj}', which is not there" if rows else "binds no vertices ('verts')")
    try:
        base, share, offset = _bindings(rows)
        references = [head[f"{axis}_scale"] for axis in "xyz"]
        divisors = np.array([float(words[2]) for words in references])
        reference = np.array([[int(words[0]), int(words[1])] for words in references])
        hides = _ranges(hidden, body.shapes.shape[1])
    except (KeyError, ValueError, IndexError) as error:
        raise FormatError(name, f"is malformed ({error!r})") from error
    if max(base.max(), reference.max()) >= body.shapes.shape[1]:
        raise FormatError(name, f"is for another base mesh than this of {body.shapes.shape[1]} vertices")
    corner_vertex, corner_uv, triangles = _obj(obj, files[obj], len(base))
    weights = _weights(base, share, body)
    part = part_of_weights(weights, body.bone_part)
    mean = body.rest(np.full(len(body), 1 / len(body)))[0]
    rest = _fit(mean, base, share, offset, reference, divisors)
    return Garment(
        name=place.stem, kind=_kind(place, part), tags=frozenset(tags), base=base, share=share.astype(np.float32),
        offset=offset.astype(np.float32), references=reference, divisors=divisors, weights=weights, part=part,
        triangles=triangles, corner_vertex=corner_vertex, corner_uv=corner_uv,
        normals=vertex_normals(rest, corner_vertex[triangles]), hides=hides,
    )  # fmt: skip


def _fit(
    vertices: np.ndarray, base: np.ndarray, share: np.ndarray, offset: np.ndarray, reference: np.ndarray, divisors
) -> np.ndarray:
    across = vertices[reference[:, 0], range(3)] - vertices[reference[:, 1], range(3)]
    scale = np.abs(across) / divisors
    return (np.einsum("gk,gki->gi", share, vertices[base]) + offset * scale).astype(np.float32)


def _weights(base: np.ndarray, share: np.ndarray, body: BodyModel) -> np.ndarray:
    """(G, B) float32. A vertex may hang on shares below 0; bones take what is above."""
    weights = np.einsum("gk,gkb->gb", np.maximum(share, 0), body.weights[base])
    return (weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-6)).astype(np.float32)


def _is_number(word: str) -> bool:
    return word.lstrip("-").isdigit()


def _bindings(rows: list[list[str]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Base vertices (G, 3), shares (G, 3) and offsets (G, 3); a row of one number hangs on that vertex alone."""
    base, share, offset = np.zeros((len(rows), 3), int), np.zeros((len(rows), 3)), np.zeros((len(rows), 3))
    for i, words in enumerate(rows):
        if len(words) == 1:
            base[i], share[i] = int(words[0]), (1, 0, 0)
        else:
            base[i] = [int(w) for w in words[:3]]
            share[i] = [float(w) for w in words[3:6]]
            offset[i] = [float(w) for w in words[6:9]] if len(words) >= 9 else 0
    return base, share, offset


def _ranges(words: list[str], count: int) -> np.ndarray:
    """(V,) bool of ``3 - 5 9``: numbers, and ranges with their ends."""
    out = np.zeros(count, bool)
    i = 0
    while i < len(words):
        start = end = int(words[i])
        if i + 2 < len(words) and words[i + 1] == "-":
            end, i = int(words[i + 2]), i + 2
        out[start : end + 1] = True
        i += 1
    return out


def _obj(name: str, data: bytes, vertices: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Corners (their vertex and texture coordinates) and triangles of a Wavefront file."""
    uvs: list[list[float]] = [[0.0, 0.0]]
    pairs: dict[tuple[int, int], int] = {}
    triangles: list[tuple[int, int, int]] = []
    count = 0
    try:
        for line in data.decode("utf-8", "replace").splitlines():
            words = line.split()
            if not words:
                continue
            if words[0] == "v":
                count += 1
            elif words[0] == "vt":
                uvs.append([float(words[1]), float(words[2])])
            elif words[0] == "f":
                face = []
                for word in words[1:]:
                    ends = word.split("/")
                    pair = (int(ends[0]) - 1, int(ends[1]) if len(ends) > 1 and ends[1] else 0)
                    face.append(pairs.setdefault(pair, len(pairs)))
                triangles += [(face[0], face[k], face[k + 1]) for k in range(1, len(face) - 1)]
    except (ValueError, IndexError) as error:
        raise FormatError(name, f"is malformed ({error})") from error
    corner = np.array(list(pairs), np.int64).reshape(-1, 2)
    if count != vertices or not len(corner) or corner.min() < 0 or corner[:, 0].max() >= count:
        raise FormatError(name, f"has {count} vertices and faces of some; its .mhclo binds {vertices}")
    if corner[:, 1].max() >= len(uvs):
        raise FormatError(name, f"names texture coordinate {corner[:, 1].max()} of {len(uvs) - 1}")
    uv = np.array(uvs, np.float32)[corner[:, 1]]
    return corner[:, 0].astype(np.int32), uv, np.array(triangles, np.int32)


def _kind(place: PurePosixPath, part: np.ndarray) -> str:
    """Hair by its folder, the rest by the part of the body that it hangs on."""
    feet = np.isin(part, [1 + PARTS.index(f"{side}_foot") for side in ("left", "right")]).mean()
    head = (part == 1 + PARTS.index("head")).mean()
    if "hair" in {word.lower() for word in place.parts[:-1]}:
        return "hair"
    return "shoes" if feet > 0.6 else "hat" if head > 0.6 else "suit"
