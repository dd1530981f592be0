"""What a network sees in one person, joint by joint: `explain_sheet`, a picture, and `explain_page`, a web page.

The page holds everything in itself: pictures as data URIs, no script or font from elsewhere, so that it can be mailed
and opens without a network. Maps stay at their own resolution and are enlarged by the browser, edge to edge with the
crop, which is the pixel-centre rule of the codecs.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from ..errors import ShapeError
from . import palette, strokes
from .heatmaps import captions, dim, opacity, ramp, tinted
from .web import data_uri

_PAPER = (26, 28, 34)
_INK = (222, 224, 230)
_FAINT = (130, 134, 146)
_NUMBER = 3  # widths of a letter, of which a number below a tile has
_ATTENDED_LIGHT, _ATTENDED_MOST = 0.85, 0.6  # attention may be high all over: a lighter photo shines through it
_MAX_PHOTO_PX = 1200  # the page's overview is for finding people, not for keeping


@dataclass(frozen=True, eq=False)
class PersonMaps:
    """One person, as a network was shown it and as it answered.

    Attributes
    ----------
    crop : (H, W, 3) uint8 RGB, the network's input.
    names : K joint names.
    keypoints_px : (K, 2) pixels of the crop.
    scores : (K,) in [0, 1].
    heatmaps : (K, h, w) in [0, 1]; 1 is as sure as can be.
    holistic : (h', w') attention to the person as a whole, any positive numbers, or None.
    part : (K, h', w') attention joint by joint, or None.
    score : of the person.
    """

    crop: np.ndarray
    names: tuple[str, ...]
    keypoints_px: np.ndarray
    scores: np.ndarray
    heatmaps: np.ndarray
    holistic: np.ndarray | None = None
    part: np.ndarray | None = None
    score: float = 1.0

    def __post_init__(self) -> None:
        count = len(self.names)
        if self.crop.ndim != 3 or self.crop.shape[2] != 3 or self.crop.dtype != np.uint8:
            raise ShapeError(f"the crop must be (H, W, 3) uint8 RGB, got {self.crop.shape} {self.crop.dtype}")
        for name, array, shape in (
            ("keypoints_px", self.keypoints_px, (count, 2)),
            ("scores", self.scores, (count,)),
            ("heatmaps", self.heatmaps, (count, *np.shape(self.heatmaps)[1:])),
            ("part", self.part, None if self.part is None else (count, *np.shape(self.part)[1:])),
        ):
            if array is not None and np.shape(array) != shape:
                raise ShapeError(f"a person of {count} joints needs {name} {shape}, got {np.shape(array)}")
        for name, array, axes in (
            ("heatmaps", self.heatmaps, 3),
            ("holistic", self.holistic, 2),
            ("part", self.part, 3),
        ):
            if array is not None and (np.ndim(array) != axes or not np.size(array)):
                raise ShapeError(f"{name} needs {axes} axes, none of them empty, got {np.shape(array)}")

    @property
    def has_attention(self) -> bool:
        """Whether the network said what it looked at."""
        return self.holistic is not None or self.part is not None


def relative(attention: np.ndarray) -> np.ndarray:
    """(..., h, w) float32 attention over its own highest value, in 0..1; all 0 where it is.

    Attention that sums to 1 over the map and attention between 0 and 1 become comparable this way; how high the highest
    value is, is written beside it.
    """
    positive = np.maximum(np.nan_to_num(np.asarray(attention, np.float32)), 0)
    highest = positive.max(axis=(-2, -1), keepdims=True)
    return positive / np.where(highest > 0, highest, 1)


def explain_sheet(people: Sequence[PersonMaps], *, tile_px: int = 128, columns: int = 7) -> np.ndarray:
    """Small multiples: for each person the crop, then the heatmap of every joint with its place and score; below, where
    there is any, attention to the person as a whole and to every joint, each over its own highest value.

    Parameters
    ----------
    people : from `vitruvian.predict.explain`.
    tile_px : longer side of a tile.
    columns : tiles in a row.

    Returns
    -------
    (H', W', 3) uint8 RGB. For nobody, a strip that says so.
    """
    if tile_px < 16 or columns < 1:
        raise ShapeError(f"tile_px must be 16 or more and columns 1 or more, got {tile_px} and {columns}")
    size = 12
    if not people:
        strip = np.full((3 * size, 30 * size, 3), _PAPER, np.uint8)
        strokes.text(strip, (size, size), "nobody found", size, _INK)
        return strip
    blocks = [block for i, person in enumerate(people) for block in _blocks(i, person, tile_px, columns)]
    width = max(block.shape[1] for block in blocks)
    return np.concatenate([np.pad(b, ((0, 0), (0, width - b.shape[1]), (0, 0)), mode="edge") for b in blocks])


def _blocks(index: int, person: PersonMaps, tile_px: int, columns: int) -> list[np.ndarray]:
    """A person's tables of tiles: heatmaps, and attention where there is any."""
    scale = tile_px / max(person.crop.shape[:2])
    tile_wh = (max(1, round(person.crop.shape[1] * scale)), max(1, round(person.crop.shape[0] * scale)))
    small = Image.fromarray(person.crop).resize(tile_wh, Image.Resampling.BICUBIC, reducing_gap=3.0)
    dimmed, plain = dim(small), np.asarray(small)
    size = _letters(person.names, tile_wh[0])
    words = captions(person.names, size, tile_wh[0] - _NUMBER * size)
    scored = [(f"{score:.2f}", score) for score in person.scores]
    tiles = [(plain, "crop", "", 1.0)]
    for heatmap, word, (text, score), point in zip(person.heatmaps, words, scored, person.keypoints_px, strict=True):
        tile = tinted(dimmed, heatmap)
        if np.isfinite(point).all():  # a thin ring, which does not hide the peak; placed by the rule of `Affine.resize`
            radius = max(3.0, tile_px / 20)
            strokes.disc(tile, (np.asarray(point) + 0.5) * scale - 0.5, radius, palette.WHITE, 0.9, hole=radius - 1)
        tiles.append((tile, word, text, float(score)))
    title = f"person {index}, score {person.score:.2f}: heatmaps"
    blocks = [_table(tiles, title, columns, size)]
    if person.has_attention:
        lit = dim(small, _ATTENDED_LIGHT)
        named = [] if person.holistic is None else [("holistic", person.holistic)]
        named += [] if person.part is None else zip(words, person.part, strict=True)
        shown = [
            (tinted(lit, relative(map_), _ATTENDED_MOST), name, _in_few_letters(float(np.max(map_))), 1.0)
            for name, map_ in named
        ]
        title = f"person {index}: attention over its highest value, which is the number"
        blocks.append(_table(shown, title, columns, size))
    return blocks


def _letters(names: Sequence[str], width_px: int) -> int:
    """The size of letters, 10 to 16, at which the longest name, shortened by `captions`, has room beside a number."""
    longest = max(len(name) for name in captions(names, 16, 0))
    return int(np.clip(width_px / (0.55 * longest + _NUMBER), 10, 16))


def _in_few_letters(value: float) -> str:
    """Two decimals, or no decimals, or a power of ten: five letters at most."""
    if value == 0 or 0.01 <= value < 100:
        return f"{value:.2f}"
    return f"{value:.0f}" if 100 <= value < 99999 else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")


def _table(tiles: Sequence[tuple[np.ndarray, str, str, float]], title: str, columns: int, size: int) -> np.ndarray:
    """Tiles with a caption and a number below each, under a title. What scores below 0.2 is written fainter."""
    gap, line = 4, round(1.6 * size)
    tile_h, tile_w = tiles[0][0].shape[:2]
    rows = -(-len(tiles) // columns)
    picture = np.empty((line + gap + rows * (tile_h + line + gap), columns * (tile_w + gap) + gap, 3), np.uint8)
    picture[...] = _PAPER
    strokes.text(picture, (gap, gap), title, size, _INK, max_width=picture.shape[1] - 2 * gap)
    for i, (tile, word, number, score) in enumerate(tiles):
        y, x = line + gap + i // columns * (tile_h + line + gap), gap + i % columns * (tile_w + gap)
        picture[y : y + tile_h, x : x + tile_w] = tile
        ink, room = (_INK if score >= 0.2 else _FAINT), (_NUMBER * size if number else 0)
        strokes.text(picture, (x, y + tile_h + 2), word, size, ink, max_width=max(1, tile_w - room))
        strokes.text(picture, (x + tile_w - room + gap, y + tile_h + 2), number, size, ink)
    return picture


# --- the page --------------------------------------------------------------------------------------------------------


def explain_page(people: Sequence[PersonMaps], photo: np.ndarray, *, title: str, notes: Sequence[str] = ()) -> str:
    """The same as a web page: point at a joint's name, or click on it, to see its maps over the person.

    Parameters
    ----------
    people : from `vitruvian.predict.explain`.
    photo : (H, W, 3) uint8 RGB with the people drawn on it; scaled down to 1200 pixels.
    title : of the page.
    notes : sentences to write under the title.

    Returns
    -------
    HTML that refers to nothing outside of itself.
    """
    picture = Image.fromarray(photo)
    picture.thumbnail((_MAX_PHOTO_PX, _MAX_PHOTO_PX), Image.Resampling.BICUBIC, reducing_gap=3.0)
    # "<" is the one character that could end the script early
    data = json.dumps([_person_data(person) for person in people]).replace("<", "\\u003c")
    sections = "\n".join(
        f'<section data-person="{i}"><h2>Person {i} <small>score {person.score:.2f}</small></h2>'
        '<div class="stage"></div><div class="side"><div class="layers"></div><ol class="joints"></ol></div></section>'
        for i, person in enumerate(people)
    )
    return _PAGE.format(
        title=html.escape(title),
        notes="".join(f"<p>{html.escape(note)}</p>" for note in notes),
        photo=_uri(picture, "JPEG"),
        sections=sections or "<p>Nobody was found in this photo.</p>",
        style=_STYLE,
        data=data,
        script=_SCRIPT,
    )


def _person_data(person: PersonMaps) -> dict[str, Any]:
    height, width = person.crop.shape[:2]
    places = (np.asarray(person.keypoints_px, np.float64) + 0.5) / (width, height) * 100
    joints = [
        {
            "name": name.replace("_", " "),
            "score": round(float(score), 3),
            "at": [round(float(v), 2) for v in place] if np.isfinite(place).all() else None,
            "heatmap": _uri(_layer(heatmap)),
            "attention": _uri(_layer(relative(person.part[k]), _ATTENDED_MOST)) if person.part is not None else None,
        }
        for k, (name, score, place, heatmap) in enumerate(
            zip(person.names, person.scores, places, person.heatmaps, strict=True)
        )
    ]
    holistic = _uri(_layer(relative(person.holistic), _ATTENDED_MOST)) if person.holistic is not None else None
    return {
        "crop": _uri(Image.fromarray(person.crop), "JPEG"),
        "size": [width, height],
        "joints": joints,
        "holistic": holistic,
    }


def _layer(heatmap: np.ndarray, most: float = 1.0) -> Image.Image:
    """RGBA at the map's own resolution: the ramp's colours, as opaque as in the picture."""
    value = np.clip(np.nan_to_num(np.asarray(heatmap, np.float32)), 0, 1)
    colors = ramp()[np.round(255 * value).astype(int)]
    alpha = np.round(255 * opacity(value, most)).astype(np.uint8)
    return Image.fromarray(np.concatenate([colors, alpha[..., None]], axis=2))


def _uri(picture: Image.Image, kind: str = "PNG") -> str:
    return data_uri(picture, kind, **({"quality": 88} if kind == "JPEG" else {"optimize": True}))


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
<h1>{title}</h1>
{notes}
<img class="photo" alt="the photo with the people that were found" src="{photo}">
{sections}
<script>
const PEOPLE = {data};
{script}
</script>
</html>
"""

_STYLE = """
body { background: #1a1c22; color: #dee0e6; font: 15px/1.5 system-ui, sans-serif; margin: 2rem; }
small, p { color: #a4a8b4; }
.photo { max-width: 100%; max-height: 60vh; display: block; }
section { display: grid; grid-template-columns: minmax(200px, 440px) 1fr; gap: 0 2rem; margin: 2rem 0; }
section h2 { grid-column: 1 / -1; margin-bottom: .5rem; }
.stage { position: relative; align-self: start; overflow: hidden; }
.stage img { position: absolute; inset: 0; width: 100%; height: 100%; }
.stage img.crop { position: static; display: block; height: auto; }
.stage.over img.crop { filter: grayscale(1) brightness(.45); }
.stage.attended img.crop { filter: grayscale(1) brightness(.9); }
.stage i { position: absolute; width: 12px; height: 12px; margin: -8px; border: 2px solid #fff; border-radius: 50%; }
.joints { columns: 2; list-style: none; padding: 0; }
button { font: inherit; color: inherit; background: #2e313a; border: 1px solid transparent; border-radius: 4px; }
button[aria-pressed=true] { border-color: #ffde28; }
.joints button { width: 100%; text-align: left; margin: 1px 0; display: flex; justify-content: space-between; }
.joints button.unsure { color: #82869a; }
"""

_SCRIPT = """
for (const section of document.querySelectorAll('section')) {
  const person = PEOPLE[+section.dataset.person];
  const stage = section.querySelector('.stage');
  const layers = ['photo', 'heatmap'];
  if (person.joints.some(joint => joint.attention)) layers.push('attention');
  if (person.holistic) layers.push('holistic');
  const state = { joint: 0, shown: 0, layer: 'heatmap' };
  const add = (kind, parent, set) => parent.appendChild(Object.assign(document.createElement(kind), set));
  add('img', stage, { className: 'crop', src: person.crop, alt: 'the crop that the network saw',
                      width: person.size[0], height: person.size[1] });
  const map = add('img', stage, { alt: '' });
  const dot = add('i', stage, {});
  const press = (button, on) => button.setAttribute('aria-pressed', on);
  const show = () => {
    const joint = person.joints[state.shown];
    const source = state.layer === 'holistic' ? person.holistic : joint[state.layer];
    stage.classList.toggle('over', Boolean(source));
    stage.classList.toggle('attended', Boolean(source) && state.layer !== 'heatmap');
    map.hidden = !source;
    if (source) map.src = source;
    dot.hidden = !joint.at || state.layer === 'holistic';
    if (joint.at) { dot.style.left = joint.at[0] + '%'; dot.style.top = joint.at[1] + '%'; }
    layerButtons.forEach((button, i) => press(button, layers[i] === state.layer));
    jointButtons.forEach((button, k) => press(button, k === state.shown));
  };
  const layerButtons = layers.map(layer => add('button', section.querySelector('.layers'), {
    textContent: layer, onclick: () => { state.layer = layer; show(); } }));
  const jointButtons = person.joints.map((joint, k) => {
    const item = add('li', section.querySelector('.joints'), {});
    const button = add('button', item, {
      onclick: () => { state.joint = state.shown = k; show(); },
      onmouseenter: () => { state.shown = k; show(); },
      onmouseleave: () => { state.shown = state.joint; show(); },
      onfocus: () => { state.joint = state.shown = k; show(); } });
    if (joint.score < 0.2) button.className = 'unsure';
    add('span', button, { textContent: joint.name });
    add('span', button, { textContent: joint.score.toFixed(2) });
    return button;
  });
  show();
}
"""
