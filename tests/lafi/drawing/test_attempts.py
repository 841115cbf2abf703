"""The drawings of one panel: the best stays."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lafi.board.limits import MAX_PANELS, MAX_RETRIES, MAX_SEED
from lafi.board.storyboard import Panel, Retry
from lafi.drawing.attempts import RETRY_SEED_STEP, Attempts, retry_seed

SCORES = st.floats(-1, 1)
PIXELS = np.zeros((2, 2, 3), np.uint8)


@given(st.lists(SCORES, min_size=MAX_RETRIES + 1, max_size=MAX_RETRIES + 1), SCORES, st.data())
def test_the_best_of_as_many_as_needed_stays(
    scores: list[float], below: float, data: st.DataObject
) -> None:
    most = data.draw(st.integers(1, MAX_RETRIES))
    attempts = Attempts(Panel(prompt="a", seed=5), Retry(below, most))
    drawn = []
    for score in scores:
        seed = attempts.panel.seed
        drawn.append((score, seed))
        if not attempts.take(PIXELS, {"mia": 1.0, "tom": score}):
            break
    assert attempts.number == len(drawn) <= most + 1
    assert all(score < below for score, _ in drawn[:-1])
    assert len(drawn) == most + 1 or drawn[-1][0] >= below
    best = max(score for score, _ in drawn)
    assert attempts.best is not None
    assert attempts.best.lowest == best
    assert (best, attempts.best.seed) == next(each for each in drawn if each[0] == best)


@given(st.integers(0, MAX_SEED), st.integers(1, MAX_RETRIES + 1))
def test_seeds_of_retries_are_allowed_and_differ(seed: int, attempt: int) -> None:
    assert retry_seed(seed, 1) == seed
    made = retry_seed(seed, attempt)
    assert 0 <= made <= MAX_SEED
    assert len({retry_seed(seed, k) for k in range(1, MAX_RETRIES + 2)}) == MAX_RETRIES + 1


def test_a_retry_never_draws_the_noise_of_another_panel() -> None:
    seeds = {
        retry_seed(panel, attempt)
        for panel in range(MAX_PANELS)
        for attempt in range(1, MAX_RETRIES + 2)
    }
    assert len(seeds) == MAX_PANELS * (MAX_RETRIES + 1)
    # What torch's generator takes of a seed.
    assert max(seeds) < 2**32
    assert RETRY_SEED_STEP > MAX_PANELS


def test_without_a_setting_or_without_scores_a_panel_is_drawn_once() -> None:
    once = Attempts(Panel(prompt="a"), None)
    assert not once.take(PIXELS, {"mia": -1.0})
    nobody = Attempts(Panel(prompt="a"), Retry(1.0, 8))
    assert not nobody.take(PIXELS, {})
    assert nobody.best is not None


def test_a_drawing_that_fails_is_one_of_the_attempts() -> None:
    first = Attempts(Panel(prompt="a"), Retry(0.5, 2))
    assert not first.fail("not finite")
    assert (first.best, first.error) == (None, "not finite")
    later = Attempts(Panel(prompt="a"), Retry(0.5, 2))
    assert later.take(PIXELS, {"mia": 0.1})
    assert later.fail("not finite")
    assert not later.take(PIXELS, {"mia": 0.0})
    assert later.best is not None
    assert (later.best.attempt, later.number) == (1, 3)
