"""Write the tables of the docs from ``benchmarks/results``: ``python tools/render_docs.py [--check]``.

A table stands between ``<!-- table:NAME -->`` and ``<!-- /table -->``; everything between is replaced. With ``--check``
nothing is written, and the exit status is 1 when a table is out of date.
"""

from __future__ import annotations

import re
import sys

from doc_tables import ROOT, TABLES

PAGES = (
    "README.md",
    "docs/models.md",
    "docs/pose3d.md",
    "docs/pose3d-output.md",
    "docs/training.md",
    "docs/analysis.md",
)


def render(text: str) -> str:
    """The page with every table written anew."""

    def fill(match: re.Match[str]) -> str:
        return f"<!-- table:{match[1]} -->\n{TABLES[match[1]]()}\n<!-- /table -->"

    return re.sub(r"<!-- table:(\w+) -->\n.*?<!-- /table -->", fill, text, flags=re.DOTALL)


def main(arguments: list[str]) -> int:
    """Render or check all pages."""
    stale = []
    for name in PAGES:
        page = ROOT / name
        text = page.read_text(encoding="utf-8")
        rendered = render(text)
        if rendered != text:
            stale.append(name)
            if "--check" not in arguments:
                page.write_text(rendered, encoding="utf-8")
    print(f"{'out of date' if '--check' in arguments else 'written'}: {', '.join(stale) or 'nothing'}")
    return int("--check" in arguments and bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
