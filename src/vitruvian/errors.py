"""The exceptions Vitruvian raises on purpose.

Every message says what was got, what was expected, and how to fix it, so that the text alone is enough to act on.
"""

from __future__ import annotations

from typing import Any


class VitruvianError(Exception):
    """Base of every error this package raises on purpose; catching it never hides a programming mistake."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Python would call the constructor with the message alone; some of ours take more, and a worker process's
        # error would then be lost on its way back.
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(kind: type[VitruvianError], args: tuple, fields: dict[str, Any]) -> VitruvianError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error


class SkeletonError(VitruvianError, ValueError):
    """A skeleton that contradicts itself, or two skeletons that cannot be mapped onto each other."""


class ShapeError(VitruvianError, ValueError):
    """An array whose shape or dtype does not fit; the message gives both shapes."""


class FormatError(VitruvianError, ValueError):
    """An annotation or result file that cannot be read: names the file, the record and the field.

    Parameters
    ----------
    path : the offending file.
    record : which record of the file (an index, an id, a joint name), or None for the file as a whole.
    field : which field of that record, or None.
    problem : what was got and what was expected.
    """

    def __init__(self, path: object, problem: str, *, record: object = None, field: str | None = None):
        self.path, self.record, self.field, self.problem = path, record, field, problem
        where = str(path)
        if record is not None:
            where += f", record {record}"
        if field is not None:
            where += f", field '{field}'"
        super().__init__(f"{where}: {problem}")


class ImageError(VitruvianError, ValueError):
    """An image that cannot be decoded (corrupt, truncated, too large, not an image); names the file."""

    def __init__(self, path: object, problem: str):
        self.path, self.problem = path, problem
        super().__init__(f"{path}: {problem}")


class DownloadError(VitruvianError, RuntimeError):
    """A download, or the unpacking of one, that could not be finished; what had arrived whole so far is kept."""


class WeightsError(VitruvianError, ValueError):
    """A weight file or card that is missing, malformed, or does not belong to the model it is loaded into."""


class NoCardError(WeightsError):
    """A weight file without a card: not one of this project's."""


class ExportError(VitruvianError, RuntimeError):
    """An exported model whose numbers differ from the original by more than allowed; nothing was written."""


class RecipeError(VitruvianError, ValueError):
    """A training recipe with an unknown key or a value of the wrong kind; names the nearest known key."""


class MissingExtraError(VitruvianError, ImportError):
    """An optional library is not installed; the message gives the install command.

    Parameters
    ----------
    module : the module that could not be imported, e.g. ``"scipy"``.
    extra : the extra of this package that brings it, e.g. ``"data"``.
    purpose : what it is needed for, in a few words.
    """

    def __init__(self, module: str, extra: str, purpose: str):
        self.module, self.extra = module, extra
        super().__init__(
            f"{purpose} needs the package '{module}', which is not installed. "
            f"Install it with: pip install 'vitruvian[{extra}]'"
        )
