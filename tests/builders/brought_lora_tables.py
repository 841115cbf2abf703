"""Tables of LoRA files: drawn right, or refused with an error that names what is wrong."""

import torch

from brought_files import LFS_POINTER, Brought, normal
from brought_loras import (
    ATTENTION,
    METADATA,
    RANK,
    SGM,
    SGM_XL,
    attention_processors,
    biases,
    both,
    both_texts,
    changed,
    convolutions,
    cut_off,
    dora,
    first_text_layout,
    kohya,
    loha,
    lokr,
    mixed_alphas,
    noted,
    of,
    one_text_layer,
    peft,
    pickled,
    plus,
    raw,
    sgm,
    te2,
    two_files,
    two_spellings,
    with_settings,
)

HALF = torch.float16
RIGHT = (
    Brought("kohya with alpha", of(kohya)),
    Brought("kohya without alpha", of(lambda shapes: kohya(shapes, None))),
    Brought("kohya convolutions with another alpha", of(convolutions)),
    Brought("diffusers keys", of(peft)),
    Brought("header: lora_alpha 16 at rank 4", with_settings(r=RANK, lora_alpha=16)),
    Brought("header: use_rslora", with_settings(r=RANK, lora_alpha=RANK, use_rslora=True)),
    Brought(
        "header: alpha_pattern",
        with_settings(r=RANK, lora_alpha=RANK, alpha_pattern={f"{ATTENTION}.to_q": 12}),
    ),
    Brought("attention processors", of(attention_processors)),
    Brought("text encoder to_q_lora", of(first_text_layout)),
    Brought("original names", of(sgm(SGM))),
    Brought("original names of SDXL", of(sgm(SGM_XL)), model="sdxl"),
    Brought("both text encoders of SDXL", of(both_texts), model="sdxl"),
    Brought("DoRA of peft", of(dora)),
    Brought("DoRA at strength 0.5", of(dora, ":0.5")),
    Brought("half precision", changed("weight", lambda value: value.to(HALF))),
    Brought("bfloat16", changed("weight", lambda value: value.to(torch.bfloat16))),
    Brought("two files, one negative", two_files),
    Brought("block weights", of(kohya, ":down=0.5:up.block_1=-1:text_encoder=0.25")),
    Brought("pickled", pickled),
    Brought("SD2.1", of(peft), model="sd21"),
    Brought("biases of layers that have one", of(lambda shapes: biases(shapes, "to_out.0"))),
)
"""Drawn as the stock pipeline draws them with the same file loaded."""
BY_PEFT = (
    Brought("LoHa", of(loha)),
    Brought("LoHa with a kernel's factors", of(lambda shapes: loha(shapes, kernel=True))),
    Brought("LoKr", of(lokr)),
)
"""Relatives of LoRA that peft takes and diffusers' pipelines do not."""
REFUSED = (
    Brought("alpha not a number", changed("alpha", lambda _: torch.tensor(torch.nan)), "got nan"),
    Brought("alpha infinite", changed("alpha", lambda _: torch.tensor(torch.inf)), "got inf"),
    Brought(
        "alpha zero",
        changed("alpha", torch.zeros_like),
        r"alpha: got 0.0, allowed a finite number other than 0",
    ),
    Brought("alpha of four numbers", changed("alpha", lambda _: torch.ones(4)), "allowed one num"),
    Brought(
        "weights not finite",
        changed("attn1_to_q.lora_up.weight", lambda value: value * torch.nan),
        "not finite in lora_unet_down_blocks_0.*to_q.lora_up.weight",
    ),
    Brought("header alpha zero", with_settings(r=RANK, lora_alpha=0), "unet.lora_alpha: got 0"),
    Brought(
        "header alpha that no tensor holds",
        noted(peft, alpha="8"),
        "header: alpha: got 8 for rank 4, but no tensor holds it",
    ),
    Brought(
        "kohya's header alpha that no tensor holds",
        noted(lambda shapes: kohya(shapes, None), ss_network_alpha="1.0"),
        "header: ss_network_alpha: got 1 for rank 4",
    ),
    Brought(
        "header that names no modules",
        with_settings(targets=None, r=RANK, lora_alpha=RANK),
        "header: lora_adapter_metadata: got nothing as unet.target_modules",
    ),
    Brought("header no JSON", noted(peft, **{METADATA: "{"}), "no JSON mapping"),
    Brought("alphas that diffusers mistakes", of(mixed_alphas), "other scales than the file's"),
    Brought(
        "a LoHa's alpha of no module",
        of(lambda s: loha(s) | {"lora_unet_mid_block_nowhere.alpha": torch.tensor(1.0)}),
        r"lora_unet_mid_block_nowhere\.alpha without factors",
    ),
    Brought("one module in two spellings", of(two_spellings), "each module in one spelling"),
    Brought(
        "an unknown module",
        of(lambda s: peft(s) | {k.replace("attn1", "attn9"): v for k, v in peft(s).items()}),
        r"no place in this checkpoint for unet\.down_blocks\.0\..*attn9",
    ),
    Brought("without the prefix", of(lambda shapes: peft(shapes, "")), "no place in this check"),
    Brought(
        "peft's own prefix",
        of(lambda shapes: peft(shapes, "base_model.model.")),
        "no place in this checkpoint for base_model",
    ),
    Brought(
        "a transformer's LoRA",
        of(lambda shapes: peft(shapes, "transformer.")),
        "no place in this checkpoint for transformer",
    ),
    Brought(
        "SDXL's second text encoder on SD1.5",
        of(lambda shapes: kohya(shapes, 1.0, "lora_te2_") if "text_encoder_2" in shapes else te2()),
        "no place in this checkpoint for lora_te2_",
    ),
    Brought(
        "kohya's dora_scale, which diffusers drops",
        plus(**{f"lora_unet_{ATTENTION.replace('.', '_')}_to_q__dora_scale": normal(32, 1)}),
        "no place in this checkpoint for lora_unet_.*dora_scale",
    ),
    Brought(
        "tucker factor, which diffusers cannot read",
        plus(lora_unet_mid_block_resnets_0_conv1__lora_mid__weight=normal(4, 4, 3, 3)),
        "lora_mid",
    ),
    Brought(
        "differences of norms",
        plus(lora_unet_down_blocks_0_resnets_0_norm1__w_norm=normal(32)),
        "w_norm",
    ),
    Brought("a word in the same file", plus(bundle_emb__mia=normal(2, 64)), "bundle_emb"),
    Brought(
        "half a pair",
        of(
            lambda shapes: (
                {k: v for k, v in peft(shapes).items() if not k.endswith("to_q.lora_B")}
                | {"unet.conv_in.lora_A.weight": normal(4, 4, 3, 3)}
            )
        ),
        "has nothing for unet.conv_in.lora_B",
    ),
    Brought(
        "another width",
        changed("attn1_to_q.lora_down.weight", lambda value: value[:, :-1]),
        "cannot load it: .*size mismatch",
    ),
    Brought(
        "one layer of a text encoder by peft's settings",
        one_text_layer,
        r"has nothing for text_encoder\..*layers\.1\..*q_proj\.lora_A",
    ),
    Brought(
        "biases of layers without", of(biases), r"biases .*unet\.down_.*to_q, .* without a bias"
    ),
    Brought(
        "a strength for a part that stays",
        of(peft, ":text_encoder=0.5"),
        "got one for text_encoder, of which the file changes nothing; allowed: .* its unet",
    ),
    Brought(
        "block weights where layers are in no block",
        of(sgm(SGM), ":up=0.5"),
        "single blocks: .*conv_in.* are in no block, .*; allowed: one number",
    ),
    Brought("DoRA beside another", both(kohya, dora), "allowed: a DoRA alone"),
    Brought("DoRA inside a LoHa", both(dora, loha), "allowed: a DoRA alone"),
    Brought(
        "no LoRA", of(lambda _: {"a.weight": normal(2, 2), "b.weight": normal(2)}), "allowed: a"
    ),
    Brought("git-lfs pointer", raw(LFS_POINTER.encode()), "a git-lfs pointer"),
    Brought("empty file", raw(b""), "is empty"),
    Brought("web page", raw(b"<!DOCTYPE html><html>"), "a web page, so the download failed"),
    Brought("wrong length in the header", raw(b"\xff" * 64), "cut off, damaged, or no safetensors"),
    Brought("cut off", cut_off, "is cut off: it has"),
)
