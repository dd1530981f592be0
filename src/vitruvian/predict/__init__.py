"""Prediction: `load` a model, give it photos, get `Poses`. Runtimes are in `backends`, sources of boxes
in `detectors`."""

from .detectors import Detections, Detector, OnnxDetector, from_callable
from .predictor import Predictor, Result, load
from .select import Selection

__all__ = ["Detections", "Detector", "OnnxDetector", "Predictor", "Result", "Selection", "from_callable", "load"]
