"""Images a second of the training loader alone, of the model on fixed tensors, and of both together.

The goal is that augmentation does not starve the model: together >= 0.9 x the slower of the two. On a GPU crops are
made there (``augment_on: device``), in large batches, and together >= 0.95 x the model on fixed tensors is asked.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from vitruvian.models import build_model
from vitruvian.training import Recipe
from vitruvian.training.build import card_of, loaders
from vitruvian.training.memory import keep_memory
from vitruvian.training.module import LitPose
from vitruvian.training.on_device import CropMaker, Views

_ON_GPU = ("augment_on=device", "batch_size=512", "workers=8", "train.0.fraction=[0.04,1.0]", "train.0.repeat=8")
_RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "vitruvian-s-3.yaml"


def run(batches: int = 40) -> dict[str, Any]:
    """At the final input size of the shipped model's recipe, alternating between the three in slices."""
    keep_memory()  # as `train` does
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    more = _ON_GPU if device.type == "cuda" else ()
    recipe = Recipe.load(_RECIPE, ["train.0.fraction=[0.04,0.2]", "val=[]", *more])
    loader, _ = loaders(recipe, persistent=False)
    dataset: Any = loader.dataset
    card = card_of(recipe, dataset.people if isinstance(dataset, Views) else dataset, {})
    network = build_model(card.model, len(card.skeleton), card.codec, **card.options).train()
    module = LitPose(
        network.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        card.codec, card.skeleton, card.preprocess, recipe.loss.name, recipe.loss.options, recipe.optim, 1000, 100,
    ).to(device)  # fmt: skip
    if isinstance(dataset, Views):
        module.crops = CropMaker(dataset, device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)

    def ready(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return module.transfer_batch_to_device(batch, device, 0)

    fixed = ready(next(iter(loader)))
    size = len(fixed["image"])

    def step(batch: dict[str, torch.Tensor]) -> None:
        targets = card.codec.encode_torch(batch["keypoints_px"], batch["visibility"])
        with torch.autocast(device.type, torch.bfloat16):
            arrays = module(batch["image"])
        module.loss(arrays, targets, **module.loss_options).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.optim.clip)
        optimizer.step()
        optimizer.zero_grad()

    seconds = {"loader": 0.0, "model": 0.0, "together": 0.0}
    counted = {"loader": 0, "model": 0, "together": 0}
    step(fixed)
    if device.type == "cuda":
        torch.cuda.synchronize()
    for _ in range(3):
        for name in seconds:
            # The model alone runs without a loader, whose workers would go on filling their queue beside it.
            source = _fixed(fixed) if name == "model" else iter(loader)
            for _ in range(0 if name == "model" else recipe.workers * 4 + 1):
                next(source)  # the queue's first filling is not counted
            count = max(3, batches // (3 if name == "loader" else 6))
            start = time.perf_counter()
            for _ in range(count):
                batch = next(source)
                batch = batch if name == "model" else ready(batch)
                if name != "loader":
                    step(batch)
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds[name] += time.perf_counter() - start
            counted[name] += count * size
            del source
            for worker in multiprocessing.active_children():
                worker.join(timeout=10)
    rates = {name: counted[name] / seconds[name] for name in seconds}
    slower = min(rates["loader"], rates["model"])
    return {
        "recipe": _RECIPE.name,
        "input_wh": list(recipe.input.size_wh),
        "batch_size": recipe.batch_size,
        "workers": recipe.workers,
        "augment_on": recipe.augment_on,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "images_per_second": {k: round(v, 1) for k, v in rates.items()},
        "together_over_slower": round(rates["together"] / slower, 3),
        "together_over_model": round(rates["together"] / rates["model"], 3),
    }


def _fixed(batch: dict[str, torch.Tensor]) -> Iterator[dict[str, torch.Tensor]]:
    while True:
        yield batch
