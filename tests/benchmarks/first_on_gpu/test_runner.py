"""What is done stays done; what fails, dies, hangs or comes too late costs its own row alone."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.first_on_gpu import record as records
from benchmarks.first_on_gpu.plan import PLAN, Part, Setting
from benchmarks.first_on_gpu.record import Record
from benchmarks.first_on_gpu.runner import environment, run

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
SETTING = Setting("cuda", "small")


def toy_plan() -> tuple[Part, ...]:
    spec = importlib.util.spec_from_file_location("toy_parts", HERE / "toy_parts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    plan: tuple[Part, ...] = module.PLAN
    return plan


Call = Callable[..., tuple[Record, Record]]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Files that decide what the toys do, for one call; the records after it."""
    monkeypatch.setenv("TOY_FOLDER", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{HERE}:{ROOT}")
    plan = toy_plan()
    out = tmp_path / "out"

    def make(*files: str, seconds: float = 30.0) -> tuple[Record, Record]:
        for file in ("fail", "die", "hang", "missing", "lack", "broken"):
            (tmp_path / file).unlink(missing_ok=True)
        for file in files:
            (tmp_path / file).touch()
        run(plan, SETTING, out, seconds, (sys.executable, str(HERE / "toy_parts.py")))
        toy, other = (records.read(out, part.name, "cuda", "small") for part in plan)
        return toy, other

    return make


def asked(folder: Path) -> list[str]:
    return (folder / "asked").read_text(encoding="utf-8").split()


def test_every_row_is_asked_once(call: Call, tmp_path: Path) -> None:
    toy, other = call()
    assert (toy.state, other.state) == ("done", "done")
    assert toy.rows["second"]["result"] == {"number": 1.5}
    call()
    assert asked(tmp_path) == ["first", "second", "third", "only"]


def test_a_row_that_fails_is_written_down_and_asked_again_by_the_next_call(
    call: Call, tmp_path: Path
) -> None:
    toy, other = call("fail")
    assert (toy.state, other.state) == ("failed", "done")
    assert toy.rows["second"]["error"] == "ValueError: a toy that breaks"
    assert asked(tmp_path) == ["first", "third", "only"]
    toy, _ = call()
    assert toy.state == "done"
    assert asked(tmp_path) == ["first", "third", "only", "second"]


def test_a_process_that_dies_costs_its_row_and_its_part_goes_on_last(
    call: Call, tmp_path: Path
) -> None:
    toy, other = call("die")
    assert (toy.state, other.state) == ("failed", "done")
    assert toy.rows["second"]["error"] == "the process ended with 7: "
    assert asked(tmp_path) == ["first", "only", "third"]


def test_a_row_that_hangs_is_ended_with_the_time_of_its_part(call: Call, tmp_path: Path) -> None:
    toy, other = call("hang")
    assert (toy.state, other.state) == ("failed", "done")
    assert toy.rows["second"]["error"] == "longer than the 2 s of the part"
    assert asked(tmp_path) == ["first", "only", "third"]


def test_a_gpu_that_does_not_answer_after_an_error_gets_another_process(
    call: Call, tmp_path: Path
) -> None:
    toy, other = call("fail", "broken")
    assert (toy.state, other.state) == ("failed", "done")
    assert asked(tmp_path) == ["first", "only", "third"]


def test_what_is_not_there_is_said_and_asked_again(call: Call) -> None:
    toy, other = call("missing", "lack")
    assert (toy.state, other.state) == ("not run", "not run")
    assert toy.rows["second"]["not_run"] == "a toy that is not there"
    assert other.why == "ImportError: No module named 'toys'"
    toy, other = call()
    assert (toy.state, other.state) == ("done", "done")


def test_a_call_without_time_asks_nothing_and_the_next_one_does(call: Call, tmp_path: Path) -> None:
    toy, other = call("hang", seconds=1.0)
    assert toy.state in {"failed", "out of time"}
    assert other.state == "out of time"
    toy, other = call()
    assert (toy.state, other.state) == ("done", "done")


def test_a_program_that_never_starts_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="the process that measures ended with 3: no toys"):
        run(
            toy_plan(),
            SETTING,
            tmp_path,
            20.0,
            (sys.executable, "-c", "import sys; sys.stderr.write('no toys'); sys.exit(3)"),
        )


def test_figures_of_two_devices_are_not_mixed(tmp_path: Path) -> None:
    records.write(tmp_path, Record("toy", "cpu", "small"))
    with pytest.raises(ValueError, match="got figures of cpu, small, allowed cuda, full"):
        records.read(tmp_path, "toy", "cuda", "full")


def test_a_part_is_a_file_and_there_are_few(tmp_path: Path) -> None:
    assert len({records.file_of(tmp_path, part.name) for part in PLAN}) == len(PLAN) <= 7


def test_the_kernel_is_interpreted_on_a_cpu_alone() -> None:
    assert environment(Setting("cpu", "small"))["TRITON_INTERPRET"] == "1"
    assert "TRITON_INTERPRET" not in environment(SETTING)
