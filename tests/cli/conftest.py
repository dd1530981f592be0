"""The command line called from a test."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from vitruvian.cli import main


@pytest.fixture(scope="session")
def call() -> Callable[..., Result]:
    """``call("data", "coco", path)``: as from a shell, but an exception that the command line does not expect fails."""

    def call(*arguments: object) -> Result:
        done = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done

    return call
