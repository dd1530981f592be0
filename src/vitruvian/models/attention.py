"""SimpleBaseline with attention between its decoder and its maps: for the whole person, for each joint, or both.

Sources: github.com/akmeraki/Pose_estimation (the system: its text and With_Attention/model_with_attention.py); Chu et
al., CVPR 2017, "Multi-Context Attention for Human Pose Estimation" (attention of several resolutions, holistic and
part-wise, by softmax or CRF); Xiao et al., ECCV 2018 (the network without attention). The kinds of attention, with
their sources, are in `layers/attention.py`.

Where the system's text and its code disagree, both can be had:

- ``deconvs``: 3 (its code) gives decoder levels of strides 16, 8 and 4: 16x12, 32x24 and 64x48 for an input of 256x192.
  4 (its text: "8x6, 16x12, 32x24, 64x48") puts a level before these that keeps the backbone's stride of 32, a 3x3
  transposed convolution of stride 1, so that attention begins at 8x6. The heatmaps are 64x48 in either case.
- Holistic attention. Its text: one map, the sum of every level's map brought to 64x48, multiplies the last features
  once. Its code (``legacy_mul``): every level is multiplied by its own map, and the results, brought to 64x48, are
  added. There the second level is computed and the first added twice in its place, a slip that is not repeated here.
- Part-wise attention: a joint's map multiplies the features before the joint's 1x1 convolution. Its code adds another
  1x1 convolution among the 17 results (``part_mix``), which starts as the identity here.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from ..codecs import Codec, HeatmapCodec
from ..errors import ShapeError
from .layers import ATTENTION, HeatmapHead, whole_numbers
from .resnet import ResNet
from .simple_baseline import LAYERS_OF_A_LEVEL, deconvolutions

HOLISTIC, PART = "holistic", "part"
_STRIDES = {3: (2, 2, 2), 4: (1, 2, 2, 2)}


class PartHead(nn.Module):
    """Features (B, C, h, w) -> K heatmaps, joint k's 1x1 convolution seeing features that map k was multiplied with.

    A map has one number a location, which can as well multiply the convolution's result; K copies of the features are
    never made.
    """

    def __init__(self, attention: nn.Module, plain: HeatmapHead, mix: bool) -> None:
        super().__init__()
        self.attention, self.project = attention, plain.project
        joints = plain.project.out_channels
        self.mix = nn.Conv2d(joints, joints, 1) if mix else nn.Identity()
        if isinstance(self.mix, nn.Conv2d):
            nn.init.dirac_(self.mix.weight)
            nn.init.zeros_(self.mix.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        seen = F.conv2d(features, self.project.weight) * self.attention(features)
        assert self.project.bias is not None
        return {HeatmapCodec.array: self.mix(seen + self.project.bias.view(1, -1, 1, 1))}


class AttentionResNet(nn.Module):
    """ResNet, 3 or 4 transposed convolutions, attention, one heatmap a joint at stride 4.

    Input (B, 3, H, W) normalised RGB with H and W multiples of 32. Weights bear the names of `SimpleBaseline`'s, so
    that one with 3 levels can start from the other; with ``kind="none"`` they are the same function.

    Parameters
    ----------
    joints : K.
    codec : a `HeatmapCodec` of stride 4.
    depth : of the ResNet.
    deconvs : 3 or 4 levels, see the module's docstring.
    width : channels of every level.
    kind : ``"none"``, ``"softmax"``, ``"crf"``, ``"gaussian"`` or ``"stn"`` (spatial transformer).
    scope : ``"holistic"``, ``"part"`` or ``"both"``; part-wise attention works on the result of holistic attention.
    crf_kernel, crf_iterations : for ``"crf"``. 11 is Chu et al.'s kernel, 1 the system's.
    gaussians : filters along each axis, for ``"gaussian"``.
    mean_one : maps of ``"softmax"`` and ``"gaussian"`` have mean 1 rather than sum 1, see `layers.attention`.
    legacy_mul, part_mix : see the module's docstring.
    """

    def __init__(
        self,
        joints: int,
        codec: Codec,
        depth: int = 50,
        deconvs: int = 3,
        width: int = 256,
        kind: str = "crf",
        scope: str = "both",
        crf_kernel: int = 11,
        crf_iterations: int = 3,
        gaussians: int = 3,
        mean_one: bool = True,
        legacy_mul: bool = False,
        part_mix: bool = False,
    ) -> None:
        super().__init__()
        whole_numbers("width", (width,), 1)
        plain = HeatmapHead(width, joints, 4, _checked(codec, deconvs, kind, scope, legacy_mul, part_mix))
        options: dict[str, dict[str, Any]] = {
            "crf": {"kernel": crf_kernel, "iterations": crf_iterations},
            "gaussian": {"filters": gaussians, "mean_one": mean_one},
            "softmax": {"mean_one": mean_one},
        }
        attention = lambda maps: ATTENTION[kind](width, maps, **options.get(kind, {}))  # noqa: E731
        holistic, part = (kind != "none" and scope in (wanted, "both") for wanted in (HOLISTIC, PART))
        self.backbone = ResNet(depth)
        self.deconvs = deconvolutions(self.backbone.channels, width, _STRIDES[deconvs])
        self.holistic = nn.ModuleList(attention(1) for _ in range(deconvs if holistic else 0))
        self.legacy_mul = legacy_mul
        self.head = PartHead(attention(joints), plain, part_mix) if part else plain

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return self.head(self._features(images)[0])

    def attention_maps(self, images: Tensor) -> dict[str, Tensor]:
        """What features are multiplied with, at the size of the heatmaps.

        (B, 3, H, W) normalised RGB -> ``"holistic"`` (B, 1, h, w), the sum over levels (with ``legacy_mul``, where
        every level has its own, also their sum), and ``"part"`` (B, K, h, w); only those that this network has. None is
        negative; they are not bounded by 1.
        """
        features, holistic = self._features(images)
        maps = {} if holistic is None else {HOLISTIC: holistic}
        if isinstance(self.head, PartHead):
            maps[PART] = self.head.attention(features)
        return maps

    def _features(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """The features that the head sees, and the sum of the levels' maps."""
        levels = self._levels(self.backbone(images))
        if not len(self.holistic):
            return levels[-1], None
        maps = [attention(level) for attention, level in zip(self.holistic, levels, strict=True)]
        if self.legacy_mul:
            features = _sum_at_last_size([level * map_ for level, map_ in zip(levels, maps, strict=True)])
            return features, _sum_at_last_size(maps)
        total = _sum_at_last_size(maps)
        return levels[-1] * total, total

    def _levels(self, x: Tensor) -> list[Tensor]:
        levels = []
        for i, layer in enumerate(self.deconvs, start=1):
            x = layer(x)
            if i % LAYERS_OF_A_LEVEL == 0:
                levels.append(x)
        return levels


def _sum_at_last_size(levels: list[Tensor]) -> Tensor:
    """The sum of tensors of which each is half the size of the next, enlarged to the last by nearest neighbours."""
    total = levels[-1]
    for i, level in enumerate(levels[:-1]):
        total = total + F.interpolate(level, scale_factor=2.0 ** (len(levels) - 1 - i), mode="nearest")
    return total


def _checked(codec: Codec, deconvs: int, kind: str, scope: str, legacy_mul: bool, part_mix: bool) -> HeatmapCodec:
    if not isinstance(codec, HeatmapCodec) or codec.stride != 4:
        raise ShapeError(f"the attention networks give heatmaps of stride 4, got the codec {codec}")
    if deconvs not in _STRIDES:
        raise ShapeError(f"deconvs is 3 (levels from 16x12 at 256x192) or 4 (from 8x6), got {deconvs!r}")
    if kind not in ("none", *ATTENTION) or scope not in (HOLISTIC, PART, "both"):
        raise ShapeError(
            f"kind is none or one of {sorted(ATTENTION)}, scope holistic, part or both; got '{kind}', '{scope}'"
        )
    if legacy_mul and (kind == "none" or scope == PART):
        raise ShapeError(f"legacy_mul is a form of holistic attention; got kind '{kind}', scope '{scope}'")
    if part_mix and (kind == "none" or scope == HOLISTIC):
        raise ShapeError(f"part_mix belongs to part-wise attention; got kind '{kind}', scope '{scope}'")
    return codec
