from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from lafi.server.vital_signs import Beat, VitalSigns, read_beat


def seen(signs: VitalSigns, looks: list[tuple[float, int, int, float]]) -> list[str | None]:
    """looks: (now, steps, work, CPU seconds)."""
    return [signs.see(now, Beat(steps, work), cpu, False) for now, steps, work, cpu in looks]


def test_a_server_that_has_work_and_does_nothing_hangs() -> None:
    looks = [(second, 5, 1, 1.0) for second in range(6)]
    assert seen(VitalSigns(quiet=4.0), looks)[:4] == [None] * 4
    (last,) = seen(VitalSigns(quiet=4.0), looks)[-1:]
    assert last == "no step and no work for 5 s, although storyboards wait"


@given(st.lists(st.tuples(st.floats(0.05, 1.0), st.floats(0.11, 2.0)), min_size=1, max_size=200))
def test_a_long_step_that_computes_never_looks_like_death(parts: list[tuple[float, float]]) -> None:
    signs, now, cpu = VitalSigns(), 0.0, 0.0
    for pause, cores in parts:
        now, cpu = now + pause, cpu + pause * cores
        assert signs.see(now, Beat(1, 3), cpu, False) is None


def test_steps_are_a_sign_of_life_where_the_cpu_has_nothing_to_do() -> None:
    looks = [(float(second), second, 2, 1.0) for second in range(60)]
    assert set(seen(VitalSigns(), looks)) == {None}


def test_a_server_without_work_may_be_silent_and_a_canary_is_work() -> None:
    signs = VitalSigns(quiet=4.0)
    assert set(seen(signs, [(float(second), 5, 0, 1.0) for second in range(60)])) == {None}
    found = [signs.see(60.0 + second, Beat(5, 0), 1.0, True) for second in range(6)]
    assert found[0] is None
    assert found[-1] is not None


def test_a_step_without_end_is_given_up_although_it_computes() -> None:
    looks = [(float(second), 5, 1, float(second)) for second in range(12)]
    assert seen(VitalSigns(step=10.0), looks)[-1] == "no step for 11 s, although storyboards wait"


def test_without_a_beat_nothing_is_known() -> None:
    signs = VitalSigns()
    assert {signs.see(float(second), None, 0.0, True) for second in range(60)} == {None}


def test_a_beat_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "heartbeat"
    assert read_beat(path) is None
    path.write_text("12 3\n")
    assert read_beat(path) == Beat(steps=12, work=3)
    path.write_text("12")
    assert read_beat(path) is None
