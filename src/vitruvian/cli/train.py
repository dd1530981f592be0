"""``vitruvian train``: from a recipe to a trained model."""

from __future__ import annotations

from pathlib import Path

import click

_PACKAGED = Path(__file__).resolve().parents[1] / "recipes"


@click.command(short_help="Train a model from a recipe.")
@click.argument("recipe", required=False)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a key of the recipe, e.g. optim.lr=1e-4; repeatable.",
)
@click.option("--resume", is_flag=True, help="Go on where an interrupted run of this recipe stopped.")
@click.option("--list", "list_only", is_flag=True, help="List the recipes at hand.")
def command(recipe: str | None, overrides: tuple[str, ...], resume: bool, list_only: bool) -> None:
    """Train as RECIPE says: a YAML file, or the name of one that --list shows."""
    known = recipes()
    if list_only:
        for name, path in known.items():
            click.echo(f"{name:<20} {_first_comment(path)} ({path})")
        if not known:
            click.echo("no recipes in ./recipes or in the package")
        return
    if recipe is None:
        raise click.UsageError("name a recipe, or see --list")
    from ..training import Recipe, train

    path = Path(recipe) if Path(recipe).is_file() or recipe not in known else known[recipe]
    chosen = Recipe.load(path, list(overrides))
    folder = train(chosen, resume=resume)
    click.echo(f"Trained: {folder}")
    if chosen.grid is not None or chosen.lifting is not None:  # take other things than the crops that `predict` makes
        return
    from ..training.build import codec_of

    codec = codec_of(chosen)
    option = "--model" if codec.finds_joints else "--detector" if codec.kind == "boxes" else "--mask-model"
    click.echo(f"Next: vitruvian predict PHOTO {option} {folder}   or   vitruvian export {folder} model.onnx")


def recipes() -> dict[str, Path]:
    """Name -> file of the recipes in ``./recipes``, then of those that came with the package."""
    found: dict[str, Path] = {}
    for folder in (Path("recipes"), _PACKAGED):
        for path in sorted(folder.glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found


def _first_comment(path: Path) -> str:
    """The first sentence of the comment a recipe begins with."""
    words = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        words.append(line.lstrip("# "))
    return " ".join(words).split(". ")[0].split(" (")[0].split(": ")[0].rstrip(".")
