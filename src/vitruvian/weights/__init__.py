"""Weight files: safetensors while training, one ONNX file when shipped; both carry the same `Card`."""

from .card import Card

__all__ = ["Card"]
