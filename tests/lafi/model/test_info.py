import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi.model.info import (
    REPOSITORY_FORMAT,
    ModelInfo,
    ModelInfoError,
    check_format,
    load_model_info,
    load_variant_infos,
    variant_folder,
)
from model_infos import model_info


def test_it_survives_a_file(tmp_path: Path, small_model: ModelInfo) -> None:
    full = small_model.model_copy(
        update={"scheduler_config": {"beta_end": 0.02, "trained_betas": None}, "engine": "torch"}
    )
    assert full.save(tmp_path).name == "lafi.json"
    assert load_model_info(tmp_path) == full


def test_the_format_number_stands_first(tmp_path: Path, small_model: ModelInfo) -> None:
    document = json.loads(small_model.save(tmp_path).read_text(encoding="utf-8"))
    assert next(iter(document.items())) == ("format", REPOSITORY_FORMAT)
    check_format(tmp_path)


@given(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False)
    | st.text()
    | st.integers().filter(lambda number: number != REPOSITORY_FORMAT)
)
def test_any_other_format_is_refused_and_told(
    tmp_path_factory: pytest.TempPathFactory, found: object
) -> None:
    folder = tmp_path_factory.getbasetemp()
    path = model_info().save(folder)
    document = json.loads(path.read_text(encoding="utf-8")) | {"format": found}
    path.write_text(json.dumps(document), encoding="utf-8")
    for read in (check_format, load_model_info):
        with pytest.raises(ModelInfoError) as error:
            read(folder)
        told = "none, as earlier versions wrote it" if found is None else repr(found)
        assert f"got {told}, allowed {REPOSITORY_FORMAT}; " in str(error.value)
        assert "lafi export CHECKPOINT --out REPO" in str(error.value)


def test_a_file_without_a_format_is_of_an_earlier_version(
    tmp_path: Path, small_model: ModelInfo
) -> None:
    (tmp_path / "lafi.json").write_text(small_model.model_dump_json(), encoding="utf-8")
    with pytest.raises(ModelInfoError, match="got none, as earlier versions wrote it, allowed"):
        load_model_info(tmp_path)


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelInfoError, match=r"lafi.json: no such file; `lafi export CHECKPOINT "):
        load_model_info(tmp_path)


BROKEN = ("", "[]", "\xff", '{"format": 1, "name": "a"}', '{"format": 1, "nmae": "a"}')


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "lafi.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelInfoError, match=r"lafi\.json: "):
        load_model_info(tmp_path)


@given(data=st.data())
def test_a_damaged_file_is_refused_or_says_the_same(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp()
    written = model_info()
    saved = written.save(folder)
    path = data.draw(st.sampled_from([saved, saved.with_name("lafi.json.sha256")]))
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    try:
        read = load_model_info(folder)
    except ModelInfoError as error:
        assert str(saved) in str(error)
    else:
        assert read == written


def test_a_changed_number_is_refused(tmp_path: Path, small_model: ModelInfo) -> None:
    path = small_model.save(tmp_path)
    document = json.loads(path.read_text(encoding="utf-8"))
    document["scaling_factor"] += 0.5
    path.write_text(json.dumps(document), encoding="utf-8")
    said = r"lafi\.json: got other facts than `lafi export` wrote, by lafi\.json\.sha256"
    with pytest.raises(ModelInfoError, match=said):
        load_model_info(tmp_path)


def test_the_hash_is_as_sha256sum_checks_it(tmp_path: Path, small_model: ModelInfo) -> None:
    small_model.save(tmp_path)
    command = ["sha256sum", "--check", "--strict", "lafi.json.sha256"]
    run = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert run.stdout == "lafi.json: OK\n"


def test_a_file_of_an_earlier_version_has_no_hash(tmp_path: Path, small_model: ModelInfo) -> None:
    path = small_model.save(tmp_path)
    path.with_name("lafi.json.sha256").unlink()
    assert load_model_info(tmp_path) == small_model


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
