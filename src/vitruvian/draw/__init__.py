"""Pictures of people: `draw` a prediction, `compare` it with ground truth (or several `side_by_side`), `contact_sheet`
of many images, `stack_figure` of heatmaps, `explain_sheet` and `explain_page` of what was seen in people; `curves` of
figures over epochs."""

from .comparison import compare, side_by_side
from .explain import explain_page, explain_sheet
from .heatmaps import stack_figure
from .plots import curves
from .sheet import contact_sheet
from .skeleton import draw

__all__ = [
    "compare", "contact_sheet", "curves", "draw", "explain_page", "explain_sheet", "side_by_side", "stack_figure",
]  # fmt: skip
