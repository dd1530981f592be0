"""`PRESETS`: the augmentation of published systems, by name.

Sources: system 3, robertklee/COCO-Human-Pose, data_augmentation.py (strengths light, medium and heavy, drawn with
imgaug); system 2, YUNSUCHO's Adversarial PoseNet on MPII after princeton-vl's stacked hourglass (its scale, which by a
slip never changed, drawn as its paper says: Chen et al., ICCV 2017); system 1, akmeraki/Pose_estimation after
mks0601/TF-SimpleHumanPose.

Where ours differ: all geometry is one map, so corners that a rotation or a wider crop brings in show the photo and not
black; brightness is added to red, green and blue instead of to the lightness of a colour space drawn by chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from ..errors import VitruvianError
from ..geometry import Affine
from ..skeletons import Skeleton
from .geometric import Geometry, check_amounts
from .photometric import Photometry, RandomPhotometry


def _own_box(
    self: object, rng: np.random.Generator, box_xyxy: np.ndarray, keypoints_px: np.ndarray, skeleton: Skeleton
) -> np.ndarray:
    """See `Geometry.pick_box`: always the person's own."""
    return box_xyxy


def _uncut(self: object, rng: np.random.Generator, box_xyxy: np.ndarray) -> None:
    """See `Geometry.cut`: never."""


@dataclass(frozen=True)
class OneChange:
    """System 3's geometry: a wider or narrower crop, or a rotation, never both; and a mirror.

    Attributes
    ----------
    change_prob : share of samples that are changed; half of them in size and half by rotation.
    margin : all four edges of the crop move by the same share of its side, drawn uniformly from +- this (outwards for
        positive shares): at 0.2 the person becomes between 0.71 and 1.67 times as large.
    rotation_deg : drawn uniformly from +- this, about the crop's centre.
    flip_prob : share of samples that are mirrored.
    """

    change_prob: float
    margin: float
    rotation_deg: float
    flip_prob: float = 0.5

    def __post_init__(self) -> None:
        check_amounts(self)
        if self.margin >= 0.5:
            raise VitruvianError(
                f"OneChange: 'margin' must be below 0.5 (half the crop from each edge is all of it), got {self.margin}"
            )

    pick_box, cut = _own_box, _uncut

    def sample(self, rng: np.random.Generator, size_wh: tuple[int, int]) -> tuple[Affine, bool]:
        """See `Geometry.sample`."""
        change, centre = Affine.identity(), _centre(size_wh)
        if rng.random() < self.change_prob:
            if rng.random() < 0.5:
                change = Affine.scale(1 / (1 + 2 * rng.uniform(-self.margin, self.margin)), center_px=centre)
            else:
                change = Affine.rotate(rng.uniform(-self.rotation_deg, self.rotation_deg), centre)
        return _mirrored_at_times(rng, change, size_wh, self.flip_prob)


@dataclass(frozen=True)
class NormalGeometry:
    """Geometry of the hourglass and SimpleBaseline families: rotations, and perhaps sizes, from a normal distribution.

    Attributes
    ----------
    rotation_deg, rotation_prob : standard deviation, cut at twice itself, and the share of samples that are rotated.
    scale_normal : the crop's side is multiplied by 1 + this x N(0, 1), cut to 1 +- this; a wider crop makes the person
        smaller.
    scale_uniform : the crop's side is multiplied by a factor drawn uniformly from 1 +- this.
    flip_prob : share of samples that are mirrored.
    """

    rotation_deg: float = 0.0
    rotation_prob: float = 0.0
    scale_normal: float = 0.0
    scale_uniform: float = 0.0
    flip_prob: float = 0.5

    def __post_init__(self) -> None:
        check_amounts(self)
        if max(self.scale_normal, self.scale_uniform) >= 1:
            raise VitruvianError(f"NormalGeometry: scale_normal and scale_uniform must be below 1, got {self}")

    pick_box, cut = _own_box, _uncut

    def sample(self, rng: np.random.Generator, size_wh: tuple[int, int]) -> tuple[Affine, bool]:
        """See `Geometry.sample`."""
        side = 1 + self.scale_normal * np.clip(rng.standard_normal(), -1, 1)
        side *= 1 + rng.uniform(-self.scale_uniform, self.scale_uniform)
        angle = self.rotation_deg * np.clip(rng.standard_normal(), -2, 2) if rng.random() < self.rotation_prob else 0.0
        centre = _centre(size_wh)
        change = Affine.rotate(angle, centre) @ Affine.scale(1 / side, center_px=centre)
        return _mirrored_at_times(rng, change, size_wh, self.flip_prob)


@dataclass(frozen=True)
class SomeChanges:
    """System 3's photometry: a blur at times, and up to ``most`` of the other changes, before or after it.

    How many is drawn uniformly from 0 ... ``most``, then which ones. Each is left out of the draw where its amounts
    are 0.

    Attributes
    ----------
    blur_prob, blur_px : share of samples with a Gaussian blur, of up to that standard deviation.
    most : most changes of the following four.
    sharpen_max, lightness : mixed with up to that share of itself under a 3x3 edge kernel, whose sum is 1 +- this.
    hue : turned by up to +- this and saturation raised by the same number, both of 255 (a whole turn).
    brightness, contrast : one of the two: up to +- this, of 255, is added; or a factor of 1 +- this about mid-grey.
    dropout_max, noise : one of the two: up to that share of pixels is set to 0 (in half of the samples each channel by
        itself), or Gaussian noise is added with a standard deviation up to ``noise`` x 255 (in a fifth of them each
        channel by itself).
    """

    blur_prob: float = 0.0
    blur_px: float = 0.0
    most: int = 3
    sharpen_max: float = 0.0
    lightness: float = 0.0
    hue: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    dropout_max: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        check_amounts(self)

    def __call__(self, rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
        """See `Photometry.__call__`."""
        changes = self._drawn(rng)
        if rng.random() < self.blur_prob:
            changes.insert(0 if rng.random() < 0.5 else len(changes), self._blur)
        for change in changes:
            image = change(rng, image)
        return image

    def _drawn(self, rng: np.random.Generator) -> list[Photometry]:
        """The changes that this sample gets, in the order in which they are done."""
        kinds = (
            (self.sharpen_max > 0, self._sharpen),
            (self.hue > 0, self._turn_hue),
            (max(self.brightness, self.contrast) > 0, self._tone),
            (max(self.dropout_max, self.noise) > 0, self._damage),
        )
        possible: list[Photometry] = [change for on, change in kinds if on]
        count = min(int(rng.integers(0, self.most + 1)), len(possible))
        return [possible[i] for i in sorted(rng.choice(len(possible), count, replace=False))] if count else []

    def _blur(self, rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
        return np.array(Image.fromarray(image).filter(ImageFilter.GaussianBlur(rng.uniform(0, self.blur_px))))

    def _sharpen(self, rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
        share = rng.uniform(0, self.sharpen_max)
        kernel = np.full(9, -share)
        kernel[4] = 1 - share + share * (8 + 1 + rng.uniform(-self.lightness, self.lightness))
        padded = Image.fromarray(np.pad(image, ((1, 1), (1, 1), (0, 0)), "edge"))  # Pillow leaves the border as it is
        return np.array(padded.filter(ImageFilter.Kernel((3, 3), kernel.tolist(), scale=1)))[1:-1, 1:-1].copy()

    def _turn_hue(self, rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
        amount = round(rng.uniform(-self.hue, self.hue))
        turned = Image.fromarray(image).convert("HSV")
        hsv = np.array(turned).astype(np.int16)
        hsv[..., 0] = (hsv[..., 0] + amount) % 255
        hsv[..., 1] = np.clip(hsv[..., 1] + amount, 0, 255)
        turned.frombytes(hsv.astype(np.uint8).tobytes())
        return np.array(turned.convert("RGB"))

    def _tone(self, rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
        levels = np.arange(256, dtype=np.float64)
        if rng.random() < 0.5:
            levels += rng.uniform(-self.brightness, self.brightness)
        else:
            levels = (levels - 127.5) * (1 + rng.uniform(-self.contrast, self.contrast)) + 127.5
        return np.clip(levels + 0.5, 0, 255).astype(np.uint8)[image]

    def _damage(self, rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
        if rng.random() < 0.5:
            channels = 3 if rng.random() < 0.5 else 1
            kept = rng.random((*image.shape[:2], channels), dtype=np.float32) >= rng.uniform(0, self.dropout_max)
            return image * kept
        channels = 3 if rng.random() < 0.2 else 1
        noise = rng.standard_normal((*image.shape[:2], channels), dtype=np.float32)
        noise *= 255 * rng.uniform(0, self.noise)
        return np.clip(image + noise + 0.5, 0, 255).astype(np.uint8)


def _centre(size_wh: tuple[int, int]) -> tuple[float, float]:
    return (size_wh[0] - 1) / 2, (size_wh[1] - 1) / 2


def _mirrored_at_times(
    rng: np.random.Generator, change: Affine, size_wh: tuple[int, int], flip_prob: float
) -> tuple[Affine, bool]:
    flipped = bool(rng.random() < flip_prob)
    return (Affine.flip_horizontal(size_wh[0]) @ change if flipped else change), flipped


_DARKER = RandomPhotometry(
    0, 0, 0, 0, grey_prob=0, blur_prob=0, jpeg_prob=0, low_res_prob=0, noise_prob=0, erase_prob=0, darken_max=0.4
)

PRESETS: dict[str, tuple[Geometry | None, Photometry | None]] = {
    "none": (None, None),
    "light": (
        OneChange(change_prob=0.5, margin=0.15, rotation_deg=15),
        SomeChanges(0.3, blur_px=1.0, most=2, hue=15, brightness=20, contrast=0.1, dropout_max=0.03, noise=0.01),
    ),
    "medium": (
        OneChange(change_prob=0.5, margin=0.2, rotation_deg=25),
        SomeChanges(
            0.3,
            1.5,
            3,
            sharpen_max=0.5,
            lightness=0.15,
            hue=20,
            brightness=25,
            contrast=0.15,
            dropout_max=0.05,
            noise=0.03,
        ),
    ),
    "heavy": (
        OneChange(change_prob=0.5, margin=0.25, rotation_deg=30),
        SomeChanges(
            0.3,
            2.0,
            3,
            sharpen_max=1.0,
            lightness=0.2,
            hue=30,
            brightness=30,
            contrast=0.25,
            dropout_max=0.1,
            noise=0.05,
        ),
    ),
    "mpii": (NormalGeometry(rotation_deg=30, rotation_prob=0.4, scale_uniform=0.25), _DARKER),
    "coco-attention": (NormalGeometry(rotation_deg=40, rotation_prob=0.6, scale_normal=0.3), None),
}
"""Name -> geometry and photometry of `PoseDataset`; None where a sample keeps its plain crop, or its colours."""
