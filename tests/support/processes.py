"""Processes that a script starts and, whatever happens, ends."""

import contextlib
import pathlib
import signal
import socket
import subprocess
import sys
import time

# Generous for a busy machine with two cores; a healthy start takes well under a second.
START_TIMEOUT = 30.0
STOP_TIMEOUT = 10.0


class Processes:
    """Starts processes and ends them in the reverse order on leaving the `with` block, also after SIGTERM and SIGHUP."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self._running: list[tuple[str, subprocess.Popen]] = []

    def __enter__(self) -> "Processes":
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: sys.exit(1))
        return self

    def __exit__(self, *_) -> None:
        # A second Ctrl-C must not leave half of them running.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for name in [name for name, _ in reversed(self._running)]:
            self.stop(name)

    def start(self, name: str, *command, **options) -> subprocess.Popen:
        """Starts a program; what it prints goes to NAME.log in the folder, unless `options` say otherwise."""
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                [str(part) for part in command],
                # Its own process group: Ctrl-C at the terminal reaches this script alone, which ends the others in order.
                start_new_session=True,
                **{"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, **options},
            )
        self._running.append((name, process))
        return process

    def stop(self, name: str) -> None:
        (process,) = [process for running, process in self._running if running == name]
        self._running = [each for each in self._running if each[0] != name]
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def check(self) -> None:
        """Ends the script when a process has ended that should be running."""
        for name, process in self._running:
            if (status := process.poll()) is not None:
                self.give_up(f"{name} ended with status {status}", name)

    def wait_for_port(self, name: str, port: int) -> None:
        """Waits until something accepts connections there."""
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            self.check()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            if time.monotonic() > deadline:
                self.give_up(f"{name} does not listen on port {port}", name)
            time.sleep(0.05)

    def log(self, name: str) -> pathlib.Path:
        return self.folder / f"{name}.log"

    def give_up(self, reason: str, name: str) -> None:
        with contextlib.suppress(OSError):
            for line in self.log(name).read_text(errors="replace").splitlines()[-20:]:
                print(f"{name}: {line}", file=sys.stderr)
        sys.exit(f"{sys.argv[0]}: {reason}")


def free_port(preferred: int = 0) -> int:
    """A port of 127.0.0.1 that nothing listens on: the preferred one when it is free."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return probe.getsockname()[1]
    sys.exit(f"{sys.argv[0]}: no free port")
