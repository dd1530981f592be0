"""What web pages that need no file beside them share."""

from __future__ import annotations

import base64
import io
from typing import Any

from PIL import Image


def data_uri(picture: Image.Image, kind: str = "JPEG", **options: Any) -> str:
    """A picture as the text that stands for it in a page; ``kind`` and ``options`` as for Pillow's ``save``."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
