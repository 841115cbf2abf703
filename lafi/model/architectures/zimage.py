"""Z-Image, as the config files of its checkpoint.

Numbers: the config files of Tongyi-MAI/Z-Image-Turbo.
"""

from lafi.model.architectures.architecture import Architecture, Config
from lafi.model.architectures.parts import SMALL_VOCABULARY, vae_config


def zimage(small: bool) -> Architecture:
    """As published, or with reduced widths."""
    text = _qwen(64, 3, 4, 2, 16) if small else _qwen(2560, 36, 32, 8, 128)
    text |= {"vocab_size": SMALL_VOCABULARY if small else 151936}
    vae = vae_config(small, scaling_factor=0.3611, sample_size=1024, latent_channels=16)
    return Architecture(
        name="zimage",
        pipeline="ZImagePipeline",
        classes={
            "transformer": ("diffusers", "ZImageTransformer2DModel"),
            "vae": ("diffusers", "AutoencoderKL"),
            "text_encoder": ("transformers", "Qwen3Model"),
            "tokenizer": ("transformers", "Qwen2Tokenizer"),
            "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler"),
        },
        configs={
            "transformer": _transformer(small, text["hidden_size"]),
            "vae": vae
            | {"shift_factor": 0.1159, "use_quant_conv": False, "use_post_quant_conv": False},
            "text_encoder": text,
        },
        scheduler={
            "_class_name": "FlowMatchEulerDiscreteScheduler",
            "num_train_timesteps": 1000,
            "shift": 3.0,
            "use_dynamic_shifting": False,
        },
        index={},
    )


def _transformer(small: bool, text_width: int) -> Config:
    return {
        "_class_name": "ZImageTransformer2DModel",
        "all_f_patch_size": [1],
        "all_patch_size": [2],
        "axes_dims": [8, 12, 12] if small else [32, 48, 48],
        "axes_lens": [1536, 512, 512],
        "cap_feat_dim": text_width,
        "dim": 64 if small else 3840,
        "in_channels": 16,
        "n_heads": 2 if small else 30,
        "n_kv_heads": 2 if small else 30,
        "n_layers": 3 if small else 30,
        "n_refiner_layers": 2,
        "norm_eps": 1e-05,
        "qk_norm": True,
        "rope_theta": 256.0,
        "t_scale": 1000.0,
    }


def _qwen(width: int, layers: int, heads: int, key_heads: int, head_width: int) -> Config:
    return {
        "architectures": ["Qwen3Model"],
        "model_type": "qwen3",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "head_dim": head_width,
        "hidden_act": "silu",
        "hidden_size": width,
        "intermediate_size": width * 19 // 5,
        "max_position_embeddings": 40960,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "num_key_value_heads": key_heads,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000,
        "tie_word_embeddings": True,
    }
