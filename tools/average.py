"""Average the weights of trainings of one network: ``python tools/average.py MODEL... OUT``.

Where one went on from another, the mean is often better than any, on the data of all. Source: Wortsman et
al., ICML 2022, "Model soups", section 2 (the uniform soup). The card is the last one's.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from vitruvian.errors import WeightsError
from vitruvian.weights.checkpoint import read_card, read_state, save_checkpoint
from vitruvian.weights.zoo import find_weights

_LATER = "head.presence."
"""An output that only the later ones may have, and which then is theirs."""


def main() -> None:
    arguments = argparse.ArgumentParser(description="Average the weights of trainings of one network.")
    arguments.add_argument("models", nargs="+", metavar="MODEL", help="a weight file or a training run's folder")
    arguments.add_argument("out", type=Path)
    options = arguments.parse_args()
    paths = [find_weights(name) for name in options.models]
    states = [read_state(path) for path in paths]
    last = states[-1]
    for name, state in zip(options.models, states, strict=True):
        unlike = {
            key for key in {*state, *last} if key not in state or key not in last or state[key].shape != last[key].shape
        }
        if any(not key.startswith(_LATER) for key in unlike):
            raise WeightsError(f"{name} and {options.models[-1]} are not of the same network")
    mean = {name: torch.from_numpy(_mean([state[name] for state in states if name in state])) for name in last}
    *others, card = (read_card(path) for path in paths)
    about = {"averaged_with": [other.provenance for other in others]}
    save_checkpoint(options.out, mean, replace(card, metrics=(), provenance={**card.provenance, **about}))


def _mean(values: list[np.ndarray]) -> np.ndarray:
    return np.asarray(np.mean(values, axis=0, dtype=np.float64), values[0].dtype)


if __name__ == "__main__":
    main()
