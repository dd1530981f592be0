"""The one way an optional library is imported: with an error that says how to install it."""

from __future__ import annotations

import importlib
from types import ModuleType

from .errors import MissingExtraError


def need(module: str, extra: str, purpose: str) -> ModuleType:
    """Import ``module`` or raise `MissingExtraError` naming the extra that brings it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] != module.split(".")[0]:
            raise  # the library is there, but something it needs is broken: its own message says more
        raise MissingExtraError(module.split(".")[0], extra, purpose) from error
