"""ResNet backbones: 18, 34, 50, 101, 152. Source: He et al., CVPR 2016, table 1 (v1.5 strides)."""

from __future__ import annotations

from torch import Tensor, nn

from .layers import BasicBlock, Bottleneck, conv_bn_act

LAYERS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


class ResNet(nn.Module):
    """The convolutional part of a ResNet: (B, 3, H, W) -> (B, channels, H / 32, W / 32)."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        if depth not in LAYERS:
            raise ValueError(f"ResNet depth must be one of {sorted(LAYERS)}, got {depth}")
        block, counts = LAYERS[depth]
        self.stem = nn.Sequential(conv_bn_act(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1))
        channels, stages = 64, []
        for i, count in enumerate(counts):
            width = 64 * 2**i
            blocks = []
            for j in range(count):
                blocks.append(block(channels, width, stride=2 if i > 0 and j == 0 else 1))
                channels = width * block.expansion
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.channels = channels

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        for stage in self.stages:
            x = stage(x)
        return x
