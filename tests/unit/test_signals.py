import os
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from jade import signals
from jade.signals import OUT_OF_TIME, Stop, Stopped, handled, held

# How each ends a process: 128 and its number.
CODES = {
    signal.SIGINT: 130,
    signal.SIGTERM: 143,
    signal.SIGHUP: 129,
    signal.SIGUSR1: 138,
    signal.SIGUSR2: 140,
}
SIGNALS = list(CODES)
FROM_OUTSIDE = [number for number in SIGNALS if number != signal.SIGINT]
SCHEDULER = {"SLURM_JOB_ID": "7"}


def send(number):
    os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def handlers_as_they_were():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def clock():
    return SimpleNamespace(now=1000.0)


@pytest.fixture
def stop(clock):
    return Stop(lambda: clock.now)


# A request


def test_without_a_request_a_stop_is_false_and_the_exit_code_0():
    stop = Stop()

    assert (bool(stop), stop.signal, stop.exit_code) == (False, None, 0)
    stop.check()


@pytest.mark.parametrize(("number", "code"), CODES.items())
def test_a_signal_asks_for_a_stop_and_interrupts_nothing(number, code):
    stop = Stop()

    with handled(stop) as given:
        send(number)
        reached = True

    assert given is stop
    assert reached
    assert (bool(stop), stop.signal, stop.exit_code) == (True, number, code)


@pytest.mark.parametrize("number", FROM_OUTSIDE)
def test_a_signal_that_comes_again_and_again_waits_like_the_first(number, stop, clock):
    with handled(stop):
        for _ in range(5):
            send(number)
            clock.now += 60.0

    assert (stop.signal, stop.exit_code, stop.age) == (number, CODES[number], 300.0)


def test_the_first_of_several_signals_is_the_one_that_counts(stop):
    with handled(stop):
        send(signal.SIGUSR1)
        send(signal.SIGTERM)

    assert stop.exit_code == CODES[signal.SIGUSR1]


def test_a_second_ctrl_c_does_not_wait(stop, clock):
    with handled(stop):
        send(signal.SIGINT)
        clock.now += 0.31
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)

    assert stop.exit_code == 130


def test_one_press_of_ctrl_c_that_arrives_twice_is_one(stop, clock):
    with handled(stop):
        send(signal.SIGINT)
        clock.now += 0.29
        send(signal.SIGINT)

    assert stop.exit_code == 130


def test_a_ctrl_c_after_another_signal_does_not_wait_for_the_step(stop, clock):
    with handled(stop):
        send(signal.SIGTERM)
        clock.now += 5.0
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)

    assert stop.exit_code == 143


def test_the_first_ctrl_c_says_what_a_second_one_does(stop, clock, capfd):
    with handled(stop):
        send(signal.SIGINT)
        send(signal.SIGINT)

    assert capfd.readouterr().err == "\nStopping after this step; Ctrl-C again stops at once.\n"


@pytest.mark.parametrize("number", FROM_OUTSIDE)
def test_no_other_signal_says_anything(stop, number, capfd):
    with handled(stop):
        send(number)

    assert capfd.readouterr().err == ""


def test_without_a_terminal_to_write_to_a_ctrl_c_still_asks(stop, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)

    with handled(stop):
        send(signal.SIGINT)

    assert stop.exit_code == 130


# As long as nothing could be saved


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_before_there_is_anything_to_save_ends_what_is_going_on(number, stop):
    with handled(stop):
        stop.at_once = True
        with pytest.raises(Stopped):
            send(number)

    assert (bool(stop), stop.exit_code) == (True, CODES[number])


def test_it_ends_what_is_going_on_once_so_that_cleaning_up_is_not_interrupted(stop):
    with handled(stop):
        stop.at_once = True
        with pytest.raises(Stopped):
            send(signal.SIGTERM)
        send(signal.SIGTERM)
        send(signal.SIGUSR1)

    assert stop.exit_code == 143


def test_no_handling_of_errors_takes_a_stop_for_one():
    assert not issubclass(Stopped, Exception)


# Safe points


@pytest.mark.parametrize("number", [None, *SIGNALS])
def test_a_safe_point_ends_what_is_going_on_once_a_stop_was_asked_for(number, stop):
    stop.check()
    stop.request(number)

    for _ in range(2):
        with pytest.raises(Stopped):
            stop.check()


# A time limit


def test_a_limit_asks_for_a_stop_while_there_is_time_to_save(stop, clock):
    stop.limit(100.0)
    stop.needed = 7.0

    clock.now += 92.9
    stop.check()
    clock.now += 0.2

    with pytest.raises(Stopped):
        stop.check()
    assert (stop.signal, stop.exit_code) == (None, OUT_OF_TIME)
    assert OUT_OF_TIME == 124


def test_without_a_limit_time_does_not_matter(stop, clock):
    clock.now += 1e12

    stop.check()

    assert stop.deadline == float("inf")


def test_a_limit_that_is_over_before_the_run_began_asks_at_once(stop):
    stop.limit(-5.0)

    with pytest.raises(Stopped):
        stop.check()


def test_a_signal_just_before_the_limit_keeps_its_own_code(stop, clock):
    stop.limit(100.0)
    stop.request(signal.SIGTERM)
    clock.now += 1000.0

    stop.look_at_the_clock()

    assert stop.exit_code == 143


# What a stop means for whoever started the run


def out_of_time():
    stop = Stop(lambda: 0.0)
    stop.limit(0.0)
    stop.look_at_the_clock()
    return stop


def asked_by(number):
    stop = Stop()
    stop.request(number)
    return stop


@pytest.mark.parametrize("environ", [{}, SCHEDULER], ids=["alone", "scheduler"])
@pytest.mark.parametrize(
    "stop",
    [asked_by(signal.SIGUSR1), asked_by(signal.SIGUSR2), out_of_time()],
    ids=["USR1", "USR2", "out of time"],
)
def test_a_run_that_was_warned_or_is_out_of_time_is_to_be_continued(stop, environ):
    assert stop.is_preempting(environ)


@pytest.mark.parametrize(
    "variable", ["SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "SGE_TASK_ID", "OAR_JOB_ID", "FLUX_JOB_ID"]
)
def test_a_sigterm_is_a_machine_taken_away_only_under_a_scheduler(variable):
    stop = asked_by(signal.SIGTERM)

    assert stop.is_preempting({variable: "7"})
    assert not stop.is_preempting({variable: ""})
    assert not stop.is_preempting({"HOME": "/"})


@pytest.mark.parametrize("environ", [{}, SCHEDULER], ids=["alone", "scheduler"])
@pytest.mark.parametrize(
    "stop",
    [Stop(), asked_by(None), asked_by(signal.SIGINT), asked_by(signal.SIGHUP)],
    ids=["not asked", "server", "Ctrl-C", "terminal closed"],
)
def test_a_stop_by_a_person_or_by_the_server_is_final(stop, environ):
    assert not stop.is_preempting(environ)


def test_a_stop_that_the_server_asked_for_ends_with_0():
    assert asked_by(None).exit_code == 0


def test_a_stop_of_the_server_stays_final_when_its_agent_sends_a_signal_afterwards():
    stop = asked_by(None)

    stop.request(signal.SIGTERM)

    assert (stop.signal, stop.exit_code) == (None, 0)
    assert not stop.is_preempting(SCHEDULER)


def test_a_signal_that_turns_out_to_be_the_servers_wish_ends_with_0():
    stop = asked_by(signal.SIGTERM)

    stop.was_final = True

    assert stop.exit_code == 0


# Handlers


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda number, frame: None], ids=["ignored", "own"])
def test_the_handlers_before_are_put_back(number, handler):
    signal.signal(number, handler)

    with handled(Stop()):
        within = signal.getsignal(number)

    stays = number == signal.SIGHUP and handler is signal.SIG_IGN
    assert (within is handler) == stays
    assert signal.getsignal(number) is handler


def test_a_hangup_that_is_ignored_as_under_nohup_stays_ignored(stop):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    with handled(stop):
        send(signal.SIGHUP)

    assert not stop


def test_the_handlers_before_are_put_back_after_an_exception():
    before = signal.getsignal(signal.SIGTERM)

    with pytest.raises(ZeroDivisionError), handled(Stop()):
        raise ZeroDivisionError

    assert signal.getsignal(signal.SIGTERM) is before


def in_a_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def test_in_another_thread_signals_are_left_alone():
    before = [signal.getsignal(number) for number in SIGNALS]
    within = []

    def look():
        with handled(Stop()), held():
            within.extend(signal.getsignal(number) for number in SIGNALS)

    in_a_thread(look)

    assert within == before


FORKING = """
import os, signal
from jade.signals import Stop, handled

with handled(Stop()):
    child = os.fork()
    if not child:
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(0)
    _, status = os.waitpid(child, 0)
print(os.WTERMSIG(status))
"""


def test_a_process_that_the_users_code_forks_ends_by_a_signal_as_ever():
    done = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, timeout=60)

    assert done.stdout == f"{int(signal.SIGTERM)}\n"


# Holding signals back


HOLDING = """
import os, signal, sys
from jade.signals import Stop, handled, held
stop = Stop()
with handled(stop):
    with held():
        os.kill(os.getpid(), int(sys.argv[1]))
        within = bool(stop)
    print(within, bool(stop))
"""


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_that_is_held_arrives_after_the_block(number):
    # In a process of its own: any thread that does not hold a signal may take it.
    command = [sys.executable, "-c", HOLDING, str(int(number))]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert done.stdout == "False True\n"


def test_nothing_is_held_after_a_block_that_raised():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])

    with pytest.raises(ZeroDivisionError), held():
        raise ZeroDivisionError

    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_what_was_held_before_a_block_is_held_after_it():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    try:
        with held():
            pass
        after = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])

    assert signal.SIGUSR2 in after
    assert signal.SIGTERM not in after


# Workers

WORKER = """
import os, signal, sys, time
from jade import signals

signals.WORKER_SECONDS = 1
signals.outlive_the_parents_signals()
for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM):
    os.kill(os.getpid(), number)
print("alive", flush=True)
time.sleep(30)
"""


def test_a_worker_lives_through_every_signal_and_ends_a_while_after_it_was_told_to():
    done = subprocess.run([sys.executable, "-c", WORKER], capture_output=True, text=True, timeout=20)

    assert done.stdout == "alive\n"
    assert done.returncode == -signal.SIGALRM
    assert signals.WORKER_SECONDS == 10
