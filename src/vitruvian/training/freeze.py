"""Parts of a network that keep the weights they begin with."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ..errors import RecipeError
from .recipe import ModelPart


def freeze(network: nn.Module, names: Sequence[str]) -> None:
    """Keep parts as they are: their weights get no gradients, and their batch norms use and keep their statistics.

    Lightning leaves modules in the mode that they have when training begins.
    """
    for name in names:
        network.get_submodule(name).requires_grad_(False).eval()


def check_freeze(network: nn.Module, part: ModelPart) -> None:
    """`RecipeError` where a part that is to be kept is not there, is all there is, or has nothing to begin with."""
    if not part.freeze:
        return
    if part.init is None:
        raise RecipeError("model.freeze: keeps weights as they are, but without model.init they are random")
    known = [name for name, _ in network.named_modules() if name]
    for name in part.freeze:
        if name not in known:
            children = ", ".join(name for name, _ in network.named_children())
            raise RecipeError(f"model.freeze: the network has no part '{name}'; it has {children}, and parts of these")
    if all(name.startswith(_prefixes(part)) for name, _ in network.named_parameters()):
        raise RecipeError("model.freeze: leaves nothing to train")


def check_kept(part: ModelPart, fresh: Sequence[str]) -> None:
    """`RecipeError` where parts that are to be kept have entries that ``init`` did not give: random ones."""
    random = [name for name in fresh if name.startswith(_prefixes(part))]
    if random:
        raise RecipeError(
            f"model.freeze: would keep {len(random)} random entries, first {random[0]}: {part.init} has none of that "
            "name and shape"
        )


def _prefixes(part: ModelPart) -> tuple[str, ...]:
    """With which the names of all entries of the frozen parts begin."""
    return tuple(f"{name}." for name in part.freeze)
