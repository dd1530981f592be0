"""Values of the wrong kind, and the errors that name where they are."""

from __future__ import annotations

import numpy as np
import pytest

from vitruvian.errors import FormatError
from vitruvian.formats.fields import Fields, load_json


def fields(**data) -> Fields:
    return Fields("f.json", "record 7", data)


@pytest.mark.parametrize(
    ("take", "value", "says"),
    [
        (lambda f: f.number("x"), "12", "a finite number, got str '12'"),
        (lambda f: f.number("x"), True, "a finite number, got bool"),
        (lambda f: f.number("x"), float("nan"), "a finite number, got float nan"),
        (lambda f: f.number("x"), None, "is missing; the fields here are: x, y"),
        (lambda f: f.integer("x"), 1.5, "a whole number"),
        (lambda f: f.identifier("x"), 1.5, "a whole number or text"),
        (lambda f: f.identifier("x"), "", "a whole number or text"),
        (lambda f: f.text("x"), 3, "text, got int 3"),
        (lambda f: f.items("x"), {"a": 1}, "a list, got dict"),
        (lambda f: f.numbers("x", (4,)), [1, 2, 3], "4 finite numbers, got 3"),
        (lambda f: f.numbers("x", (-1,)), [1, "a", 3], "n finite numbers, got str 'a' at position 1"),
        (lambda f: f.numbers("x", (-1,)), [1, None], "got NoneType None at position 1"),
        (lambda f: f.numbers("x", (2, 2)), [[1, 2], [3]], "rows of different lengths"),
        (lambda f: f.numbers("x", (2, 2)), [1, 2], "2x2 finite numbers, got 2"),
        (lambda f: f.numbers("x", (2,)), [1, float("inf")], "got inf among them"),
        (lambda f: f.numbers("x", (2,)), 5, "got a single number"),
        (lambda f: f.numbers("x", (2,)), [10**400, 1], "finite numbers"),
        (lambda f: f.number("x"), 10**400, "a finite number"),
    ],
)
def test_wrong_values_name_file_record_and_field(take, value, says):
    with pytest.raises(FormatError) as error:
        take(fields(x=value, y=0))
    assert (error.value.path, error.value.record, error.value.field) == ("f.json", "record 7", "x")
    assert str(error.value).startswith("f.json, record record 7, field 'x': ")
    assert says in str(error.value)


def test_right_values_come_out():
    f = fields(a=1, b=2.0, c="t", d=[[1, 2], [3, 4]], e=None, g=[])
    assert (f.integer("a"), f.integer("b"), f.number("a"), f.identifier("b"), f.identifier("c")) == (1, 2, 1.0, 2, "t")
    assert isinstance(f.identifier("b"), int)
    np.testing.assert_array_equal(f.numbers("d", (2, 2)), [[1, 2], [3, 4]])
    assert f.numbers("g", (-1,)).shape == (0,)
    assert f.number("e", 5.0) == 5.0
    assert f.numbers("missing", (3,), None) is None
    assert "a" in f
    assert "e" not in f
    assert f.rest("a", "b", "c", "d") == {"e": None, "g": []}


def test_a_record_that_is_no_dictionary_is_named():
    with pytest.raises(FormatError, match=r"record 3: expected named fields, got list \[1\]"):
        Fields("f.json", 3, [1])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"a": [1, 2', "line 1, column 12.*truncated"),
        (b'{"a": 1,\n "b": x}', "line 2, column 7"),
        (b"", "truncated"),
        (b"\x1f\x8b\x08\x00\xff\xfe", "UTF-8"),
        (b"[" * 200_000, "nested too deeply|not valid JSON"),
    ],
)
def test_files_that_are_not_json_say_where(tmp_path, content, says):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=says):
        load_json(path)


def test_missing_files_folders_and_byte_order_marks(tmp_path):
    with pytest.raises(FormatError, match="no such file"):
        load_json(tmp_path / "none.json")
    with pytest.raises(FormatError, match="folder"):
        load_json(tmp_path)
    (tmp_path / "bom.json").write_bytes(b"\xef\xbb\xbf[1]")
    assert load_json(tmp_path / "bom.json") == [1]
