"""`Card`: what a weight file knows about itself, as JSON in its metadata.

It holds everything that turns an image into named joints with these weights (skeleton, preprocessing, codec) and
everything a reader should know before trusting them (data and its terms, measurements, the commit and command).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ..codecs import Codec, codec_from_dict, codec_to_dict
from ..errors import NoCardError, VitruvianError, WeightsError
from ..preprocess import Preprocess
from ..skeletons import Skeleton
from .calibration import Calibration

METADATA_KEY = "vitruvian_card"
INT8_RECORD = "int8"
"""Where the provenance of an int8 file says what these 8 bits lost."""

_VERSION = 1

T = TypeVar("T")


@dataclass(frozen=True)
class Card:
    """Attributes
    ----------
    name : what the model is called, e.g. ``"vitruvian-s"``.
    model : the family's name in `MODELS`; ``options`` are its builder's options.
    skeleton, preprocess, codec : see there.
    data : one entry a source: ``{"name", "terms", ...}``.
    metrics : one entry a measurement: ``{"metric", "value", "split", "boxes", "flip", ...}``.
    provenance : commit, date, command, recipe, versions.
    notes : intended use and known limits, in sentences.
    calibration : what the codec's scores are worth, or None: prediction then gives them as they are.
    person_above : the mean score (`Poses.mean_scores`) below which a detector's box holds no person, or None where
        nobody has measured it.
    present_above : the presence, of models that do not say it the score, from which on a joint is taken to be in the
        picture (`Poses.present`, drawings), or None where nobody has measured it.
    """

    name: str
    model: str
    skeleton: Skeleton
    preprocess: Preprocess
    codec: Codec
    options: dict[str, Any] = field(default_factory=dict)
    data: tuple[dict[str, Any], ...] = ()
    metrics: tuple[dict[str, Any], ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    notes: str = ""
    calibration: Calibration | None = None
    person_above: float | None = None
    present_above: float | None = None

    def __post_init__(self) -> None:
        if tuple(self.preprocess.size_wh) != tuple(self.codec.size_wh):
            raise WeightsError(
                f"card '{self.name}': crops are {self.preprocess.size_wh}, but the codec is for {self.codec.size_wh}; "
                "the two sizes must be the same"
            )
        for name in ("person_above", "present_above"):
            above = getattr(self, name)
            if above is not None and not (isinstance(above, int | float) and 0 <= above <= 1):
                raise WeightsError(f"card '{self.name}': {name} must be None or a number in 0..1, got {above!r}")

    def to_json(self) -> str:
        """One JSON object; `from_json` is its inverse. `WeightsError` where a field holds other than plain data."""
        record = {
            "name": self.name,
            "model": self.model,
            "options": self.options,
            "skeleton": self.skeleton.to_dict(),
            "preprocess": self.preprocess.to_dict(),
            "codec": codec_to_dict(self.codec),
            "data": list(self.data),
            "metrics": list(self.metrics),
            "provenance": self.provenance,
            "notes": self.notes,
            # only where there is one, so that older versions' cards and those without are the same text
            **({} if self.calibration is None else {"calibration": self.calibration.to_dict()}),
            **({} if self.person_above is None else {"person_above": self.person_above}),
            **({} if self.present_above is None else {"present_above": self.present_above}),
        }
        return write_record(record)

    @classmethod
    def from_json(cls, text: str | None, where: object = "card") -> Card:
        """Parse and check; `WeightsError` names ``where`` and what is missing or wrong."""
        return read_record(text, where, cls._from_record)

    @classmethod
    def _from_record(cls, data: dict[str, Any]) -> Card:
        return cls(
            name=data["name"],
            model=data["model"],
            options={k: as_tuples(v) for k, v in data["options"].items()},
            skeleton=Skeleton.from_dict(data["skeleton"]),
            preprocess=Preprocess.from_dict(data["preprocess"]),
            codec=codec_from_dict(data["codec"]),
            data=tuple(data["data"]),
            metrics=tuple(data["metrics"]),
            provenance=data["provenance"],
            notes=data["notes"],
            calibration=Calibration.from_dict(data["calibration"]) if "calibration" in data else None,
            person_above=data.get("person_above"),
            present_above=data.get("present_above"),
        )

    @property
    def precision(self) -> str:
        """``"int8"`` for a file whose network computes in 8 bits, else ``"float32"``, however weights are stored."""
        return "int8" if INT8_RECORD in self.provenance else "float32"

    def as_float(self) -> Card:
        """For weights of this card's file in a file that computes with floats; what 8 bits lost is kept on record."""
        names = {INT8_RECORD: "weights_were_int8"}
        return replace(self, provenance={names.get(key, key): value for key, value in self.provenance.items()})

    def with_metrics(self, *metrics: dict[str, Any]) -> Card:
        """The same card with further measurements."""
        return replace(self, metrics=(*self.metrics, *metrics))


def write_record(record: dict[str, Any], kind: str | None = None) -> str:
    """A card's fields as one JSON object, with the version and, for models that take no picture, their kind."""
    kinds = {} if kind is None else {"kind": kind}
    try:
        return json.dumps({"version": _VERSION, **kinds, **record})
    except TypeError as error:
        raise WeightsError(f"card '{record['name']}' holds what JSON cannot: {error}") from error


def read_record(text: str | None, where: object, build: Callable[[dict[str, Any]], T], kind: str | None = None) -> T:
    """``build`` called with the fields that `write_record` wrote; `WeightsError` names ``where`` and what is wrong."""
    if text is None:
        raise NoCardError(f"{where}: the file has no Vitruvian card, so its skeleton and preprocessing are unknown")
    try:
        data = json.loads(text)
        if data["version"] != _VERSION:
            raise WeightsError(f"its version is {data['version']}, this package reads version {_VERSION}")
        if data.get("kind") != kind:
            what = "a model of pictures" if kind is None else f"a {kind}"
            raise WeightsError(f"it is that of a {data.get('kind') or 'model of pictures'}; expected {what}")
        return build(data)
    except VitruvianError as error:
        raise WeightsError(f"{where}: the card cannot be used: {error}") from error
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{where}: the card cannot be read ({type(error).__name__}: {error})") from error


def as_tuples(value: Any) -> Any:
    """Lists as the tuples they were before JSON."""
    return tuple(as_tuples(v) for v in value) if isinstance(value, list) else value
