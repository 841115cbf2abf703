"""FLUX.1-dev, as the config files of its checkpoint.

Numbers: the config files of black-forest-labs' FLUX.1-dev.
"""

from lafi.model.architectures.architecture import Architecture
from lafi.model.architectures.parts import clip_config, t5_config, vae_config


def flux(small: bool) -> Architecture:
    """As published, or with reduced widths, 2 double blocks and 3 single ones."""
    clip = clip_config(16, 2, 2, small) if small else clip_config(768, 12, 12, small)
    t5 = t5_config(32, 2, 4, small) if small else t5_config(4096, 24, 64, small)
    axes = [4, 6, 6] if small else [16, 56, 56]
    transformer = {
        "_class_name": "FluxTransformer2DModel",
        "patch_size": 1,
        "in_channels": 64,
        "out_channels": None,
        "num_layers": 2 if small else 19,
        "num_single_layers": 3 if small else 38,
        "attention_head_dim": sum(axes),
        "num_attention_heads": 2 if small else 24,
        "joint_attention_dim": t5["d_model"],
        "pooled_projection_dim": clip["hidden_size"],
        "guidance_embeds": True,
        "axes_dims_rope": axes,
    }
    vae = vae_config(
        small, scaling_factor=0.3611, sample_size=128 if small else 1024, latent_channels=16
    )
    return Architecture(
        name="flux",
        pipeline="FluxPipeline",
        classes={
            "transformer": ("diffusers", "FluxTransformer2DModel"),
            "vae": ("diffusers", "AutoencoderKL"),
            "text_encoder": ("transformers", "CLIPTextModel"),
            "tokenizer": ("transformers", "CLIPTokenizer"),
            "text_encoder_2": ("transformers", "T5EncoderModel"),
            "tokenizer_2": ("transformers", "T5TokenizerFast"),
            "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler"),
        },
        configs={
            "transformer": transformer,
            "vae": vae
            | {"shift_factor": 0.1159, "use_quant_conv": False, "use_post_quant_conv": False},
            "text_encoder": clip,
            "text_encoder_2": t5,
        },
        scheduler={
            "_class_name": "FlowMatchEulerDiscreteScheduler",
            "base_image_seq_len": 256,
            "base_shift": 0.5,
            "max_image_seq_len": 4096,
            "max_shift": 1.15,
            "num_train_timesteps": 1000,
            "shift": 3.0,
            "use_dynamic_shifting": True,
        },
        index={},
    )
