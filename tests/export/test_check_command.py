"""`lafi check`: what files are, whether they fit, and what would be refused."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from gguf import GGUFWriter
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file, save_file

from brought_files import LFS_POINTER, saved
from lafi_export.check_command import check_command
from model_infos import save_facts


@pytest.fixture
def said() -> Callable[..., tuple[int, str]]:
    def run(*files: Path, repository: Path | None = None) -> tuple[int, str]:
        console = Console(record=True, width=300, file=io.StringIO())
        code = check_command(list(files), repository, console)
        return code, console.export_text()

    return run


def test_every_kind_is_named(
    said: Callable[..., tuple[int, str]], checkpoint: Path, tmp_path: Path
) -> None:
    lora = {"unet.a.lora_A.weight": torch.ones(2, 4), "unet.a.lora_B.weight": torch.ones(4, 2)}
    Image.new("RGB", (40, 32)).save(tmp_path / "a.png")
    (tmp_path / "story.yaml").write_text("panels:\n  - prompt: a child\n")
    code, text = said(
        checkpoint,
        saved(tmp_path / "lora.safetensors", lora),
        saved(tmp_path / "word.safetensors", {"<mia>": torch.ones(2, 64)}),
        tmp_path / "a.png",
        tmp_path / "story.yaml",
    )
    assert code == 0
    for part in (
        "a checkpoint, StableDiffusionPipeline",
        "a LoRA of rank 2",
        "a learnt word <mia> of 2 embeddings",
        "a picture, PNG, 40 x 32 pixels",
        "a storyboard of 1 panels",
    ):
        assert part in text


def test_what_would_be_refused_is_said(
    said: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    (tmp_path / "lfs.safetensors").write_text(LFS_POINTER)
    playground = saved(tmp_path / "pg.safetensors", {"edm_mean": torch.ones(4), "a": torch.ones(1)})
    code, text = said(tmp_path / "lfs.safetensors", playground, tmp_path / "nowhere")
    assert code == 1
    assert "lfs.safetensors: refused: is a git-lfs pointer" in text
    assert "pg.safetensors: refused: got Playground 2.5" in text
    assert "nowhere: refused: no such file" in text


_TEXT = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
_WHOLE = {
    _TEXT: (4, 768),
    "model.diffusion_model.input_blocks.0.0.weight": (4, 4, 3, 3),
    "first_stage_model.decoder.conv_in.weight": (4, 4, 3, 3),
    "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight": (4, 768),
}
_XL = {
    "model.diffusion_model.label_emb.0.0.weight": (4, 4),
    "model.diffusion_model.input_blocks.0.0.weight": (4, 4, 3, 3),
    "first_stage_model.decoder.conv_in.weight": (4, 4, 3, 3),
    "conditioner.embedders.0.transformer.text_model.a": (4,),
    "conditioner.embedders.1.model.positional_embedding": (4, 4),
}
ONE = torch.ones(2)
_FIRST = "model.diffusion_model.input_blocks.0.0.weight"
_IA3 = "lora_te_text_model_encoder_layers_0_mlp_fc2"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (_WHOLE, "a checkpoint in one file, sd15"),
        (
            {name: shape for name, shape in _WHOLE.items() if "first_stage" not in name},
            "a checkpoint in one file, sd15, without vae: needs --vae FILE",
        ),
        (
            {name.replace(".transformer.", ".model."): shape for name, shape in _WHOLE.items()},
            "sd21\n",
        ),
        (
            {name.replace(".transformer.", ".model."): shape for name, shape in _WHOLE.items()},
            "needs --prediction v_prediction (768 px models) or --prediction epsilon",
        ),
        (_WHOLE | {_FIRST: (4, 9, 3, 3)}, "refused: got a denoiser with 9 input channels"),
        (_WHOLE | {_FIRST: (4, 5, 3, 3)}, "refused: got a denoiser with 5 input channels"),
        (_WHOLE | {"cond_stage_model.scaled_fp8": (0,)}, "refused: got weights of few bits"),
        (_WHOLE | {"embedder.model.visual.proj": (2, 2)}, "refused: got an unCLIP model"),
        (_XL | {"edm_vpred.sigma_max": ()}, "refused: got CosXL"),
        (_XL | {"v_pred": (0,), "ztsnr": (0,)}, "a checkpoint in one file, sdxl with v-prediction"),
        (_XL | {"ztsnr": (0,)}, "needs --prediction v_prediction, as its tensor ztsnr"),
        ({_TEXT: (4, 768)}, "a denoiser alone, sd15, for --unet"),
        ({_TEXT.removeprefix("model.diffusion_model."): (4, 1024)}, "a denoiser alone, sd21"),
        ({"decoder.conv_in.weight": (4, 4, 3, 3), "loss.logvar": (1,)}, "a VAE alone, for --vae"),
        ({"decoder.conv_in.weight": (4, 16, 3, 3)}, "refused: got a VAE of 16 latent channels"),
        ({"text_model.embeddings.token_embedding.weight": (4, 768)}, "alone, 768 channels, for --"),
        ({"token_embedding.weight": (4, 1280)}, "1280 channels, for --text-encoder-2"),
        ({"control_model.a.weight": (1,)}, "a control network, for --control NAME=FILE"),
        ({"controlnet_mid_block.weight": (1,)}, "a control network, for --control"),
        ({"adapter.body.0.resnets.0.block1.weight": (4, 4)}, "a T2I-Adapter, for --control"),
        ({"body.0.block1.weight": (4, 4)}, "a T2I-Adapter, for --control NAME=FILE"),
        ({"body.0.body.1.block1.weight": (4, 4)}, "a T2I-Adapter, for --control NAME=FILE"),
        ({"ip_adapter.1.to_k_ip.weight": (4, 4)}, "an IP-Adapter, for --picture-prompts"),
        ({"body.0.weight": (4, 4)}, "refused: got tensors such as body.0.weight: no known kind"),
        ({"<a>": (1, 768), "<b>": (1, 768)}, "refused: got 2 learnt words, <a>, <b>; allowed one"),
        ({f"{_IA3}.weight": (4,), f"{_IA3}.on_input": (1,)}, "refused: got IA3; allowed LoRA"),
    ],
)
def test_what_a_file_of_tensors_is(
    names: dict[str, tuple[int, ...]],
    expected: str,
    said: Callable[..., tuple[int, str]],
    tmp_path: Path,
) -> None:
    tensors = {name: torch.ones(shape) for name, shape in names.items()}
    code, text = said(saved(tmp_path / "file.safetensors", tensors))
    assert expected in text
    assert code == ("refused" in expected)


def test_quantized_weights_would_be_refused(
    said: Callable[..., tuple[int, str]],
    small_checkpoints: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    tensors = {name: torch.ones(shape) for name, shape in _WHOLE.items()}
    tensors[_FIRST] = tensors[_FIRST].to(torch.int8)
    folder = Path(shutil.copytree(small_checkpoints("sd15"), tmp_path / "folder"))
    (weights,) = (folder / "unet").glob("*.safetensors")
    save_file({name: value.to(torch.int8) for name, value in load_file(weights).items()}, weights)
    code, text = said(saved(tmp_path / "file.safetensors", tensors), folder)
    assert code == 1
    assert "refused: unet: got whole numbers in input_blocks.0.0.weight; allowed: weights" in text
    assert "got I8, quantized or no weights; allowed: weights as floating-point numbers" in text


def test_pickled_parts_in_mappings_are_named(
    said: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    torch.save({"image_proj": {"a": ONE}, "ip_adapter": {"b": ONE}}, tmp_path / "ip.bin")
    torch.save({"<a>": torch.ones(768), "<b>": torch.ones(768)}, tmp_path / "two.bin")
    code, text = said(tmp_path / "ip.bin", tmp_path / "two.bin")
    assert code == 1
    assert "ip.bin: an IP-Adapter" in text
    assert "two.bin: refused: got 2 learnt words" in text


def test_gguf_files(said: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "a.gguf", "flux")
    writer.add_tensor("img_in.weight", torch.ones(2, 2).numpy())
    for write in ("write_header_to_file", "write_kv_data_to_file", "write_tensors_to_file"):
        getattr(writer, write)()
    writer.close()
    (tmp_path / "b.gguf").write_bytes(b"GGUF" + bytes(9))
    code, text = said(tmp_path / "a.gguf", tmp_path / "b.gguf")
    assert code == 1
    assert "a.gguf: a GGUF file, general.architecture flux" in text
    assert "b.gguf: refused: is damaged or no GGUF file" in text


def test_a_checkpoint_goes_into_no_repository(
    said: Callable[..., tuple[int, str]], checkpoint: Path, tmp_path: Path
) -> None:
    save_facts(tmp_path / "repository")
    code, text = said(checkpoint, repository=tmp_path / "repository")
    assert code == 0
    assert "goes into no exported repository: `lafi export` makes one of it" in text
