"""Hunyuan-DiT 1.2, as the config files of its checkpoint.

Numbers: the config files of HunyuanDiT-v1.2-Diffusers; arXiv:2405.08748.
"""

from lafi.model.architectures.architecture import Architecture, Config
from lafi.model.architectures.parts import SMALL_VOCABULARY, t5_config, vae_config


def hunyuan(small: bool) -> Architecture:
    """As published, or with fewer blocks and reduced widths."""
    bert = _bert(48, 1, 3, SMALL_VOCABULARY) if small else _bert(1024, 24, 16, 47020)
    t5 = t5_config(64, 1, 2, small) if small else t5_config(2048, 24, 32, small)
    if not small:
        t5 |= {"vocab_size": 250112}
    return Architecture(
        name="hunyuan",
        pipeline="HunyuanDiTPipeline",
        classes={
            "transformer": ("diffusers", "HunyuanDiT2DModel"),
            "vae": ("diffusers", "AutoencoderKL"),
            "text_encoder": ("transformers", "BertModel"),
            "tokenizer": ("transformers", "BertTokenizer"),
            "text_encoder_2": ("transformers", "T5EncoderModel"),
            "tokenizer_2": ("transformers", "T5Tokenizer"),
            "scheduler": ("diffusers", "DDPMScheduler"),
        },
        configs={
            "transformer": _transformer(small, bert["hidden_size"], t5["d_model"]),
            "vae": vae_config(small, scaling_factor=0.13025, sample_size=1024),
            "text_encoder": bert,
            "text_encoder_2": t5,
        },
        scheduler={
            "_class_name": "DDPMScheduler",
            "beta_end": 0.018,
            "beta_schedule": "scaled_linear",
            "beta_start": 0.00085,
            "clip_sample": False,
            "num_train_timesteps": 1000,
            "prediction_type": "v_prediction",
            "rescale_betas_zero_snr": False,
            "steps_offset": 1,
            "thresholding": False,
            "timestep_spacing": "leading",
            "trained_betas": None,
            "variance_type": "fixed_small",
        },
        index={
            "safety_checker": [None, None],
            "feature_extractor": [None, None],
            "requires_safety_checker": False,
        },
    )


def _transformer(small: bool, bert_width: int, t5_width: int) -> Config:
    heads, head_width = (2, 24) if small else (16, 88)
    return {
        "_class_name": "HunyuanDiT2DModel",
        "activation_fn": "gelu-approximate",
        "attention_head_dim": head_width,
        "cross_attention_dim": bert_width,
        "cross_attention_dim_t5": t5_width,
        "hidden_size": heads * head_width,
        "in_channels": 4,
        "learn_sigma": True,
        "mlp_ratio": 4.3637,
        "norm_type": "layer_norm",
        "num_attention_heads": heads,
        "num_layers": 4 if small else 40,
        "patch_size": 2,
        "pooled_projection_dim": 32 if small else 1024,
        "sample_size": 128,
        "text_len": 77,
        "text_len_t5": 256,
        "use_style_cond_and_image_meta_size": False,
    }


def _bert(width: int, layers: int, heads: int, vocabulary: int) -> Config:
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "attention_probs_dropout_prob": 0.0,
        "classifier_dropout": None,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "hidden_size": width,
        "initializer_range": 0.02,
        "intermediate_size": 4 * width,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "pad_token_id": 0,
        "type_vocab_size": 2,
        "vocab_size": vocabulary,
    }
