"""Edge: the agent of W&B in a process of its own: `python -m jade.tracking.wandb_agent SWEEP [SECONDS]`.

A signal that ends the agent is handed on to its trial, which writes its backup; the agent waits for that.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from wandb import wandb_agent
from wandb.cli.cli import cli


def main(arguments: Sequence[str]) -> None:
    """Work for a sweep until it is over.

    Args:
        arguments: entity/project/sweep, and how many seconds pass between two questions whether there is
            something to do; the client has no setting for that, and waits five.
    """
    sweep, *seconds = arguments
    if seconds:
        wandb_agent.Agent.POLL_INTERVAL = min(int(seconds[0]), wandb_agent.Agent.POLL_INTERVAL)
    cli.main(["agent", "--forward-signals", sweep], prog_name="wandb")


if __name__ == "__main__":
    main(sys.argv[1:])
