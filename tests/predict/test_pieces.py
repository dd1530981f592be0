"""Connected pieces against a flood fill written out."""

from __future__ import annotations

import numpy as np

from vitruvian.predict.pieces import pieces, without_shreds


def flood(mask: np.ndarray) -> list[set[tuple[int, int]]]:
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    found = []
    while left:
        edge = [left.pop()]
        piece = set(edge)
        while edge:
            y, x = edge.pop()
            for other in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if other in left:
                    left.remove(other)
                    piece.add(other)
                    edge.append(other)
        found.append(piece)
    return found


def test_pieces_are_those_of_a_flood_fill(rng) -> None:
    for shape, share in (
        ((1, 1), 1.0),
        ((1, 9), 0.5),
        ((9, 1), 0.5),
        ((12, 17), 0.0),
        ((40, 31), 0.45),
        ((40, 31), 0.6),
    ):
        for _ in range(8):
            mask = rng.random(shape) < share
            labels, areas = pieces(mask)
            assert (labels > 0).tolist() == mask.tolist()
            mine = [{(int(y), int(x)) for y, x in np.argwhere(labels == i + 1)} for i in range(len(areas))]
            assert sorted(map(sorted, mine)) == sorted(map(sorted, flood(mask)))
            assert areas.tolist() == [len(piece) for piece in mine]


def test_shreds_go_and_the_rest_stays() -> None:
    share = np.zeros((20, 20), np.float32)
    share[2:12, 2:12] = 0.9  # 100 pixels
    share[15:18, 2:4] = 0.8  # 6
    share[15:16, 10:14] = 0.7  # 4
    kept = without_shreds(share, 0.05)
    assert (kept[15:18, 2:4] == np.float32(0.8)).all()
    assert (kept[15, 10:14] < 0.5).all()
    assert (kept[2:12, 2:12] == np.float32(0.9)).all()
    assert (without_shreds(share, 0.0) == share).all()
    assert (without_shreds(np.zeros_like(share), 0.5) == 0).all()
