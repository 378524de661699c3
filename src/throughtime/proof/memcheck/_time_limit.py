"""Calls other people's code with a limit on its time, so that a hang ends in a message."""

import ctypes
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


class TookTooLong(BaseException):
    """Raised inside code that used up its time. No Exception, so that a broad `except` in it lets it through."""


def within(seconds: float, function: Callable[..., Result], *args: Any) -> Result:
    """`function(*args)`, interrupted after `seconds`.

    In the main thread of a POSIX system an alarm interrupts it where it stands; elsewhere it runs in a thread of
    its own, which is told to stop and left behind. A limit of 0 is none.

    Raises:
        TookTooLong: it did not return in time.
    """
    if seconds <= 0:
        return function(*args)
    if hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread():
        return _with_alarm(seconds, function, args)
    return _in_a_thread(seconds, function, args)


def _with_alarm(seconds: float, function: Callable[..., Result], args: tuple) -> Result:
    rang = False

    def ring(*_: Any) -> None:
        nonlocal rang
        rang = True
        raise TookTooLong

    before = signal.signal(signal.SIGALRM, ring)
    # It rings on, because a bare `except:` in the code may swallow it.
    start, (left, interval) = time.monotonic(), signal.setitimer(signal.ITIMER_REAL, seconds, 0.1)
    try:
        result = function(*args)
        if rang:
            raise TookTooLong
        return result
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:  # someone else's alarm, such as that of a test runner
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - start), 1e-3), interval)


def _in_a_thread(seconds: float, function: Callable[..., Result], args: tuple) -> Result:
    results: list[Result] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(function(*args))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        assert thread.ident is not None
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(TookTooLong))
        raise TookTooLong
    if errors:
        raise errors[0]
    return results[0]
