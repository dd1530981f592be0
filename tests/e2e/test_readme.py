"""Every command and snippet of the README runs, on files of the names it uses.

`make demo` and `make test` are left to ``.ci/run``, which calls them; the training of ``recipes/quick.yaml`` is cut to
a few steps by overrides, which the command's own options allow.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHORT = [
    "--set",
    "epochs=1",
    "--set",
    "train.0.options.count=40",
    "--set",
    "val.0.options.count=8",
    "--set",
    "workers=0",
]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    return [line for block in blocks("bash") for line in block.splitlines() if line.startswith("vitruvian ")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with what the README's commands name."""
    folder = tmp_path_factory.mktemp("readme")
    from vitruvian import write
    from vitruvian.synth import synthetic_records

    records = synthetic_records(3, seed=5)
    for name in ("photos", "images"):
        (folder / name).mkdir()
        for record in records:
            Image.fromarray(record.extra["pixels"]()).save(folder / name / f"{record.image_id}.png")
    Image.fromarray(np.full((480, 260, 3), 90, np.uint8)).save(folder / "photo.jpg")
    from dataclasses import replace

    named = [replace(r, image_path=folder / "images" / f"{r.image_id}.png", extra={}) for r in records]
    write("coco", named, folder / "annotations.json")
    detection = {"image_id": "photo", "category_id": 1, "bbox": [20, 30, 220, 430], "score": 0.9}
    (folder / "detections.json").write_text(json.dumps([detection]), encoding="utf-8")
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    return folder


def test_the_readme_has_its_two_commands_and_the_makefile_has_them_too():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert blocks("bash")[0].split("\n")[:2] == ["make demo", "make test"]
    assert re.search(r"^demo:", makefile, re.MULTILINE)
    assert re.search(r"^test:", makefile, re.MULTILINE)
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert [line for line in script.splitlines() if line.startswith("make ")] == ["make demo", "make test"]


def test_every_command_runs_in_order(folder):
    pytest.importorskip("torch")
    lines = commands()
    assert len(lines) >= 7
    for line in lines:
        words = shlex.split(line)
        if words[1] == "train":
            words += SHORT
        done = subprocess.run([sys.executable, "-m", *words], cwd=folder, capture_output=True, text=True, timeout=1200)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    assert (folder / "out").is_dir()
    assert (folder / "model.onnx").is_file()


def test_the_python_snippet_runs(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    (snippet,) = blocks("python")
    exec(compile(snippet, "README.md", "exec"), {})
    assert "(0, 19, 2)" in capsys.readouterr().out  # the photo is grey all over: nobody is there


def test_linked_files_exist():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    missing = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    assert links
    assert not missing


def test_tables_are_those_of_the_results():
    """The docs say what the result files say."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "render_docs.py"), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
