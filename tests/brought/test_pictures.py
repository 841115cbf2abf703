"""Laws of pictures: the pixels that Pillow and littleCMS give, or a refusal that says why."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from brought_pictures import PICTURES, Picture

from lafi.board.error import StoryboardError
from lafi.board.image_file import ImageFileError
from lafi.board.reference_image import ReferenceImage


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data", "ignore:Truncated File Read")
@pytest.mark.parametrize("picture", PICTURES, ids=str)
def test_a_picture_has_its_pixels_or_is_refused(
    picture: Picture, record_property: Callable[[str, Any], None]
) -> None:
    record_property("brought", "pictures")
    record_property("expected", "refused_as_expected" if picture.error else "right")
    if picture.pixels is None:
        with pytest.raises((StoryboardError, ImageFileError), match=picture.error):
            ReferenceImage(data=picture.data).image()
        return
    pixels = ReferenceImage(data=picture.data).pixels()
    assert pixels.shape == picture.pixels.shape
    assert np.abs(pixels.astype(int) - picture.pixels).max() <= picture.off
