"""The group: verbs, help, version, errors in one line, and both ways to start it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import vitruvian.cli
from vitruvian import __version__
from vitruvian.cli import COMMANDS, main


def test_commands_are_the_files():
    files = {p.stem for p in Path(vitruvian.cli.__file__).parent.glob("*.py")}
    assert {name for name in files if not name.startswith("_")} == set(COMMANDS)


@pytest.mark.parametrize("verb", COMMANDS)
def test_help(verb):
    done = CliRunner().invoke(main, [verb, "--help"])
    assert done.exit_code == 0
    assert done.output.startswith(f"Usage: main {verb}")
    listing = CliRunner().invoke(main, ["-h"]).output
    (line,) = [line for line in listing.splitlines() if line.split()[:1] == [verb]]
    assert line.endswith(".")
    assert not line.endswith("...")  # cut off


def test_version_and_misuse():
    assert __version__ in CliRunner().invoke(main, ["--version"]).output
    assert CliRunner().invoke(main, ["dance"]).exit_code == 2
    assert CliRunner().invoke(main, ["predict"]).exit_code == 2
    assert CliRunner().invoke(main, ["predict", "x.jpg", "--format", "word"]).exit_code == 2


def test_our_errors_are_one_line(tmp_path):
    done = CliRunner().invoke(main, ["models", str(tmp_path / "nothing.onnx")])
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: no model")
    assert "Traceback" not in done.output
    assert not done.stdout


def test_other_errors_are_not_hidden(monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("vitruvian.weights.zoo.find_weights", broken)
    assert isinstance(CliRunner().invoke(main, ["models", "x"]).exception, ZeroDivisionError)


def test_python_dash_m():
    done = subprocess.run([sys.executable, "-m", "vitruvian", "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: vitruvian [OPTIONS]")
