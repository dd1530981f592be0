"""System 4's training, from a recipe with a part ``grid``: the grid task, then 3D poses from what it has learned.

Source: Ashish R. Jha's Human3.6M project (datashines.github.io, post of 2019-02-02; github.com/arj7192/HumanPose3D),
after Li & Chan, ACCV 2014. Both stages run in one command and in one folder: the grid task in ``<run>/grid``, whose
result is ``<run>/grid.safetensors``; 3D poses in ``<run>`` itself. Each stage starts from the recipe's seed, so that
a run stopped in either goes on as if it had not been.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import Tensor
from torch.utils.data import DataLoader

from ..codecs.grid import GridCodec
from ..data.square_poses import SquarePoses
from ..errors import RecipeError, VitruvianError
from ..losses import grid_cross_entropy, pose_mpjpe, pose_squared
from ..metrics.pose3d import mpjpe, pa_mpjpe, pose3d_result
from ..models.grid_pose import build_grid_model, inputs_of, transfer
from ..predict.pose3d import load_grid_network
from ..provenance import portable, provenance
from ..skeletons import get_skeleton
from ..weights.checkpoint import save_checkpoint
from ..weights.grid_card import GridCard
from .callbacks import AtomicCheckpoint, Ema, Progress, SetEpoch, averaged_state
from .grid_data import FORMATS3D, build_poses, check_source, crop_of, pose_loaders
from .optimised import LitOptimised
from .recipe import OptimPart, Recipe, changed_fields

POSE_LOSSES = {"pose_mpjpe": pose_mpjpe, "pose_squared": pose_squared}
STAGE_FOLDER, GRID_WEIGHTS, REPORT = "grid", "grid.safetensors", "pose3d.json"
_USED = {
    "name", "skeleton", "model", "input", "loss", "train", "val", "grid", "optim", "epochs", "stop_after", "batch_size",
    "val_every", "workers", "cache_gb", "precision", "seed", "out", "expect",
}  # fmt: skip


class LitGrid(LitOptimised):
    """A network of the grid task or of 3D poses, by its head, with that stage's loss and validation figure.

    Batches are stacked items of `SquarePoses`.
    """

    def __init__(
        self, network: Any, targets: GridCodec, loss: str, optim: OptimPart, total_steps: int, steps_per_epoch: int
    ) -> None:
        super().__init__(network, optim, total_steps, steps_per_epoch)
        self.targets, self.head = targets, str(network.name)
        self.pose_loss = POSE_LOSSES[loss]
        self._grids: dict[int, Tensor] = {}
        self._found: list[tuple[np.ndarray, np.ndarray]] = []

    def forward(self, images: Tensor) -> Tensor:
        """(B, h, w, channels) uint8 crops -> (B, K, rows, columns) logits or (B, K, 3) millimetres."""
        return self.network(inputs_of(images))[self.head]

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
        loss = self._loss(self(batch["image"]), batch)
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"the loss became {loss.item()} at step {self.global_step}; a lower learning rate or optim.clip helps"
            )
        self.log("loss", loss, prog_bar=True, on_step=True, on_epoch=False)
        return loss

    def _loss(self, found: Tensor, batch: dict[str, Tensor]) -> Tensor:
        if self.head == "grid":
            targets = self.targets.encode_torch(batch["keypoints_px"], batch["visibility"])
            return grid_cross_entropy(found, targets.arrays["grid"], targets.weights)
        joints = batch["joints_mm"]
        return self.pose_loss(found, joints, torch.isfinite(joints).all(dim=-1).float())

    def validation_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
        found = self(batch["image"])
        self.log("val_loss", self._loss(found, batch), batch_size=len(found))
        if self.head == "grid":
            targets = self.targets.encode_torch(batch["keypoints_px"], batch["visibility"])
            known = targets.weights.bool()
            pair = ((found > 0)[known].cpu().numpy(), (targets.arrays["grid"] > 0)[known].cpu().numpy())
        else:
            pair = (found.float().cpu().numpy(), batch["joints_mm"].cpu().numpy())
        self._found.append(pair)

    def on_validation_epoch_end(self) -> None:
        """Log the stage's figure of the validation frames: F1 of the cells, or MPJPE and PA-MPJPE in mm."""
        found, truth = (np.concatenate(part) for part in zip(*self._found, strict=True))
        self._found.clear()
        if self.head == "grid":
            self.log("val_cell_f1", cell_f1(found, truth), prog_bar=True)
        else:
            root = self.trainer.val_dataloaders.dataset.root  # type: ignore[union-attr]
            self.log("val_mpjpe_mm", mpjpe(found, truth, root=root), prog_bar=True)
            self.log("val_pa_mpjpe_mm", pa_mpjpe(found, truth))


def cell_f1(found: np.ndarray, truth: np.ndarray) -> float:
    """F1 of marked cells, both arrays bool: 2 right / (marked by either, counted twice where by both); 1 for none."""
    marked = int(found.sum()) + int(truth.sum())
    return 2 * int((found & truth).sum()) / marked if marked else 1.0


class _Keep(Callback):
    """After each validation writes ``last.safetensors`` and, at a new best figure, ``best.safetensors``."""

    def __init__(self, folder: Path, card: GridCard) -> None:
        self._folder, self._card, self.best, self.measured_epoch = folder, card, -math.inf, -1

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        grid = self._card.head == "grid"
        value = float(trainer.callback_metrics["val_cell_f1" if grid else "val_mpjpe_mm"])
        metric = "F1 of the grid's cells" if grid else f"MPJPE (mm, relative to {self._card.root})"
        measured = {"metric": metric, "value": round(value, 4), "split": "validation", "epoch": trainer.current_epoch}
        card = replace(self._card, metrics=(measured,))
        state = averaged_state(trainer, pl_module)
        save_checkpoint(self._folder / "last.safetensors", state, card)
        self.measured_epoch = trainer.current_epoch
        if (value if grid else -value) > self.best:
            self.best = value if grid else -value
            save_checkpoint(self._folder / "best.safetensors", state, card)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]


def check_grid(recipe: Recipe) -> None:
    """Raises `RecipeError` for what a recipe with a part ``grid`` asks for and cannot have."""
    part = recipe.grid
    assert part is not None
    idle = sorted(name for name in changed_fields(recipe) if name not in _USED)
    if idle:
        raise RecipeError(f"{', '.join(idle)} would change nothing in a recipe with a part 'grid'")
    if recipe.loss.name not in POSE_LOSSES or recipe.loss.options:
        raise RecipeError(f"loss.name: expected one of {', '.join(POSE_LOSSES)} without options, got {recipe.loss}")
    if recipe.model.init is not None:
        raise RecipeError("model.init: with a part 'grid', weights to begin with are those of 'grid.init'")
    if recipe.model.freeze:
        raise RecipeError("model.freeze: would change nothing in a recipe with a part 'grid'; see 'grid.transfer'")
    if recipe.precision == "16" and not torch.cuda.is_available():
        raise RecipeError("precision 16 needs a GPU; on a CPU use bf16 or 32")
    idle = sorted(name for name in changed_fields(recipe.input) if name != "size_wh")
    if idle:
        raise RecipeError(f"input: {', '.join(idle)} would change nothing here; crops are fields of 'grid.crop'")
    for source in (*recipe.train, *recipe.val, *part.test):
        if source.format not in FORMATS3D:
            raise RecipeError(f"source '{source.path}': format '{source.format}' is none of {', '.join(FORMATS3D)}")
        check_source(source)
    for head in ("grid", "pose"):
        try:
            card = card_of(recipe, head, {})
            with torch.device("meta"):
                build_grid_model(card.model, len(card.skeleton), head, **card.network_options())
        except (VitruvianError, TypeError) as error:
            raise RecipeError(f"model or grid.targets: {error}") from error


def card_of(recipe: Recipe, head: str, origin: dict[str, Any]) -> GridCard:
    """The card of one stage's network."""
    assert recipe.grid is not None
    skeleton, crop = get_skeleton(recipe.skeleton), crop_of(recipe)
    targets = {k: tuple(v) if isinstance(v, list) else v for k, v in recipe.grid.targets.items()}
    return GridCard(
        name=recipe.name,
        model=recipe.model.name,
        head=head,
        skeleton=skeleton,
        crop=crop,
        targets=GridCodec.for_skeleton(skeleton, size_wh=crop.size_wh, **targets),
        options=dict(recipe.model.options),
        data=tuple(
            {"name": s.name or Path(s.path).name, "terms": s.terms or "not stated", "options": portable(s.options)}
            for s in recipe.train
        ),
        provenance=origin,
    )


def train_grid(recipe: Recipe, folder: Path, resume: bool) -> None:
    """Both stages of a checked recipe into ``folder``; ``resume`` goes on in the stage that was stopped."""
    part = recipe.grid
    assert part is not None
    # Read now: what is wrong with it should not come to light after hours of training.
    test = build_poses(recipe, part.test, training=False)[0] if part.test else None
    loaders, origin = pose_loaders(recipe), provenance(recipe)
    weights = Path(part.init) if part.init is not None else folder / GRID_WEIGHTS
    if part.epochs and not weights.is_file():
        card = card_of(recipe, "grid", origin)
        network = _network(recipe, card)
        stage = folder / STAGE_FOLDER
        state = _fit(recipe, network, card, stage, loaders, part.optim, part.epochs, resume)
        if state is None:
            return
        save_checkpoint(weights, state, card)
    card = card_of(recipe, "pose", origin)
    network = _network(recipe, card)
    if part.transfer != "none":
        transfer(load_grid_network(weights)[0], network, part.transfer)
    state = _fit(recipe, network, card, folder, loaders, recipe.optim, recipe.epochs, resume)
    if not (folder / "best.safetensors").is_file():  # nothing was measured
        save_checkpoint(folder / "best.safetensors", network.state_dict() if state is None else state, card)
    if test is not None and state is not None:
        _report(test, folder)


def _network(recipe: Recipe, card: GridCard) -> Any:
    L.seed_everything(recipe.seed, verbose=False)
    return build_grid_model(card.model, len(card.skeleton), card.head, **card.network_options())


def _fit(
    recipe: Recipe,
    network: Any,
    card: GridCard,
    folder: Path,
    loaders: tuple[DataLoader, DataLoader | None],
    optim: OptimPart,
    epochs: int,
    resume: bool,
) -> dict[str, Tensor] | None:
    """Train one stage; its averaged weights, or None where ``stop_after`` ended it before all of its epochs."""
    train, val = loaders
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "last.ckpt"
    keeper = _Keep(folder, card)
    callbacks: list[Callback] = [SetEpoch(recipe.seed, train), keeper, AtomicCheckpoint(checkpoint)]
    callbacks.append(Progress(leave=True))
    if optim.ema is not None:
        callbacks.insert(1, Ema(optim.ema))
    steps = math.ceil(len(train.sampler) / recipe.batch_size)  # type: ignore[arg-type]
    module = LitGrid(network, card.targets, recipe.loss.name, optim, steps * epochs, steps)
    precision: Any = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[recipe.precision]
    until = epochs if recipe.stop_after is None else min(epochs, recipe.stop_after)
    trainer = L.Trainer(
        max_epochs=until,
        accelerator="auto",
        devices=1,
        precision=precision,
        gradient_clip_val=optim.clip or None,
        callbacks=callbacks,
        logger=[CSVLogger(folder, name="", version=""), TensorBoardLogger(folder, name="", version="tensorboard")],
        check_val_every_n_epoch=min(recipe.val_every, until),
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        log_every_n_steps=min(10, steps),
    )
    start = str(checkpoint) if resume and checkpoint.is_file() else None
    trainer.fit(module, train, val, ckpt_path=start, weights_only=True)
    state = {name: value.detach().cpu().clone() for name, value in averaged_state(trainer, module).items()}
    if keeper.measured_epoch < trainer.current_epoch - 1 or val is None:
        save_checkpoint(folder / "last.safetensors", state, card)
    return state if until == epochs else None


def _report(dataset: SquarePoses, folder: Path) -> None:
    """Measure the best weights once on the test frames, into ``pose3d.json``."""
    network, card = load_grid_network(folder / "best.safetensors")
    result = measure(network, dataset)
    report = {
        "model": card.name,
        "frames": len(dataset),
        "source": dataset.poses.source,
        **provenance(),
        "result": result,
    }
    (folder / REPORT).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"test: MPJPE {result['mpjpe_mm']:.1f} mm, PA-MPJPE {result['pa_mpjpe_mm']:.1f} mm, {len(dataset)} frames")


def measure(network: Any, dataset: SquarePoses, batch: int = 64) -> dict[str, Any]:
    """Every figure of `pose3d_result` for a network of 3D poses, as plain data with None for what was not measured.

    Velocities are from one frame of a sequence to the next among those measured; without sequences there are none.
    """
    network.eval()
    parts = []
    with torch.no_grad():
        for start in range(0, len(dataset), batch):
            crops = [dataset.prepared(i)[0] for i in range(start, min(start + batch, len(dataset)))]
            parts.append(network(inputs_of(torch.from_numpy(np.stack(crops))))["pose_mm"].numpy())
    poses = dataset.poses
    time = np.lexsort((poses.frame, poses.sequence))
    takes = poses.sequence[time]
    consecutive = bool((takes != "").all() and (takes[1:] == takes[:-1]).any())
    result = pose3d_result(
        np.concatenate(parts)[time],
        dataset.joints_mm[time],
        poses.skeleton.joints,
        root=dataset.root,
        actions=poses.action[time],
        sequences=takes if consecutive else None,
    )
    return json.loads(json.dumps({**result.details, "joints": result.table}), parse_constant=lambda name: None)
