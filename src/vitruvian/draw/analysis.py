"""`analysis_page`: mistakes by kind as tables and pictures, in one web page that needs nothing beside it."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from . import palette
from .web import data_uri

_KINDS = ("good", "jitter", "inversion", "swap", "miss")
_COLORS = {"good": "#4c9f70", "jitter": "#8fa3bf", "inversion": "#e0a030", "swap": "#b06fc4", "miss": "#d05a4a"}


@dataclass(frozen=True, eq=False)
class Example:
    """One picture of the page: (H, W, 3) uint8 RGB, what it is, facts in short, and joints that are wrong."""

    picture: np.ndarray
    title: str
    facts: tuple[str, ...] = ()
    joints: tuple[str, ...] = ()


def analysis_page(
    report: Mapping[str, Any],
    sections: Sequence[tuple[str, Sequence[Example]]],
    *,
    title: str,
    notes: Sequence[str] = (),
) -> str:
    """HTML that refers to nothing outside of itself.

    Parameters
    ----------
    report : `vitruvian.analyze.Analysis.to_dict`.
    sections : (heading, examples); those without an example say so.
    title, notes : of the page, and sentences under it.
    """
    truth, found = (f"rgb{tuple(color)}" for color in (palette.TRUTH, palette.PREDICTION))
    pictures = "\n".join(_section(heading, examples) for heading, examples in sections)
    return _PAGE.format(
        title=html.escape(title),
        notes="".join(f"<p>{html.escape(note)}</p>" for note in notes),
        style=_STYLE,
        kinds="".join(f'<b style="color:{_COLORS[kind]}">{kind}</b> ' for kind in _KINDS),
        joints=_joints(report),
        gains=_gains(report),
        people=html.escape(", ".join(f"{name.replace('_', ' ')}: {n:,}" for name, n in report["people"].items())),
        key=f'<b style="color:{truth}">truth</b> and <b style="color:{found}">prediction</b>',
        sections=pictures,
    )


def _joints(report: Mapping[str, Any]) -> str:
    rows = [*report["joints"], {"joint": "all", **report["all_joints"]}]
    return "".join(
        f"<tr><th>{html.escape(row['joint'].replace('_', ' '))}</th><td>{row['labelled']:,}</td>"
        f'<td class="bar">{_bar(row)}</td>' + "".join(f"<td>{_percent(row[kind])}</td>" for kind in _KINDS) + "</tr>"
        for row in rows
    )


def _bar(row: Mapping[str, Any]) -> str:
    return "".join(
        f'<i style="width:{100 * row[kind]:.2f}%;background:{_COLORS[kind]}"></i>' for kind in _KINDS if row[kind]
    )


def _gains(report: Mapping[str, Any]) -> str:
    rows, before = [], report["ap"]
    for kind, alone in report["ap_if_corrected_alone"].items():
        after = report["ap_if_corrected_so_far"][kind]
        gain = "-" if alone is None else f"{100 * (alone - report['ap']):+.1f}"
        step = "-" if after is None or before is None else f"{100 * (after - before):+.1f}"
        words = kind.replace("_", " ")
        rows.append(f"<tr><th>{words}</th><td>{gain}</td><td>{_percent(after)}</td><td>{step}</td></tr>")
        before = after
    return f"<tr><th>as it is</th><td></td><td>{_percent(report['ap'])}</td><td></td></tr>" + "".join(rows)


def _section(heading: str, examples: Sequence[Example]) -> str:
    cards = "".join(
        f'<figure><img alt="{html.escape(e.title)}" src="{_uri(e.picture)}"><figcaption><b>{html.escape(e.title)}</b> '
        f"{html.escape(', '.join(e.facts))}<br>{html.escape('; '.join(e.joints))}</figcaption></figure>"
        for e in examples
    )
    return f"<h2>{html.escape(heading)}</h2><div class='cards'>{cards or '<p>None.</p>'}</div>"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _uri(picture: np.ndarray) -> str:
    return data_uri(Image.fromarray(picture), quality=85)


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
<h1>{title}</h1>
{notes}
<p>{people}</p>
<h2>Joints of people who were found, by kind</h2>
<p>{kinds}in percent of labelled joints</p>
<table><tr><th></th><th>labelled</th><th></th><th>good</th><th>jitter</th><th>inversion</th><th>swap</th><th>miss</th></tr>
{joints}</table>
<h2>What each kind costs</h2>
<table><tr><th>corrected</th><th>AP alone</th><th>AP so far</th><th>step</th></tr>{gains}</table>
<p>Pictures below: {key}. The worst come first.</p>
{sections}
</html>
"""

_STYLE = """
body { background: #1a1c22; color: #dee0e6; font: 15px/1.5 system-ui, sans-serif; margin: 2rem; }
p, figcaption { color: #a4a8b4; }
table { border-collapse: collapse; }
th { text-align: left; font-weight: normal; padding-right: 1rem; }
td { text-align: right; padding: .1rem .6rem; font-variant-numeric: tabular-nums; }
td.bar { width: 260px; } td.bar i { display: inline-block; height: .8em; }
.cards { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; width: min-content; min-width: 180px; } figcaption { font-size: 12px; }
figure b { color: #dee0e6; overflow-wrap: anywhere; }
"""
