"""Vitruvian."""

__version__ = "0.1.0"
