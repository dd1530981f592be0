"""SimpleBaseline: a ResNet, three transposed convolutions, a 1x1 head.

Source: Xiao et al., ECCV 2018, "Simple Baselines for Human Pose Estimation and Tracking", section 2 (three 4x4
deconvolutions of stride 2 and 256 channels with batch norm and ReLU; weights from N(0, 0.001)).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..codecs import Codec
from ..errors import ShapeError
from .layers import build_head, whole_numbers
from .resnet import ResNet

LAYERS_OF_A_LEVEL = 3
"""Transposed convolution, batch norm, ReLU."""


class SimpleBaseline(nn.Module):
    """ResNet of ``depth`` with ``deconvs`` transposed convolutions of ``width`` channels.

    Input (B, 3, H, W) normalised RGB with H and W multiples of 32 -> the codec's arrays.
    """

    def __init__(self, joints: int, codec: Codec, depth: int = 50, deconvs: int = 3, width: int = 256) -> None:
        super().__init__()
        whole_numbers("deconvs and width", (deconvs, width), 2, least=0)
        if deconvs > 5 or width == 0:
            raise ShapeError(
                f"deconvs must be at most 5 (each halves the stride of 32) and width positive; got {deconvs}, {width}"
            )
        self.backbone = ResNet(depth)
        self.deconvs = deconvolutions(self.backbone.channels, width, [2] * deconvs)
        channels = width if deconvs else self.backbone.channels
        self.head = build_head(channels, joints, 32 // 2**deconvs, codec)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return self.head(self.deconvs(self.backbone(images)))


def deconvolutions(channels: int, width: int, strides: Sequence[int]) -> nn.Sequential:
    """One level a stride, each `LAYERS_OF_A_LEVEL` layers: transposed convolution, batch norm, ReLU.

    A stride of 2 doubles the size with 4x4; a stride of 1 keeps it with 3x3, since an even kernel cannot.
    """
    layers: list[nn.Module] = []
    for stride in strides:
        deconvolution = nn.ConvTranspose2d(channels, width, 4 if stride == 2 else 3, stride, 1, bias=False)
        layers += [deconvolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        channels = width
    for layer in layers:
        if isinstance(layer, nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=0.001)
    return nn.Sequential(*layers)
