from lafi.server.restart_delay import RestartDelay


def test_delays_grow_to_a_limit_and_a_good_life_begins_anew() -> None:
    delay = RestartDelay(first=0.5, longest=3.0, healthy=10.0)
    assert [delay.after(1.0) for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert [delay.after(10.0), delay.after(0.0)] == [0.5, 1.0]
