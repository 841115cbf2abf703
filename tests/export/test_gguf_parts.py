"""Parts from GGUF files: their values are what diffusers' and transformers' loaders give."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import GGUFQuantizationConfig, SD3Transformer2DModel, ZImageTransformer2DModel
from diffusers.quantizers.gguf.utils import dequantize_gguf_tensor
from gguf import GGMLQuantizationType
from torch import Tensor
from transformers import Qwen3Config, Qwen3Model, T5Config, T5EncoderModel
from typer.testing import CliRunner

from lafi.app.cli import app
from lafi.model.checkpoint import CheckpointError, check_checkpoint
from lafi_export.gguf_parts import weights_from_gguf
from lafi_export.prepared_checkpoint import prepared
from lafi_export.random_checkpoint import random_checkpoint
from lafi_export.single_file import Part, SingleFile
from tests.builders.gguf_files import stored, text_names, write_gguf, zimage_names

KINDS = [GGMLQuantizationType[name] for name in ("F32", "F16", "BF16", "Q8_0", "Q5_1", "Q4_0")]


@pytest.fixture(scope="module")
def zimage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _checkpoint("zimage", tmp_path_factory)


@pytest.fixture(scope="module")
def sd3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _checkpoint("sd3", tmp_path_factory)


def _checkpoint(name: Any, made: pytest.TempPathFactory) -> Path:
    folder = made.mktemp(name) / name
    random_checkpoint(name, folder, size="small")
    return folder


def _written(folder: Path, part: str, file: Path, out: Path) -> dict[str, Tensor]:
    weights_from_gguf(folder, {part: file}, out)
    return stored(out, part)


def _same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return found.keys() == expected.keys() and all(
        torch.equal(found[name], value) for name, value in expected.items()
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_transformer_has_the_values_of_diffusers(
    zimage: Path, tmp_path: Path, kind: GGMLQuantizationType
) -> None:
    tensors = stored(zimage, "transformer")
    file = write_gguf(tmp_path / "z.gguf", zimage_names(tensors), "lumina2", kind)
    read: Any = ZImageTransformer2DModel.from_single_file(
        str(file),
        config=str(zimage),
        subfolder="transformer",
        quantization_config=GGUFQuantizationConfig(compute_dtype=torch.float32),
        torch_dtype=torch.float32,
    )
    expected = {n: dequantize_gguf_tensor(v).float() for n, v in read.state_dict().items()}
    found = _written(zimage, "transformer", file, tmp_path / "out")
    assert _same(found, expected)
    if kind is GGMLQuantizationType.F32:
        assert _same(found, tensors)


@pytest.mark.parametrize("kind", KINDS)
def test_a_transformer_in_the_names_of_diffusers(
    sd3: Path, tmp_path: Path, kind: GGMLQuantizationType
) -> None:
    file = write_gguf(tmp_path / "s.gguf", stored(sd3, "transformer"), "sd3", kind)
    read: Any = SD3Transformer2DModel.from_single_file(
        str(file),
        config=str(sd3),
        subfolder="transformer",
        quantization_config=GGUFQuantizationConfig(compute_dtype=torch.float32),
        torch_dtype=torch.float32,
    )
    expected = {n: dequantize_gguf_tensor(v).float() for n, v in read.state_dict().items()}
    assert _same(_written(sd3, "transformer", file, tmp_path / "out"), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_text_encoders_have_the_values_of_transformers(
    zimage: Path, sd3: Path, tmp_path: Path, kind: GGMLQuantizationType
) -> None:
    for folder, part, architecture, model, config in (
        (zimage, "text_encoder", "qwen3", Qwen3Model, Qwen3Config),
        (sd3, "text_encoder_3", "t5encoder", T5EncoderModel, T5Config),
    ):
        tensors = stored(folder, part)
        names = text_names(tensors, architecture)
        file = write_gguf(tmp_path / f"{part}.gguf", names, architecture, kind)
        whole: Any = config.from_pretrained(folder / part)
        read: Any = model.from_pretrained(
            tmp_path, gguf_file=file.name, config=whole, dtype=torch.float32
        )
        expected = {name: value for name, value in read.state_dict().items() if name in tensors}
        found = _written(folder, part, file, tmp_path / "out")
        assert _same(found, expected)
        if kind is GGMLQuantizationType.F32:
            assert _same(found, tensors)


def test_a_folder_of_configs_and_gguf_files_is_the_checkpoint(zimage: Path, tmp_path: Path) -> None:
    with _from_gguf(zimage, tmp_path) as (_, folder):
        check_checkpoint(folder)
        for part in ("transformer", "text_encoder", "vae"):
            assert _same(stored(folder, part), stored(zimage, part))
        assert folder.name == "configs"
    assert not list(tmp_path.glob(".checkpoint.*"))


@contextmanager
def _from_gguf(zimage: Path, work: Path) -> Iterator[tuple[Path, Path]]:
    """Configs, tokenizers and a VAE, with two parts as GGUF files; the folder made of them."""
    configs = work / "configs"
    shutil.copytree(zimage, configs)
    for part in ("transformer", "text_encoder"):
        next((configs / part).glob("*.safetensors")).unlink()
    parts: dict[Part, Path] = {
        "transformer": write_gguf(
            work / "z.gguf", zimage_names(stored(zimage, "transformer")), "lumina2"
        ),
        "text_encoder": write_gguf(
            work / "q.gguf", text_names(stored(zimage, "text_encoder"), "qwen3"), "qwen3"
        ),
    }
    with prepared(SingleFile(configs, parts), work) as folder:
        yield configs, folder


def test_what_is_missing_unknown_or_of_another_shape_is_named(zimage: Path, tmp_path: Path) -> None:
    tensors = text_names(stored(zimage, "text_encoder"), "qwen3")
    tensors.pop("blk.0.attn_q.weight")
    tensors["blk.1.ffn_up.weight"] = torch.zeros(5, 64)
    tensors["extra.weight"] = torch.zeros(4)
    tensors["output.weight"] = torch.zeros(4)
    file = write_gguf(tmp_path / "q.gguf", tensors, "qwen3")
    with pytest.raises(CheckpointError) as caught:
        weights_from_gguf(zimage, {"text_encoder": file}, tmp_path / "out")
    text = str(caught.value)
    assert text.startswith(f"--text-encoder: {file}: does not fit its config: ")
    assert "has no layers.0.self_attn.q_proj.weight; has extra.weight, which" in text
    assert "layers.1.mlp.up_proj.weight: got shape [5, 64], allowed [243, 64]" in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("lost", ["layers.1.attention.qkv.weight", "cap_embedder.1.weight"])
def test_a_transformer_without_a_tensor(zimage: Path, tmp_path: Path, lost: str) -> None:
    tensors = zimage_names(stored(zimage, "transformer"))
    tensors.pop(lost)
    tensors["extra.weight"] = torch.zeros(4)
    file = write_gguf(tmp_path / "z.gguf", tensors, "lumina2")
    with pytest.raises(CheckpointError, match=r"--transformer: .*has no .*; has extra.weight,"):
        weights_from_gguf(zimage, {"transformer": file}, tmp_path / "out")


def test_what_no_shape_tells_is_compared(zimage: Path, tmp_path: Path) -> None:
    names = text_names(stored(zimage, "text_encoder"), "qwen3")
    facts = {"rope.freq_base": 1e6, "attention.layer_norm_rms_epsilon": 1e-6}
    file = write_gguf(tmp_path / "a.gguf", names, "qwen3", facts=facts)
    weights_from_gguf(zimage, {"text_encoder": file}, tmp_path / "out")
    wrong = write_gguf(tmp_path / "b.gguf", names, "qwen3", facts=facts | {"rope.freq_base": 5e6})
    with pytest.raises(CheckpointError, match=r"rope_theta: got 5000000.0, allowed 1000000"):
        weights_from_gguf(zimage, {"text_encoder": wrong}, tmp_path / "out")


def test_a_file_of_another_kind_is_refused(zimage: Path, sd3: Path, tmp_path: Path) -> None:
    qwen = write_gguf(
        tmp_path / "q.gguf", text_names(stored(zimage, "text_encoder"), "qwen3"), "qwen3"
    )
    other = write_gguf(tmp_path / "s.gguf", stored(sd3, "transformer"), "sd3")
    damaged = tmp_path / "d.gguf"
    damaged.write_bytes(qwen.read_bytes()[:5000])
    for folder, part, file, said in (
        (zimage, "text_encoder", other, r"general.architecture: got 'sd3', allowed qwen3"),
        (sd3, "text_encoder_3", qwen, r"got 'qwen3', allowed t5 or t5encoder"),
        (sd3, "text_encoder", qwen, r"text encoder is clip_text_model; allowed as GGUF: qwen3, t5"),
        (zimage, "transformer", other, r"has no .* more; has .*, which the model has not"),
        (zimage, "text_encoder", damaged, r"is damaged or no GGUF file"),
        (zimage, "text_encoder", tmp_path / "no.gguf", r"no\.gguf"),
        (zimage, "text_encoder_2", qwen, r"allowed: --transformer, --text-encoder$"),
    ):
        with pytest.raises(CheckpointError, match=said):
            weights_from_gguf(folder, {part: file}, tmp_path / "out")


def test_diffusers_reads_no_gguf_of_some(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pixart = _checkpoint("pixart", tmp_path_factory)
    file = write_gguf(tmp_path / "p.gguf", stored(pixart, "transformer"), "pixart")
    with pytest.raises(CheckpointError, match=r"no GGUF file of PixArtTransformer2DModel"):
        weights_from_gguf(pixart, {"transformer": file}, tmp_path / "out")


def test_an_encoder_that_does_not_fit_the_transformer_is_refused(
    zimage: Path, tmp_path: Path
) -> None:
    configs = tmp_path / "configs"
    shutil.copytree(zimage, configs)
    path = configs / "text_encoder" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"hidden_size": 128}))
    with pytest.raises(CheckpointError, match=r"transformer.cap_feat_dim: got 64, allowed 128"):
        weights_from_gguf(configs, {"text_encoder": tmp_path / "q.gguf"}, tmp_path / "out")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--transformer", "z.gguf"), "got z.gguf without a folder"),
        (("FILE", "--text-encoder", "q.gguf"), "got q.gguf without a folder"),
        (("FILE", "--transformer", "z.safetensors"), "got z.safetensors without a folder"),
        (("FOLDER", "--transformer", "z.safetensors"), "a part that is no .gguf file"),
        (("FOLDER", "--text-encoder-3", "no.gguf"), "ZImagePipeline has no text_encoder_3"),
    ],
)
def test_the_command_refuses(
    zimage: Path, tmp_path: Path, given: tuple[str, ...], said: str
) -> None:
    (tmp_path / "one.safetensors").touch()
    places = {"FILE": str(tmp_path / "one.safetensors"), "FOLDER": str(zimage)}
    words = [places.get(word, word) for word in given]
    result = CliRunner().invoke(app, ["export", *words, "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert said in " ".join(result.output.split())
