"""Finds a published architecture by its name.

`small` keeps blocks, depths and kinds of conditioning, but reduces widths, so that tests and traces
are cheap.
"""

from collections.abc import Callable, Mapping
from typing import Final, Literal, get_args

from lafi.model.architectures import flux, hunyuan, pixart, sd3, unets, zimage
from lafi.model.architectures.architecture import Architecture, Size

ArchitectureName = Literal["sd15", "sd21", "sdxl", "zimage", "flux", "sd3", "pixart", "hunyuan"]
_MAKERS: Final[Mapping[ArchitectureName, Callable[[bool], Architecture]]] = {
    "sd15": unets.sd15,
    "sd21": unets.sd21,
    "sdxl": unets.sdxl,
    "zimage": zimage.zimage,
    "sd3": sd3.sd3,
    "flux": flux.flux,
    "pixart": pixart.pixart,
    "hunyuan": hunyuan.hunyuan,
}
"""Name -> what makes it, small or not."""


def architecture(name: ArchitectureName, size: Size = "full") -> Architecture:
    """Raises ValueError for an unknown name or size."""
    if name not in _MAKERS:
        raise ValueError(f"architecture: got {name!r}, allowed {', '.join(_MAKERS)}")
    if size not in get_args(Size):
        raise ValueError(f"size: got {size!r}, allowed {', '.join(get_args(Size))}")
    return _MAKERS[name](size == "small")
