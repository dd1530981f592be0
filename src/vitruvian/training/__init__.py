"""Training on Lightning: a `Recipe` in, a run folder with weights and their card out. Needs the extra ``train``."""

from ..extras import need

for _module in ("torch", "lightning", "pydantic", "yaml", "safetensors"):
    need(_module, "train", "training")

from .recipe import Recipe  # noqa: E402
from .run import train  # noqa: E402

__all__ = ["Recipe", "train"]
