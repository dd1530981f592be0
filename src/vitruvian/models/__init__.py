"""Model families, one per file, and the hand-written table of the models that recipes can name.

Adding a model: 1. write ``models/<family>.py`` with an ``nn.Module`` that takes normalised RGB (B, 3, H, W) and
returns the arrays of its codec by name; 2. add its builders to `MODELS` below; 3. add its expected parameter count to
``tests/conformance/test_models.py``; 4. describe it in ``docs/models.md``. The conformance suite does the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import VitruvianError

if TYPE_CHECKING:
    from torch import nn

    from ..codecs import Codec


def _attention_resnet(depth: int) -> Callable[..., nn.Module]:
    def build(joints: int, codec: Codec, **options: Any) -> nn.Module:
        from .attention import AttentionResNet

        return AttentionResNet(joints, codec, depth=depth, **options)

    return build


def _compact(joints: int, codec: Codec, **options: Any) -> nn.Module:
    from .compact import CompactNet

    return CompactNet(joints, codec, **options)


def _detector(joints: int, codec: Codec, **options: Any) -> nn.Module:
    from .detector import PersonNet

    return PersonNet(joints, codec, **options)


def _hourglass(joints: int, codec: Codec, **options: Any) -> nn.Module:
    from .hourglass import StackedHourglass

    return StackedHourglass(joints, codec, **options)


def _simple_baseline(depth: int) -> Callable[..., nn.Module]:
    def build(joints: int, codec: Codec, **options: Any) -> nn.Module:
        from .simple_baseline import SimpleBaseline

        return SimpleBaseline(joints, codec, depth=depth, **options)

    return build


def _harmonic(joints: int, codec: Codec, **options: Any) -> nn.Module:
    from .harmonic import HarmonicUNet

    return HarmonicUNet(joints, codec, **options)


def _rtmpose(size: str) -> Callable[..., nn.Module]:
    def build(joints: int, codec: Codec, **options: Any) -> nn.Module:
        from .rtmpose import RtmPose

        return RtmPose(joints, codec, size=size, **options)

    return build


def _vitpose(size: str) -> Callable[..., nn.Module]:
    def build(joints: int, codec: Codec, **options: Any) -> nn.Module:
        from .vitpose import VitPose

        return VitPose(joints, codec, size=size, **options)

    return build


def _unet(joints: int, codec: Codec, **options: Any) -> nn.Module:
    from .unet import UNet

    return UNet(joints, codec, **options)


MODELS: dict[str, Callable[..., Any]] = {
    "attention_resnet_18": _attention_resnet(18),
    "attention_resnet_34": _attention_resnet(34),
    "attention_resnet_50": _attention_resnet(50),
    "attention_resnet_101": _attention_resnet(101),
    "attention_resnet_152": _attention_resnet(152),
    "compact": _compact,
    "detector": _detector,
    "harmonic": _harmonic,
    "hourglass": _hourglass,
    "rtmpose_t": _rtmpose("t"),
    "rtmpose_s": _rtmpose("s"),
    "rtmpose_m": _rtmpose("m"),
    "rtmpose_l": _rtmpose("l"),
    "simple_baseline_18": _simple_baseline(18),
    "simple_baseline_34": _simple_baseline(34),
    "simple_baseline_50": _simple_baseline(50),
    "simple_baseline_101": _simple_baseline(101),
    "simple_baseline_152": _simple_baseline(152),
    "unet": _unet,
    "vitpose_s": _vitpose("s"),
    "vitpose_b": _vitpose("b"),
}


def side_multiple(name: str, **options: Any) -> int:
    """What both sides of a model's input must be multiples of: its coarsest stride, 32 for most."""
    levels = {"unet": options.get("levels", 5), "harmonic": len(options.get("streams", range(5)))}.get(name, 6)
    return 2 ** (levels - 1) if type(levels) is int and 1 <= levels <= 12 else 32


def build_model(name: str, joints: int, codec: Codec, **options: Any) -> nn.Module:
    """Build a model with fresh weights; needs torch.

    Raises
    ------
    VitruvianError
        A name that is not in `MODELS`, an option the family does not have or whose value cannot be, or a codec whose
        input size the networks' strides do not divide, or whose ``presence`` the family has no output for.
    """
    if name not in MODELS:
        raise VitruvianError(f"unknown model '{name}'; known: {', '.join(sorted(MODELS))}")
    unit = side_multiple(name, **options)
    if any(side % unit for side in codec.size_wh):
        raise VitruvianError(f"model '{name}' needs an input whose sides are multiples of {unit}, got {codec.size_wh}")
    try:
        network = MODELS[name](joints, codec, **options)
    except (TypeError, ValueError, RuntimeError) as error:  # ShapeError is a ValueError
        raise VitruvianError(f"model '{name}' cannot be built with the options {options}: {error}") from error
    if codec.presence and not any(getattr(m, "presence", None) for m in network.modules()):
        raise VitruvianError(f"model '{name}' has no output for the codec's presence")
    return network
