"""Take channels out of a trained CompactNet's residual blocks: weights to begin a smaller network's training from.

    python tools/narrow.py vitruvian-s out.safetensors --inner 96 160 128

Those inner channels stay whose answers weigh most in what follows: the root mean square of relu(N(beta, gamma^2)), what
a batch norm hands on, times the length of the second convolution's weights for it. Source of the idea, with another
measure: Molchanov et al., ICLR 2017, "Pruning Convolutional Neural Networks for Resource Efficient Inference".
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

import torch

from vitruvian.models import build_model
from vitruvian.weights.checkpoint import load_into, read_card, save_checkpoint
from vitruvian.weights.zoo import find_weights


def main() -> None:
    arguments = argparse.ArgumentParser(description="Take inner channels out of a CompactNet.")
    arguments.add_argument("weights", help="a file, a training run or a shipped model with unfolded batch norms")
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--inner", type=int, nargs=3, required=True, help="channels at strides 8, 16 and 32")
    options = arguments.parse_args()
    path = find_weights(options.weights)
    card = read_card(path)
    if card.model != "compact" or card.options.get("stacks", 1) != 1:
        arguments.error(f"takes a CompactNet of one pass; got {card.model}, {card.options}")
    network = build_model(card.model, len(card.skeleton), card.codec, **card.options)
    load_into(network, path)
    narrow = {**card.options, "inner": tuple(options.inner)}
    smaller = build_model(card.model, len(card.skeleton), card.codec, **narrow)
    state = network.state_dict()
    for stage, keep in zip(("stage8", "stage16", "stage32"), options.inner, strict=True):
        for block in sorted(
            {name.rsplit(".conv1", 1)[0] for name in state if name.startswith(stage) and ".conv1" in name}
        ):
            narrowed(state, block, keep)
    smaller.load_state_dict(state)
    save_checkpoint(options.out, state, replace(card, options=narrow, metrics=()))
    before, after = (sum(p.numel() for p in model.parameters()) / 1e6 for model in (network, smaller))
    print(f"{options.out}: {after:.2f} M parameters, {before:.2f} before")


def narrowed(state: dict[str, torch.Tensor], block: str, keep: int) -> None:
    """Take all but ``keep`` inner channels out of a block's entries, in place."""
    gamma, beta = (state[f"{block}.conv1.1.{name}"].double() for name in ("weight", "bias"))
    onwards = state[f"{block}.conv2.0.weight"].double().flatten(2).norm(dim=(0, 2))
    weight = handed_on(beta, gamma.abs()) * onwards
    kept = weight.argsort(descending=True)[:keep].sort().values
    print(f"{block}: {keep} of {len(weight)} channels keep {weight[kept].square().sum() / weight.square().sum():.3f}")
    for name in ("conv1.0.weight", *(f"conv1.1.{part}" for part in ("weight", "bias", "running_mean", "running_var"))):
        state[f"{block}.{name}"] = state[f"{block}.{name}"][kept]
    state[f"{block}.conv2.0.weight"] = state[f"{block}.conv2.0.weight"][:, kept]


def handed_on(mean: torch.Tensor, deviation: torch.Tensor) -> torch.Tensor:
    """Root mean square of relu(N(mean, deviation^2)), in closed form."""
    deviation = deviation.clamp(min=1e-12)
    z = mean / deviation
    above = 0.5 * (1 + torch.erf(z / math.sqrt(2)))
    density = torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return ((mean**2 + deviation**2) * above + mean * deviation * density).clamp(min=0).sqrt()


if __name__ == "__main__":
    main()
