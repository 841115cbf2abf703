"""Objects of TensorRT's classes that cannot be made without a GPU."""

from typing import Any


class Pretended:
    """An object of a real class of TensorRT: only what that has, with what is given for it."""

    def __init__(self, real: type, calls: list[str], **behaviour: Any) -> None:
        unknown = [name for name in behaviour if not hasattr(real, name)]
        assert unknown == [], f"{real.__name__} has no {unknown}"
        object.__setattr__(self, "_known", (real, calls, behaviour))

    def __getattr__(self, name: str) -> Any:
        real, calls, behaviour = self._known
        assert hasattr(real, name), f"{real.__name__} has no {name}"
        given = behaviour.get(name)
        if given is not None and not callable(given):
            return given

        def call(*arguments: Any) -> Any:
            calls.append(f"{real.__name__}.{name}")
            return given(*arguments) if given is not None else True

        return call

    def __setattr__(self, name: str, value: Any) -> None:
        real, calls, _ = self._known
        assert hasattr(real, name), f"{real.__name__} has no {name}"
        calls.append(f"{real.__name__}.{name}={value}")
