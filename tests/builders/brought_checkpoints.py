"""Checkpoints after public bug reports: files, parts, settings beside the tensors, damage."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from brought_files import LFS_POINTER, Brought, saved
from lafi_export.single_file import SingleFile
from original_file import original, part, unet, vae

SCHEDULER, UNET, VAE = "scheduler/scheduler_config.json", "unet/config.json", "vae/config.json"
INDEX = "model_index.json"
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
GONE = object()
_TEXT = "cond_stage_model.transformer.text_model.encoder."
Build = Callable[[Path, Path], SingleFile]
"""(small checkpoint, an empty folder) -> what is exported."""


def copied(source: Path, folder: Path) -> Path:
    """The checkpoint, to be changed."""
    return Path(shutil.copytree(source, folder / "copy"))


def edited(file: str, **fields: object) -> Build:
    """A folder whose config has these fields, or lacks those that are GONE."""

    def build(source: Path, folder: Path) -> SingleFile:
        path = copied(source, folder) / file
        content = json.loads(path.read_text()) | fields
        kept = {name: value for name, value in content.items() if value is not GONE}
        path.write_text(json.dumps(kept))
        return SingleFile(folder / "copy")

    return build


def whole(kind: str = ".safetensors", **given: Any) -> Build:
    """One file in original names."""

    def build(source: Path, folder: Path) -> SingleFile:
        path, tensors = folder / f"model{kind}", original(source)
        if kind == ".safetensors":
            saved(path, tensors)
        else:
            torch.save({"state_dict": tensors, "global_step": 7}, path)
        return SingleFile(path, config=source, **given)

    return build


def halved(source: Path, folder: Path) -> SingleFile:
    """One file in half precision."""
    tensors = {name: value.half() for name, value in original(source).items()}
    return SingleFile(saved(folder / "model.safetensors", tensors), config=source)


def apart(source: Path, folder: Path) -> SingleFile:
    """Each part in its own file, as workflows keep them."""
    return SingleFile(
        None,
        {
            "unet": saved(folder / "unet.safetensors", unet(part(source, "unet"))),
            "vae": saved(folder / "vae.safetensors", vae(part(source, "vae"))),
            "text_encoder": saved(folder / "clip_l.safetensors", part(source, "text_encoder")),
        },
        config=source,
    )


def other_vae(source: Path, folder: Path) -> SingleFile:
    """One file, and another VAE beside it."""
    tensors = original(source)
    broken = {k: torch.zeros_like(v) if "first_stage" in k else v for k, v in tensors.items()}
    return SingleFile(
        saved(folder / "model.safetensors", broken),
        {"vae": saved(folder / "vae.safetensors", vae(part(source, "vae")))},
        config=source,
    )


def pickled(source: Path, folder: Path) -> SingleFile:
    """A folder with .bin weights alone."""
    for file in sorted(copied(source, folder).glob("*/*.safetensors")):
        name = "pytorch_model" if "text" in file.parent.name else "diffusion_pytorch_model"
        torch.save(load_file(file), file.with_name(f"{name}.bin"))
        file.unlink()
    return SingleFile(folder / "copy")


def without(pattern: str) -> Build:
    """One file without the tensors whose names have this in them."""

    def build(source: Path, folder: Path) -> SingleFile:
        kept = {name: value for name, value in original(source).items() if pattern not in name}
        return SingleFile(saved(folder / "model.safetensors", kept), config=source)

    return build


def plus(name: str, *shape: int, **given: Any) -> Build:
    """One file with one more tensor, or another one of that name."""

    def build(source: Path, folder: Path) -> SingleFile:
        tensors = original(source) | {name: torch.zeros(shape)}
        return SingleFile(saved(folder / "model.safetensors", tensors), config=source, **given)

    return build


def with_unread(source: Path, folder: Path) -> SingleFile:
    """One file with tensors that no text encoder reads, and with those of its training."""
    begin = "cond_stage_model.transformer.text_model.embeddings."
    unread = {
        f"{begin}position_ids": torch.arange(77)[None],
        "cond_stage_model.logit_scale": torch.ones(()),
        "model_ema.decay": torch.ones(()),
        "alphas_cumprod": torch.ones(1000),
    }
    path = saved(folder / "model.safetensors", original(source) | unread)
    return SingleFile(path, config=source)


def old_names(source: Path, folder: Path) -> SingleFile:
    """One file whose text encoder has the names of transformers before 4.0."""
    tensors = {name.replace(".text_model.", "."): v for name, v in original(source).items()}
    return SingleFile(saved(folder / "model.safetensors", tensors), config=source)


def trained_vae(source: Path, folder: Path) -> SingleFile:
    """One file, and a VAE's training checkpoint beside it, with its loss and its average."""
    given = other_vae(source, folder)
    tensors = load_file(given.parts["vae"])
    more = {"loss.logvar": torch.ones(1), "model_ema.decay": torch.ones(1)}
    torch.save({"state_dict": tensors | more}, folder / "vae.ckpt")
    return SingleFile(given.checkpoint, {"vae": folder / "vae.ckpt"}, config=source)


def marked(source: Path, folder: Path) -> SingleFile:
    """One file with the marks of v-prediction and of a last level without signal.

    `stock` is the folder that diffusers draws, `config` lacks what the marks say.
    """
    spacing = {"timestep_spacing": "trailing"}
    said = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    for name, fields in (("config", spacing), ("stock", spacing | said)):
        shutil.copytree(source, folder / name)
        path = folder / name / SCHEDULER
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    tensors = original(source) | {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}
    return SingleFile(saved(folder / "model.safetensors", tensors), config=folder / "config")


def noted(source: Path, folder: Path) -> SingleFile:
    """One file whose header alone says v-prediction."""
    notes = {"modelspec.prediction_type": "v"}
    path = saved(folder / "model.safetensors", original(source), notes)
    return SingleFile(path, config=source)


def alone(name: str) -> Build:
    """One file with one tensor."""

    def build(source: Path, folder: Path) -> SingleFile:
        return SingleFile(saved(folder / "model.safetensors", {name: torch.zeros(4, 4)}))

    return build


def damaged(file: str, content: bytes | None) -> Build:
    """A folder in which a file has other bytes, or is not there."""

    def build(source: Path, folder: Path) -> SingleFile:
        path = copied(source, folder) / file
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        return SingleFile(folder / "copy")

    return build


def cut_off(source: Path, folder: Path) -> SingleFile:
    """The first half of the denoiser's file."""
    path = copied(source, folder) / WEIGHTS
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return SingleFile(folder / "copy")


def whole_numbers(source: Path, folder: Path) -> SingleFile:
    """One file whose denoiser is quantized, without what it is multiplied by."""
    tensors = {
        name: value.to(torch.int8) if name.startswith("model.") else value
        for name, value in original(source).items()
    }
    return SingleFile(saved(folder / "model.safetensors", tensors), config=source)


def two_vaes(source: Path, folder: Path) -> SingleFile:
    """One file with its VAE, and another one by the other spelling of whole files."""
    tensors = original(source)
    begin, other = "first_stage_model.", "vae."
    own = {name: value for name, value in tensors.items() if name.startswith(begin)}
    tensors |= {other + name.removeprefix(begin): 2 * value for name, value in own.items()}
    return SingleFile(saved(folder / "model.safetensors", tensors), config=source)


def second_text(source: Path, folder: Path) -> SingleFile:
    """SD1.5 in one file, and a second text encoder beside it."""
    path = saved(folder / "model.safetensors", original(source))
    second = saved(folder / "second.safetensors", part(source, "text_encoder"))
    return SingleFile(path, {"text_encoder_2": second}, config=source)


class Code:
    """A class that a pickle would have to run."""


def with_code(source: Path, folder: Path) -> SingleFile:
    """A training checkpoint with an object of the trainer's in it."""
    torch.save({"state_dict": {"a": torch.ones(1)}, "callbacks": Code()}, folder / "model.ckpt")
    return SingleFile(folder / "model.ckpt")


RIGHT = (
    Brought("one file", whole()),
    Brought("one file of SD2.1", whole(prediction="v_prediction"), model="sd21"),
    Brought("one file of SDXL", whole(), model="sdxl"),
    Brought("one .ckpt", whole(".ckpt")),
    Brought("one file, half precision", halved),
    Brought("parts apart", apart),
    Brought("v_pred and ztsnr", marked, model="sdxl"),
    Brought("another VAE", other_vae),
    Brought("a VAE with its loss", trained_vae),
    Brought("old names of the text encoder", old_names),
    Brought("tensors that nothing reads", with_unread),
    Brought(".bin weights", pickled),
    Brought("no scaling_factor", edited(VAE, scaling_factor=GONE)),
    Brought("shift_factor null", edited(VAE, shift_factor=None)),
    Brought("latent statistics null", edited(VAE, latents_mean=None, latents_std=None)),
    Brought(
        "force_zeros_for_empty_prompt off",
        edited(INDEX, force_zeros_for_empty_prompt=False),
        model="sdxl",
    ),
    Brought(
        "zero SNR with v-prediction",
        edited(SCHEDULER, rescale_betas_zero_snr=True, timestep_spacing="trailing"),
        model="sd21",
    ),
    Brought(
        "another sampler in the config", edited(SCHEDULER, _class_name="UniPCMultistepScheduler")
    ),
)
"""Drawn as the stock pipeline draws them."""
REFUSED = (
    Brought(
        "EDM", edited(SCHEDULER, _class_name="EDMEulerScheduler"), "scheduler._class_name: got"
    ),
    Brought(
        "flow matching",
        edited(SCHEDULER, _class_name="FlowMatchEulerDiscreteScheduler"),
        "scheduler._class_name: got 'FlowMatch",
    ),
    Brought("betas", edited(SCHEDULER, beta_schedule="bogus"), "beta_schedule: got 'bogus'"),
    Brought(
        "zero SNR with epsilon",
        edited(SCHEDULER, rescale_betas_zero_snr=True),
        "rescale_betas_zero_snr: got True",
    ),
    Brought("predicts the picture", edited(SCHEDULER, prediction_type="sample"), "prediction_type"),
    Brought("latents_mean", edited(VAE, latents_mean=[1.0] * 4), "vae.latents_mean: got"),
    Brought("latents_std", edited(VAE, latents_std=[1.0] * 4), "vae.latents_std: got"),
    Brought("shift_factor", edited(VAE, shift_factor=0.1), "vae.shift_factor: got 0.1"),
    Brought(
        "scaling_factor null", edited(VAE, scaling_factor=None), "vae.scaling_factor: got None"
    ),
    Brought("scaling_factor 0", edited(VAE, scaling_factor=0), "vae.scaling_factor: got 0"),
    Brought(
        "guidance as an input", edited(UNET, time_cond_proj_dim=64), "time_cond_proj_dim: got 64"
    ),
    Brought("boxes", edited(UNET, attention_type="gated"), "attention_type: got 'gated'"),
    Brought(
        "SDXL's refiner",
        edited(INDEX, requires_aesthetics_score=True),
        "requires_aesthetics_score: got True",
        model="sdxl",
    ),
    Brought(
        "inpainting", edited(INDEX, _class_name="StableDiffusionInpaintPipeline"), "_class_name"
    ),
    Brought("git-lfs pointer", damaged(WEIGHTS, LFS_POINTER.encode()), f"{WEIGHTS}: is a git-lfs"),
    Brought("empty weights", damaged(WEIGHTS, b""), f"{WEIGHTS}: is empty"),
    Brought("wrong length", damaged(WEIGHTS, b"\xff" * 99), f"{WEIGHTS}: its header should have"),
    Brought(
        "no JSON in the header", damaged(WEIGHTS, b"\x02" + b"\0" * 7 + b"{]"), "header cannot"
    ),
    Brought("cut off", cut_off, f"{WEIGHTS}: is cut off"),
    Brought(
        "no tokenizer", damaged("tokenizer/tokenizer.json", None), "has neither tokenizer.json"
    ),
    Brought(
        "damaged tokenizer", damaged("tokenizer/tokenizer.json", b"{"), "tokenizer.json: is dam"
    ),
    Brought("damaged config", damaged(UNET, b"{"), "unet/config.json"),
    Brought("a list as config", damaged(UNET, b"[]"), "allowed a JSON mapping"),
    Brought("empty config", damaged(VAE, b"{}"), "configs are incomplete"),
    Brought("one file without a VAE", without("first_stage_model"), "has no weights of vae"),
    Brought(
        "one file, not whole", without("middle_block.1.proj_in"), "got 684 tensors, allowed 686"
    ),
    Brought(
        "one file, other denoiser", plus("model.diffusion_model.extra.weight", 2), "got 687 tensors"
    ),
    Brought(
        "one file, 9 channels",
        plus("model.diffusion_model.input_blocks.0.0.weight", 32, 9, 3, 3),
        "a denoiser with 9 input channels",
    ),
    Brought("Playground 2.5", plus("edm_mean", 4), "Playground 2.5, which is trained with EDM"),
    Brought("CosXL", plus("edm_vpred.sigma_max"), "CosXL .* EDM noise", model="sdxl"),
    Brought("ztsnr alone", plus("ztsnr", 0), "ztsnr: got .* with epsilon; allowed", model="sdxl"),
    Brought(
        "v_pred, and epsilon asked for",
        plus("v_pred", 0, prediction="epsilon"),
        "--prediction: got 'epsilon' for .*, whose tensor v_pred says v_prediction",
        model="sdxl",
    ),
    Brought("v-prediction in the header alone", noted, "its header says v-prediction"),
    Brought(
        "a text encoder with scales",
        plus(f"{_TEXT}layers.0.self_attn.q_proj.scale_weight"),
        r"few bits with scales beside them, .*q_proj\.scale_weight",
    ),
    Brought(
        "scaled fp8",
        plus("cond_stage_model.transformer.scaled_fp8", 0),
        r"few bits .*transformer\.scaled_fp8",
    ),
    Brought(
        "a layer too many",
        plus(f"{_TEXT}layers.99.self_attn.q_proj.weight", 64, 64),
        r"text_encoder: got .*layers\.99\.self_attn\.q_proj\.weight, .* no place",
    ),
    Brought(
        "a layer too many in OpenCLIP",
        plus("conditioner.embedders.1.model.transformer.resblocks.99.ln_1.weight", 64),
        r"text_encoder_2: got .*resblocks\.99\.ln_1\.weight, .* no place",
        model="sdxl",
    ),
    Brought("a control network", alone("control_model.zero_convs.0.0.weight"), "a control network"),
    Brought("an adapter", alone("ip_adapter.1.to_k_ip.weight"), "got an IP-Adapter"),
    Brought("unCLIP", plus("embedder.model.visual.proj", 2), "unCLIP", model="sd21"),
    Brought("SD2.1 without a prediction", whole(), "do not tell what it predicts", model="sd21"),
    Brought("whole numbers", whole_numbers, r"unet: got whole numbers in .*; allowed: weights as"),
    Brought("two VAEs", two_vaes, r"got two VAEs, .* begin with first_stage_model\. and vae\.;"),
    Brought(
        "a text encoder too many",
        second_text,
        r"--text-encoder-2: got .*second\.safetensors for sd15, which has no such part",
    ),
    Brought("a .ckpt with code", with_code, "cannot be read without its own code.*python -c"),
    Brought(
        "no file", lambda source, folder: SingleFile(folder / "no.safetensors"), "no such file"
    ),
    Brought("nothing", lambda source, folder: SingleFile(None), "CHECKPOINT: got none"),
)
