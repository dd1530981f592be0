"""`GridCard`: what the file of a network of the grid task, or of 3D poses after it, knows about itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from ..codecs.grid import GridCodec
from ..data.square_crop import SquareCrop
from ..errors import WeightsError
from ..skeletons import Skeleton
from .card import as_tuples, read_record, write_record

_KIND = "grid network"
AXES_CONVENTION = "of the camera: x right, y down, z away from it"
ROOT_CONVENTION = "millimetres relative to the joint 'root', which is at 0, 0, 0"


@dataclass(frozen=True)
class GridCard:
    """Attributes
    ----------
    name : what the model is called.
    model : its name in `GRID_MODELS`; ``options`` are its builder's options.
    head : ``"grid"`` or ``"pose"``.
    skeleton : the joints it gives.
    crop : how a picture becomes its input.
    targets : the grid.
    root : the joint that positions are relative to.
    axes, scale : in sentences, what its millimetres mean.
    data, metrics, provenance, notes : as in `Card`.
    """

    name: str
    model: str
    head: str
    skeleton: Skeleton
    crop: SquareCrop
    targets: GridCodec
    options: dict[str, Any] = field(default_factory=dict)
    root: str = "pelvis"
    axes: str = AXES_CONVENTION
    scale: str = ROOT_CONVENTION
    data: tuple[dict[str, Any], ...] = ()
    metrics: tuple[dict[str, Any], ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    notes: str = ""

    def __post_init__(self) -> None:
        if self.head not in ("grid", "pose") or self.root not in self.skeleton.joints:
            raise WeightsError(
                f"card '{self.name}': head '{self.head}' (grid or pose) and root '{self.root}' (a joint)"
            )
        if tuple(self.crop.size_wh) != tuple(self.targets.size_wh):
            raise WeightsError(f"card '{self.name}': crops of {self.crop.size_wh}, a grid for {self.targets.size_wh}")

    def network_options(self) -> dict[str, Any]:
        """What `build_grid_model` takes besides name, joints and head."""
        sizes = {"size_wh": self.crop.size_wh, "grid_wh": self.targets.grid_wh, "channels": self.crop.channels}
        return {**self.options, **sizes}

    def to_json(self) -> str:
        """One JSON object; `from_json` is its inverse. `WeightsError` where a field holds other than plain data."""
        plain = {k: getattr(self, k) for k in self.__dataclass_fields__}
        targets = asdict(self.targets)
        plain |= {"skeleton": self.skeleton.to_dict(), "crop": self.crop.to_dict(), "targets": targets}
        return write_record({**plain, "data": list(self.data), "metrics": list(self.metrics)}, _KIND)

    @classmethod
    def from_json(cls, text: str | None, where: object = "card") -> GridCard:
        """Parse and check; `WeightsError` names ``where`` and what is missing or wrong."""
        return read_record(text, where, cls._from_record, _KIND)

    @classmethod
    def _from_record(cls, data: dict[str, Any]) -> GridCard:
        fields = {k: data[k] for k in cls.__dataclass_fields__}
        fields["options"] = {k: as_tuples(v) for k, v in fields["options"].items()}
        fields["skeleton"] = Skeleton.from_dict(fields["skeleton"])
        fields["crop"] = SquareCrop.from_dict(fields["crop"])
        fields["targets"] = GridCodec(**{k: as_tuples(v) for k, v in fields["targets"].items()})
        return cls(**{**fields, "data": tuple(fields["data"]), "metrics": tuple(fields["metrics"])})
