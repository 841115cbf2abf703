"""Strategies of the drawn data set, and a training stage that is stopped."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from hypothesis import strategies as st

from lafi_tiny.hand.attributes import IDENTITY_CHOICES, Identity
from lafi_tiny.who.train_recogniser import cosine_rate

st.register_type_strategy(
    Identity,
    st.builds(Identity, **{k: st.sampled_from(v) for k, v in IDENTITY_CHOICES.items()}),
)
st.register_type_strategy(np.random.Generator, st.integers(0, 2**32 - 1).map(np.random.default_rng))


@pytest.fixture
def stop_at_step_3(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[ModuleType, Callable[[], object]], None]:
    """Runs a training stage that is ended in step 3, as if its process had been."""

    class Stopped(Exception):
        """The end."""

    def run(stage: ModuleType, train: Callable[[], object]) -> None:
        def stop(step: int, steps: int, peak: float) -> float:
            if step == 3:
                raise Stopped
            return cosine_rate(step, steps, peak)

        with monkeypatch.context() as context:
            context.setattr(stage, "cosine_rate", stop)
            with pytest.raises(Stopped):
                train()

    return run
