"""`LitDistilled`: a network that learns from a teacher's maps besides the labels.

Sources: Hinton et al., 2015, "Distilling the Knowledge in a Neural Network", section 2 (a weighted sum of both losses);
Zhang et al., CVPR 2019, "Fast Human Pose Estimation", section 3.2 (of a teacher's heatmaps, by the loss that labels
have). The teacher sees the very crops its pupil sees. It has an opinion on every joint, labelled or not, so sources
that lack joints teach these too.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..codecs import Codec, HeatmapCodec
from ..codecs.heatmap import PRESENCE
from ..errors import RecipeError
from ..models import build_model
from ..preprocess import Preprocess
from ..skeletons import Skeleton
from ..types import Outputs, Targets
from ..weights.checkpoint import load_into, read_card
from ..weights.zoo import find_weights
from .module import LitPose
from .recipe import DistilPart


class LitDistilled(LitPose):
    """`LitPose` with a teacher; ``teacher`` gives arrays for the same inputs, ``part`` is the recipe's ``distil``.

    The teacher is no part of the module: checkpoints hold the pupil alone.
    """

    def __init__(self, *args: Any, teacher: nn.Module, part: DistilPart, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.part = part
        self._teacher = (teacher.eval().requires_grad_(False),)  # in a tuple, where modules are not registered

    def on_fit_start(self) -> None:
        """To where the pupil is."""
        self._teacher[0].to(self.device)

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
        codec = self._codec_for(batch["image"])
        images = self.normalise(batch["image"])
        arrays = self.network(images)
        taught = self.supervised_loss(arrays, self._targets(codec, batch))
        told = self.supervised_loss(arrays, self.opinion(codec, images))
        loss = (1 - self.part.weight) * taught + self.part.weight * told
        self.log("loss", loss, prog_bar=True, on_step=True, on_epoch=False)
        self.log("told", told, on_step=True, on_epoch=False)
        return loss

    @torch.no_grad()
    def opinion(self, codec: Codec, images: Tensor) -> Targets:
        """The teacher's maps as targets, all joints counting, with its mean over a mirrored pass if ``flip``."""
        assert isinstance(codec, HeatmapCodec)
        maps = self._teacher[0](images)[codec.array].float()
        if self.part.flip:
            other = Outputs({codec.array: self._teacher[0](images.flip(-1))[codec.array].float()})
            maps = (maps + codec.flip(other, self.skeleton).arrays[codec.array]) / 2
        if codec.activation == "softmax":
            maps = torch.softmax(maps.flatten(2), dim=-1).unflatten(-1, maps.shape[-2:])
        else:
            maps = maps.clamp(0, 1)
        arrays = {codec.array: maps}
        if codec.presence:  # the labels teach that
            arrays[PRESENCE] = torch.full(maps.shape[:2], -1.0, device=maps.device)
        return Targets(arrays, torch.ones(maps.shape[:2], device=maps.device))


def load_teacher(part: DistilPart) -> nn.Module:
    """The teacher's network."""
    path = find_weights(part.teacher)
    card = read_card(path)
    network = build_model(card.model, len(card.skeleton), card.codec, **card.options)
    load_into(network, path)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def check_teacher(part: DistilPart, codec: Codec, skeleton: Skeleton, preprocess: Preprocess) -> None:
    """A teacher has to see and to say the same as its pupil; its card tells.

    Raises
    ------
    RecipeError
        Another skeleton, other crops, or maps that mean something else.
    """
    card = read_card(find_weights(part.teacher))
    mine = {"skeleton": card.skeleton, "preprocess": card.preprocess, "maps": _maps(card.codec)}
    for name, wanted in {"skeleton": skeleton, "preprocess": preprocess, "maps": _maps(codec)}.items():
        if mine[name] != wanted:
            raise RecipeError(f"distil.teacher: {part.teacher} has another {name}, {mine[name]}, than {wanted}")


def _maps(codec: Codec) -> Any:
    """What a codec's arrays mean, without how they are read and what their labels teach."""
    if not isinstance(codec, HeatmapCodec):
        raise RecipeError(f"distil: teacher and pupil need heatmaps, got a codec of kind '{codec.kind}'")
    return {"stride": codec.stride, "sigma": codec.sigma, "activation": codec.activation}
