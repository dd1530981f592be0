"""`page3d`: 3D poses as one HTML file that needs nothing else: drag to turn, a slider over time, side by side.

The script draws on canvases by itself; nothing is loaded from anywhere.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence

import numpy as np
from PIL import Image

from .figure3d import Figure3D, bounds
from .web import data_uri


def page3d(
    figures: Sequence[Figure3D],
    *,
    title: str,
    fps: float = 15.0,
    notes: Sequence[str] = (),
    picture: np.ndarray | None = None,
) -> str:
    """An HTML page with the figures side by side, turned together.

    Parameters
    ----------
    figures : all are shown at the same scale; those with several frames get a slider and a button to play them.
    title : of the page.
    fps : frames per second when playing.
    notes : paragraphs under the title (what the numbers mean).
    picture : (H, W, 3) uint8, shown beside the figures, or None.

    Raises `ShapeError` for no figures.
    """
    middle, radius = bounds(figures)
    data = [
        {
            "title": figure.title,
            "edges": [list(edge) for edge in figure.edges],
            "colors": ["#{:02x}{:02x}{:02x}".format(*color) for color in figure.colors],
            "frames": _frames(figure.points - middle),
        }
        for figure in figures
    ]
    # In a script, "</" could end it early.
    script = json.dumps({"figures": data, "radius": round(radius, 1), "fps": fps}, allow_nan=False).replace(
        "</", "<\\/"
    )
    photo = "" if picture is None else f'<img class="photo" alt="the picture" src="{_uri(picture)}">'
    return _PAGE.format(
        title=html.escape(title),
        style=_STYLE,
        notes="".join(f"<p>{html.escape(note)}</p>" for note in notes),
        photo=photo,
        data=script,
        script=_SCRIPT,
    )


def _frames(points: np.ndarray) -> list:
    """Rounded to half a millimetre's worth of text; null for joints that are not there."""
    rounded = np.round(points).astype(object)
    rounded[~np.isfinite(points)] = None
    whole = [[[None if v is None else int(v) for v in joint] for joint in frame] for frame in rounded]
    return [[None if None in joint else joint for joint in frame] for frame in whole]


def _uri(picture: np.ndarray) -> str:
    image = Image.fromarray(picture)
    image.thumbnail((900, 900))
    return data_uri(image, quality=88)


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="Vitruvian">
<title>{title}</title>
<style>{style}</style>
<h1>{title}</h1>
{notes}
<main>{photo}</main>
<div class="time" hidden><button type="button">pause</button><input type="range" min="0" value="0" aria-label="frame">
<output></output></div>
<small>Drag to turn, double-click to let it turn by itself.
<span class="left">Left</span> and <span class="right">right</span> are the person's own.</small>
<script>const DATA = {data};{script}</script>
</html>
"""

_STYLE = """
body { background: #1a1c22; color: #dee0e6; font: 15px/1.5 system-ui, sans-serif; margin: 2rem; }
small, p { color: #a4a8b4; }
main { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
figure { margin: 0; } figcaption { text-align: center; }
.photo { max-width: min(100%, 480px); max-height: 70vh; }
canvas { width: 400px; height: 400px; max-width: 90vw; touch-action: none; cursor: grab; background: #22252d;
         border-radius: 8px; }
.time { display: flex; gap: 1rem; margin: 1rem 0; align-items: center; max-width: 50rem; }
.time[hidden] { display: none; } .time input { flex: 1; }
button { font: inherit; color: inherit; background: #2e313a; border: 1px solid #4a4e5a; border-radius: 4px; width:
5rem; } .left { color: #ff9f1c; } .right { color: #40b4ff; }
"""

_SCRIPT = """
const view = { azimuth: 0.35, elevation: 0.2, spin: !matchMedia('(prefers-reduced-motion: reduce)').matches };
const SIZE = 400, ratio = window.devicePixelRatio || 1, scale = 0.46 * SIZE / DATA.radius;
const count = Math.max(...DATA.figures.map(f => f.frames.length));
let frame = 0, playing = count > 1, last = performance.now();
const turned = ([x, y, z]) => {
  const ca = Math.cos(view.azimuth), sa = Math.sin(view.azimuth);
  const ce = Math.cos(view.elevation), se = Math.sin(view.elevation);
  const away = y * ca - x * sa;
  return [SIZE / 2 + scale * (x * ca + y * sa), SIZE / 2 - scale * (z * ce + away * se), z * se - away * ce];
};
const panels = DATA.figures.map(figure => {
  const box = document.querySelector('main').appendChild(document.createElement('figure'));
  const canvas = box.appendChild(document.createElement('canvas'));
  canvas.width = canvas.height = SIZE * ratio;
  box.appendChild(document.createElement('figcaption')).textContent = figure.title;
  let low = Infinity;
  for (const points of figure.frames) for (const p of points) if (p) low = Math.min(low, p[2]);
  let from = null;
  canvas.onpointerdown = e => { from = [e.clientX, e.clientY]; view.spin = false;
  canvas.setPointerCapture(e.pointerId); }; canvas.onpointermove = e => {
    if (!from) return;
    view.azimuth -= (e.clientX - from[0]) / 120;
    view.elevation = Math.max(-1.5, Math.min(1.5, view.elevation + (e.clientY - from[1]) / 120));
    from = [e.clientX, e.clientY];
  };
  canvas.onpointerup = canvas.onpointercancel = () => { from = null; };
  canvas.ondblclick = () => { view.spin = true; };
  return { figure, context: canvas.getContext('2d'), low: isFinite(low) ? low : 0 };
});
const line = (context, a, b, width, color) => {
  context.beginPath(); context.lineWidth = width; context.strokeStyle = color;
  context.moveTo(a[0], a[1]); context.lineTo(b[0], b[1]); context.stroke();
};
const draw = ({ figure, context, low }) => {
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, SIZE, SIZE);
  context.lineCap = 'round';
  const half = DATA.radius * 0.7;
  for (let i = -2; i <= 2; i++) {
    const at = i * half / 2;
    line(context, turned([at, -half, low]), turned([at, half, low]), 1, '#343842');
    line(context, turned([-half, at, low]), turned([half, at, low]), 1, '#343842');
  }
  const points = figure.frames[Math.min(frame, figure.frames.length - 1)].map(p => p && turned(p));
  figure.edges.map((edge, i) => [points[edge[0]], points[edge[1]], figure.colors[i]])
    .filter(([a, b]) => a && b)
    .sort((one, other) => one[0][2] + one[1][2] - other[0][2] - other[1][2])
    .forEach(([a, b, color]) => { line(context, a, b, 9, '#22252d'); line(context, a, b, 5, color); });
};
const time = document.querySelector('.time'), [button, slider, shown] = time.children;
time.hidden = count < 2;
slider.max = count - 1;
const play = on => { playing = on; button.textContent = on ? 'pause' : 'play'; };
button.onclick = () => play(!playing);
slider.oninput = () => { play(false); frame = +slider.value; };
let waited = 0;
const tick = now => {
  const passed = Math.min(now - last, 200); last = now;
  if (view.spin) view.azimuth += passed / 4000;
  if (playing) {
    waited += passed * DATA.fps / 1000;
    frame = (frame + Math.floor(waited)) % count; waited %= 1;
    slider.value = frame;
  }
  shown.textContent = (frame + 1) + ' / ' + count;
  panels.forEach(draw);
  requestAnimationFrame(tick);
};
play(playing);
requestAnimationFrame(tick);
"""
