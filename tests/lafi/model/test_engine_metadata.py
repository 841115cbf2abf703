"""A plan is used only where, and from what, it was built; errors say how to build it again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lafi.model.artifacts import file_sha256
from lafi.model.engine_metadata import (
    EngineMetadata,
    EngineMetadataError,
    GpuMachine,
    ShapeRange,
    load_engine_metadata,
    metadata_path,
    rebuild,
)

HERE = GpuMachine(gpu="NVIDIA H200", capability="9.0", tensorrt="11.4.0.106")


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "denoiser.plan"
    path.write_bytes(b"a compiled engine")
    return path


@pytest.fixture
def metadata(plan: Path) -> EngineMetadata:
    made = EngineMetadata(
        plan=plan.name,
        plan_sha256=file_sha256(plan),
        onnx_sha256="0" * 64,
        weights_sha256="1" * 64,
        gpu=HERE.gpu,
        capability=HERE.capability,
        tensorrt=HERE.tensorrt,
        precision="f16",
        profile={"latents": ShapeRange(smallest=(1, 4, 8), tuned=(2, 4, 8), largest=(4, 4, 16))},
        attention_plugins=3,
    )
    made.save(plan.parent)
    return made


def test_what_was_saved_is_loaded(plan: Path, metadata: EngineMetadata) -> None:
    assert metadata_path(plan).name == "denoiser.plan.json"
    assert load_engine_metadata(plan) == metadata


def test_the_machine_that_built_it_may_run_it(metadata: EngineMetadata) -> None:
    assert metadata.check_machine(HERE) is None
    assert metadata.check_sources("0" * 64, "1" * 64) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [("gpu", "NVIDIA L4"), ("capability", "8.9"), ("tensorrt", "11.5.0.1")],
)
def test_another_machine_is_refused(metadata: EngineMetadata, field: str, value: str) -> None:
    built = getattr(HERE, field)
    with pytest.raises(EngineMetadataError) as refused:
        metadata.check_machine(replace(HERE, **{field: value}))
    assert str(refused.value) == (
        f"denoiser.plan: {field}: got {value!r}, allowed {built!r}; {rebuild('tensorrt')}"
    )


def test_every_difference_is_named(metadata: EngineMetadata) -> None:
    other = GpuMachine(gpu="NVIDIA L4", capability="8.9", tensorrt=HERE.tensorrt)
    with pytest.raises(EngineMetadataError, match=r"gpu: got 'NVIDIA L4'.*capability: got '8.9'"):
        metadata.check_machine(other)


@pytest.mark.parametrize("sources", [("f" * 64, "1" * 64), ("0" * 64, "f" * 64)])
def test_another_export_is_refused(metadata: EngineMetadata, sources: tuple[str, str]) -> None:
    with pytest.raises(EngineMetadataError, match=r"sha256: got 'f{64}', allowed .*--target"):
        metadata.check_sources(*sources)


@pytest.mark.parametrize(
    ("shape", "allowed"),
    [
        ((1, 4, 8), True),
        ((4, 4, 16), True),
        ((3, 4, 9), True),
        ((5, 4, 8), False),
        ((1, 3, 8), False),
        ((1, 4, 8, 8), False),
        ((1, 4, 7), False),
    ],
)
def test_shapes_outside_the_profile(
    metadata: EngineMetadata, shape: tuple[int, ...], allowed: bool
) -> None:
    assert metadata.profile["latents"].allows(shape) == allowed
    if not allowed:
        with pytest.raises(ValueError, match=r"latents: got shape .*, allowed \(1, 4, 8\) to"):
            metadata.check_shapes({"latents": shape})


def remove_the_plan(plan: Path) -> None:
    plan.unlink()


def remove_all(plan: Path) -> None:
    plan.unlink()
    metadata_path(plan).unlink()


def remove_the_metadata(plan: Path) -> None:
    metadata_path(plan).unlink()


def change_the_plan(plan: Path) -> None:
    plan.write_bytes(b"another engine")


def break_the_metadata(plan: Path) -> None:
    metadata_path(plan).write_text('{"plan": "denoiser.plan"}', encoding="utf-8")


def describe_another_plan(plan: Path) -> None:
    path = metadata_path(plan)
    path.write_text(path.read_text(encoding="utf-8").replace("denoiser", "other"), "utf-8")


@pytest.mark.usefixtures("metadata")
@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (remove_all, "denoiser.plan: no such file"),
        (remove_the_plan, "denoiser.plan: no such file"),
        (remove_the_metadata, "denoiser.plan.json: no such file"),
        (change_the_plan, r"got SHA-256 \w{12}, denoiser.plan.json says \w{12}"),
        (break_the_metadata, "plan_sha256"),
        (describe_another_plan, "plan: got 'other.plan', allowed 'denoiser.plan'"),
    ],
)
def test_a_spoilt_plan_asks_for_another_build(plan: Path, spoil: Any, error: str) -> None:
    spoil(plan)
    with pytest.raises(EngineMetadataError, match=error) as refused:
        load_engine_metadata(plan)
    unknown = spoil in (remove_the_metadata, remove_all, break_the_metadata)
    assert str(refused.value).endswith(rebuild(None if unknown else "tensorrt"))


CARDS = ("8.6", "8.9")
RTX = "lafi export CHECKPOINT --out REPO --target tensorrt-rtx --capability"


@pytest.fixture
def of_rtx(metadata: EngineMetadata, plan: Path) -> EngineMetadata:
    """A plan for two kinds of GPU, that was built without one."""
    update = {"builder": "tensorrt-rtx", "gpu": "", "capability": " ".join(CARDS)}
    made = metadata.model_copy(update=update)
    made.save(plan.parent)
    return made


def card(capability: str, version: str = HERE.tensorrt) -> GpuMachine:
    return GpuMachine("a card", capability, version, "tensorrt-rtx")


@pytest.mark.parametrize("capability", CARDS)
def test_every_card_that_a_plan_was_built_for_may_run_it(
    of_rtx: EngineMetadata, capability: str
) -> None:
    of_rtx.check_machine(card(capability))


@pytest.mark.parametrize(
    ("here", "error"),
    [
        (card("12.0"), f"capability: got '12.0', allowed '8.6 or 8.9'.*{RTX} SM86,SM89,SM120$"),
        (card("8.9", "1.8.0"), f"tensorrt: got '1.8.0', allowed '11.4.*{RTX} SM86,SM89$"),
        (card("9.0"), "got '9.0', allowed .*; TensorRT-RTX builds for 7.5, .*; for 9.0, on that "
         "machine, build it again with: lafi export CHECKPOINT --out REPO --target tensorrt$"),
    ],
    ids=["another card", "another version", "a card that it does not take"],
)  # fmt: skip
def test_a_wrong_card_is_refused_with_what_to_build(
    of_rtx: EngineMetadata, here: GpuMachine, error: str
) -> None:
    with pytest.raises(EngineMetadataError, match=error):
        of_rtx.check_machine(here)


@pytest.mark.usefixtures("of_rtx")
@pytest.mark.parametrize("spoil", [remove_the_plan, change_the_plan, describe_another_plan])
def test_a_spoilt_plan_of_rtx_asks_for_its_own_target(plan: Path, spoil: Any) -> None:
    spoil(plan)
    with pytest.raises(EngineMetadataError, match=f"{RTX} SM86,SM89$"):
        load_engine_metadata(plan)


@pytest.mark.usefixtures("of_rtx")
def test_a_missing_plan_is_built_as_those_beside_it(plan: Path) -> None:
    error = f"reference.plan: no such file; .*{RTX} SM86,SM89$"
    with pytest.raises(EngineMetadataError, match=error):
        load_engine_metadata(plan.with_name("reference.plan"))
