"""Exporting trained models. `export_onnx` verifies the file against torch and refuses to leave one that differs."""

from .onnx import ExportReport, export_onnx

__all__ = ["ExportReport", "export_onnx"]
