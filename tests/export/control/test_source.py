"""A control network in one file becomes the folder that it would be."""

from pathlib import Path

import pytest
import torch
from diffusers import ControlNetModel
from safetensors.torch import load_file, save_file

from lafi.model.checkpoint import CheckpointError
from lafi_export.control.option import ControlOptionError, parse_controls
from lafi_export.control.source import prepared_controls


def test_a_folder_is_used_where_it_lies(checkpoint: Path, pose: Path, tmp_path: Path) -> None:
    with prepared_controls({"pose": pose}, checkpoint, tmp_path) as folders:
        assert folders == {"pose": pose}
        assert not [*tmp_path.iterdir()]


def test_a_file_with_diffusers_names_is_the_same_network(
    checkpoint: Path, pose: Path, tmp_path: Path
) -> None:
    (file,) = pose.glob("*.safetensors")
    with prepared_controls({"pose": file}, checkpoint, tmp_path) as folders:
        made = ControlNetModel.from_pretrained(folders["pose"])
        expected = ControlNetModel.from_pretrained(pose)
        rows = torch.randn(2, 4, 8, 8), torch.tensor([7.0, 400.0]), torch.randn(2, 48, 64)
        picture = torch.rand(2, 3, 32, 32)
        with torch.no_grad():
            pairs = [each(*rows, picture, return_dict=False) for each in (made, expected)]
        torch.testing.assert_close(pairs[0], pairs[1], atol=0, rtol=0)
    assert not [*tmp_path.iterdir()]


def test_what_is_no_control_network_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    (unet,) = (checkpoint / "unet").glob("*.safetensors")
    with (
        pytest.raises(CheckpointError, match=r"control x: .*got no control network"),
        prepared_controls({"x": unet}, checkpoint, tmp_path),
    ):
        pass
    assert not [*tmp_path.iterdir()]


def test_a_file_without_its_first_layer_is_refused(
    checkpoint: Path, pose: Path, tmp_path: Path
) -> None:
    (file,) = pose.glob("*.safetensors")
    tensors = load_file(file)
    del tensors["controlnet_cond_embedding.conv_in.weight"]
    save_file(tensors, tmp_path / "less.safetensors")
    with (
        pytest.raises(CheckpointError, match=r"control x: .*has no tensor 'controlnet_cond_emb"),
        prepared_controls({"x": tmp_path / "less.safetensors"}, checkpoint, tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["pose"], "got 'pose', allowed NAME=FOLDER or NAME=FILE"),
        (["pose="], "got 'pose=', allowed NAME=FOLDER or NAME=FILE"),
        (["Pose=."], "allowed a lower-case name"),
        (["pose=.", "pose=."], "allowed each name once; pose is there already"),
        (["pose=nowhere"], "allowed a folder or a file that is there; nowhere is not"),
    ],
)
def test_a_wrong_option_is_named(options: list[str], said: str) -> None:
    with pytest.raises(ControlOptionError, match="--control: ") as refused:
        parse_controls(options)
    assert said in str(refused.value)


def test_options_in_their_order(tmp_path: Path) -> None:
    given = [f"{name}={tmp_path}" for name in ("pose", "edges")]
    assert parse_controls(given) == {"pose": tmp_path, "edges": tmp_path}
