"""Who learns whom, against a written-out loop, and the loss by closed forms."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vitruvian.codecs import BoxesCodec
from vitruvian.detection import PeopleTargets, assign, boxes_aligned, giou, inside, pair_iou
from vitruvian.geometry import boxes as box_tools

_CODEC = BoxesCodec(size_wh=(96, 64))
_POINTS, _STRIDES = (torch.tensor(array) for array in _CODEC.points_px())


def _targets(people: np.ndarray, unknown: np.ndarray | None = None) -> PeopleTargets:
    unknown = np.zeros((len(people), 1, 4)) if unknown is None else unknown
    as_tensor = lambda array: torch.tensor(np.asarray(array), dtype=torch.float32)  # noqa: E731
    return PeopleTargets(as_tensor(people), as_tensor(unknown), _POINTS, _STRIDES)


def _boxes(rng: np.random.Generator, *shape: int) -> np.ndarray:
    low = rng.uniform(-5, 60, (*shape, 2))
    return np.concatenate([low, low + rng.uniform(2, 60, (*shape, 2))], axis=-1)


def test_overlaps_equal_numpys(rng: np.random.Generator) -> None:
    a, b = _boxes(rng, 7), _boxes(rng, 5)
    got = pair_iou(torch.tensor(a), torch.tensor(b)).numpy()
    np.testing.assert_allclose(got, box_tools.iou(a, b), atol=1e-9)


def test_giou_by_hand() -> None:
    box = lambda *corners: torch.tensor([corners], dtype=torch.float64)  # noqa: E731
    assert giou(box(0, 0, 2, 2), box(0, 0, 2, 2)).item() == pytest.approx(1)
    # Two unit squares with a gap of 1: no overlap, and a third of the hull is covered by neither.
    assert giou(box(0, 0, 1, 1), box(2, 0, 3, 1)).item() == pytest.approx(-1 / 3)
    # Overlap 1 of a union of 7, in a hull of 9.
    assert giou(box(0, 0, 2, 2), box(1, 1, 3, 3)).item() == pytest.approx(1 / 7 - 2 / 9)


def test_inside_leaves_out_the_edges() -> None:
    points = torch.tensor([[1.0, 1.0], [0.0, 1.0], [2.0, 3.0], [1.0, 4.1]])
    assert inside(points, torch.tensor([[[0.0, 0.0, 2.0, 4.0]]]))[0, 0].tolist() == [True, False, False, False]


def test_assignment_equals_a_written_out_loop(rng: np.random.Generator) -> None:
    """Large people, random answers: top ten of score x overlap^6 within the box, conflicts to the larger overlap."""
    points = _POINTS.numpy()
    for _ in range(5):
        people = np.array([[4, 3, 50, 60], [30, 10, 90, 62]]) + rng.uniform(-3, 3, (2, 4))
        boxes = people[rng.integers(0, 2, len(points))] + rng.uniform(-12, 12, (len(points), 4))
        scores = rng.uniform(0.05, 0.95, len(points))
        got = assign(
            torch.tensor(scores, dtype=torch.float32)[None], torch.tensor(boxes, dtype=torch.float32)[None],
            _targets(people[None]),
        )  # fmt: skip
        overlap = box_tools.iou(people, boxes)
        wanted: dict[int, int] = {}
        for n in range(2):
            may = [
                a for a in range(len(points)) if (points[a] > people[n, :2]).all() and (points[a] < people[n, 2:]).all()
            ]
            for a in sorted(may, key=lambda a: -scores[a] * overlap[n, a] ** 6)[:10]:
                if a not in wanted or overlap[n, a] > overlap[wanted[a], a]:
                    wanted[a] = n
        quality = np.zeros(len(points))
        for n in range(2):
            mine = [a for a, owner in wanted.items() if owner == n]
            fitness = {a: scores[a] * overlap[n, a] ** 6 for a in mine}
            for a in mine:
                quality[a] = fitness[a] / max(fitness.values()) * max(overlap[n, b] for b in mine)
                np.testing.assert_allclose(got.boxes_xyxy[0, a].numpy(), people[n], atol=1e-4)
        np.testing.assert_allclose(got.quality[0].numpy(), quality, atol=1e-4)
        assert bool(got.counts.all())  # nothing is unknown


def test_of_equal_claims_the_first_persons_counts() -> None:
    """Answers as near to one person as to the other go to whoever comes first; of equal boxes the second is idle."""
    left, right, between = ([x, 10.0, x + 40, 50] for x in (10, 30, 20))
    points = inside(_POINTS, torch.tensor([[[30.0, 10, 50, 50]]]))[0, 0] & (_STRIDES == 8)  # both may have these
    wanted = torch.flatten(torch.nonzero(points))[:10]
    scores = torch.full((1, len(_POINTS)), 0.1)
    scores[0, wanted] = 0.9
    boxes = torch.tensor(between).expand(1, len(_POINTS), 4)
    for people in ([left, right], [right, left], [left, left], [left, right, left]):
        learned = assign(scores, boxes, _targets(np.array([people])))
        alone = assign(scores, boxes, _targets(np.array([people[:1]])))
        assert torch.flatten(torch.nonzero(learned.quality[0])).tolist() == wanted.tolist()
        assert torch.equal(learned.boxes_xyxy, alone.boxes_xyxy)
        assert torch.equal(learned.quality, alone.quality)


def test_unknown_regions_are_no_background_but_people_in_them_are_people() -> None:
    person, everywhere = np.array([[[10.0, 10, 40, 50]]]), np.array([[[-0.5, -0.5, 95.5, 63.5]]])
    boxes = person.repeat(len(_POINTS), axis=1)
    scores = torch.full((1, len(_POINTS)), 0.5)
    learned = assign(scores, torch.tensor(boxes, dtype=torch.float32), _targets(person, everywhere))
    within = inside(_POINTS, torch.tensor(person, dtype=torch.float32))[0, 0]
    assert torch.equal(learned.counts[0], within)
    assert ((learned.quality[0] > 0).sum().item(), learned.quality[0].max().item()) == (10, pytest.approx(1))


def test_unknown_regions_are_background_where_the_network_sees_nobody() -> None:
    everywhere = np.array([[[-0.5, -0.5, 95.5, 63.5]]])
    logits = torch.full((1, len(_POINTS)), 1.0)
    logits[0, :7] = -2.0  # a score of 0.12
    arrays = {"people": logits, "edges": torch.ones(1, len(_POINTS), 4)}
    targets = _targets(np.zeros((1, 1, 4)), everywhere)
    assert boxes_aligned(arrays, targets).item() == 0
    assert boxes_aligned(arrays, targets, unknown_below=0.1).item() == 0
    loss = boxes_aligned(arrays, targets, unknown_below=0.2).item()
    assert loss == pytest.approx(7 * np.log1p(np.exp(-2.0)), rel=1e-5)


def test_people_smaller_than_a_cell_are_learned_by_their_neighbours() -> None:
    tiny = np.array([[[6.0, 6.0, 9.0, 9.0]]])  # between the points at 3.5 and 11.5
    assert not inside(_POINTS, torch.tensor(tiny, dtype=torch.float32))[..., _STRIDES == 8].any()
    boxes = torch.cat([_POINTS - 4, _POINTS + 4], dim=1)[None]
    learned = assign(torch.full((1, len(_POINTS)), 0.1), boxes, _targets(tiny))
    taught = _POINTS[learned.quality[0] > 0]
    assert len(taught) >= 1
    assert ((taught - 7.5).abs() <= 8).all()


def test_padding_teaches_nothing() -> None:
    learned = assign(torch.full((2, len(_POINTS)), 0.9), torch.zeros(2, len(_POINTS), 4), _targets(np.zeros((2, 3, 4))))
    assert learned.quality.max() == 0
    assert bool(learned.counts.all())


def test_loss_of_nobody_is_the_entropy_of_saying_so() -> None:
    logits = torch.full((1, len(_POINTS)), -2.0, requires_grad=True)
    arrays = {"people": logits, "edges": torch.ones(1, len(_POINTS), 4)}
    loss = boxes_aligned(arrays, _targets(np.zeros((1, 1, 4))))
    assert loss.item() == pytest.approx(len(_POINTS) * np.log1p(np.exp(-2.0)), rel=1e-5)
    loss.backward()
    assert (logits.grad > 0).all()  # type: ignore[operator]


def test_gradient_descent_finds_the_people(rng: np.random.Generator) -> None:
    """The loss alone, on free logits and edges, ends with each person found once more than any other box."""
    low = rng.uniform([0, 0], [12, 12], (2, 2)) + np.array([[0, 0], [48, 16]])
    people = np.concatenate([low, low + rng.uniform(20, 30, (2, 2))], axis=1)[None]
    logits = torch.full((1, len(_POINTS)), -3.0, requires_grad=True)
    raw = torch.full((1, len(_POINTS), 4), 2.5, requires_grad=True)
    optimiser = torch.optim.Adam([logits, raw], lr=0.1)
    for _ in range(150):
        loss = boxes_aligned({"people": logits, "edges": raw.exp()}, _targets(people))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    from vitruvian.predict.select import box_nms
    from vitruvian.types import Outputs

    ((boxes, scores),) = _CODEC.decode_boxes(Outputs({"people": logits, "edges": raw.exp()}), 0.5)
    kept = boxes[box_nms(boxes, scores, 0.5)]
    assert len(kept) == 2
    assert box_tools.iou(people[0], kept).max(axis=1).min() > 0.9
