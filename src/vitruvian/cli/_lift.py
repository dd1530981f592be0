"""``predict --3d``: the people of each photo lifted to 3D, as JSON, a picture and a page that turns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ._pictures import PAGE_3D, VIEW_3D, remove_pictures, save_picture

if TYPE_CHECKING:
    import numpy as np

    from ..predict import Result
    from ..types3d import Poses3D

F = TypeVar("F", bound=Callable[..., Any])

_SHOWN = 6  # people of a photo that are drawn; the JSON has all


def lift_options(function: F) -> F:
    """``--3d``, ``--3d-model``, ``--focal-px``, ``--principal-px`` and ``--height-mm``."""
    for option in reversed(
        (
            click.option("--3d", "lift", is_flag=True, help="Lift people to 3D: joints3d.json, and a page a photo."),
            click.option(
                "--3d-model",
                "model3d",
                metavar="RUN",
                help="With --3d: a network of pictures that `vitruvian train` has made, instead of lifting 2D joints.",
            ),
            click.option(
                "--focal-px",
                type=click.FloatRange(0, min_open=True),
                help="With --3d: the camera's focal length in pixels, for positions in its space.",
            ),
            click.option(
                "--principal-px",
                type=(float, float),
                metavar="X Y",
                help="With --focal-px: where the camera looks, in pixels; otherwise the photo's middle.",
            ),
            click.option(
                "--height-mm",
                type=click.FloatRange(0, min_open=True),
                help="With --3d: how tall the people are; otherwise all count as about 1.7 m.",
            ),
        )
    ):
        function = option(function)
    return function


class Lifting:
    """Lifts photo by photo and gathers what goes into ``joints3d.json``."""

    def __init__(
        self,
        model3d: str | None,
        focal_px: float | None,
        principal_px: tuple[float, float] | None,
        height_mm: float | None,
    ) -> None:
        self._focal, self._principal, self._height = focal_px, principal_px, height_mm
        self._photos: list[dict[str, Any]] = []
        self._network: Any = None
        if model3d is None:
            from ..predict.lift import load_lifter

            self._lifter = load_lifter()
            self._skeleton, self._said = self._lifter.card.outputs, self._lifter.card
        else:
            from ..predict.pose3d import PictureLifter

            self._network = PictureLifter(model3d)
            self._skeleton, self._said = self._network.card.skeleton, self._network.nobody()
        self._name = (self._network or self._lifter).card.name

    @classmethod
    def wanted(
        cls,
        lift: bool,
        model3d: str | None,
        focal_px: float | None,
        principal_px: tuple[float, float] | None,
        height_mm: float | None,
    ) -> Lifting | None:
        """What the options ask for; a usage error where they need ``--3d`` or each other."""
        how = (focal_px, principal_px, height_mm)
        if not lift and (model3d, *how) != (None,) * 4:
            raise click.UsageError(
                "--3d-model, --focal-px, --principal-px and --height-mm say how --3d lifts; give --3d too"
            )
        if model3d is not None and how != (None,) * 3:
            raise click.UsageError("--focal-px, --principal-px and --height-mm are of lifting, not of --3d-model")
        if principal_px is not None and focal_px is None:
            raise click.UsageError("--principal-px is a part of the camera that --focal-px begins; give both")
        return cls(model3d, focal_px, principal_px, height_mm) if lift else None

    @property
    def wants_images(self) -> bool:
        """Whether results have to come with their photos, though nothing is drawn."""
        return self._network is not None

    def take(self, result: Result, picture: Path | None) -> list[Path]:
        """Lift one photo's people. Where pictures are drawn, write ``NAME_3d.png`` and ``NAME_3d.html`` beside the
        photo's ``picture``, in place of an earlier run's; returns the files written.
        """
        if picture is not None:
            remove_pictures(picture.parent, picture.stem, (VIEW_3D, PAGE_3D))
        lifted = None
        if result.poses is not None:
            lifted, camera = self._lift(result)
            self._photos.append(lifted.to_dict() | ({} if camera is None else {"camera": _numbers(camera)}))
            self._said = lifted
        if picture is None or result.image is None or result.poses is None or lifted is None or not lifted.lifted.any():
            return []
        from ..draw import draw
        from ..formats.writing import write_text

        figures = _figures(lifted)
        page = _page(figures, lifted, draw(result.image, result.poses), picture.stem)
        view, turning = (picture.with_name(f"{picture.stem}{kind}") for kind in (VIEW_3D, PAGE_3D))
        return [save_picture(view, _views(figures), VIEW_3D), write_text(turning, page)]

    def write(self, out: Path) -> Path:
        """``joints3d.json`` in the folder ``out``, with what its numbers mean; empty where no photo could be read."""
        from ..formats.writing import write_json

        said, skeleton = self._said, self._skeleton
        record = {
            "lifter": self._name,
            "unit": "mm",
            "root": said.root,
            "axes": said.axes,
            "scale": said.scale,
            "translation_mm": "of the root in the camera's axes; absent where no focal length was given",
            "joints": list(skeleton.joints),
            "edges": [list(edge) for edge in skeleton.edges],
            "images": self._photos,
        }
        return write_json(out / "joints3d.json", record)

    def _lift(self, result: Result) -> tuple[Poses3D, Any]:
        """The people of a photo in 3D, and its camera where that is known."""
        poses = result.poses
        assert poses is not None
        if self._network is not None:
            return self._network(result.image, poses), None
        camera = self._camera(poses.size_wh)
        return self._lifter(poses, camera, height_mm=self._height), camera

    def _camera(self, size_wh: tuple[int, int]) -> Any:
        if self._focal is None:
            return None
        import numpy as np

        from ..geometry.cameras import Camera

        centre = (np.array(size_wh, np.float64) - 1) / 2 if self._principal is None else np.array(self._principal)
        return Camera(np.full(2, self._focal), centre, np.eye(3), np.zeros(3), size_wh=size_wh)


def _numbers(camera: Any) -> dict[str, Any]:
    """What the JSON says of a camera."""
    return {"focal_px": camera.focal_px.tolist(), "principal_px": camera.centre_px.tolist(), "size_wh": camera.size_wh}


def _figures(lifted: Poses3D) -> list[Any]:
    from ..draw.figure3d import Figure3D

    people = [i for i, is_lifted in enumerate(lifted.lifted) if is_lifted][:_SHOWN]
    return [Figure3D.of_poses(lifted.select(i), f"person {i}") for i in people]


def _views(figures: list[Any]) -> np.ndarray:
    """The people in a row as the camera sees them, and below it from the right of the picture."""
    import numpy as np

    from ..draw.figure3d import frame3d

    return np.concatenate([frame3d(figures, azimuth_deg=a, elevation_deg=8) for a in (0.0, 90.0)])


def _page(figures: list[Any], lifted: Poses3D, image: np.ndarray, title: str) -> str:
    from ..draw.page3d import page3d

    notes = [f"Positions: {lifted.root}.", f"Axes: {lifted.axes}.", f"Scale: {lifted.scale}."]
    if len(lifted) > len(figures):
        notes.append(f"{len(figures)} of {len(lifted)} people are shown.")
    return page3d(figures, title=title, notes=notes, picture=image)
