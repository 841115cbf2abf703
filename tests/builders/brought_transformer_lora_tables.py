"""LoRA files on transformers: which are drawn, and which are refused with which words."""

from typing import Final

import torch
from brought_transformer_loras import (
    JOINT,
    ZIMAGE,
    dora,
    flux_comfy,
    flux_kohya,
    flux_mixture,
    half,
    joint_peft,
    lokr,
    noted,
    pair,
    peft,
    plus,
    ranks,
    texts,
    two_files,
    ups,
    wide_input,
    with_alphas,
    zimage_dots,
    zimage_fused,
    zimage_kohya,
    zimage_peft,
)

from brought_files import Brought
from brought_loras import RANK, of, spelled

_Z, _F, _S = "zimage", "flux", "sd3"
RIGHT: Final = [
    Brought("zimage peft", of(zimage_peft), model=_Z),
    Brought("zimage kohya", of(zimage_kohya), model=_Z),
    Brought("zimage alphas", of(with_alphas), model=_Z),
    Brought("zimage fused", of(zimage_fused), model=_Z),
    Brought("zimage strength", of(zimage_kohya, ":-0.7"), model=_Z),
    Brought("zimage two", two_files(zimage_kohya, zimage_peft), model=_Z),
    Brought("zimage ranks", of(lambda shapes: ranks(shapes, ZIMAGE)), model=_Z),
    Brought("zimage dora", of(lambda shapes: dora(shapes, ZIMAGE)), model=_Z),
    Brought("zimage lokr", of(lokr), model=_Z),
    Brought("zimage settings", noted(ZIMAGE, r=RANK, lora_alpha=2, use_rslora=True), model=_Z),
    Brought("zimage bf16", of(half(zimage_kohya, torch.bfloat16)), model=_Z),
    Brought(
        "flux peft", of(lambda shapes: joint_peft(shapes) | texts(shapes, "text_encoder")), model=_F
    ),
    Brought("flux kohya", of(flux_kohya), model=_F),
    Brought("flux comfy", of(flux_comfy), model=_F),
    Brought("flux sparse", of(lambda shapes: flux_kohya(shapes, sparse=True)), model=_F),
    Brought("flux mixture", of(flux_mixture), model=_F),
    Brought(
        "flux alphas", of(lambda shapes: peft(shapes, JOINT, alphas=[2.0] * len(JOINT))), model=_F
    ),
    Brought("flux two", two_files(flux_kohya, joint_peft), model=_F),
    Brought("flux text strength", of(flux_kohya, ":text_encoder=0.3"), model=_F),
    Brought("flux dora", of(lambda shapes: dora(shapes, JOINT)), model=_F),
    Brought("flux settings", noted(JOINT, r=RANK, lora_alpha=2, use_rslora=True), model=_F),
    Brought("flux f16", of(half(flux_kohya, torch.float16)), model=_F),
    Brought("sd3 peft", of(joint_peft), model=_S),
    Brought(
        "sd3 texts",
        of(lambda shapes: joint_peft(shapes) | texts(shapes, "text_encoder", "text_encoder_2")),
        model=_S,
    ),
    Brought(
        "sd3 text strengths",
        of(
            lambda shapes: joint_peft(shapes) | texts(shapes, "text_encoder", "text_encoder_2"),
            ":text_encoder=0.5:text_encoder_2=0",
        ),
        model=_S,
    ),
    Brought("sd3 ranks", of(lambda shapes: ranks(shapes, JOINT)), model=_S),
    Brought("sd3 dora", of(lambda shapes: dora(shapes, JOINT)), model=_S),
    Brought("sd3 settings", noted(JOINT, r=RANK, lora_alpha=8), model=_S),
]
_NOWHERE: Final = "find no place .*"
REFUSED: Final = [
    Brought(
        "zimage unknown module",
        plus(zimage_peft, **ups("transformer.layers.9.attention.to_q")),
        r"layers\.9\.attention\.to_q",
        _Z,
    ),
    Brought(
        "zimage text",
        plus(zimage_peft, **ups("text_encoder.layers.0.self_attn.q_proj")),
        r"text_encoder\.layers\.0",
        _Z,
    ),
    Brought("zimage unet", of(pair("lora_unet_mid_block_attentions_0_proj_in")), "mid.block", _Z),
    Brought(
        "zimage kohya dora",
        plus(zimage_kohya, lora_unet_layers_0_attention_to_q__dora_scale=torch.ones(64, 1)),
        r"layers_0_attention_to_q\.dora_scale",
        _Z,
    ),
    Brought(
        "zimage fused twice",
        of(lambda shapes: zimage_fused(shapes) | zimage_dots(shapes)),
        _NOWHERE + "layers_0_attention_qkv",
        _Z,
    ),
    Brought(
        "zimage no up",
        of(lambda shapes: {k: v for k, v in zimage_kohya(shapes).items() if "w2.lora_up" not in k}),
        r"w2\.lora.up",
        _Z,
    ),
    Brought("zimage blocks", of(zimage_peft, ":down=0.5"), "strength.*down", _Z),
    Brought("zimage text strength", of(zimage_peft, ":text_encoder=0.5"), "text_encoder", _Z),
    Brought(
        "zimage negative alpha",
        plus(zimage_kohya, lora_unet_layers_0_attention_to_q__alpha=torch.tensor(-1.0)),
        r"layers_0_attention_to_q\.alpha.*-1",
        _Z,
    ),
    Brought(
        "zimage lost alpha",
        plus(zimage_peft, transformer__layers__7__attention__to_q__alpha=torch.tensor(1.0)),
        r"layers\.7",
        _Z,
    ),
    Brought(
        "flux last layer",
        of(lambda shapes: flux_kohya(shapes) | spelled("lora_unet_img_in", (32, 64), 1.0)),
        _NOWHERE + "lora_unet_img_in",
        _F,
    ),
    Brought(
        "flux second text",
        of(lambda shapes: flux_kohya(shapes, text="lora_te2_")),
        "lora_te2_",
        _F,
    ),
    Brought(
        "flux two spellings",
        of(lambda shapes: flux_kohya(shapes) | joint_peft(shapes)),
        _NOWHERE + "lora_(unet|te1)_",
        _F,
    ),
    Brought(
        "flux two modules in one",
        of(
            lambda shapes: (
                flux_mixture(shapes)
                | spelled("lora_transformer_transformer_blocks_0_ff_net_2", (32, 128), 1.0)
            )
        ),
        "transformer_blocks.0",
        _F,
    ),
    Brought("flux control", of(wide_input), "x_embedder", _F),
    Brought(
        "flux norm",
        plus(joint_peft, **ups("transformer.transformer_blocks.0.attn.norm_q")),
        r"got transformer\.transformer_blocks\.0\.attn\.norm_q, whose weights are no matrices",
        _F,
    ),
    Brought("flux second text strength", of(flux_kohya, ":text_encoder_2=0"), "text_encoder_2", _F),
    Brought(
        "flux unread alpha",
        plus(
            lambda shapes: {
                key.replace("lora_A", "lora_down").replace("lora_B", "lora_up"): value
                for key, value in joint_peft(shapes).items()
            },
            transformer__transformer_blocks__0__attn__to_q__alpha=torch.tensor(1.0),
        ),
        r"transformer_blocks\.0\.attn\.to_q\.alpha",
        _F,
    ),
    Brought("sd3 kohya", of(pair("lora_unet_joint_blocks_0_x_block_attn_proj")), "x_block", _S),
    Brought(
        "sd3 alphas",
        of(lambda shapes: peft(shapes, JOINT, alphas=[2.0])),
        r"got transformer\..*to_q\.alpha",
        _S,
    ),
    Brought(
        "sd3 third text",
        plus(joint_peft, **ups("text_encoder_3.encoder.block.0.layer.0.SelfAttention.q")),
        r"text_encoder_3",
        _S,
    ),
]
