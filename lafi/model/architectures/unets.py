"""SD1.5, SD2.1 and SDXL, as the config files of their checkpoints.

Numbers: the config files of stable-diffusion-v1-5, stable-diffusion-2-1 and
stable-diffusion-xl-base-1.0; arXiv:2112.10752 and arXiv:2307.01952.
"""

from collections.abc import Mapping
from typing import Final

from lafi.model.architectures.architecture import Architecture, Config
from lafi.model.architectures.parts import clip_config, vae_config


def sd15(small: bool) -> Architecture:
    """As published, or with reduced widths."""
    widths = [32, 64, 128, 128] if small else [320, 640, 1280, 1280]
    text = clip_config(64, 2, 2, small) if small else clip_config(768, 12, 12, small)
    unet = _unet(widths, text["hidden_size"]) | {"attention_head_dim": 8, "sample_size": 64}
    return Architecture(
        name="sd15",
        pipeline="StableDiffusionPipeline",
        classes={**_CLASSES, "scheduler": ("diffusers", "PNDMScheduler")},
        configs={
            "unet": unet | _blocks(4),
            "vae": vae_config(small, scaling_factor=0.18215, sample_size=512),
            "text_encoder": text,
        },
        scheduler=_SCHEDULE | {"_class_name": "PNDMScheduler", "skip_prk_steps": True},
        index=_NO_CHECKER,
    )


def sd21(small: bool) -> Architecture:
    """As published, or with reduced widths."""
    widths = [32, 64, 128, 128] if small else [320, 640, 1280, 1280]
    heads = [1, 2, 4, 4] if small else [5, 10, 20, 20]
    # Stored without the last layer: its last hidden state is the penultimate of OpenCLIP-H.
    text = (
        clip_config(64, 2, 2, small, "gelu") if small else clip_config(1024, 23, 16, small, "gelu")
    )
    text |= {"projection_dim": 32 if small else 512}
    unet = _unet(widths, text["hidden_size"]) | {
        "attention_head_dim": heads,
        "use_linear_projection": True,
        "upcast_attention": True,
        "sample_size": 96,
    }
    return Architecture(
        name="sd21",
        pipeline="StableDiffusionPipeline",
        classes={**_CLASSES, "scheduler": ("diffusers", "DDIMScheduler")},
        configs={
            "unet": unet | _blocks(4),
            "vae": vae_config(small, scaling_factor=0.18215, sample_size=768),
            "text_encoder": text,
        },
        scheduler=_SCHEDULE | {"_class_name": "DDIMScheduler", "prediction_type": "v_prediction"},
        index=_NO_CHECKER,
    )


def sdxl(small: bool) -> Architecture:
    """As published, or with reduced widths."""
    widths = [32, 64, 128] if small else [320, 640, 1280]
    first = clip_config(64, 2, 2, small) if small else clip_config(768, 12, 12, small)
    second = (
        clip_config(96, 3, 3, small, "gelu") if small else clip_config(1280, 32, 20, small, "gelu")
    )
    second |= {"architectures": ["CLIPTextModelWithProjection"]}
    time_width = 16 if small else 256
    unet = _unet(widths, first["hidden_size"] + second["hidden_size"]) | {
        "attention_head_dim": [1, 2, 4] if small else [5, 10, 20],
        "transformer_layers_per_block": [1, 2, 10],
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": time_width,
        "projection_class_embeddings_input_dim": second["projection_dim"] + 6 * time_width,
        "sample_size": 128,
    }
    return Architecture(
        name="sdxl",
        pipeline="StableDiffusionXLPipeline",
        classes={
            **_CLASSES,
            "text_encoder_2": ("transformers", "CLIPTextModelWithProjection"),
            "tokenizer_2": ("transformers", "CLIPTokenizer"),
            "scheduler": ("diffusers", "EulerDiscreteScheduler"),
        },
        configs={
            "unet": unet | _blocks(3),
            "vae": vae_config(small, scaling_factor=0.13025, sample_size=1024)
            | {"force_upcast": True},
            "text_encoder": first,
            "text_encoder_2": second,
        },
        scheduler=_SCHEDULE
        | {
            "_class_name": "EulerDiscreteScheduler",
            "interpolation_type": "linear",
            "timestep_spacing": "leading",
            "use_karras_sigmas": False,
        },
        index={"force_zeros_for_empty_prompt": True},
    )


_CLASSES: Final[Mapping[str, tuple[str, str]]] = {
    "unet": ("diffusers", "UNet2DConditionModel"),
    "vae": ("diffusers", "AutoencoderKL"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "tokenizer": ("transformers", "CLIPTokenizer"),
}
_NO_CHECKER: Final[Config] = {
    "safety_checker": [None, None],
    "feature_extractor": [None, None],
    "requires_safety_checker": False,
}
_SCHEDULE: Final[Config] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "set_alpha_to_one": False,
    "clip_sample": False,
    "steps_offset": 1,
    "trained_betas": None,
}


def _unet(widths: list[int], text_width: int) -> Config:
    return {
        "_class_name": "UNet2DConditionModel",
        "act_fn": "silu",
        "block_out_channels": widths,
        "cross_attention_dim": text_width,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "in_channels": 4,
        "layers_per_block": 2,
        "norm_eps": 1e-05,
        "norm_num_groups": 32 if widths[0] == 320 else 8,
        "out_channels": 4,
    }


def _blocks(levels: int) -> Config:
    """SD has attention in all levels but the deepest, SDXL in all but the first."""
    if levels == 4:
        attended = [True, True, True, False]
    else:
        attended = [False, True, True]
    return {
        "down_block_types": ["CrossAttnDownBlock2D" if x else "DownBlock2D" for x in attended],
        "up_block_types": ["CrossAttnUpBlock2D" if x else "UpBlock2D" for x in reversed(attended)],
    }
