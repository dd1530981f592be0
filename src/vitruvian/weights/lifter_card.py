"""`LifterCard`: what a lifter's file knows about itself. `Card` is for models that take pictures; a lifter takes
joints."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import WeightsError
from ..skeletons import Skeleton
from ..transforms.lifting import INPUT_JOINTS, OUTPUT_JOINTS, STANDARD_MM
from .card import as_tuples, read_record, write_record

_KIND = "lifter"

INPUT_CONVENTION = (
    "x (right), y (down) and score of each joint; positions relative to the mean of the present joints, divided by "
    "their root-mean-square distance from it; a missing joint is 0, 0, 0"
)
ROOT_CONVENTION = "relative to the pelvis, which is at 0, 0, 0"
AXES_CONVENTION = "of a camera that looks at the person: x right, y down, z away from the camera"
SCALE_CONVENTION = (
    f"millimetres of a person of standard size: pelvis to head top along the spine plus hip to ankle is "
    f"{STANDARD_MM:.0f} mm (a height of about 1.7 m); a photo alone does not tell the true size"
)


@dataclass(frozen=True)
class LifterCard:
    """Attributes
    ----------
    name : what the lifter is called.
    model : its name in `LIFTERS`; ``options`` are its builder's options.
    frames : how many neighbouring poses one result needs; 1 for a lifter of single poses.
    fps : the rate of the poses it was trained on; of no matter to a lifter of single poses.
    inputs, outputs : the joints it takes and gives.
    input_convention, root, axes, scale : in sentences, what its numbers mean (`transforms.lifting` does it).
    data, metrics, provenance, notes : as in `Card`.

    Raises
    ------
    WeightsError
        Joints or conventions that this version of the package does not implement.
    """

    name: str
    model: str
    options: dict[str, Any] = field(default_factory=dict)
    frames: int = 1
    fps: float = 15.0
    inputs: Skeleton = INPUT_JOINTS
    outputs: Skeleton = OUTPUT_JOINTS
    input_convention: str = INPUT_CONVENTION
    root: str = ROOT_CONVENTION
    axes: str = AXES_CONVENTION
    scale: str = SCALE_CONVENTION
    data: tuple[dict[str, Any], ...] = ()
    metrics: tuple[dict[str, Any], ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    notes: str = ""

    def __post_init__(self) -> None:
        if self.inputs.joints != INPUT_JOINTS.joints or self.outputs.joints != OUTPUT_JOINTS.joints:
            raise WeightsError(
                f"lifter '{self.name}' goes from '{self.inputs.name}' to '{self.outputs.name}'; this package knows "
                f"lifters from '{INPUT_JOINTS.name}' to '{OUTPUT_JOINTS.name}'"
            )
        said = (self.input_convention, self.root, self.axes, self.scale)
        if said != (INPUT_CONVENTION, ROOT_CONVENTION, AXES_CONVENTION, SCALE_CONVENTION):
            raise WeightsError(f"lifter '{self.name}' has other conventions than this package implements: {said}")

    def to_json(self) -> str:
        """One JSON object; `from_json` is its inverse. `WeightsError` where a field holds other than plain data."""
        plain = {k: getattr(self, k) for k in self.__dataclass_fields__}
        plain |= {"inputs": self.inputs.to_dict(), "outputs": self.outputs.to_dict()}
        return write_record({**plain, "data": list(self.data), "metrics": list(self.metrics)}, _KIND)

    @classmethod
    def from_json(cls, text: str | None, where: object = "card") -> LifterCard:
        """Parse and check; `WeightsError` names ``where`` and what is missing or wrong."""
        return read_record(text, where, cls._from_record, _KIND)

    @classmethod
    def _from_record(cls, data: dict[str, Any]) -> LifterCard:
        fields = {name: data[name] for name in cls.__dataclass_fields__}
        fields |= {name: Skeleton.from_dict(data[name]) for name in ("inputs", "outputs")}
        fields["options"] = {k: as_tuples(v) for k, v in data["options"].items()}
        return cls(**{**fields, "data": tuple(data["data"]), "metrics": tuple(data["metrics"])})

    def with_metrics(self, *metrics: dict[str, Any]) -> LifterCard:
        """The same card with further measurements."""
        return replace(self, metrics=(*self.metrics, *metrics))
