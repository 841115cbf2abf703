"""Laws of checkpoints: drawn as the stock pipeline draws them, or refused before any work."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from brought_slow import one_in
from diffusers import DiffusionPipeline
from transformers import CLIPTokenizer

from brought_checkpoints import REFUSED, RIGHT, SCHEDULER
from brought_files import Brought, saved
from drawn_twice import distance, drawn_by_stock, drawn_by_us, with_sampler
from lafi.model.architectures.registry import architecture
from lafi.model.checkpoint import CheckpointError, check_checkpoint, read_model_info
from lafi.model.tensor_file import TensorFileError
from lafi_export import single_file
from lafi_export.bare_pipeline import quiet_libraries
from lafi_export.prepared_checkpoint import prepared
from lafi_export.single_file import SingleFile
from original_file import original

PIXELS = 2


def stock_of(given: SingleFile, folder: Path, source: Path) -> Any:
    """diffusers' own pipeline: of the folder, of `stock`, or of the original small checkpoint."""
    source = folder / "stock" if (folder / "stock").exists() else source
    own = given.checkpoint is not None and given.checkpoint.is_dir()
    with quiet_libraries():
        pipeline = DiffusionPipeline.from_pretrained(given.checkpoint if own else source)
    return with_sampler(pipeline)


@pytest.mark.usefixtures("expected")
@pytest.mark.parametrize("brought", one_in(3, RIGHT))
def test_a_checkpoint_draws_what_the_stock_pipeline_draws(
    brought: Brought, small_checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    source = small_checkpoints(brought.model)
    given = brought.build(source, tmp_path)
    theirs = drawn_by_stock(stock_of(given, tmp_path, source))
    with prepared(given, tmp_path) as folder:
        assert distance(drawn_by_us(folder), theirs) <= PIXELS
    assert not list(tmp_path.glob(".*"))


@pytest.mark.usefixtures("expected")
@pytest.mark.parametrize("brought", REFUSED, ids=str)
def test_what_cannot_be_drawn_right_is_refused(
    brought: Brought, small_checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    given = brought.build(small_checkpoints(brought.model), tmp_path)
    errors = (CheckpointError, TensorFileError)
    with (
        pytest.raises(errors, match=brought.error),
        quiet_libraries(),
        prepared(given, tmp_path) as folder,
    ):
        check_checkpoint(folder)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("model", "prediction"), [("sd15", None), ("sd21", "v_prediction"), ("sdxl", None)]
)
def test_the_shipped_configs_draw_what_the_stock_pipeline_draws(
    model: str,
    prediction: str | None,
    small_checkpoints: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = small_checkpoints(model)
    # Everything as it is shipped, but the widths: those of a real model take minutes.
    monkeypatch.setattr(single_file, "architecture", lambda name: architecture(name, "small"))
    path = saved(tmp_path / "model.safetensors", original(source))
    given = SingleFile(path, tokenizer=source / "tokenizer", prediction=prediction)
    theirs = drawn_by_stock(stock_of(given, tmp_path, source))
    with prepared(given, tmp_path) as folder:
        assert distance(drawn_by_us(folder), theirs) <= PIXELS


def test_marks_decide_the_schedule_and_leave_the_rest(
    small_checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    source = small_checkpoints("sdxl")
    tensors = original(source) | {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}
    path = saved(tmp_path / "model.safetensors", tensors)
    with prepared(SingleFile(path, config=source), tmp_path) as folder:
        config = json.loads((folder / SCHEDULER).read_text())
    earlier = json.loads((source / SCHEDULER).read_text())
    said = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    assert config == earlier | said
    assert config["timestep_spacing"] == "leading"


def test_the_same_file_has_the_same_facts(
    small_checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    given = RIGHT[0].build(small_checkpoints("sd15"), tmp_path)
    with prepared(given, tmp_path) as first, prepared(given, tmp_path) as second:
        assert read_model_info(first) == read_model_info(second)


def test_a_changed_tokenizer_changes_the_facts(
    small_checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    from brought_checkpoints import copied

    folder = copied(small_checkpoints("sd15"), tmp_path)
    before = read_model_info(folder)
    path = folder / "tokenizer" / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"changed": True}))
    after = read_model_info(folder)
    assert after.weights_sha256 == before.weights_sha256
    changed = dict(after.files_sha256.items() ^ before.files_sha256.items())
    assert changed.keys() == {"tokenizer/tokenizer.json"}


def test_a_tokenizer_without_the_token_of_padding_is_refused(
    small_checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    source = small_checkpoints("sdxl")
    words = {"a</w>": 0, "<|startoftext|>": 1, "<|endoftext|>": 2}
    CLIPTokenizer(vocab=words, merges=[], pad_token="<|endoftext|>").save_pretrained(
        tmp_path / "tokenizer"
    )
    path = saved(tmp_path / "model.safetensors", original(source))
    given = SingleFile(path, config=source, tokenizer=tmp_path / "tokenizer")
    refused = "without the token !, with which tokenizer_2 of sdxl pads"
    with pytest.raises(CheckpointError, match=refused), prepared(given, tmp_path):
        pass
