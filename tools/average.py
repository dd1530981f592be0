"""Average the weights of two trainings of one network: ``python tools/average.py FIRST SECOND OUT``.

Where the second went on from the first, the mean is often better than either, on the data of both. Source: Wortsman et
al., ICML 2022, "Model soups", section 2 (the uniform soup). The card is the second's.
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


def main() -> None:
    arguments = argparse.ArgumentParser(description="Average the weights of two trainings of one network.")
    arguments.add_argument("first", help="a weight file or a training run's folder")
    arguments.add_argument("second")
    arguments.add_argument("out", type=Path)
    options = arguments.parse_args()
    paths = [find_weights(name) for name in (options.first, options.second)]
    card, (first, second) = read_card(paths[1]), [read_state(path) for path in paths]
    if {name: value.shape for name, value in first.items()} != {name: value.shape for name, value in second.items()}:
        raise WeightsError(f"{options.first} and {options.second} are not of the same network")
    mean = {name: torch.from_numpy(_mean(first[name], second[name])) for name in second}
    about = {"averaged_with": read_card(paths[0]).provenance}
    save_checkpoint(options.out, mean, replace(card, metrics=(), provenance={**card.provenance, **about}))


def _mean(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.asarray((first.astype(np.float64) + second) / 2, second.dtype)


if __name__ == "__main__":
    main()
