import os
import signal
import threading

import pytest

from jade.signals import Stop, handled

SIGNALS = [signal.SIGINT, signal.SIGTERM]


def send(number):
    os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def handlers_as_they_were():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_without_a_request_a_stop_is_false_and_the_exit_code_0():
    stop = Stop()

    assert (bool(stop), stop.signal, stop.exit_code) == (False, None, 0)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_asks_for_a_stop_and_interrupts_nothing(number, code):
    stop = Stop()

    with handled(stop) as given:
        send(number)
        reached = True

    assert given is stop
    assert reached
    assert (bool(stop), stop.signal, stop.exit_code) == (True, number, code)


def test_a_second_ctrl_c_does_not_wait():
    stop = Stop()

    with handled(stop):
        send(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)

    assert stop.exit_code == 130


def test_a_second_sigterm_waits_like_the_first():
    stop = Stop()

    with handled(stop):
        send(signal.SIGTERM)
        send(signal.SIGTERM)

    assert stop.exit_code == 143


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda number, frame: None])
def test_the_handlers_before_are_put_back(number, handler):
    signal.signal(number, handler)

    with handled(Stop()):
        within = signal.getsignal(number)

    assert within is not handler
    assert signal.getsignal(number) is handler


def test_the_handlers_before_are_put_back_after_an_exception():
    before = signal.getsignal(signal.SIGTERM)

    with pytest.raises(ZeroDivisionError), handled(Stop()):
        raise ZeroDivisionError

    assert signal.getsignal(signal.SIGTERM) is before


def test_in_another_thread_signals_are_left_alone():
    before = [signal.getsignal(number) for number in SIGNALS]
    within = []

    def look():
        with handled(Stop()):
            within.extend(signal.getsignal(number) for number in SIGNALS)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()

    assert within == before
