"""Let a trained CompactNet go through its lower strides once more: weights to begin a deeper network's training from.

    python tools/stack.py vitruvian-s out.safetensors

Each further pass begins with the first one's weights, and what it hears of the pass before is multiplied by 0, so the
deeper network finds exactly what the shallower one did. Source of the idea: Chen et al., ICLR 2016, "Net2Net:
Accelerating Learning via Knowledge Transfer", section 2.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from vitruvian.models import build_model
from vitruvian.weights.checkpoint import load_into, read_card, save_checkpoint
from vitruvian.weights.zoo import find_weights


def main() -> None:
    arguments = argparse.ArgumentParser(description="Repeat the lower part of a CompactNet.")
    arguments.add_argument("weights", help="a file, a training run or a shipped model, of one pass")
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--stacks", type=int, default=2, help="passes in all")
    options = arguments.parse_args()
    path = find_weights(options.weights)
    card = read_card(path).as_float()
    if card.model != "compact" or card.options.get("stacks", 1) != 1 or options.stacks < 2:
        arguments.error(f"takes a CompactNet of one pass to two or more; got {card.model}, {card.options}")
    network = build_model(card.model, len(card.skeleton), card.codec, **card.options)
    load_into(network, path)
    deep = {**card.options, "stacks": options.stacks}
    deeper = build_model(card.model, len(card.skeleton), card.codec, **deep)
    deeper.load_state_dict(stacked(network.state_dict(), deeper.state_dict()))
    save_checkpoint(options.out, deeper.state_dict(), replace(card, options=deep, metrics=(), calibration=None))
    before, after = (sum(p.numel() for p in model.parameters()) / 1e6 for model in (network, deeper))
    print(f"{options.out}: {after:.2f} M parameters, {before:.2f} before")


def stacked(state: dict[str, torch.Tensor], fresh: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The deeper network's entries: the first pass's of the same name, or fresh ones where it has none."""
    first = {name: name.split(".", 2)[2] if name.startswith("again.") else name for name in fresh}
    return {name: state.get(first[name], tensor) for name, tensor in fresh.items()}


if __name__ == "__main__":
    main()
