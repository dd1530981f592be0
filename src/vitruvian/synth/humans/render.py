"""Headless rendering with moderngl through EGL: colour with coverage, ids and depth in one pass.

Pictures are drawn at twice their size on each axis. Colours are the mean of the four subpixels; ids and depths stay as
they are, so that labels are exact: a subpixel belongs to the nearest surface at its centre and to nothing else.
Software rendering (Mesa's llvmpipe) needs no graphics card; one thread is used unless LP_NUM_THREADS says otherwise.

Light: a sky above and a ground below, a lamp with soft shoulders (wrapped Lambert), and a little gloss (Blinn-Phong).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import VitruvianError
from ...extras import need
from ...geometry.cameras import Camera
from .meshes import VERTEX, Mesh

OVERSAMPLING = 2
NEAR_MM, FAR_MM = 100.0, 60_000.0

_VERTEX_SHADER = """
#version 330
uniform mat4 projection;
in vec3 position; in vec3 normal; in vec3 rest; in vec2 uv; in vec4 paint; in uvec4 ids;
out vec3 v_position; out vec3 v_normal; out vec3 v_rest; out vec2 v_uv; out vec4 v_paint; out float v_pattern;
flat out uvec4 v_ids;
void main() {
    gl_Position = projection * vec4(position, 1.0);
    v_position = position; v_normal = normal; v_rest = rest; v_uv = uv; v_paint = paint; v_ids = ids;
    v_pattern = float(ids.z);
}
"""

_FRAGMENT_SHADER = """
#version 330
uniform vec3 eye, forward, lamp, lamp_colour, sky, ground, second;
uniform int pattern; uniform float period; uniform bool has_texture; uniform sampler2D picture;
in vec3 v_position; in vec3 v_normal; in vec3 v_rest; in vec2 v_uv; in vec4 v_paint; in float v_pattern;
flat in uvec4 v_ids;
layout(location = 0) out vec4 colour; layout(location = 1) out uvec2 label; layout(location = 2) out float depth;

float hash(vec3 p) { p = fract(p * 0.3183099 + vec3(0.71, 0.113, 0.419)); p *= 17.0;
    return fract(p.x * p.y * p.z * (p.x + p.y + p.z)); }
float blotch(vec3 p) { vec3 i = floor(p), f = fract(p); f = f * f * (3.0 - 2.0 * f);
    return mix(mix(mix(hash(i), hash(i + vec3(1, 0, 0)), f.x),
                   mix(hash(i + vec3(0, 1, 0)), hash(i + vec3(1, 1, 0)), f.x), f.y),
               mix(mix(hash(i + vec3(0, 0, 1)), hash(i + vec3(1, 0, 1)), f.x),
                   mix(hash(i + vec3(0, 1, 1)), hash(i + vec3(1, 1, 1)), f.x), f.y), f.z); }
float amount() {
    vec3 p = v_rest / period;
    if (pattern == 1) return step(0.5, fract(p.y));
    if (pattern == 2) return step(0.5, fract(p.x));
    if (pattern == 3) return 0.5 * (step(0.5, fract(p.x)) + step(0.5, fract(p.y)));
    if (pattern == 4) return 1.0 - step(0.3, length(fract(p.xy) - 0.5));
    if (pattern == 5) return smoothstep(0.45, 0.55, blotch(p * 2.0));
    if (pattern == 6) return 0.7 * blotch(p * vec3(4.0, 0.5, 4.0));
    return 0.0;
}
void main() {
    vec3 view = eye - v_position;
    vec3 n = normalize(v_normal);
    // Cloth and hair are single sheets: what shows its back is lit from where it is seen.
    if (dot(n, view) < 0.0 && !gl_FrontFacing) n = -n;
    vec3 albedo = v_paint.rgb;
    if (pattern > 0 && v_pattern > 0.5) albedo = mix(albedo, second, amount());
    if (has_texture) albedo = mix(albedo, albedo * texture(picture, v_uv).rgb, v_paint.a);
    albedo *= albedo;  // near enough to linear light
    float wrapped = max(0.0, (dot(n, lamp) + 0.25) / 1.25);
    vec3 light = mix(ground, sky, 0.5 + 0.5 * n.y) + lamp_colour * wrapped;
    float gloss = float(v_ids.w) / 255.0;
    vec3 shine = lamp_colour * gloss * pow(max(0.0, dot(n, normalize(lamp + normalize(view)))), 24.0);
    colour = vec4(sqrt(albedo * light + shine), 1.0);
    label = v_ids.xy;
    depth = dot(v_position - eye, forward);
}
"""


@dataclass(frozen=True)
class Light:
    """Where light comes from.

    Attributes
    ----------
    lamp : (3,) unit direction towards the lamp; ``lamp_colour`` its linear RGB.
    sky, ground : linear RGB of what comes from above and from below.
    """

    lamp: tuple[float, float, float]
    lamp_colour: tuple[float, float, float]
    sky: tuple[float, float, float]
    ground: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Layers:
    """What was drawn; H and W are those of the picture, h = 2H and w = 2W of its subpixels.

    Attributes
    ----------
    colour : (H, W, 3) float32 in [0, 255], multiplied by ``coverage`` (H, W) float32 in [0, 1].
    person, part : (h, w) uint8 of each subpixel: whose surface is nearest (0 a thing or nothing), and which part.
    depth_mm : (h, w) float32 along the camera's axis, infinite where nothing is.
    """

    colour: np.ndarray
    coverage: np.ndarray
    person: np.ndarray
    part: np.ndarray
    depth_mm: np.ndarray


class Renderer:
    """A context, a program and buffers of one picture size; one a process, used over and over.

    Parameters
    ----------
    size_wh : (width, height) of the pictures.
    textures : RGB images by name, for `meshes.Surface.texture`.

    Raises
    ------
    MissingExtraError
        Without moderngl.
    VitruvianError
        Where no OpenGL 3.3 can be had without a screen.
    """

    def __init__(self, size_wh: tuple[int, int], textures: Mapping[str, np.ndarray] | None = None):
        gl = need("moderngl", "synth", "rendering synthetic people")
        os.environ.setdefault("LP_NUM_THREADS", "1")  # read by llvmpipe when it starts
        try:
            self._context = gl.create_context(standalone=True, backend="egl", require=330)
        except Exception as error:
            raise VitruvianError(
                f"no OpenGL 3.3 without a screen ({error}); install EGL and Mesa's software renderer "
                "(Debian, Ubuntu: apt install libegl1 libgl1-mesa-dri)"
            ) from error
        self.size_wh = size_wh
        self.name = str(self._context.info["GL_RENDERER"])
        self._program = self._context.program(vertex_shader=_VERTEX_SHADER, fragment_shader=_FRAGMENT_SHADER)
        fine = (size_wh[0] * OVERSAMPLING, size_wh[1] * OVERSAMPLING)
        self._colour = self._context.texture(fine, 4)
        self._label = self._context.texture(fine, 2, dtype="u1")
        self._depth = self._context.texture(fine, 1, dtype="f4")
        buffers = [self._colour, self._label, self._depth]
        self._target = self._context.framebuffer(buffers, self._context.depth_renderbuffer(fine))
        self._fine_hw = fine[::-1]
        self._textures = {name: self._texture(image) for name, image in (textures or {}).items()}
        self._vertices = self._context.buffer(reserve=1 << 21)
        self._indices = self._context.buffer(reserve=1 << 20)

    def _texture(self, image: np.ndarray) -> Any:
        texture = self._context.texture(image.shape[1::-1], 3, np.ascontiguousarray(image[::-1]).tobytes(), alignment=1)
        texture.build_mipmaps()
        return texture

    def draw(self, meshes: Sequence[Mesh], camera: Camera, light: Light) -> Layers:
        """Draw meshes as a camera without distortion sees them."""
        with self._context:  # there may be other contexts in this process
            self._target.use()
            self._target.clear(0.0, 0.0, 0.0, 0.0)
            self._context.enable_only(self._context.DEPTH_TEST)  # type: ignore[attr-defined]
            self._set("projection", projection(camera, self.size_wh).T.astype("<f4").tobytes())
            self._set("eye", camera.position_mm)
            self._set("forward", camera.rotation[2])
            for name in ("lamp", "lamp_colour", "sky", "ground"):
                self._set(name, getattr(light, name))
            self._draw_all(meshes)
            return self._read()

    def _set(self, name: str, value: Any) -> None:
        # A driver drops uniforms that its compiler finds unused.
        if name not in self._program:
            return
        uniform = self._program[name]
        if isinstance(value, bytes):
            uniform.write(value)  # type: ignore[union-attr]
        else:
            uniform.value = tuple(float(v) for v in value) if np.ndim(value) else value  # type: ignore[union-attr]

    def _draw_all(self, meshes: Sequence[Mesh]) -> None:
        if not meshes:
            return
        corners = np.concatenate([mesh.corners for mesh in meshes])
        starts = np.cumsum([0, *(len(mesh.corners) for mesh in meshes)])
        triangles = [mesh.triangles + start for mesh, start in zip(meshes, starts, strict=False)]
        indices = np.concatenate(triangles).astype("<u4")
        for buffer, data in ((self._vertices, corners), (self._indices, indices)):
            if buffer.size < data.nbytes:
                buffer.orphan(int(data.nbytes * 1.5))
            buffer.write(data)
        layout = [(self._vertices, "3f 3f 3f 2f 4f1 4u1", *VERTEX.names)]  # type: ignore[misc]
        array = self._context.vertex_array(self._program, layout, self._indices)
        first = 0
        for mesh, own in zip(meshes, triangles, strict=True):
            surface = mesh.surface
            texture = self._textures.get(surface.texture) if surface.texture else None
            self._set("pattern", surface.pattern)
            self._set("second", surface.second)
            self._set("period", surface.scale_mm)
            self._set("has_texture", texture is not None)
            if texture is not None:
                texture.use(0)
            array.render(vertices=own.size, first=first)
            first += own.size
        array.release()

    def _read(self) -> Layers:
        h, w = self._fine_hw
        colour = np.frombuffer(self._target.read(components=4), np.uint8).reshape(h, w, 4)
        label = np.frombuffer(self._target.read(components=2, attachment=1, dtype="u1"), np.uint8).reshape(h, w, 2)
        depth = np.frombuffer(self._target.read(components=1, attachment=2, dtype="f4"), np.float32).reshape(h, w)
        # The sum of four bytes fits into 16 bits; going row by row first halves what has to be added.
        rows = colour[0::2].astype(np.uint16) + colour[1::2]
        mean = (rows[:, 0::2] + rows[:, 1::2]).astype(np.float32) / 4
        depth = np.where(colour[..., 3] > 0, depth, np.inf)
        return Layers(mean[..., :3], mean[..., 3] / 255, label[..., 0], label[..., 1], depth)

    def close(self) -> None:
        """Give the context back."""
        self._context.release()


def projection(camera: Camera, size_wh: tuple[int, int]) -> np.ndarray:
    """(4, 4) from world millimetres to OpenGL's clip space, with the picture's first row at the bottom.

    Rows read from OpenGL thus come first row first, and pixel centres are at integers.
    """
    width, height = size_wh
    (fx, fy), (cx, cy) = camera.focal_px, camera.centre_px
    to_clip = np.array(
        [
            [2 * fx / width, 0, (2 * cx + 1) / width - 1, 0],
            [0, 2 * fy / height, (2 * cy + 1) / height - 1, 0],
            [0, 0, (FAR_MM + NEAR_MM) / (FAR_MM - NEAR_MM), -2 * FAR_MM * NEAR_MM / (FAR_MM - NEAR_MM)],
            [0, 0, 1, 0],
        ]
    )
    to_camera = np.eye(4)
    to_camera[:3, :3] = camera.rotation
    to_camera[:3, 3] = -camera.rotation @ camera.position_mm
    return to_clip @ to_camera
