"""Which engines draw a storyboard: the model's own, or those of the variant that it names."""

from collections.abc import Mapping

from lafi.board.error import StoryboardError, closest, problem
from lafi.board.storyboard import Storyboard
from lafi.ports.engines import Engines


def engines_of(storyboard: Storyboard, engines: Mapping[str, Engines]) -> Engines:
    """The engines that draw this storyboard, all of its panels.

    engines: by the name of the variant; "" is the model itself.
    Raises StoryboardError for a variant that is not there.
    """
    name = storyboard.variant
    if name not in engines:
        names = [other for other in engines if other]
        known = ", ".join(names) or "none, since this model has no variants"
        raise StoryboardError([problem("variant", name, f"{known}{closest(name, names)}")])
    return engines[name]
