"""What the exported files look like, and that torch's odd corners are handled."""

from pathlib import Path

import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file

from lafi.model.artifacts import FILES
from lafi.model.bank_groups import BANK_MASK, bank_groups, bank_tensor_names
from lafi.model.checkpoint import CheckpointError, read_model_info
from lafi.model.info import load_model_info
from lafi_export.modules import load_modules
from lafi_kernels import onnx_function


@pytest.fixture(scope="module")
def denoiser(repository: Path) -> onnx.ModelProto:
    return onnx.load(repository / "artifacts" / "denoiser.onnx")


def test_every_self_attention_layer_is_one_node(
    repository: Path, denoiser: onnx.ModelProto
) -> None:
    nodes = [node for node in denoiser.graph.node if node.domain == onnx_function.DOMAIN]
    layers = load_model_info(repository / "artifacts").layers
    assert [node.attribute[0].i for node in nodes] == [layer.heads for layer in layers]
    assert {node.op_type for node in nodes} == {onnx_function.OP_NAME}
    assert [function.name for function in denoiser.functions] == [onnx_function.OP_NAME]


def sides(value: onnx.ValueInfoProto) -> list[str | int]:
    """Free axes by name, others by size."""
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def test_inputs_are_those_of_a_denoiser_batch(repository: Path, denoiser: onnx.ModelProto) -> None:
    names = ["latents", "timesteps", "text", "routes", "bias", "mask", "region", "words"]
    names.append("text_mask")
    groups = bank_groups(load_model_info(repository / "artifacts").layers)
    bank = list(bank_tensor_names(groups))
    assert [value.name for value in denoiser.graph.input] == [*names, BANK_MASK, *bank]
    for group in groups:
        keys, values = (
            next(sides(value) for value in denoiser.graph.input if value.name == name)
            for name in (group.keys, group.values)
        )
        assert keys == values
        assert (keys[0], keys[3]) == (len(group.layers), group.width)
        assert all(isinstance(side, str) for side in keys[1:3])
    assert [value.name for value in denoiser.graph.output] == ["noise_pred"]
    batch = denoiser.graph.input[0].type.tensor_type.shape.dim[0]
    assert batch.dim_param
    assert not batch.dim_value


def test_the_reference_graph_gives_the_bank_and_nothing_else(
    repository: Path, denoiser: onnx.ModelProto
) -> None:
    reference = onnx.load(repository / "artifacts" / "reference.onnx").graph
    groups = bank_groups(load_model_info(repository / "artifacts").layers)
    assert [value.name for value in reference.input] == [
        "latents",
        "timesteps",
        "text",
        "text_mask",
    ]
    assert [value.name for value in reference.output] == list(bank_tensor_names(groups))
    # It needs no attention of ours, and ends before what nothing reads.
    assert not [node for node in reference.node if node.domain == onnx_function.DOMAIN]
    weights = {tensor.name for tensor in reference.initializer}
    assert "unet.conv_in.weight" in weights
    assert "unet.conv_out.weight" not in weights
    assert "unet.conv_out.weight" in {tensor.name for tensor in denoiser.graph.initializer}


def test_every_linear_weight_keeps_its_name(checkpoint: Path, denoiser: onnx.ModelProto) -> None:
    stored = load_file(checkpoint / "unet" / "diffusion_pytorch_model.safetensors")
    exported = {tensor.name for tensor in denoiser.graph.initializer}
    attention = {f"unet.{name}" for name in stored if ".attn" in name and name.endswith("weight")}
    assert attention
    assert attention <= exported


@pytest.mark.parametrize("name", FILES)
def test_files_are_valid_and_hold_no_notes_of_the_machine(repository: Path, name: str) -> None:
    path = repository / "artifacts" / name
    onnx.checker.check_model(onnx.load(path), full_check=True)
    content = path.read_bytes()
    assert b"site-packages" not in content
    assert b"stack_trace" not in content


def test_half_precision_weights_are_read_as_fp32(checkpoint: Path, tmp_path: Path) -> None:
    for part in checkpoint.rglob("*"):
        copy = tmp_path / part.relative_to(checkpoint)
        if part.is_dir():
            copy.mkdir()
        elif part.suffix == ".safetensors":
            half = {name: x.half() for name, x in load_file(part).items()}
            save_file(half, copy, metadata={"format": "pt"})
        else:
            copy.write_bytes(part.read_bytes())
    modules = load_modules(tmp_path, read_model_info(tmp_path), tmp_path / "weights")
    for module in (modules.text_encoder, modules.vae_encoder, modules.denoiser):
        assert {x.dtype for x in module.parameters()} == {torch.float32}


@pytest.mark.parametrize("part", ["text_encoder", "vae", "unet"])
def test_a_part_without_weights_is_named(checkpoint: Path, tmp_path: Path, part: str) -> None:
    for name in ("text_encoder", "vae", "unet"):
        if name != part:
            (tmp_path / name).symlink_to(checkpoint / name)
    with pytest.raises(CheckpointError, match=rf": {part} has no \*.safetensors weights"):
        load_modules(tmp_path, read_model_info(checkpoint), tmp_path / "weights")
