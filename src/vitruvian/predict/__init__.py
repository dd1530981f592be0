"""Prediction: `load` a model, give it photos, get `Poses`. Runtimes are in `backends`."""

from .predictor import Predictor, Result, load

__all__ = ["Predictor", "Result", "load"]
