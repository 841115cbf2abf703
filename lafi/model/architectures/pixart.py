"""PixArt-alpha, as the config files of its checkpoint.

Numbers: the config files of PixArt-XL-2-1024-MS; arXiv:2310.00426.
"""

from lafi.model.architectures.architecture import Architecture, Config
from lafi.model.architectures.parts import t5_config, vae_config


def pixart(small: bool) -> Architecture:
    """As published, or with fewer blocks and reduced widths."""
    text = t5_config(64, 1, 2, small) if small else t5_config(4096, 24, 64, small)
    return Architecture(
        name="pixart",
        pipeline="PixArtAlphaPipeline",
        classes={
            "transformer": ("diffusers", "PixArtTransformer2DModel"),
            "vae": ("diffusers", "AutoencoderKL"),
            "text_encoder": ("transformers", "T5EncoderModel"),
            "tokenizer": ("transformers", "T5Tokenizer"),
            "scheduler": ("diffusers", "DPMSolverMultistepScheduler"),
        },
        configs={
            "transformer": _transformer(small, text["d_model"]),
            "vae": vae_config(small, scaling_factor=0.18215, sample_size=256),
            "text_encoder": text,
        },
        scheduler={
            "_class_name": "DPMSolverMultistepScheduler",
            "algorithm_type": "dpmsolver++",
            "beta_end": 0.02,
            "beta_schedule": "linear",
            "beta_start": 0.0001,
            "dynamic_thresholding_ratio": 0.995,
            "lambda_min_clipped": -5.1,
            "lower_order_final": True,
            "num_train_timesteps": 1000,
            "prediction_type": "epsilon",
            "sample_max_value": 1.0,
            "solver_order": 2,
            "solver_type": "midpoint",
            "steps_offset": 0,
            "thresholding": False,
            "timestep_spacing": "linspace",
            "trained_betas": None,
            "use_karras_sigmas": False,
            "variance_type": None,
        },
        index={},
    )


def _transformer(small: bool, text_width: int) -> Config:
    heads, head_width = (3, 16) if small else (16, 72)
    return {
        "_class_name": "PixArtTransformer2DModel",
        "activation_fn": "gelu-approximate",
        "attention_bias": True,
        "attention_head_dim": head_width,
        "attention_type": "default",
        "caption_channels": text_width,
        "cross_attention_dim": heads * head_width,
        "dropout": 0.0,
        "in_channels": 4,
        "norm_elementwise_affine": False,
        "norm_eps": 1e-06,
        "norm_num_groups": 32,
        "norm_type": "ada_norm_single",
        "num_attention_heads": heads,
        "num_embeds_ada_norm": 1000,
        "num_layers": 2 if small else 28,
        "out_channels": 8,
        "patch_size": 2,
        "sample_size": 128,
        "upcast_attention": False,
    }
