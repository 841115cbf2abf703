"""`Made`: what drew a picture, as its own file tells it."""

import io
import json
from dataclasses import asdict, dataclass

from PIL import Image

SETTINGS_CHUNK = "lafi"
"""The iTXt chunk in which the server puts what drew a panel."""
_MOST_PIXELS = 2**28


@dataclass(frozen=True, slots=True)
class Made:
    """model, variant: names; address: the content address of a panel; "": not told.

    name: the file's own, without its folder.
    """

    name: str
    model: str = ""
    variant: str = ""
    address: str = ""

    def told(self) -> dict[str, str]:
        """What is known."""
        return {key: value for key, value in asdict(self).items() if value}


def made_by(png: bytes, name: str) -> Made:
    """What a PNG file of the server's says of itself: never its prompt.

    A file that says nothing, such as a portrait, gives a `Made` with its name alone.
    """
    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            if image.width * image.height > _MOST_PIXELS:
                return Made(name)
            image.load()
            chunk = getattr(image, "text", {}).get(SETTINGS_CHUNK, "{}")
        said = json.loads(chunk)
        found = {key: said.get(key, "") for key in ("model", "variant", "address")}
    except (OSError, ValueError, SyntaxError, AttributeError, Image.DecompressionBombError):
        return Made(name)
    return Made(name, **{key: text for key, text in found.items() if isinstance(text, str)})
