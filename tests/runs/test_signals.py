"""SIGINT and SIGTERM become a flag, in a real process and with the old handlers back afterwards."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from throughtime.runs.signals import SaveOnSignal


@pytest.fixture(autouse=True)
def _usual_handlers():
    """Also where the tests themselves run in the background of a shell, with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_a_flag(number, code):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with SaveOnSignal() as interrupt:
        assert (interrupt.received, interrupt.exit_code) == (None, 0)
        signal.raise_signal(number)
        assert (interrupt.received, interrupt.exit_code) == (number, code)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert interrupt.exit_code == code


def test_the_second_sigint_is_no_longer_held_back():
    with SaveOnSignal() as interrupt:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert interrupt.received is signal.SIGINT


def test_sigterm_may_come_often_and_the_first_signal_counts():
    with SaveOnSignal() as interrupt:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            signal.raise_signal(number)
    assert interrupt.received is signal.SIGTERM


def test_handlers_come_back_after_an_error():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError), SaveOnSignal():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_the_main_thread_it_does_nothing():
    before, seen = signal.getsignal(signal.SIGINT), []

    def work():
        with SaveOnSignal() as interrupt:
            seen.extend([signal.getsignal(signal.SIGINT), interrupt.received])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before, None]


PROGRAM = """
import signal, sys, time
from throughtime.runs.signals import SaveOnSignal
if sys.argv[1:] == ["slow"]:
    signal.signal(signal.SIGINT, signal.default_int_handler)
with SaveOnSignal() as interrupt:
    print("ready", flush=True)
    while interrupt.received is None:
        time.sleep(0.01)
    print("saved", flush=True)
    if sys.argv[1:] == ["slow"]:
        time.sleep(60)
sys.exit(interrupt.exit_code)
"""


def start(*arguments, ignore_sigint=False):
    """The program, once it has its handlers. A shell starts its background jobs with SIGINT ignored."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    if ignore_sigint:
        command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_process_saves_and_tells_by_its_exit_code():
    """One of each kind, side by side."""
    interrupted, ended, background = start(), start(), start(ignore_sigint=True)
    interrupted.send_signal(signal.SIGINT)
    ended.send_signal(signal.SIGTERM)
    background.send_signal(signal.SIGINT)
    for process, code in ((interrupted, 130), (ended, 143), (background, 130)):
        assert process.communicate(timeout=60) == ("saved\n", "")
        assert process.returncode == code


def test_a_process_that_saves_too_slowly_dies_of_the_second_sigint():
    process = start("slow")
    os.kill(process.pid, signal.SIGINT)
    assert process.stdout.readline() == "saved\n"
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in errors
    assert process.returncode in (-signal.SIGINT, 130)
