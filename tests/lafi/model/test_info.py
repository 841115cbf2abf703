from pathlib import Path

import pytest

from lafi.model.info import (
    ModelInfo,
    ModelInfoError,
    load_model_info,
    load_variant_infos,
    variant_folder,
)


def test_it_survives_a_file(tmp_path: Path, small_model: ModelInfo) -> None:
    full = small_model.model_copy(
        update={"scheduler_config": {"beta_end": 0.02, "trained_betas": None}, "engine": "torch"}
    )
    assert full.save(tmp_path).name == "lafi.json"
    assert load_model_info(tmp_path) == full


def test_an_older_file_has_one_text_encoder(tmp_path: Path, small_model: ModelInfo) -> None:
    newer = {"pooled_width", "zero_empty_negative", "onnx_weights"}
    newer |= {"variant", "shared", "learnt_tokens"}
    text = small_model.model_dump_json(exclude=newer)
    (tmp_path / "lafi.json").write_text(text, encoding="utf-8")
    assert load_model_info(tmp_path) == small_model


def test_an_older_file_calls_learnt_tokens_words(tmp_path: Path, small_model: ModelInfo) -> None:
    text = small_model.model_dump_json(exclude={"learnt_tokens"})
    (tmp_path / "lafi.json").write_text(text[:-1] + ', "words": ["<mia>"]}', encoding="utf-8")
    learnt = load_model_info(tmp_path)
    assert learnt == small_model.model_copy(update={"learnt_tokens": ("<mia>",)})
    learnt.save(tmp_path)
    assert load_model_info(tmp_path) == learnt


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelInfoError, match=r"lafi.json: no such file; `lafi export CHECKPOINT "):
        load_model_info(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", '{"name": "a"}', '{"nmae": "a"}'])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "lafi.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelInfoError, match=r"lafi\.json: "):
        load_model_info(tmp_path)


def test_variants_are_found_by_name(tmp_path: Path, small_model: ModelInfo) -> None:
    assert load_variant_infos(tmp_path) == ()
    infos = [small_model.model_copy(update={"variant": name}) for name in ("ink", "oil")]
    for info in reversed(infos):
        folder = variant_folder(tmp_path, info.variant)
        folder.mkdir(parents=True)
        info.save(folder)
    assert load_variant_infos(tmp_path) == tuple(infos)


def test_a_variant_in_another_folder_is_refused(tmp_path: Path, small_model: ModelInfo) -> None:
    folder = variant_folder(tmp_path, "oil")
    folder.mkdir(parents=True)
    with pytest.raises(ModelInfoError, match=r"oil/lafi\.json: no such file"):
        load_variant_infos(tmp_path)
    small_model.model_copy(update={"variant": "ink"}).save(folder)
    with pytest.raises(ModelInfoError, match="variant: got 'ink', allowed 'oil', as its folder"):
        load_variant_infos(tmp_path)
