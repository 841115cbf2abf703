"""Engines are built once for each kind of machine, and never used on another."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi.model.engine_metadata import GpuMachine
from lafi_export import node_engines
from lafi_export.node_engines import (
    EngineKey,
    built,
    checkpoint_sha256,
    files_read,
    main,
    put_together,
)
from model_infos import save_facts

H200 = GpuMachine("NVIDIA H200", "9.0", "11.4.0")
MIG = GpuMachine("NVIDIA H200 MIG 1g.18gb", "9.0", "11.4.0")
KEY = EngineKey(H200, "ab" * 32, ("--sides", "256", "512", "1024"), ("lafi 0.1.0",))
TEXT = st.text(st.characters(codec="ascii"), max_size=6)
KEYS = st.builds(
    EngineKey,
    st.none() | st.builds(GpuMachine, TEXT, TEXT, TEXT),
    st.sampled_from(("ab" * 32, "cd" * 32)),
    st.lists(TEXT, max_size=3).map(tuple),
    st.lists(TEXT, max_size=2).map(tuple),
    st.lists(TEXT, max_size=2).map(tuple),
)


@given(KEYS, KEYS)
def test_two_keys_have_one_folder_only_if_they_are_equal(one: EngineKey, other: EngineKey) -> None:
    assert (one.folder == other.folder) == (one == other)
    assert "/" not in one.folder
    assert not one.folder.startswith(".")


def test_a_folder_says_what_it_is_for() -> None:
    assert KEY.folder.startswith("NVIDIA_H200-9.0-11.4.0-abababababab-")
    assert replace(KEY, machine=MIG).folder.startswith("NVIDIA_H200_MIG_1g.18gb-9.0-")
    assert replace(KEY, machine=None).folder.startswith("cpu-abababababab-")


def exported(out: Path) -> int:
    (out / "models" / "storyboard").mkdir(parents=True)
    save_facts(out)
    return 0


def test_what_is_there_is_not_built_again(tmp_path: Path) -> None:
    said: list[str] = []
    first = built(KEY, tmp_path, exported, said.append)
    again = built(KEY, tmp_path, lambda out: pytest.fail("built again"), said.append)
    assert first == again == tmp_path / KEY.folder
    assert [line.partition(":")[0] for line in said] == [
        "building engines",
        "engines are built",
        "engines are there",
    ]


def test_a_failed_or_killed_build_leaves_nothing_that_is_taken_for_whole(tmp_path: Path) -> None:
    def killed(out: Path) -> int:
        exported(out)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        built(KEY, tmp_path, killed, print)
    with pytest.raises(RuntimeError, match="exit code 3"):
        built(KEY, tmp_path, lambda out: 3, print)
    assert not (tmp_path / KEY.folder).exists()
    assert (built(KEY, tmp_path, exported, print) / "models").is_dir()


def test_who_comes_second_waits_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_engines, "_LOOK_SECONDS", 0.01)
    begun, go, said, told = threading.Event(), threading.Event(), threading.Event(), []

    def slow(out: Path) -> int:
        begun.set()
        go.wait(20)
        return exported(out)

    def say(text: str) -> None:
        told.append(text)
        said.set()

    first = threading.Thread(target=built, args=(KEY, tmp_path, slow, str))
    first.start()
    assert begun.wait(20)
    second = threading.Thread(target=built, args=(KEY, tmp_path, lambda out: 1, say))
    second.start()
    assert said.wait(20)
    assert told == [f"another pod builds {KEY.folder}"]
    go.set()
    first.join(20)
    second.join(20)
    assert told[-1] == f"engines are there: {KEY.folder}"


def test_the_state_of_a_pod_outlives_new_engines(tmp_path: Path) -> None:
    old, new, served = tmp_path / "old", tmp_path / "new", tmp_path / "served"
    exported(old)
    exported(new)
    (new / "models" / "upscaler").mkdir()
    put_together(old, served)
    (served / "state").mkdir()
    (served / "state" / "journal").write_text("kept")
    put_together(new, served)
    assert (served / "artifacts").resolve() == new / "artifacts"
    assert {path.name for path in (served / "models").iterdir()} == {"storyboard", "upscaler"}
    assert (served / "state" / "journal").read_text() == "kept"
    assert {path.name for path in served.iterdir()} == {"artifacts", "models", "state"}


def test_every_file_of_a_checkpoint_counts(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "a").write_text("1")
    first = checkpoint_sha256(tmp_path)
    (tmp_path / "unet" / "a").rename(tmp_path / "unet" / "b")
    second = checkpoint_sha256(tmp_path)
    (tmp_path / "unet" / "b").write_text("2")
    assert len({first, second, checkpoint_sha256(tmp_path)}) == 3
    with pytest.raises(OSError, match="which has no files"):
        checkpoint_sha256(tmp_path / "nothing")


def test_without_a_gpu_tensorrt_is_an_error_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    options = ["--engines", str(tmp_path / "e"), "--serve", str(tmp_path / "s")]
    assert main([str(tmp_path), *options, "--target", "tensorrt"]) == 1
    assert "gpu: got none" in capsys.readouterr().err
    assert not (tmp_path / "e").exists()


def test_an_exported_repository_is_put_together_without_building(tmp_path: Path) -> None:
    exported(tmp_path / "out")
    options = ["--serve", str(tmp_path / "served")]
    assert main(["--repository", str(tmp_path / "out"), *options]) == 0
    assert (tmp_path / "served" / "artifacts" / "lafi.json").is_file()


def test_an_export_of_another_format_leaves_what_is_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported(tmp_path / "out")
    exported(tmp_path / "old")
    (tmp_path / "old" / "artifacts" / "lafi.json").write_text("{}")
    options = ["--serve", str(tmp_path / "served")]
    assert main(["--repository", str(tmp_path / "out"), *options]) == 0
    assert main(["--repository", str(tmp_path / "old"), *options]) == 1
    assert "format of the repository: got none" in capsys.readouterr().err
    assert (tmp_path / "served" / "artifacts").resolve() == tmp_path / "out" / "artifacts"


def test_a_key_names_the_format_of_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    before = node_engines.key_here(tmp_path, "cpu", [])
    monkeypatch.setattr(node_engines, "REPOSITORY_FORMAT", node_engines.REPOSITORY_FORMAT + 1)
    assert node_engines.key_here(tmp_path, "cpu", []).folder != before.folder


NAMING = [
    ["--vae", "{}"],
    ["--vae={}"],
    ["--variant", "ink={}"],
    ["--variant=ink={}"],
    ["--variant", "ink={}:0.5"],
    ["--variant", "ink=other:1,{}:-0.5:blocks=down.1=0.3"],
    ["--control", "pose={}"],
]


@pytest.mark.parametrize("form", NAMING, ids=" ".join)
def test_another_file_under_the_same_name_is_another_key(form: list[str], tmp_path: Path) -> None:
    checkpoint, file = tmp_path / "checkpoint", tmp_path / "file"
    checkpoint.mkdir()
    (checkpoint / "model_index.json").write_text("{}")
    options = [part.format(file) for part in form]
    seen = []
    for content in ("", "1", "2"):
        if content:
            file.write_text(content)
        seen.append(node_engines.key_here(checkpoint, "cpu", options).folder)
    assert len(set(seen)) == 3
    assert node_engines.key_here(checkpoint, "cpu", options).folder == seen[-1]


@pytest.mark.parametrize("value", ["x" * 300, "bf16", "", "\0"])
def test_a_value_that_is_no_place_is_no_file(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a text that is too long for a path, nor an empty folder of that name."""
    (tmp_path / "model_index.json").write_text("{}")
    (tmp_path / "bf16").mkdir()
    monkeypatch.chdir(tmp_path)
    assert files_read(tmp_path / "model_index.json", ["--variant-trigger", f"ink={value}"]) == []


def test_the_recogniser_beside_the_checkpoint_counts(
    tmp_path: Path, make_recogniser: Callable[..., Path]
) -> None:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "model_index.json").write_text("{}")
    seen = [node_engines.key_here(tmp_path / "checkpoint", "cpu", []).folder]
    for seed in (0, 1):
        make_recogniser(tmp_path / "recogniser", seed)
        seen.append(node_engines.key_here(tmp_path / "checkpoint", "cpu", []).folder)
    assert len(set(seen)) == 3


@pytest.mark.parametrize("arguments", [[], ["x"], ["--repository", "x", "--run"]])
def test_what_does_not_fit_together_is_refused(arguments: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main([*arguments, "--serve", str(tmp_path)])
