"""Which self-attention layers read references: by preset, start index or list.

Knows names and indices, not tensors: imports no torch.
"""

from lafi.board.injection import DEFAULT_LAYERS, Layers
from lafi.model.families.registry import family_of
from lafi.model.info import ModelInfo


def preset_name(info: ModelInfo, setting: str) -> str:
    """The name of a model's preset; `default` has another name in every model."""
    if setting != DEFAULT_LAYERS:
        return setting
    return info.default_preset or family_of(info).default_preset


def injected_layers(info: ModelInfo, setting: Layers) -> tuple[int, ...]:
    """Indices of the layers in which references are read, ascending.

    setting: a preset of the model, or `default`; a start index, for that layer and all later ones
    (the number of layers means none); or a list of indices.
    Raises ValueError for an index or preset that the model does not have.
    """
    count = len(info.layers)
    if isinstance(setting, str):
        presets = info.presets or family_of(info).presets(info.layers)
        named = preset_name(info, setting)
        if named not in presets:
            default = (DEFAULT_LAYERS,) if preset_name(info, DEFAULT_LAYERS) in presets else ()
            allowed = ", ".join((*default, *presets))
            raise ValueError(f"layers: got {setting!r}, allowed {allowed} or an index")
        return presets[named]
    if isinstance(setting, int):
        if not 0 <= setting <= count:
            raise ValueError(f"layers: got {setting}, allowed 0 to {count} or a preset")
        return tuple(range(setting, count))
    outside = [index for index in setting if not 0 <= index < count]
    if outside:
        raise ValueError(f"layers: got {outside[0]}, allowed 0 to {count - 1}")
    return tuple(sorted(setting))
