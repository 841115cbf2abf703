"""The self-attention layers of an architecture in forward order, and the presets over them.

Knows names and positions, not tensors: nothing here imports torch.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from lafi.board.injection import LayerPreset, Layers
from lafi.model.info import SelfAttentionLayer

_UP_BLOCK_SHARE: dict[str, tuple[int, int]] = {
    "decoder": (0, 3),
    "balanced": (1, 3),
    "texture": (2, 3),
}
"""How far into the up-block layers a preset starts, as numerator and denominator."""


def self_attention_layers(unet: Any) -> tuple[SelfAttentionLayer, ...]:
    """The self-attention layers of a diffusers `UNet2DConditionModel`, in forward order."""
    layers: list[SelfAttentionLayer] = []
    downscale = 1
    for i, block in enumerate(unet.down_blocks):
        layers.extend(_layers_of(block, f"down_blocks.{i}", f"down.{i}", downscale))
        downscale *= 2 if getattr(block, "downsamplers", None) else 1
    if unet.mid_block is not None:
        layers.extend(_layers_of(unet.mid_block, "mid_block", "mid", downscale))
    for i, block in enumerate(unet.up_blocks):
        layers.extend(_layers_of(block, f"up_blocks.{i}", f"up.{i}", downscale))
        downscale //= 2 if getattr(block, "upsamplers", None) else 1
    return tuple(layers)


def _layers_of(block: Any, path: str, label: str, downscale: int) -> Iterator[SelfAttentionLayer]:
    for i, transformer in enumerate(getattr(block, "attentions", None) or ()):
        for j, inner in enumerate(getattr(transformer, "transformer_blocks", ())):
            yield SelfAttentionLayer(
                name=f"{path}.attentions.{i}.transformer_blocks.{j}.attn1",
                block=label,
                heads=inner.attn1.heads,
                width=inner.attn1.to_q.out_features,
                downscale=downscale,
            )


def injected_layers(layers: Sequence[SelfAttentionLayer], setting: Layers) -> tuple[int, ...]:
    """Indices of the layers in which references are read, ascending.

    setting: a preset or an index, as `first_injected_layer`; or the indices themselves.
    Raises ValueError for an index outside [0, len(layers)) or a preset that does not fit.
    """
    if not isinstance(setting, tuple):
        return tuple(range(first_injected_layer(layers, setting), len(layers)))
    outside = [index for index in setting if not 0 <= index < len(layers)]
    if outside:
        raise ValueError(f"layers: got {outside[0]}, allowed 0 to {len(layers) - 1}")
    return tuple(sorted(setting))


def first_injected_layer(layers: Sequence[SelfAttentionLayer], setting: LayerPreset | int) -> int:
    """Index of the first injected layer; all later ones are injected too.

    `none` gives len(layers), `all` gives 0, `decoder` the first up-block layer; `balanced`
    and `texture` start a third and two thirds through the up-block layers, rounded down to
    the start of a transformer module. A number is taken as it is.
    Raises ValueError for a number outside [0, len(layers)] or an unknown preset.
    """
    if isinstance(setting, int):
        if not 0 <= setting <= len(layers):
            raise ValueError(f"layers: got {setting}, allowed 0 to {len(layers)} or a preset")
        return setting
    if setting == "none":
        return len(layers)
    if setting == "all":
        return 0
    if setting not in _UP_BLOCK_SHARE:
        allowed = ", ".join(("none", "all", *_UP_BLOCK_SHARE))
        raise ValueError(f"layers: got {setting!r}, allowed {allowed} or a start index")
    up = [i for i, layer in enumerate(layers) if layer.block.startswith("up.")]
    if not up:
        raise ValueError(
            f"layers: {setting!r} needs self-attention in the up blocks, there is none"
        )
    numerator, denominator = _UP_BLOCK_SHARE[setting]
    return _module_start(layers, up[len(up) * numerator // denominator])


def _module_start(layers: Sequence[SelfAttentionLayer], index: int) -> int:
    module = _transformer_module(layers[index])
    while index > 0 and _transformer_module(layers[index - 1]) == module:
        index -= 1
    return index


def _transformer_module(layer: SelfAttentionLayer) -> str:
    """`up_blocks.0.attentions.1.transformer_blocks.3.attn1` -> `up_blocks.0.attentions.1`."""
    return layer.name.partition(".transformer_blocks.")[0]
