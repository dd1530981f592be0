"""The command line, one file a verb. Starting it imports click alone; each verb imports what it needs when it runs.

Exit status: 0 all went well; 1 something failed, and standard error says what (for ``predict``: which images); 2 the
command was misspelt.

Adding a verb: 1. write ``cli/<verb>.py`` with a click command called ``command``, heavy imports inside; 2. add it to
`COMMANDS` below; 3. show it in the README. A test holds `COMMANDS` equal to the folder.
"""

from __future__ import annotations

from typing import Any

import click

from .. import __version__
from ..errors import VitruvianError
from . import analyze, data, evaluate, explain, export, models, motion, predict, prepare, synth, train

COMMANDS: dict[str, click.Command] = {
    "predict": predict.command,
    "explain": explain.command,
    "models": models.command,
    "motion": motion.command,
    "data": data.command,
    "prepare": prepare.command,
    "synth": synth.command,
    "train": train.command,
    "evaluate": evaluate.command,
    "analyze": analyze.command,
    "export": export.command,
}


class _Verbs(click.Group):
    """Verbs in the order of `COMMANDS`; this package's own errors become one line instead of a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except VitruvianError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Verbs, commands=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vitruvian")
def main() -> None:
    """Human pose estimation: photos in, joints out; train, evaluate, export."""


__all__ = ["COMMANDS", "main"]
