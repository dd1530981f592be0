"""What a person detector is trained with: which points learn which person, and the loss.

Source: TOOD (Feng et al., ICCV 2021, section 3.2, equations 5 to 7). A person is learned by the points that do best at
finding it already, which is the score times a power of the overlap; the score they learn says how good their box is, so
that the best box also wins the suppression. Overlap by GIoU (Rezatofighi et al., CVPR 2019).

Our own part is what is *not* learned: a photo may have people nobody has drawn a box around. Points in such regions
(`PeopleTargets.unknown_xyxy`) are no background, unless they lie in a person's box and lost it to better points, or the
network itself sees nobody there ("background recalibration": Zhang et al., 2020, arXiv:2002.05274, section 3.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class PeopleTargets:
    """People of B pictures, padded to the same number.

    Attributes
    ----------
    boxes_xyxy : (B, N, 4) input pixels; rows without an area are padding.
    unknown_xyxy : (B, M, 4) regions where people may be that have no box; rows without an area are padding.
    points_px, strides_px : (A, 2) and (A,): the points that learn, see `BoxesCodec.points_px`.
    """

    boxes_xyxy: Tensor
    unknown_xyxy: Tensor
    points_px: Tensor
    strides_px: Tensor


class Assignment(NamedTuple):
    """For each of A points: ``quality`` (B, A) is the score to learn, 0 where there is nobody; ``boxes_xyxy``
    (B, A, 4) the box to learn where it is not; ``counts`` (B, A) whether the score is learned at all.
    """

    quality: Tensor
    boxes_xyxy: Tensor
    counts: Tensor


def pair_iou(a_xyxy: Tensor, b_xyxy: Tensor) -> Tensor:
    """(..., N, 4) and (..., M, 4) -> (..., N, M) intersection over union; 0 where both are empty."""
    low = torch.maximum(a_xyxy[..., :, None, :2], b_xyxy[..., None, :, :2])
    high = torch.minimum(a_xyxy[..., :, None, 2:], b_xyxy[..., None, :, 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    union = _area(a_xyxy)[..., :, None] + _area(b_xyxy)[..., None, :] - shared
    return shared / union.clamp(min=1e-9)


def giou(a_xyxy: Tensor, b_xyxy: Tensor) -> Tensor:
    """(..., 4) and (..., 4) -> (...) in [-1, 1]: the overlap less the share of the common hull that neither covers."""
    low, high = torch.maximum(a_xyxy[..., :2], b_xyxy[..., :2]), torch.minimum(a_xyxy[..., 2:], b_xyxy[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    union = _area(a_xyxy) + _area(b_xyxy) - shared
    span = torch.maximum(a_xyxy[..., 2:], b_xyxy[..., 2:]) - torch.minimum(a_xyxy[..., :2], b_xyxy[..., :2])
    hull = span.clamp(min=0).prod(-1)
    return shared / union.clamp(min=1e-9) - (hull - union) / hull.clamp(min=1e-9)


def _area(boxes_xyxy: Tensor) -> Tensor:
    return (boxes_xyxy[..., 2:] - boxes_xyxy[..., :2]).clamp(min=0).prod(-1)


def inside(points_px: Tensor, boxes_xyxy: Tensor) -> Tensor:
    """(A, 2) and (B, N, 4) -> (B, N, A) bool: the point lies within the box, its edges left out."""
    x, y = points_px[:, 0], points_px[:, 1]
    x0, y0, x1, y1 = (boxes_xyxy[..., i, None] for i in range(4))
    return (x > x0) & (x < x1) & (y > y0) & (y < y1)


@torch.no_grad()
def assign(
    scores: Tensor,
    boxes_xyxy: Tensor,
    targets: PeopleTargets,
    points_each: int = 10,
    score_power: float = 1.0,
    overlap_power: float = 6.0,
) -> Assignment:
    """Give each person the ``points_each`` points within its box that do best.

    Parameters
    ----------
    scores : (B, A) in [0, 1], what the network says now.
    boxes_xyxy : (B, A, 4) likewise.
    targets : see there.
    points_each : at most so many points a person.
    score_power, overlap_power : exponents of score and overlap in "does best".

    Notes
    -----
    A person so small that no point lies within its box gets those of the finest grid within one of its strides.
    """
    points_px, strides_px = targets.points_px, targets.strides_px
    batch, row = torch.nonzero(_area(targets.boxes_xyxy) > 0, as_tuple=True)  # which picture each of P people is in
    people = targets.boxes_xyxy[batch, row]
    overlap = pair_iou(people[:, None], boxes_xyxy[batch])[:, 0]  # (P, A)
    may = inside(points_px, people[:, None])[:, 0]
    finest = strides_px == strides_px.min()
    middle, reach = (people[:, :2] + people[:, 2:]) / 2, strides_px.min()
    near = inside(points_px[finest], torch.cat([middle - reach, middle + reach], -1)[:, None])[:, 0]
    may[:, finest] |= near & ~may.any(-1, keepdim=True)
    fitness = scores[batch] ** score_power * overlap**overlap_power * may
    # Where nothing overlaps yet, the points nearest to the middle go first.
    apart = torch.cdist(middle, points_px) / (people[:, 2:] - people[:, :2]).amax(-1, True).clamp(min=1)
    order = torch.where(may, fitness + 1e-12 / (1 + apart), 0.0)
    best = order.topk(min(points_each, order.shape[-1]), dim=-1)
    chosen = torch.zeros_like(may).scatter_(-1, best.indices, best.values > 0)
    # A point that several people want goes to the one it overlaps most; of equals, to the first.
    claim = torch.where(chosen, overlap + 1e-6, 0.0)
    most = torch.zeros_like(scores).scatter_reduce(0, batch[:, None].expand_as(claim), claim, "amax")
    person, point = torch.nonzero(chosen & (claim == most[batch]), as_tuple=True)
    place = batch[person] * scores.shape[1] + point
    first = person.new_full((scores.numel(),), len(people)).scatter_reduce(0, place, person, "amin")
    person, point = (each[person == first[place]] for each in (person, point))
    mine = torch.zeros_like(chosen)
    mine[person, point] = True
    fitness, overlap = fitness * mine, overlap * mine
    where = (batch[person], point)
    share = fitness / fitness.amax(-1, keepdim=True).clamp(min=1e-12) * overlap.amax(-1, keepdim=True)
    quality = torch.zeros_like(scores).index_put(where, share[person, point])
    wanted = torch.zeros_like(boxes_xyxy).index_put(where, people[person])
    unknown = (inside(points_px, targets.unknown_xyxy) & (_area(targets.unknown_xyxy) > 0)[..., None]).any(1)
    within = torch.zeros_like(unknown).index_put((batch,), may, accumulate=True)
    return Assignment(quality, wanted, (most > 0) | within | ~unknown)


def boxes_aligned(
    arrays: dict[str, Tensor], targets: PeopleTargets, box_weight: float = 2.0, unknown_below: float = 0.0
) -> Tensor:
    """Cross-entropy of the scores with their quality, and 1 - GIoU of boxes weighed by it, per unit of quality.

    Parameters
    ----------
    arrays : ``people`` (B, A) logits and ``edges`` (B, A, 4) pixels, as of a `BoxesCodec`.
    targets : see there.
    box_weight : of the boxes' part.
    unknown_below : points in unknown regions whose score is below are background all the same.
    """
    logits, edges = arrays["people"].float(), arrays["edges"].float()
    points_px = targets.points_px
    boxes = torch.cat([points_px - edges[..., :2], points_px + edges[..., 2:]], dim=-1)
    scores = logits.detach().sigmoid()
    learned = assign(scores, boxes.detach(), targets)
    total = learned.quality.sum().clamp(min=1.0)
    cross = F.binary_cross_entropy_with_logits(logits, learned.quality, reduction="none")
    hit = learned.quality > 0
    apart = (1 - giou(boxes[hit], learned.boxes_xyxy[hit])) * learned.quality[hit]
    counts = learned.counts | (scores < unknown_below)
    return ((cross * counts).sum() + box_weight * apart.sum()) / total
