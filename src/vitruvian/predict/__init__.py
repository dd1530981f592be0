"""Prediction: `load` a model, give it photos, get `Poses`. Runtimes are in `backends`, sources of boxes
in `detectors`."""

from .detectors import Detections, Detector, OnnxDetector, from_callable
from .person_detector import PersonDetector, load_detector
from .predictor import Predictor, Result, load
from .select import Selection

__all__ = [
    "Detections", "Detector", "OnnxDetector", "PersonDetector", "Predictor", "Result", "Selection", "from_callable",
    "load", "load_detector",
]  # fmt: skip
