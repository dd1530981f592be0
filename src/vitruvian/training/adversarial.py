"""`LitAdversarial`: a pose network trained against discriminators, in three stages.

1. ``generator``: the pose network alone, by the recipe's loss.
2. ``discriminator``: the discriminators alone, on the frozen network.
3. ``joint``: in each step first the discriminators, then the network (Chen et al., ICCV 2017, algorithm 1).

Real and generated maps have the same size and smoothness (the codec's), so that texture gives nothing away, and
evaluation always runs in evaluation mode. The objectives are in `vitruvian.adversarial`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import adversarial as objectives
from ..codecs import HeatmapCodec
from ..errors import RecipeError
from ..models.discriminators import DISCRIMINATORS, MapAutoencoder
from ..skeletons import Skeleton
from ..types import Targets
from .module import LitPose
from .recipe import AdversarialPart

LENGTHS = {"head_segment": ("neck", "head_top"), "torso": ("left_shoulder", "right_hip")}
"""Joints whose distance a recipe's ``adversarial.length`` is."""

_GENERATOR, _DISCRIMINATOR, _JOINT = range(3)


class LitAdversarial(LitPose):
    """`LitPose` with discriminators; its first optimiser is the network's, its second the discriminators'.

    Parameters beyond those of `LitPose`: ``part``, the recipe's ``adversarial``.
    """

    def __init__(self, *args: Any, part: AdversarialPart, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.automatic_optimization = False
        self.part = part
        if not isinstance(self.codec, HeatmapCodec):
            raise RecipeError(f"adversarial training needs a heatmap codec, got '{self.codec.kind}'")
        if part.mode != "began" and "pose" in part.judges:
            self._length_joints = length_joints(self.skeleton, part)
        self._kept = [module for module in self.network.modules() if not module.training]  # see `freeze`
        self.judges = build_judges(part, len(self.skeleton), self.codec)
        self.judges.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.k: Tensor
        self.register_buffer("k", torch.zeros(()))  # began's balance; a buffer, so that resuming finds it

    @property
    def stage(self) -> int:
        """0, 1 or 2, by the epoch."""
        stages = self.part.stages
        return int(self.current_epoch >= stages.generator) + int(
            self.current_epoch >= stages.generator + stages.discriminator
        )

    @property
    def resting(self) -> bool:
        """Whether the network is frozen, while the discriminators learn."""
        return self.stage == _DISCRIMINATOR

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> None:  # type: ignore[override]
        targets = self.codec.encode_torch(batch["keypoints_px"], batch["visibility"])
        pictures = self.normalise(batch["image"])
        # Frozen means batch norm's statistics too.
        self.network.train(not self.resting)
        for part in self._kept:
            part.eval()
        with torch.set_grad_enabled(not self.resting):
            arrays = self.network(pictures)
        if self.stage == _GENERATOR:
            self._step_generator(self.supervised_loss(arrays, targets), None)
            return
        seen = _Seen(self, arrays[HeatmapCodec.array], targets, batch, pictures)
        self._step_discriminators(seen)
        if self.stage == _JOINT:
            # The discriminators pass the gradient on but take none. (Lightning's toggling would detach the maps.)
            self.judges.requires_grad_(False)
            self._step_generator(self.supervised_loss(arrays, targets), self._wanted(seen))
            self.judges.requires_grad_(True)

    def _step_generator(self, supervised: Tensor, adversarial: Tensor | None) -> None:
        optimizer, _ = self.optimizers()  # type: ignore[misc, attr-defined]
        self.log("loss", supervised, prog_bar=True, on_step=True, on_epoch=False)
        if adversarial is not None:
            self.log("adversarial", adversarial, prog_bar=True, on_step=True, on_epoch=False)
            supervised = supervised + adversarial
        self._descend(optimizer, supervised)
        self.lr_schedulers().step()  # type: ignore[union-attr, call-arg]

    def _step_discriminators(self, seen: _Seen) -> None:
        _, optimizer = self.optimizers()  # type: ignore[misc, attr-defined]
        loss = self._rebuilding(seen) if self.part.mode == "began" else self._judging(seen)
        self.log("discriminator", loss, prog_bar=True, on_step=True, on_epoch=False)
        self._descend(optimizer, loss)

    def _judging(self, seen: _Seen) -> Tensor:
        losses = []
        for name, judge in self.judges.items():
            picture, (right, weights) = seen.picture_for(name), seen.labels(name)
            real, fake = judge(seen.truth, picture), judge(seen.found.detach(), picture)
            losses.append(objectives.discriminator_loss(self.part.mode, real, fake, right, weights))
            # How often it is right about generated maps: what says whether it has learned anything.
            agrees = ((fake.detach() > 0).float() == right).float()
            self.log(f"{name}_agrees", (agrees * weights).sum() / weights.sum().clamp(min=1), on_step=True)
        return torch.stack(losses).sum()

    def _rebuilding(self, seen: _Seen) -> Tensor:
        judge, began = self.judges["rebuild"], self.part.began
        maps = seen.found.detach()
        real = objectives.reconstruction(judge(seen.truth, seen.picture), seen.truth, seen.weights)
        fake = objectives.reconstruction(judge(maps, seen.picture), maps, seen.weights)
        loss = real - self.k.clone() * fake  # k changes below, before the gradient is taken
        if self.stage == _JOINT:
            balance = torch.stack([real.detach(), fake.detach()])
            balance = self.all_gather(balance).mean(dim=0) if self.trainer.world_size > 1 else balance  # type: ignore[union-attr]
            self.k.copy_(objectives.equilibrium(self.k, balance[0], balance[1], began.gamma, began.lambda_k))  # type: ignore[operator]
            self.log("k", self.k, on_step=True)  # type: ignore[arg-type]
        return loss

    def _wanted(self, seen: _Seen) -> Tensor:
        """The generator's adversarial loss, weighed."""
        if self.part.mode == "began":
            rebuilt = self.judges["rebuild"](seen.found, seen.picture)
            return self.part.began.lambda_g * objectives.reconstruction(rebuilt, seen.found, seen.weights)
        losses = []
        for name, judge in self.judges.items():
            right, weights = seen.labels(name)
            wanted = objectives.generator_loss(
                self.part.mode, judge(seen.found, seen.picture_for(name)), right, weights
            )
            losses.append((self.part.beta if name == "pose" else self.part.alpha) * wanted)
        return torch.stack(losses).sum()

    def _descend(self, optimizer: Any, loss: Tensor) -> None:
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"a loss became {loss.item()} in epoch {self.current_epoch}; a lower adversarial.lr or optim.lr helps"
            )
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clips by norm; Lightning calls it when fp16 gradients have their true size again."""
        if self.optim.clip:
            generator, _ = self.optimizers()  # type: ignore[misc, attr-defined]
            part = self.network if optimizer is generator.optimizer else self.judges
            torch.nn.utils.clip_grad_norm_(part.parameters(), self.optim.clip)

    def configure_optimizers(self) -> Any:
        generator = super().configure_optimizers()
        judges = torch.optim.Adam(self.judges.parameters(), lr=self.part.lr)
        return [generator["optimizer"], judges], [generator["lr_scheduler"]]


class _Seen:
    """One batch as the discriminators see it: maps found and true, the small picture, labels and weights."""

    def __init__(
        self, module: LitAdversarial, found: Tensor, targets: Targets, batch: dict[str, Tensor], pictures: Tensor
    ) -> None:
        self._module = module
        self.found, self.truth = found, targets.arrays[HeatmapCodec.array]
        # Codecs can teach that the map of an unlabelled joint is empty; nobody is to judge it.
        self.weights = targets.weights * (batch["visibility"] > 0)
        self.picture = F.avg_pool2d(pictures, module.codec.stride)  # type: ignore[union-attr]
        self._labels = {"confidence": self._by_maps, "pose": self._by_distance}
        self._known: dict[str, tuple[Tensor, Tensor]] = {}
        self._keypoints_px = batch["keypoints_px"]

    def picture_for(self, judge: str) -> Tensor | None:
        return self.picture if judge == "pose" else None

    def labels(self, judge: str) -> tuple[Tensor, Tensor]:
        """(B, K) labels of the generated maps and (B, K) weights."""
        if judge not in self._known:
            with torch.no_grad():
                self._known[judge] = self._labels[judge]()
        return self._known[judge]

    def _by_maps(self) -> tuple[Tensor, Tensor]:
        right = objectives.right_by_maps(self.found, self.truth, self._module.part.map_error)
        return right, self.weights

    def _by_distance(self) -> tuple[Tensor, Tensor]:
        """In the crop's pixels, from the whole pixel of the peak, as the codec's grid has it."""
        codec, part = self._module.codec, self._module.part
        width = self.found.shape[-1]
        peak = self.found.flatten(2).argmax(-1)
        found_px = codec.to_input(torch.stack([peak % width, peak // width], dim=-1).float())  # type: ignore[union-attr]
        first, second = self._module._length_joints
        step = self._keypoints_px[:, first] - self._keypoints_px[:, second]
        # Joints that are not labelled are NaN, and so is the length then.
        length_px = torch.linalg.vector_norm(step.float(), dim=-1)
        # A joint that is labelled outside of the picture has an empty target; it cannot be found.
        drawn = self.weights * (self.truth.amax(dim=(-2, -1)) > 0)
        return objectives.right_by_distance(found_px, self._keypoints_px, length_px, drawn, part.within)


def build_judges(part: AdversarialPart, joints: int, codec: HeatmapCodec) -> nn.ModuleDict:
    """The discriminators of a recipe, by name; mode ``began`` has one, ``rebuild``.

    Raises
    ------
    ShapeError
        Maps whose sides their poolings do not divide.
    """
    if part.mode == "began":
        return nn.ModuleDict({"rebuild": MapAutoencoder(joints, codec.map_wh, part.width)})
    build = DISCRIMINATORS[part.architecture]
    return nn.ModuleDict({name: build(joints, name == "pose", codec.map_wh, part.width) for name in part.judges})


def length_joints(skeleton: Skeleton, part: AdversarialPart) -> tuple[int, int]:
    """The two joints that a recipe's ``adversarial.length`` lies between.

    Raises
    ------
    RecipeError
        The skeleton lacks one of them.
    """
    names = LENGTHS[part.length]
    missing = [name for name in names if name not in skeleton.joints]
    if missing:
        raise RecipeError(
            f"adversarial.length '{part.length}' needs {' and '.join(names)}; skeleton '{skeleton.name}' lacks "
            f"{' and '.join(missing)}"
        )
    return skeleton.index(names[0]), skeleton.index(names[1])
