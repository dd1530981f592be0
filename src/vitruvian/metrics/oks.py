"""Object keypoint similarity and the average precision built on it.

OKS and its evaluation: Lin et al., ECCV 2014, and cocodataset.org "keypoint evaluation". `oks` is that formula on
arrays; `oks_ap` hands the counting to faster-coco-eval, whose numbers are those of pycocotools, with any skeleton.

Any number of people may be predicted for an image; who belongs to whom is found by the matching. What COCO ignores is
ignored: crowd regions and persons without a labelled joint neither have to be found nor make a prediction on them
false.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..extras import need
from ..geometry import boxes as box_maths
from ..skeletons import Skeleton
from ..types import Person, Poses, Record
from .people import check_pairs, lacking_joints
from .result import MetricResult, plain

BOX_AREA_FACTOR = 0.53
"""Area of a person / area of the box, for files without ``area``: the constant that CrowdPose's evaluation uses."""

STATS = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR", "AR50", "AR75", "AR_M", "AR_L")
_NOWHERE_PX = 1e9  # where an unpredicted joint stands: so far away that its similarity is exactly 0


def joint_similarity(
    pred_px: np.ndarray,
    truth_px: np.ndarray,
    visible: np.ndarray,
    area_px: np.ndarray,
    sigmas: np.ndarray,
    boxes_xyxy: np.ndarray | None = None,
) -> np.ndarray:
    """(N, M, K) similarity in [0, 1] of each joint of N predictions and M truths; parameters as `oks`.

    Entry (n, m, k) is NaN where truth m does not label joint k, unless it labels none at all: then every joint has its
    distance to the box.
    """
    pred, truth = np.asarray(pred_px, dtype=np.float64), np.asarray(truth_px, dtype=np.float64)
    visible, area = np.asarray(visible, dtype=bool), np.asarray(area_px, dtype=np.float64)
    sigma = np.asarray(sigmas, dtype=np.float64)
    joints = len(sigma) if sigma.ndim == 1 else -1
    if pred.ndim != 3 or truth.ndim != 3 or pred.shape[1:] != (joints, 2) or truth.shape[1:] != (joints, 2):
        raise ShapeError(
            f"expected people (N, K, 2) and (M, K, 2) and sigmas (K,), got {pred.shape}, {truth.shape}, {sigma.shape}"
        )
    if visible.shape != truth.shape[:2] or area.shape != truth.shape[:1]:
        raise ShapeError(
            f"expected visible (M, K) and areas (M,) of {len(truth)} truths, got {visible.shape}, {area.shape}"
        )
    if not np.isfinite(truth[visible]).all():
        raise ShapeError("a joint is marked visible but its true position is not finite; mark it as not visible")
    unlabelled = np.logical_not(visible.any(axis=1))
    step = np.where(np.isfinite(pred), pred, np.inf)[:, None] - np.where(visible[..., None], truth, 0.0)[None]
    if unlabelled.any():
        if boxes_xyxy is None or np.shape(boxes_xyxy) != (len(truth), 4):
            raise ShapeError(f"truths without a visible joint are compared by their box: give boxes ({len(truth)}, 4)")
        step[:, unlabelled] = _outside(pred, np.asarray(boxes_xyxy, dtype=np.float64)[unlabelled])
    # COCO's falloff is k = 2 sigma; np.spacing(1) is its guard against an area of 0
    exponent = (step**2).sum(axis=-1) / (2 * sigma) ** 2 / (area[None, :, None] + np.spacing(1)) / 2
    return np.where(np.logical_or(visible, unlabelled[:, None])[None], np.exp(-exponent), np.nan)


def _outside(pred_px: np.ndarray, boxes_xyxy: np.ndarray) -> np.ndarray:
    """(N, U, K, 2) how far each joint lies outside each box grown by its own size on every side; 0 inside."""
    size = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    low, high = (boxes_xyxy[:, :2] - size)[None, :, None], (boxes_xyxy[:, 2:] + size)[None, :, None]
    joints = np.where(np.isfinite(pred_px), pred_px, np.inf)[:, None]
    return np.maximum(low - joints, 0) + np.maximum(joints - high, 0)


def oks(
    pred_px: np.ndarray,
    truth_px: np.ndarray,
    visible: np.ndarray,
    area_px: np.ndarray,
    sigmas: np.ndarray,
    boxes_xyxy: np.ndarray | None = None,
) -> np.ndarray:
    """(N, M) object keypoint similarity of every prediction with every truth.

    The mean over the truth's visible joints of ``exp(-d^2 / (2 area k^2))`` with ``k = 2 sigma``. A truth without a
    visible joint is compared by how far the predicted joints lie outside its box, grown to three times its size, as
    COCO does for regions to be ignored. A joint that was not predicted (NaN) has the similarity 0.

    Parameters
    ----------
    pred_px : (N, K, 2) pixels.
    truth_px : (M, K, 2) pixels.
    visible : (M, K) bool, labelled joints of the truth.
    area_px : (M,) square pixels of the persons.
    sigmas : (K,) the skeleton's, COCO's sigma and not its double.
    boxes_xyxy : (M, 4) pixels, needed only where a truth has no visible joint.

    Raises
    ------
    ShapeError
        Shapes that do not belong together, or boxes missing where they are needed.
    """
    similarity = joint_similarity(pred_px, truth_px, visible, area_px, sigmas, boxes_xyxy)
    counted = ~np.isnan(similarity)
    return np.where(counted, similarity, 0).sum(axis=-1) / np.maximum(counted.sum(axis=-1), 1)


def match(
    similarity: np.ndarray, scores: np.ndarray, ignore: np.ndarray, crowd: np.ndarray, threshold: float
) -> np.ndarray:
    """(N,) for each prediction the truth it belongs to, -1 for none: COCO's greedy rule in one image.

    The best-scored prediction chooses first: the free truth of the highest similarity >= ``threshold``; those that are
    not ``ignore`` go before those that are, and ``crowd`` may be chosen again and again. Of equally similar truths the
    later one wins, of equal scores the earlier prediction.

    Parameters
    ----------
    similarity : (N, M); scores : (N,); ignore, crowd : (M,) bool.
    """
    found = np.full(len(scores), -1)
    taken = np.zeros(len(ignore), dtype=bool)
    order = np.argsort(np.asarray(ignore, dtype=bool), kind="stable")
    for n in np.argsort(-np.asarray(scores), kind="stable"):
        best = min(threshold, 1 - 1e-10)
        for m in order:
            if taken[m] and not crowd[m]:
                continue
            if found[n] >= 0 and not ignore[found[n]] and ignore[m]:
                break
            if similarity[n, m] >= best:
                best, found[n] = similarity[n, m], m
        if found[n] >= 0:
            taken[found[n]] = True
    return found


@dataclass(frozen=True, eq=False)
class OksResult(MetricResult):
    """`MetricResult` with COCO's ten numbers in ``stats``, by the names in `STATS`; None: nothing to find."""

    stats: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "stats", plain(self.stats))

    def to_dict(self) -> dict[str, Any]:
        """As `MetricResult.to_dict`, with the key ``stats``."""
        return {**super().to_dict(), "stats": self.stats}


def oks_ap(
    truth: Sequence[Record],
    predictions: Sequence[Poses],
    *,
    sigmas: Sequence[float] | None = None,
    max_detections: int = 20,
    box_area_factor: float = BOX_AREA_FACTOR,
) -> OksResult:
    """COCO's keypoint AP and AR for any skeleton; the headline is AP over OKS 0.50:0.05:0.95.

    Equal to pycocotools on the same people, whose results carry no ``bbox`` (the area of a prediction, which only
    matters for AP_M and AP_L, is that of the rectangle around its joints). Differences by intent: a joint that was not
    predicted (NaN) is wrong instead of standing at (0, 0). Scores are ``Poses.person_scores`` in the truth's skeleton.
    Images are taken in the order of ``image_id`` where all ids are different integers, as pycocotools does, else in
    the lists' order; it decides only between equal scores.

    Parameters
    ----------
    truth, predictions : one Poses for each record, in the same order (checked, see `people`), of any number of people.
    sigmas : (K,) for the truth's joints instead of the skeleton's own.
    max_detections : the best-scored people of an image that are looked at.
    box_area_factor : a person without ``area_px`` has its box's area times this (its joints' rectangle without a box).

    Returns
    -------
    `OksResult`; each row of the table has the mean similarity of a joint over the persons found at OKS >= 0.5
    (``count`` of them label the joint, of ``labelled`` in all). Joints that the predictions' skeleton lacks are left
    out and named in ``details``.

    Raises
    ------
    ShapeError, SkeletonError
        Lists that do not belong together (see `people.check_pairs`), or sigmas of another length.
    MissingExtraError
        faster-coco-eval is not installed.
    """
    skeleton = check_pairs(truth, predictions)
    lacking = lacking_joints(skeleton, predictions)
    kept = np.array([k for k, joint in enumerate(skeleton.joints) if joint not in lacking])
    all_sigmas = np.asarray(skeleton.sigmas if sigmas is None else sigmas, dtype=np.float64)
    if all_sigmas.shape != (len(skeleton),):
        raise ShapeError(
            f"expected one sigma for each of the {len(skeleton)} joints of '{skeleton.name}', got {all_sigmas.shape}"
        )
    ids = [record.image_id for record in truth]
    order = list(range(len(truth)))
    if all(isinstance(i, int | np.integer) for i in ids) and len(set(ids)) == len(ids):
        order.sort(key=lambda i: int(ids[i]))
    images = [ImagePeople.of(truth[i], predictions[i], skeleton, kept, box_area_factor) for i in order]
    persons = sum(int((~image.ignore).sum()) for image in images)
    stats: dict[str, Any] = dict.fromkeys(STATS)
    if persons:  # without anyone to find COCO's numbers are all -1, here None
        values = _coco_stats(images, all_sigmas[kept], max_detections)
        stats = {name: (None if v < 0 else float(v)) for name, v in zip(STATS, values, strict=True)}
    return OksResult(
        name="OKS AP",
        value=stats["AP"],
        stats=stats,
        table=_joint_table(images, [skeleton.joints[k] for k in kept], all_sigmas[kept], max_detections),
        details={
            "images": len(images),
            "persons": persons,
            "persons_ignored": sum(int(image.ignore.sum()) for image in images),
            "persons_without_place": sum(image.placeless for image in images),
            "areas_estimated": sum(image.estimated for image in images),
            "predictions": sum(len(image.scores) for image in images),
            "max_detections": max_detections,
            "joints_lacking": list(lacking),
        },
    )


# ---------------------------------------------------------------------------------------------- bricks
@dataclass(frozen=True, eq=False)
class ImagePeople:
    """One image in the joints that both sides have: M truths and N predictions as arrays.

    ``persons`` are the truths' places among the record's persons; who has neither a box nor a joint is no truth.
    """

    truth_px: np.ndarray
    visible: np.ndarray
    codes: np.ndarray
    area_px: np.ndarray
    boxes_xyxy: np.ndarray
    crowd: np.ndarray
    pred_px: np.ndarray
    scores: np.ndarray
    persons: tuple[int, ...]
    estimated: int
    placeless: int

    @property
    def ignore(self) -> np.ndarray:
        return self.crowd | ~self.visible.any(axis=1)

    @classmethod
    def of(cls, record: Record, poses: Poses, skeleton: Skeleton, kept: np.ndarray, factor: float) -> ImagePeople:
        remapped = poses.to_skeleton(skeleton)
        placed = [(person, _box_of(person)) for person in record.persons]
        people = [(person, box) for person, box in placed if box is not None]
        areas = [
            factor * float(box_maths.area(box)) if person.area_px is None else float(person.area_px)
            for person, box in people
        ]
        joints = len(kept)
        codes = np.array([person.visibility[kept] for person, _ in people], dtype=np.int64).reshape(-1, joints)
        return cls(
            truth_px=np.array([person.keypoints_px[kept] for person, _ in people]).reshape(-1, joints, 2),
            visible=codes > 0,
            codes=codes,
            area_px=np.array(areas, dtype=np.float64),
            boxes_xyxy=np.array([box for _, box in people], dtype=np.float64).reshape(-1, 4),
            crowd=np.array([person.is_crowd for person, _ in people], dtype=bool),
            pred_px=remapped.keypoints[:, kept].astype(np.float64),
            scores=remapped.person_scores.astype(np.float64),
            persons=tuple(i for i, (_, box) in enumerate(placed) if box is not None),
            estimated=sum(person.area_px is None for person, _ in people),
            placeless=len(placed) - len(people),
        )


def _box_of(person: Person) -> np.ndarray | None:
    """The person's box, else the rectangle around its joints; None for someone who has neither."""
    if person.box_xyxy is not None:
        return np.asarray(person.box_xyxy, dtype=np.float64)
    return box_maths.around_points(person.keypoints_px) if person.labelled.any() else None


def _coco_stats(images: list[ImagePeople], sigmas: np.ndarray, max_detections: int) -> np.ndarray:
    """COCO's ten numbers, -1 where there is nothing to find."""
    coco = need("faster_coco_eval", "evaluate", "OKS AP")
    head = {
        "images": [{"id": i + 1} for i in range(len(images))],
        "categories": [{"id": 1, "name": "person"}],
    }
    found = coco.COCO({**head, "annotations": _prediction_annotations(images)})
    evaluation = coco.COCOeval_faster(
        coco.COCO({**head, "annotations": _truth_annotations(images)}),
        found,
        iouType="keypoints",
        kpt_oks_sigmas=sigmas,
        print_function=lambda *_: None,
    )
    evaluation.params.maxDets = [max_detections]
    evaluation.params.catIds = [1]  # it would drop the category when no image has an annotation of it
    evaluation.run()
    return np.asarray(evaluation.stats)


def _truth_annotations(images: list[ImagePeople]) -> list[dict[str, Any]]:
    annotations: list[dict[str, Any]] = []
    for i, image in enumerate(images):
        for m in range(len(image.area_px)):
            xy = np.where(image.visible[m, :, None], image.truth_px[m], 0.0)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": i + 1,
                    "category_id": 1,
                    "iscrowd": int(image.crowd[m]),
                    "num_keypoints": int(image.visible[m].sum()),
                    "keypoints": np.concatenate([xy, image.codes[m, :, None]], axis=1).reshape(-1).tolist(),
                    "area": float(image.area_px[m]),
                    "bbox": box_maths.xyxy_to_xywh(image.boxes_xyxy[m]).tolist(),
                }
            )
    return annotations


def _prediction_annotations(images: list[ImagePeople]) -> list[dict[str, Any]]:
    annotations: list[dict[str, Any]] = []
    for i, image in enumerate(images):
        for joints_px, score in zip(image.pred_px, image.scores, strict=True):
            known = np.isfinite(joints_px).all(axis=1)
            box = box_maths.around_points(joints_px[known]) if known.any() else np.zeros(4)
            xy = np.where(known[:, None], joints_px, _NOWHERE_PX)
            triplets = np.concatenate([xy, np.ones((len(xy), 1))], axis=1)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": i + 1,
                    "category_id": 1,
                    "iscrowd": 0,
                    "keypoints": triplets.reshape(-1).tolist(),
                    "score": float(score),
                    "area": float(box_maths.area(box)),
                    "bbox": box_maths.xyxy_to_xywh(box).tolist(),
                }
            )
    return annotations


def _joint_table(
    images: list[ImagePeople], joints: list[str], sigmas: np.ndarray, max_detections: int
) -> list[dict[str, Any]]:
    total, count, labelled = np.zeros(len(joints)), np.zeros(len(joints), int), np.zeros(len(joints), int)
    for image in images:
        labelled += image.visible[~image.ignore].sum(axis=0)
        if not len(image.scores) or not len(image.area_px):
            continue
        best = np.argsort(-image.scores, kind="stable")[:max_detections]
        each = joint_similarity(
            image.pred_px[best], image.truth_px, image.visible, image.area_px, sigmas, image.boxes_xyxy
        )
        counted = ~np.isnan(each)
        similarity = np.where(counted, each, 0).sum(axis=-1) / np.maximum(counted.sum(axis=-1), 1)
        for n, m in enumerate(match(similarity, image.scores[best], image.ignore, image.crowd, 0.5)):
            if m >= 0 and not image.ignore[m]:
                total[image.visible[m]] += each[n, m, image.visible[m]]
                count += image.visible[m]
    return [
        {
            "joint": j,
            "value": total[k] / count[k] if count[k] else None,
            "count": int(count[k]),
            "labelled": int(labelled[k]),
        }
        for k, j in enumerate(joints)
    ]
