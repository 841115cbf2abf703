"""Whether a control network or adapter fits a model, and what a model with some of them is."""

from collections.abc import Sequence
from typing import Any, Final

from lafi.model.config_problems import Config, differs
from lafi.model.control_info import (
    ControlInfo,
    FeaturePlace,
    feature_places,
    feature_ports,
    unet_residual_ports,
)
from lafi.model.info import ModelInfo

_EQUAL: Final = (
    "in_channels",
    "block_out_channels",
    "layers_per_block",
    "cross_attention_dim",
    "addition_embed_type",
    "addition_time_embed_dim",
    "projection_class_embeddings_input_dim",
)
"""Fields that decide its inputs, and how many residuals it has of which shapes."""
_PLAIN: Final = {
    "conditioning_channels": 3,
    "controlnet_conditioning_channel_order": "rgb",
    "global_pool_conditions": False,
    "class_embed_type": None,
    "num_class_embeds": None,
    "encoder_hid_dim_type": None,
}
"""Fields with the one value that is served."""


def control_problems(control: Config, unet: Config, info: ModelInfo) -> list[str]:
    """One line for each value of a control network's config that does not fit.

    control, unet: complete configs of diffusers' classes. info: of the model that it is to steer.
    """
    whose = f"as the UNet of {info.name} has it"
    problems = [
        line
        for field in _EQUAL
        for line in differs(f".{field}", _plain(control), _plain(unet).get(field), whose)
    ]
    for field, value in _PLAIN.items():
        problems += differs(f".{field}", control, value, "the only one that is served")
    scale = 2 ** (len(control["conditioning_embedding_out_channels"]) - 1)
    if scale != info.vae_scale:
        widths = list(control["conditioning_embedding_out_channels"])
        problems.append(
            f"conditioning_embedding_out_channels: got {widths}, which make a picture {scale} "
            f"times smaller, allowed as many as make it {info.vae_scale} times smaller"
        )
    return [line.removeprefix(".") for line in problems]


def adapter_problems(
    adapter: Config, features: Sequence[FeaturePlace], unet: Config, info: ModelInfo
) -> list[str]:
    """One line for each value of a T2I-Adapter's config that does not fit.

    features: its own, each with pixels of its picture for one of its cells. unet, info: as for
    `control_problems`.
    """
    problems = []
    if (got := adapter["in_channels"]) not in (1, 3):
        problems.append(f"in_channels: got {got}, allowed 1 (grey) or 3 (RGB)")
    whose = f"where the UNet of {info.name} takes features"
    places = feature_places(unet)[: max(len(features), len(unet["down_block_types"]))]
    widths, allowed = ([place.width for place in each] for each in (features, places))
    if widths != allowed:
        problems.append(f"channels: got {widths}, allowed {allowed} ({whose})")
    shrunk = [place.downscale for place in features]
    cells = [info.vae_scale * place.downscale for place in places]
    if len(widths) == len(allowed) and shrunk != cells:
        problems.append(
            f"adapter_type and downscale_factor: got {adapter['adapter_type']} and "
            f"{adapter['downscale_factor']}, whose features are {shrunk} times smaller than the "
            f"picture, allowed those that make them {cells} times smaller ({whose})"
        )
    return problems


def with_controls(info: ModelInfo, unet: Config, controls: Sequence[ControlInfo]) -> ModelInfo:
    """A model's facts with these control networks and adapters; as they were without any.

    unet: the complete config of its UNet, which then takes what they add.
    """
    if not controls:
        return info
    networks = any(not control.features for control in controls)
    residuals = unet_residual_ports(unet) if networks else ()
    places = feature_places(unet)[: max(control.features for control in controls)]
    ports = (*info.added_inputs, *residuals, *feature_ports(places))
    return info.model_copy(update={"added_inputs": ports, "controls": tuple(controls)})


def _plain(config: Config) -> dict[str, Any]:
    """With lists for tuples, as a config file has them."""
    return {n: list(v) if isinstance(v, tuple) else v for n, v in config.items()}
