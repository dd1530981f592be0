"""What users may rely on: the public names with their signatures, what importing costs, what runs without extras."""

from __future__ import annotations

import inspect
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import vitruvian

SELECTION = "Selection(rescore_above=0.2, same_person=0.9, all_joints=True, person_above=None, sure_box=None)"

# Changing a line here changes what users' programs call: say so in CHANGELOG.md.
SIGNATURES = {
    "draw": "(image: 'Any', poses: 'Poses', *, style: 'str' = 'skeleton', threshold: 'float | None' = None, "
    "color_by: 'str' = 'side', boxes: 'bool' = False, names: 'bool' = False, ids: 'bool' = True, masks: 'bool' = True, "
    "width: 'float | None' = None) -> 'np.ndarray'",
    "evaluate": "(model: 'Predictor | str | os.PathLike', records: 'Sequence[Record]', "
    "metrics: 'Sequence[str]' = ('pck',), flip: 'bool | str' = False, batch: 'int' = 16, "
    "boxes: 'str | Mapping[Any, tuple[np.ndarray, np.ndarray]] | None' = None, "
    "progress: 'Callable[[int, int], None] | None' = None, "
    f"select: 'Selection | None' = {SELECTION}, by: 'Sequence[str]' = ()) -> 'dict[str, MetricResult]'",
    "get_skeleton": "(name: 'str') -> 'Skeleton'",
    "load": "(name: 'str | os.PathLike' = 'default', backend: 'str | None' = None, threads: 'int | None' = None, "
    "detector: 'Detector | str | os.PathLike | None' = 'default') -> 'Predictor'",
    "read": "(name: 'str', path: 'str | os.PathLike', images: 'str | os.PathLike | None' = None, **options: 'Any') "
    "-> 'ReadResult'",
    "train": "(recipe: 'Recipe | str | os.PathLike', resume: 'bool' = False) -> 'Path'",
    "write": "(name: 'str', records: 'Iterable[Record]', path: 'str | os.PathLike', **options: 'Any') -> 'Path'",
}
MEMBERS = {
    "Poses": "box_scores boxes boxes_from ids keypoints likely masks mean_scores path person_scores presence present "
    "present_above rescore_above scores select shown size_wh skeleton to_coco to_dataframe to_rows to_skeleton",
    "Predictor": "backend card close description detector predict run_crops skeleton stream",
    "Skeleton": "edges flip from_dict index joints name names sigmas source_of take to_dict",
    "VitruvianError": "",
}
METHODS = {
    "predict": "(self, source: 'Any', boxes: 'Any' = None, flip: 'bool | str' = False, batch: 'int' = 8, "
    f"select: 'Selection | None' = {SELECTION}) -> 'Poses | list[Poses]'",
    "stream": "(self, sources: 'Iterable[Any]', boxes: 'Iterable[Any] | None' = None, flip: 'bool | str' = False, "
    "batch: 'int' = 8, prefetch: 'int' = 8, keep_images: 'bool' = False, "
    f"select: 'Selection | None' = {SELECTION}) -> 'Iterator[Result]'",
}


def _run(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_names():
    assert sorted(vitruvian.__all__) == sorted([*SIGNATURES, *MEMBERS, "__version__"])
    assert set(vitruvian.__all__) <= set(dir(vitruvian))
    with pytest.raises(AttributeError, match="no attribute 'predict_everything'; it has"):
        vitruvian.predict_everything  # noqa: B018


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures(name):
    if name == "train":
        pytest.importorskip("lightning")
    assert str(inspect.signature(getattr(vitruvian, name))) == SIGNATURES[name]
    assert getattr(vitruvian, name).__doc__


@pytest.mark.parametrize("name", MEMBERS)
def test_members(name):
    value = getattr(vitruvian, name)
    fields = set(getattr(value, "__dataclass_fields__", ()))
    if name == "Predictor":
        fields = {"card", "description"}  # set in its constructor
    public = {m for m in dir(value) if not m.startswith("_")} - set(dir(Exception))
    assert public | fields == set(MEMBERS[name].split())


@pytest.mark.parametrize("name", METHODS)
def test_methods(name):
    assert str(inspect.signature(getattr(vitruvian.Predictor, name))) == METHODS[name]


def test_functions_stay_functions_when_modules_of_the_same_name_are_imported():
    print(
        _run(
            """
            import vitruvian
            import vitruvian.draw, vitruvian.evaluate
            from vitruvian.draw import contact_sheet
            from vitruvian.evaluate import to_report
            import inspect
            assert inspect.isfunction(vitruvian.draw) and inspect.isfunction(vitruvian.evaluate)
            assert inspect.isfunction(contact_sheet) and inspect.isfunction(to_report)
            assert inspect.ismodule(vitruvian.formats)
            """
        )
    )


def test_import_brings_nothing_but_the_package():
    """Counted in modules instead of milliseconds, which vary with what else the machine does."""
    out = _run(
        """
        import sys
        before = set(sys.modules)
        import vitruvian
        print(*sorted({name.split(".")[0] for name in set(sys.modules) - before}))
        """
    )
    assert set(out.split()) <= {"vitruvian", "__future__", "typing", "types", "importlib", *sys.stdlib_module_names}
    assert "numpy" not in out.split()


def test_help_starts_without_the_heavy_parts():
    out = _run(
        """
        import sys
        from click.testing import CliRunner
        from vitruvian.cli import COMMANDS, main
        for arguments in ([], *([verb] for verb in COMMANDS)):
            assert CliRunner().invoke(main, [*arguments, "--help"]).exit_code == 0
        print(*sorted({name.split(".")[0] for name in sys.modules}))
        """
    )
    assert not {"torch", "onnxruntime", "PIL", "numpy", "lightning", "pydantic", "rich"} & set(out.split())


_BLOCK = """
import sys

class Block:
    gone = {gone}

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.gone:
            raise ModuleNotFoundError(f"No module named '{{name}}'", name=name)

sys.meta_path.insert(0, Block())
"""
_EXTRAS = [
    "torch", "torchvision", "lightning", "pydantic", "safetensors", "tensorboard", "onnx", "onnxscript", "scipy",
    "h5py", "yaml", "faster_coco_eval", "pycocotools", "pandas", "pyarrow", "openvino", "psutil", "cv2",
]  # fmt: skip


def test_predicts_without_any_extra(tiny_model: Path, tmp_path: Path):
    """The light core alone: predict, draw, read COCO, write results, and clear errors for the rest."""
    code = _BLOCK.format(gone=set(_EXTRAS)) + textwrap.dedent(
        """
        import numpy as np
        import vitruvian
        from vitruvian.cli import main
        from vitruvian.errors import MissingExtraError

        model, folder = sys.argv[1:]
        photo = np.random.default_rng(0).integers(0, 256, (80, 60, 3), dtype=np.uint8)
        with vitruvian.load(model, threads=1) as predictor:
            poses = predictor.predict(photo, [[5, 5, 50, 70]], flip=True)
        assert poses.keypoints.shape == (1, 19, 2)
        assert vitruvian.draw(photo, poses).shape == photo.shape
        from vitruvian.data import write_image
        path = write_image(folder + "/photo.png", photo)
        for attempt in (
            lambda: poses.to_dataframe(),
            lambda: vitruvian.load(model, backend="torch"),
            lambda: vitruvian.train,
        ):
            try:
                attempt()
            except MissingExtraError as error:
                print(error)
            else:
                raise AssertionError("no error")
        main(["predict", str(path), "--model", model, "--out", folder + "/out", "--format", "coco", "--format", "csv",
              "--format", "openpose", "--threads", "1"])
        """
    )
    out = _run(code, str(tiny_model), str(tmp_path))
    assert out.count("pip install 'vitruvian[") == 3
    assert {p.name for p in (tmp_path / "out").iterdir()} >= {"photo.png", "keypoints.json", "keypoints.csv"}
