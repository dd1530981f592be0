"""``vitruvian models``: the cards of the shipped models, or of any weight file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from ._common import console

if TYPE_CHECKING:
    from ..weights.card import Card


@click.command(short_help="List the shipped models, or print a card.")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the whole card, or all of them, as JSON.")
def command(name: str | None, as_json: bool) -> None:
    """List the shipped models, or print the card of NAME (a model's name, a weight file, a training run's folder)."""
    from ..weights.checkpoint import read_card
    from ..weights.zoo import DEFAULT, ZOO, find_weights

    if name is not None:
        path = find_weights(name)
        card = read_card(path)
        click.echo(json.dumps(_plain(card), indent=2) if as_json else _describe(card, path.stat().st_size))
        return
    paths = {known: find_weights(known) for known in ZOO}
    cards = {known: read_card(path) for known, path in paths.items()}
    if as_json:
        click.echo(json.dumps({known: _plain(card) for known, card in cards.items()}, indent=2))
        return
    from rich.table import Table

    table = Table("name", "family", "joints", "input", "codec", "size", "measured")
    for known, card in cards.items():
        width, height = card.preprocess.size_wh
        table.add_row(
            f"{known} (default)" if known == DEFAULT else known,
            card.model,
            f"{len(card.skeleton)} ({card.skeleton.name})" if card.codec.finds_joints else "-",
            f"{width} x {height}",
            card.codec.kind,
            f"{paths[known].stat().st_size / 1e6:.1f} MB" + (", int8" if card.precision == "int8" else ""),
            # The training's own validation comes first on a card, what nobody chose by comes after it.
            _measured(next((m for m in card.metrics if m.get("split") != "validation"), card.metrics[0]))
            if card.metrics
            else "-",
        )
    console().print(table)
    click.echo("`vitruvian models NAME` prints a whole card: data and its terms, figures, limits.")


def _plain(card: Card) -> dict[str, Any]:
    return json.loads(card.to_json())


def _measured(metric: dict[str, Any]) -> str:
    """One line: the figure first, then what it was measured on."""
    value = metric.get("value")
    figure = f"{value:.3f}" if isinstance(value, int | float) else "-"
    rest = ", ".join(
        f"{key} {'yes' if v is True else 'no' if v is False else v}"
        for key, v in metric.items()
        if key not in ("metric", "value")
    )
    return f"{metric.get('metric', 'figure')} {figure}" + (f" ({rest})" if rest else "")


def _describe(card: Card, size_bytes: int) -> str:
    from ..weights.card import INT8_RECORD

    preprocess = card.preprocess
    width, height = preprocess.size_wh
    codec = {k: v for k, v in _plain(card)["codec"].items() if k not in ("kind", "size_wh")}
    lines = [
        f"{card.name}: family '{card.model}', computes in {card.precision}, {size_bytes / 1e6:.1f} MB",
        "",
        f"joints     {_joints(card)}",
        f"input      {width} x {height} px, {preprocess.colour} uint8, box padded by {preprocess.padding:g}, "
        f"mean {_numbers(preprocess.mean)}, std {_numbers(preprocess.std)}",
        f"codec      {card.codec.kind}: {', '.join(f'{k} {v}' for k, v in codec.items())}",
        f"options    {', '.join(f'{k} {v}' for k, v in card.options.items()) or 'the defaults of the family'}",
    ]
    if card.precision == "int8":
        lines.append(f"int8       {_loss(card.provenance[INT8_RECORD])}")
    spoken = card.codec.presence
    if card.person_above is not None:
        above, weighed = f"{card.person_above:g}", ", weighed by presence" if spoken else ""
        lines.append(
            f"person     mean score of joints {above} or more{weighed}; in a detector's boxes others are dropped, "
            "and in those that it doubts more is asked"
        )
    if card.present_above is not None:
        likely = "have a presence of" if spoken else "score"
        lines.append(f"present    joints that {likely} {card.present_above:g} or more; others are not drawn")
    if card.calibration is not None:
        curve = card.calibration
        right = f"the chance that a joint is right ({curve.right})"
        lines.append(f"scores     calibrated: {right}, fitted on {curve.fitted_on}")
    lines += _section("measured", [_measured(metric) for metric in card.metrics])
    lines += _section("data", [_source(source) for source in card.data])
    lines += _section("made by", [f"{k}: {_short(v)}" for k, v in card.provenance.items()])
    if card.notes:
        lines += ["", card.notes]
    return "\n".join(lines)


def _joints(card: Card) -> str:
    if not card.codec.finds_joints:
        return "none"
    return f"{len(card.skeleton)}, skeleton '{card.skeleton.name}': {', '.join(card.skeleton.names)}"


def _loss(record: Any) -> str:
    """What 8 bits lost, of a file's provenance, which anybody may have written."""
    points = record.get("loss_points") if isinstance(record, dict) else None
    if not points:
        return "what it loses is not on record"
    loss = ", ".join(f"{name} {lost:+.2f}" for name, lost in points.items())
    return f"loses, in points: {loss} ({record.get('people', 'unknown')} people)"


def _source(source: dict[str, Any]) -> str:
    """One line: what it is called, how much of it was used, its terms, and whatever else the card says."""
    rest = dict(source)
    name, terms = rest.pop("name", "unnamed"), rest.pop("terms", None)
    share, repeat = rest.pop("share_of_photos", None), rest.pop("repeat", 1)
    parts = [str(name)]
    if isinstance(share, list | tuple) and len(share) == 2 and tuple(share) != (0, 1):
        parts.append(f"{100 * (share[1] - share[0]):.0f} % of the photos")
    if repeat != 1:
        parts.append(f"{repeat} times an epoch")
    parts += [f"{key}: {value}" for key, value in rest.items()]
    return "; ".join([*parts, *([f"terms: {terms}"] if terms is not None else [])])


def _section(title: str, entries: list[str]) -> list[str]:
    return ["", f"{title}:", *(f"  - {entry}" for entry in entries)] if entries else []


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{v:g}" for v in values)


def _short(value: Any) -> str:
    """A provenance entry on one line; a whole recipe is only for --json."""
    if isinstance(value, list):
        return f"{len(value)} entries, see --json"
    if not isinstance(value, dict):
        return str(value)
    if all(isinstance(v, str | int | float) for v in value.values()):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    return f"{len(value)} entries, see --json"
