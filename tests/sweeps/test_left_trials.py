"""Trials whose agent was killed; agents that end; words that reach nobody."""

import io
import os
import signal
import subprocess
import sys

import pytest

from jade.sweeps import left, voice
from jade.sweeps.agents import MOST_STARTS, _Agent
from jade.sweeps.board import Lines
from jade.trials import Trials

AGENT = """
import subprocess, sys, time
sleeps = [sys.executable, "-c", "import time; time.sleep(600)"]
trial = subprocess.Popen(sleeps, process_group=0, stdout=subprocess.DEVNULL)
print(trial.pid, flush=True)
time.sleep(600)
"""


def test_the_trial_of_a_killed_agent_is_found_in_its_session():
    agent = subprocess.Popen(
        [sys.executable, "-c", AGENT], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    trial = int(agent.stdout.readline())
    agent.kill()
    agent.communicate()

    found = left.trials({agent.pid})
    os.kill(trial, signal.SIGKILL)

    assert found == [trial]
    assert left.trials(set()) == []
    assert os.getpid() in left.everything({os.getsid(0)})


@pytest.mark.parametrize(
    ("starts", "ended", "is_due"),
    [(1, None, False), (1, 10.0, True), (2, 10.0, False), (2, 6.0, True), (MOST_STARTS, 0.0, False)],
)
def test_an_agent_is_started_again_at_once_then_later_and_at_last_not_at_all(starts, ended, is_due):
    agent = _Agent(1, None, process=None, starts=starts, ended=ended)

    assert agent.is_due(10.0) == is_due


def test_where_nobody_reads_any_more_the_work_goes_on():
    reading, writing = os.pipe()
    os.close(reading)

    with io.TextIOWrapper(io.FileIO(writing, "w")) as out:
        voice.say("to nobody", out)
        Lines(out, Trials("", "", "", None, "minimize", (), "", None, ())).say("nor this")

    assert out.closed


def test_a_terminal_without_a_letter_gets_another(monkeypatch):
    kept = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(kept, encoding="ascii"))

    voice.prepare()
    voice.say("bös")

    assert kept.getvalue() == b"b?s\n"
