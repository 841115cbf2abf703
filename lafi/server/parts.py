"""The parts of a running server, and the thread that watches them.

Once the server was ready, a part that dies or hangs is started again for as long as it takes. A
dead process of a model means the whole of Triton Server: a decoupled model never comes back alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from lafi.front.control import Close, Connect, Drain, FrontSettings, TlsFiles
from lafi.front.door import door_of
from lafi.server.envoy_process import EnvoyProcess, EnvoySettings
from lafi.server.free_ports import HeldPorts, PortTakenError, hold_ports
from lafi.server.front_process import FrontProcess
from lafi.server.health_pages import Health, HealthPages
from lafi.server.log import LogFollower, LogLine
from lafi.server.restart_delay import RestartDelay
from lafi.server.triton_server import (
    RunSettings,
    ServerFailedError,
    TritonServer,
    is_worth_retrying,
)
from lafi.server.vital_signs import VitalSigns, read_beat
from lafi.server.watchdog import SHARED_MEMORY, Watchdog, clean_up

_LOOK_SECONDS = 0.1
_USUAL_START_SECONDS = 20.0
_FIRST_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class PartsSettings:
    """health: (host, port) of the health pages. folder: made for this server. log: a file."""

    models: tuple[str, ...]
    run: RunSettings
    front: FrontSettings
    health: tuple[str, int]
    folder: Path
    log: Path
    tls: TlsFiles | None = None
    """Of the health pages."""
    envoy: EnvoySettings | None = None


class Parts:
    """Front, Triton Server, watchdog, health pages. Only the watching thread changes them."""

    def __init__(
        self,
        settings: PartsSettings,
        on_line: Callable[[LogLine], None],
        on_event: Callable[[str], None],
    ) -> None:
        """Starts everything but Triton Server, which `start` waits for."""
        self._settings = settings
        self._on_event = on_event
        settings.log.parent.mkdir(parents=True, exist_ok=True)
        settings.log.write_bytes(b"")
        self.server: TritonServer | None = None
        self.restarts = {"front": 0, "server": 0}
        self._run = 0
        self._metrics_port: HeldPorts | None = None
        self._ready_since: float | None = None
        self._began = self._due = time.monotonic()
        self._start_seconds = _USUAL_START_SECONDS
        self._delay, self._front_delay = RestartDelay(), RestartDelay(longest=5.0)
        self._signs = VitalSigns()
        self._why = "the server is starting"
        self._failures: list[str] = []
        self._looked = time.monotonic()
        self._draining = False
        self._known = threading.Event()
        self._ending = threading.Event()
        self._pages = HealthPages(
            *settings.health,
            health=self.health,
            drain=self._begin_to_drain,
            metrics_url=lambda: server.metrics_url if (server := self.server) else "",
            door=door_of(settings.front),
            tls=settings.tls,
        )
        self.watchdog = self._new_watchdog()
        self.front, self._front_began = self._new_front(), time.monotonic()
        self.envoy = self._new_envoy()
        self._envoy_began, self._envoy_delay = time.monotonic(), RestartDelay(longest=5.0)
        self._follower = LogFollower(settings.log, on_line)
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self, cancelled: Callable[[], bool]) -> None:
        """Return once the server is ready, or `cancelled()`. Raises ServerFailedError."""
        self._follower.start()
        self._pages.start()
        self._thread.start()
        while not (self._known.wait(0.05) or cancelled()):
            pass
        if self._ready_since is None and self._failures and not cancelled():
            raise ServerFailedError(self._failures[-1])

    def health(self) -> Health:
        """What is known at this moment."""
        front = self.front.state
        connected = front.ready and front.run == self._run
        ready = self._ready_since is not None and connected and not self._draining
        why = "" if ready else "the server is shutting down" if self._draining else self._why
        live = time.monotonic() - self._looked < 30.0
        return Health(live, ready, why, front.in_flight, dict(self.restarts))

    def drain(self, seconds: float, ended: Callable[[], bool]) -> bool:
        """Whether all that is in flight was finished in that time, and before `ended()`."""
        self._begin_to_drain()
        deadline = time.monotonic() + seconds
        while not self.front.idle:
            if time.monotonic() > deadline or ended():
                return False
            time.sleep(0.05)
        return True

    def stop(self) -> None:
        """End all parts and remove their files; what is in flight fails as retryable.

        The log stays if the server was not ready at the end because something had failed.
        """
        failed = self._ready_since is None and bool(self._failures)
        self._ending.set()
        if self._thread.is_alive():
            self._begin_to_drain()
            self._thread.join()
        if self.server is not None:
            self.server.stop()
        self.front.stop()
        if self.envoy is not None:
            self.envoy.stop()
        self._pages.stop()
        if self._metrics_port is not None:
            self._metrics_port.release()
        clean_up(f"{self._settings.run.name}", [SHARED_MEMORY])
        self._follower.stop()
        self.watchdog.dismiss()
        folder = self._settings.folder
        if not (failed and self._settings.log.parent == folder):
            rmtree(folder, ignore_errors=True)

    def _begin_to_drain(self) -> None:
        self._draining = True
        self.front.tell(Drain(retry_after=self._start_seconds))

    def _watch(self) -> None:
        while not self._ending.wait(_LOOK_SECONDS):
            now = self._looked = time.monotonic()
            if not self.watchdog.alive:
                self.watchdog.dismiss()
                self.watchdog = self._new_watchdog()
            if (trouble := self.front.trouble()) is not None:
                self._restart_front(trouble, now)
            elif self.envoy is not None and (trouble := self.envoy.trouble()) is not None:
                self._restart_envoy(self.envoy, trouble, now)
            elif self.server is None:
                if now >= self._due and not self._draining:
                    self._begin_run(now)
            elif (trouble := self._trouble(self.server, now)) is not None:
                self._end_run(trouble, now)
            elif self._ready_since is None:
                self._look_whether_ready(self.server, now)

    def _begin_run(self, now: float) -> None:
        self._run += 1
        self._began = now
        self._signs = VitalSigns()
        try:
            port = self._hold_metrics_port()
            folder = self._settings.folder / f"run-{self._run}"
            self.server = TritonServer(self._settings.run, folder, self._settings.log, port)
        except (OSError, PortTakenError) as error:
            self._failed(f"Triton Server did not start: {error}", now)
            return
        self._connect()

    def _hold_metrics_port(self) -> int:
        """Another one for each run: what is left of the last run may still listen at its own."""
        if self._metrics_port is not None:
            self._metrics_port.release()
        self._metrics_port = hold_ports("127.0.0.1", {"metrics": 0})
        return self._metrics_port.numbers["metrics"]

    def _connect(self) -> None:
        folder = f"run-{self._run}"
        self.front.tell(Connect(run=self._run, folder=folder, models=self._settings.models))

    def _look_whether_ready(self, server: TritonServer, now: float) -> None:
        state = self.front.state
        if state.run == self._run and state.ready:
            server.remember_models()
            self._ready_since = now
            self._start_seconds = now - self._began
            if self._known.is_set():
                self._on_event(f"ready again after {self._start_seconds:.1f} s")
            self._known.set()

    def _trouble(self, server: TritonServer, now: float) -> str | None:
        """What is wrong with Triton Server; None if nothing is."""
        if (trouble := server.trouble()) is not None:
            return trouble
        if self._ready_since is None:
            limit = self._settings.run.startup_seconds
            late = now - self._began > limit
            return (
                server.explain(f"Triton Server was not ready after {limit:.0f} s") if late else None
            )
        state = self.front.state
        if state.run == self._run and state.failure:
            return f"an idle server could not draw: {state.failure}"
        beat = read_beat(server.folder.heartbeat)
        hung = self._signs.see(now, beat, server.cpu_seconds(), state.canary)
        return None if hung is None else f"Triton Server hangs: {hung}"

    def _end_run(self, trouble: str, now: float) -> None:
        """Tell the clients, end what is left of the run, and plan the next one."""
        server, self.server = self.server, None
        first = trouble.splitlines()[0].split("; its log")[0]
        self._why = f"{first}; it is being started again"
        self.front.tell(Close(why=self._why, retry_after=self._start_seconds))
        if server is not None:
            server.kill()
        self._failed(trouble, now)

    def _failed(self, trouble: str, now: float) -> None:
        ready_since, self._ready_since = self._ready_since, None
        self._failures.append(trouble)
        if not self._known.is_set():
            if len(self._failures) >= _FIRST_ATTEMPTS or not is_worth_retrying(trouble):
                self._ending.set()
                self._known.set()
            return
        delay = self._delay.after(0.0 if ready_since is None else now - ready_since)
        self._due = time.monotonic() + delay
        self.restarts["server"] += 1
        self._on_event(f"{trouble}\nstarting Triton Server again in {delay:g} s")

    def _restart_front(self, trouble: str, now: float) -> None:
        self.front.kill()
        self._failures.append(trouble)
        if not self._known.is_set():
            self._ending.set()
            self._known.set()
            return
        self.restarts["front"] += 1
        self._on_event(f"{trouble}; starting it again")
        self._ending.wait(self._front_delay.after(now - self._front_began))
        self.front, self._front_began = self._new_front(), time.monotonic()
        if self.server is not None:
            self._connect()
        if self._draining:
            self._begin_to_drain()

    def _restart_envoy(self, envoy: EnvoyProcess, trouble: str, now: float) -> None:
        envoy.kill()
        self._failures.append(trouble)
        if not self._known.is_set():
            self._ending.set()
            self._known.set()
            return
        self.restarts["envoy"] = self.restarts.get("envoy", 0) + 1
        self._on_event(f"{trouble}; starting it again")
        self._ending.wait(self._envoy_delay.after(now - self._envoy_began))
        self.envoy, self._envoy_began = self._new_envoy(), time.monotonic()

    def _new_envoy(self) -> EnvoyProcess | None:
        settings = self._settings
        if settings.envoy is None:
            return None
        return EnvoyProcess(settings.envoy, settings.run.name, settings.folder, settings.log)

    def _new_front(self) -> FrontProcess:
        settings = self._settings
        return FrontProcess(settings.front, settings.run.name, settings.folder, settings.log)

    def _new_watchdog(self) -> Watchdog:
        return Watchdog(self._settings.run.name, (SHARED_MEMORY, self._settings.folder.parent))
