"""``python -m vitruvian``: the same as the command ``vitruvian``."""

from .cli import main

if __name__ == "__main__":
    main(prog_name="vitruvian")
