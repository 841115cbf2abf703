"""SD3-medium, as the config files of its checkpoint.

Numbers: the config files of stable-diffusion-3-medium-diffusers; arXiv:2403.03206.
"""

from lafi.model.architectures.architecture import Architecture
from lafi.model.architectures.parts import clip_config, t5_config, vae_config


def sd3(small: bool) -> Architecture:
    """As published, or with reduced widths and 3 blocks."""
    first = clip_config(16, 2, 2, small) if small else clip_config(768, 12, 12, small)
    second = (
        clip_config(24, 3, 2, small, "gelu") if small else clip_config(1280, 32, 20, small, "gelu")
    )
    t5 = t5_config(48, 2, 4, small) if small else t5_config(4096, 24, 64, small)
    projected = {"architectures": ["CLIPTextModelWithProjection"]}
    heads, head = (4, 8) if small else (24, 64)
    transformer = {
        "_class_name": "SD3Transformer2DModel",
        "sample_size": 16 if small else 128,
        "patch_size": 2,
        "in_channels": 16,
        "num_layers": 3 if small else 24,
        "attention_head_dim": head,
        "num_attention_heads": heads,
        "joint_attention_dim": t5["d_model"],
        "caption_projection_dim": heads * head,
        "pooled_projection_dim": first["projection_dim"] + second["projection_dim"],
        "out_channels": 16,
        "pos_embed_max_size": 24 if small else 192,
        "dual_attention_layers": [],
        "qk_norm": None,
    }
    vae = vae_config(
        small, scaling_factor=1.5305, sample_size=128 if small else 1024, latent_channels=16
    )
    return Architecture(
        name="sd3",
        pipeline="StableDiffusion3Pipeline",
        classes={
            "transformer": ("diffusers", "SD3Transformer2DModel"),
            "vae": ("diffusers", "AutoencoderKL"),
            "text_encoder": ("transformers", "CLIPTextModelWithProjection"),
            "tokenizer": ("transformers", "CLIPTokenizer"),
            "text_encoder_2": ("transformers", "CLIPTextModelWithProjection"),
            "tokenizer_2": ("transformers", "CLIPTokenizer"),
            "text_encoder_3": ("transformers", "T5EncoderModel"),
            "tokenizer_3": ("transformers", "T5TokenizerFast"),
            "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler"),
        },
        configs={
            "transformer": transformer,
            "vae": vae
            | {"shift_factor": 0.0609, "use_quant_conv": False, "use_post_quant_conv": False},
            "text_encoder": first | projected,
            "text_encoder_2": second | projected,
            "text_encoder_3": t5,
        },
        scheduler={
            "_class_name": "FlowMatchEulerDiscreteScheduler",
            "num_train_timesteps": 1000,
            "shift": 3.0,
        },
        index={"feature_extractor": [None, None], "image_encoder": [None, None]},
    )
