"""What a trial printed, out of its agent's log; which GPUs there are."""

from pathlib import Path

from jade.sweeps.agents import LINES_OF_AN_ERROR, gpus, printed_by

LOG = """\
wandb: Starting wandb agent
2026-11-22 00:30:01,000 - wandb.wandb_agent - INFO - Running runs: []
2026-11-22 00:30:02,000 - wandb.wandb_agent - INFO - Agent received command: run
2026-11-22 00:30:02,500 - wandb.wandb_agent - INFO - Running runs: ['first']
of the first
2026-11-22 00:30:05,000 - wandb.wandb_agent - INFO - Cleaning up finished run: first
2026-11-22 00:30:06,000 - wandb.wandb_agent - INFO - Running runs: ['second']
wandb: Tracking run
before
Traceback (most recent call last):
  File "train.py", line 1, in <module>
    broken()
    ^^^^^^^^
RuntimeError: it is broken
2026-11-22 00:30:09,000 - wandb.wandb_agent - INFO - Cleaning up finished run: second
2026-11-22 00:30:09,100 - wandb.wandb_agent - INFO - Running runs: []
of nobody
"""


def test_a_traceback_is_shown_without_what_came_before():
    assert printed_by("second", LOG).splitlines() == [
        "Traceback (most recent call last):",
        '  File "train.py", line 1, in <module>',
        "    broken()",
        "RuntimeError: it is broken",
    ]


def test_without_a_traceback_all_lines_of_the_trial_are_shown_and_none_of_others():
    assert printed_by("first", LOG) == "of the first"
    assert printed_by("third", LOG) == ""


def test_of_a_trial_that_was_tried_twice_the_newest_attempt_is_shown():
    again = LOG + "x - INFO - Running runs: ['first']\nthe second time\n"

    assert printed_by("first", again) == "the second time"


def test_of_a_long_text_the_end_is_shown():
    log = "Running runs: ['long']\n" + "\n".join(f"line {number}" for number in range(100))

    lines = printed_by("long", log).splitlines()

    assert lines[0] == "…"
    assert lines[-1] == "line 99"
    assert len(lines) == LINES_OF_AN_ERROR + 1


def test_the_gpus_are_those_that_the_environment_allows():
    assert gpus({"CUDA_VISIBLE_DEVICES": "2, 0"}) == ["2", "0"]
    assert gpus({"CUDA_VISIBLE_DEVICES": ""}) == []


def test_the_gpus_are_those_that_the_driver_lists(tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nprintf '0\\n1\\n'\n")
    tool.chmod(0o755)

    assert gpus({"PATH": str(tmp_path)}) == ["0", "1"]
    assert gpus({"PATH": str(Path("/nowhere"))}) == []
