"""Errors say where and how to fix it, keep to the builtin families, and survive the way back from a worker process."""

from __future__ import annotations

import inspect
import pickle

import pytest

import vitruvian.errors
from vitruvian.errors import FormatError, ImageError, MissingExtraError, VitruvianError
from vitruvian.extras import need

_ALL = [c for _, c in inspect.getmembers(vitruvian.errors, inspect.isclass) if issubclass(c, Exception)]


def _example(kind: type[Exception]) -> Exception:
    made: dict = {
        "FormatError": lambda: FormatError("a.json", "got 3, expected 4", record=7, field="bbox"),
        "ImageError": lambda: ImageError("a.jpg", "truncated"),
        "MissingExtraError": lambda: MissingExtraError("scipy", "data", "reading joints.mat"),
    }
    return made.get(kind.__name__, lambda: kind("something"))()


@pytest.mark.parametrize("kind", _ALL)
def test_every_error_is_ours_and_a_builtin_one(kind: type[Exception]) -> None:
    assert issubclass(kind, VitruvianError)
    builtin = (ValueError, RuntimeError, ImportError, OSError)
    assert kind is VitruvianError or issubclass(kind, builtin)


@pytest.mark.parametrize("kind", _ALL)
def test_every_error_comes_back_from_a_worker(kind: type[Exception]) -> None:
    """Exceptions are rebuilt from their `args`; one with another constructor would break a process pool instead."""
    error = _example(kind)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
    assert again.__dict__ == error.__dict__


def test_format_errors_name_file_record_and_field() -> None:
    error = FormatError("a.json", "got 3, expected 4", record=7, field="bbox")
    assert str(error) == "a.json, record 7, field 'bbox': got 3, expected 4"
    assert (error.path, error.record, error.field, error.problem) == ("a.json", 7, "bbox", "got 3, expected 4")
    assert str(FormatError("a.json", "not JSON")) == "a.json: not JSON"
    assert str(FormatError("a.json", "bad", record=0)) == "a.json, record 0: bad"


def test_a_missing_library_says_how_to_get_it() -> None:
    with pytest.raises(
        MissingExtraError, match=r"dancing needs the package 'no_such_library'.*vitruvian\[dance\]"
    ) as caught:
        need("no_such_library.part", "dance", "dancing")
    assert (caught.value.module, caught.value.extra) == ("no_such_library", "dance")


def test_need_returns_the_module() -> None:
    import json.decoder

    assert need("json.decoder", "x", "y") is json.decoder


def test_a_library_that_is_there_but_broken_keeps_its_own_message(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_library.py").write_text("import a_thing_it_needs\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="a_thing_it_needs") as caught:
        need("broken_library", "x", "y")
    assert not isinstance(caught.value, MissingExtraError)
