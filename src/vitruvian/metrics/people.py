"""Predictions laid beside the truth: the checks and the remapping that all metrics share.

The rule that pairs them: two lists of equal length, in the same order; where both sides name a file, the file names
must agree. Metrics that compare person by person (PCK, EPE, masks) further need as many predicted people as the record
has persons, in the order of ``record.persons``: predictions made on the truth's boxes. Crowd regions take part in that
count and are then left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import ShapeError, SkeletonError
from ..skeletons import Skeleton
from ..types import Person, Poses, Record


@dataclass(frozen=True, eq=False)
class People:
    """N predicted people beside the N annotated persons they belong to (crowd regions are already gone).

    Attributes
    ----------
    skeleton : the truth's, of K joints; everything below is in its order.
    pred_px : (N, K, 2) float64 pixels; NaN where nothing was predicted.
    scores : (N, K) float64 in [0, 1].
    truth_px : (N, K, 2) float64 pixels; NaN where not labelled.
    visible : (N, K) bool: labelled, and known to the predictions' skeleton; only these are compared.
    persons : the N annotated persons.
    origin : per person (image id, index in the record's persons).
    lacking : joints of the truth that the predictions' skeleton does not have; they are not compared.
    crowds : how many crowd regions were left out.
    """

    skeleton: Skeleton
    pred_px: np.ndarray
    scores: np.ndarray
    truth_px: np.ndarray
    visible: np.ndarray
    persons: tuple[Person, ...]
    origin: tuple[tuple[int | str, int], ...]
    lacking: tuple[str, ...]
    crowds: int

    def __len__(self) -> int:
        return len(self.persons)

    @property
    def compared(self) -> tuple[str, ...]:
        """The joints that both sides have, in the truth's order."""
        return tuple(j for j in self.skeleton.joints if j not in self.lacking)


def check_pairs(truth: Sequence[Record], predictions: Sequence[Poses]) -> Skeleton:
    """Refuse lists that cannot belong together; returns the one skeleton of the truth.

    Raises
    ------
    ShapeError
        No records, lists of different length, or a pair whose image files have different names.
    SkeletonError
        Records in more than one skeleton.
    """
    if len(truth) == 0:
        raise ShapeError("nothing to evaluate: got no records; expected one record and one prediction for each image")
    if len(truth) != len(predictions):
        raise ShapeError(
            f"got {len(predictions)} predictions for {len(truth)} records; expected one Poses for each record, in the "
            "same order (an image in which nobody was found is a Poses of 0 people)"
        )
    skeleton = truth[0].skeleton
    for i, (record, poses) in enumerate(zip(truth, predictions, strict=True)):
        if record.skeleton.joints != skeleton.joints:
            raise SkeletonError(
                f"record {i} ({record.image_id}) has the skeleton '{record.skeleton.name}', record 0 has "
                f"'{skeleton.name}'; evaluate each skeleton by itself"
            )
        if record.image_path is not None and poses.path is not None and record.image_path.name != poses.path.name:
            raise ShapeError(
                f"pair {i}: the record is of '{record.image_path.name}', the prediction of '{poses.path.name}'; "
                "give both lists in the same order"
            )
    return skeleton


def lacking_joints(skeleton: Skeleton, predictions: Sequence[Poses]) -> tuple[str, ...]:
    """Joints of ``skeleton`` that some prediction with people in it does not have, in order.

    They are left out for all images alike, so that every image is measured on the same joints. Raises `SkeletonError`
    when no joint is left.
    """
    seen = {poses.skeleton.joints: poses.skeleton for poses in predictions if len(poses)}
    lacking = tuple(j for j in skeleton.joints if any(j not in joints for joints in seen))
    if len(lacking) == len(skeleton):
        names = ", ".join(f"'{s.name}'" for s in seen.values())
        raise SkeletonError(
            f"the truth's skeleton '{skeleton.name}' and the predictions' ({names}) share no joint by name"
        )
    return lacking


def check_aligned(index: int, record: Record, poses: Poses) -> None:
    """`ShapeError` unless there is one predicted person for each annotated one."""
    if len(poses) != len(record.persons):
        raise ShapeError(
            f"pair {index} ({record.image_id}): got {len(poses)} predicted people for {len(record.persons)} annotated "
            "persons; expected one for each, in the record's order (predict on the boxes of record.persons, crowd "
            "regions too), or use 'oks_ap', which finds the pairs itself"
        )


def align(truth: Sequence[Record], predictions: Sequence[Poses]) -> People:
    """All people of all images in one set of arrays; see the module's text for the rule and the errors."""
    skeleton = check_pairs(truth, predictions)
    lacking = lacking_joints(skeleton, predictions)
    known = np.array([j not in lacking for j in skeleton.joints])
    pred, scores, persons, origin, crowds = [], [], [], [], 0
    for i, (record, poses) in enumerate(zip(truth, predictions, strict=True)):
        check_aligned(i, record, poses)
        remapped = skeleton.take(poses.skeleton, poses.keypoints.astype(np.float64), axis=1, missing=np.nan)
        remapped_scores = skeleton.take(poses.skeleton, poses.scores.astype(np.float64), axis=1, missing=0.0)
        for n, person in enumerate(record.persons):
            if person.keypoints_px.shape[0] != len(skeleton):
                raise ShapeError(
                    f"record {i} ({record.image_id}), person {n}: got {person.keypoints_px.shape[0]} joints, expected "
                    f"the {len(skeleton)} of '{skeleton.name}'"
                )
            if person.is_crowd:
                crowds += 1
                continue
            pred.append(remapped[n])
            scores.append(remapped_scores[n])
            persons.append(person)
            origin.append((record.image_id, n))
    joints = len(skeleton)
    truth_px = np.array([p.keypoints_px for p in persons]).reshape(-1, joints, 2)
    labelled = np.array([p.labelled for p in persons], dtype=bool).reshape(-1, joints)
    return People(
        skeleton=skeleton,
        pred_px=np.array(pred).reshape(-1, joints, 2),
        scores=np.array(scores).reshape(-1, joints),
        truth_px=truth_px,
        visible=labelled & np.isfinite(truth_px).all(axis=2) & known,
        persons=tuple(persons),
        origin=tuple(origin),
        lacking=lacking,
        crowds=crowds,
    )
