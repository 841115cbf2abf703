"""The published architectures SD1.5, SD2.1 and SDXL, as the config files of their checkpoints.

Knows numbers, not weights. `small` keeps blocks, transformer depths and kinds of conditioning, but
reduces widths, so that tests and traces are cheap.

Numbers: the config files of stable-diffusion-v1-5, stable-diffusion-2-1 and
stable-diffusion-xl-base-1.0; arXiv:2112.10752 and arXiv:2307.01952.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

Config = dict[str, Any]
ArchitectureName = Literal["sd15", "sd21", "sdxl"]
Size = Literal["full", "small"]

TEXT_LENGTH: Final = 77
_VOCABULARY: Final = 49408
_SMALL_VOCABULARY: Final = 640
"""Token ids of a small model; more than the 514 of the byte-level tokenizer in its folder."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """One pipeline folder without its weights.

    pipeline   class name in `model_index.json`
    classes    part -> (library, class)
    configs    part -> its config.json
    scheduler  scheduler_config.json
    index      other fields of `model_index.json`
    """

    name: str
    pipeline: str
    classes: Mapping[str, tuple[str, str]]
    configs: Mapping[str, Config]
    scheduler: Config
    index: Config

    @property
    def tokenizers(self) -> tuple[str, ...]:
        """The folders of its tokenizers, one for each text encoder."""
        return tuple(part for part in self.classes if part.startswith("tokenizer"))


def architecture(name: ArchitectureName, size: Size = "full") -> Architecture:
    """Raises ValueError for an unknown name or size."""
    if name not in get_args(ArchitectureName):
        allowed = ", ".join(get_args(ArchitectureName))
        raise ValueError(f"architecture: got {name!r}, allowed {allowed}")
    if size not in get_args(Size):
        raise ValueError(f"size: got {size!r}, allowed {', '.join(get_args(Size))}")
    return {"sd15": _sd15, "sd21": _sd21, "sdxl": _sdxl}[name](size == "small")


def _sd15(small: bool) -> Architecture:
    widths = [32, 64, 128, 128] if small else [320, 640, 1280, 1280]
    text = _text(64, 2, 2, small) if small else _text(768, 12, 12, small)
    unet = _unet(widths, text["hidden_size"]) | {"attention_head_dim": 8, "sample_size": 64}
    return Architecture(
        name="sd15",
        pipeline="StableDiffusionPipeline",
        classes={**_CLASSES, "scheduler": ("diffusers", "PNDMScheduler")},
        configs={
            "unet": unet | _blocks(4),
            "vae": _vae(small, scaling_factor=0.18215, sample_size=512),
            "text_encoder": text,
        },
        scheduler=_SCHEDULE | {"_class_name": "PNDMScheduler", "skip_prk_steps": True},
        index=_NO_CHECKER,
    )


def _sd21(small: bool) -> Architecture:
    widths = [32, 64, 128, 128] if small else [320, 640, 1280, 1280]
    heads = [1, 2, 4, 4] if small else [5, 10, 20, 20]
    # Stored without the last layer: its last hidden state is the penultimate of OpenCLIP-H.
    text = _text(64, 2, 2, small, "gelu") if small else _text(1024, 23, 16, small, "gelu")
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
            "vae": _vae(small, scaling_factor=0.18215, sample_size=768),
            "text_encoder": text,
        },
        scheduler=_SCHEDULE | {"_class_name": "DDIMScheduler", "prediction_type": "v_prediction"},
        index=_NO_CHECKER,
    )


def _sdxl(small: bool) -> Architecture:
    widths = [32, 64, 128] if small else [320, 640, 1280]
    first = _text(64, 2, 2, small) if small else _text(768, 12, 12, small)
    second = _text(96, 3, 3, small, "gelu") if small else _text(1280, 32, 20, small, "gelu")
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
            "vae": _vae(small, scaling_factor=0.13025, sample_size=1024) | {"force_upcast": True},
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


def _vae(small: bool, *, scaling_factor: float, sample_size: int) -> Config:
    return {
        "_class_name": "AutoencoderKL",
        "act_fn": "silu",
        "block_out_channels": [8, 16, 16, 16] if small else [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "in_channels": 3,
        "latent_channels": 4,
        "layers_per_block": 2,
        "norm_num_groups": 8 if small else 32,
        "out_channels": 3,
        "sample_size": sample_size,
        "scaling_factor": scaling_factor,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
    }


def _text(
    width: int, layers: int, heads: int, small: bool, activation: str = "quick_gelu"
) -> Config:
    return {
        "architectures": ["CLIPTextModel"],
        "model_type": "clip_text_model",
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        # As published. The number is wrong; it makes transformers look for the largest id.
        "eos_token_id": 2,
        "pad_token_id": 1,
        "hidden_act": activation,
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": TEXT_LENGTH,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "projection_dim": width,
        "vocab_size": _SMALL_VOCABULARY if small else _VOCABULARY,
    }
