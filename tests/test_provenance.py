"""Where results come from: complete, and without this machine's folders."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vitruvian.provenance import portable, provenance


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("train /a/me/r.yaml --set model.init=/data/runs/a/best.onnx", "train r.yaml --set model.init=best.onnx"),
        (r"train C:\Users\me\r.yaml", "train r.yaml"),
        ("recipes/quick.yaml", "recipes/quick.yaml"),
        ("../shared/data/a.json", "../shared/data/a.json"),
        ("see https://example.org/a/b.html", "see https://example.org/a/b.html"),
        ("1 / 220 and a/b", "1 / 220 and a/b"),
        ("/single", "/single"),
    ],
)
def test_folders_of_absolute_paths_are_cut_off(given: str, expected: str) -> None:
    assert portable({"a": [given, 3, None]}) == {"a": [expected, 3, None]}


def test_the_command_names_no_folder_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "tool"), f"--out={tmp_path / 'x' / 'y.json'}"])
    assert provenance()["command"] == "tool --out=y.json"
