"""A peer in a process of its own, as another program would run it."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, cast

Kind = Literal["optimum", "genai", "diffusers"]
WORKER = Path(__file__).parent / "worker.py"


@dataclass(frozen=True, slots=True)
class Drawn:
    """Seconds of one drawing, and the most bytes that the process has held until its end."""

    seconds: float
    peak_bytes: int


class WorkerProcess:
    """`worker.py` in another Python; use it in a `with` statement.

    log: a file for what it prints. Raises RuntimeError when it ends before its answer.
    """

    def __init__(
        self, python: Path, kind: Kind, folder: Path, precision: str, threads: int, log: IO[str]
    ) -> None:
        command = [python, WORKER, kind, folder, precision, str(threads)]
        self._kind, self._log = kind, log
        self._process = subprocess.Popen(
            [*map(str, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )

    def draw(
        self, prompts: list[str], seeds: list[int], side: int, steps: int, guidance: float
    ) -> Drawn:
        """All prompts as one batch, side x side pixels."""
        asked = {
            "prompts": prompts,
            "seeds": seeds,
            "side": side,
            "steps": steps,
            "guidance": guidance,
        }
        given, answers = self._pipes()
        given.write(json.dumps(asked) + "\n")
        given.flush()
        line = answers.readline()
        if not line:
            code = self._process.wait()
            raise RuntimeError(f"{self._kind}: got exit code {code}, see {self._log.name}")
        found: dict[str, Any] = json.loads(line)
        return Drawn(found["seconds"], found["peak_bytes"])

    def _pipes(self) -> tuple[IO[str], IO[str]]:
        return cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)

    def __enter__(self) -> "WorkerProcess":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pipe in self._pipes():
            pipe.close()
        self._process.wait()
