"""SIGINT and SIGTERM as a request to save, seen between two chunks of a loop."""

import signal
import threading
from types import FrameType


class SaveOnSignal:
    """While its block runs, SIGINT and SIGTERM raise a flag instead of ending the process.

        with SaveOnSignal() as interrupt:
            while not done and interrupt.received is None:
                run_one_chunk()
            save()
        sys.exit(interrupt.exit_code)

    A second SIGINT meets the handler that was there before (usually KeyboardInterrupt), for those who cannot
    wait for the chunk to end. A SIGINT that was ignored before (a shell's background job) is taken too:
    whoever sends one wants the run to stop. The old handlers return with the end of the block. Only the main
    thread may set handlers; in any other the block does nothing and `received` stays None.
    """

    received: signal.Signals | None
    """The first signal that came, or None."""

    def __init__(self) -> None:
        self.received = None
        self._handlers = {}

    @property
    def exit_code(self) -> int:
        """What the process ought to exit with: 128 + the signal's number (130, 143), or 0 if none came."""
        return 0 if self.received is None else 128 + self.received

    def __enter__(self) -> "SaveOnSignal":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        for number in list(self._handlers):
            self._restore(number)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        received = signal.Signals(number)
        self.received = self.received or received
        if received is signal.SIGINT:
            self._restore(received)

    def _restore(self, number: signal.Signals) -> None:
        # None: the handler was not set from Python, and cannot be set again from here.
        handler = self._handlers.pop(number, None)
        if handler is not None:
            signal.signal(number, handler)
