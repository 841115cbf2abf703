"""Which self-attention layers read references: presets, start indices, and lists of layers.

Knows names and positions, not tensors: nothing here imports torch.
"""

from lafi.board.injection import Layers
from lafi.model.families.registry import family_of
from lafi.model.info import ModelInfo


def injected_layers(info: ModelInfo, setting: Layers) -> tuple[int, ...]:
    """Indices of the layers in which references are read, ascending.

    setting: a preset of the model, a start index, which stands for that layer and all later ones
    (their number is none), or the indices themselves.
    Raises ValueError for an index that the model has not, or a preset that it does not know.
    """
    count = len(info.layers)
    if isinstance(setting, str):
        presets = info.presets or family_of(info).presets(info.layers)
        if setting not in presets:
            raise ValueError(f"layers: got {setting!r}, allowed {', '.join(presets)} or an index")
        return presets[setting]
    if isinstance(setting, int):
        if not 0 <= setting <= count:
            raise ValueError(f"layers: got {setting}, allowed 0 to {count} or a preset")
        return tuple(range(setting, count))
    outside = [index for index in setting if not 0 <= index < count]
    if outside:
        raise ValueError(f"layers: got {outside[0]}, allowed 0 to {count - 1}")
    return tuple(sorted(setting))
