"""Pictures of people: `draw` a prediction, `compare` it with ground truth, `contact_sheet` of many images."""

from .sheet import contact_sheet
from .skeleton import compare, draw

__all__ = ["compare", "contact_sheet", "draw"]
