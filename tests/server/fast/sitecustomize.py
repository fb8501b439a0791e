"""Makes an agent ask for work every fifth of a second instead of every five: wandb has no setting for it."""

import sys

if any(argument == "agent" for argument in sys.argv):
    from wandb import wandb_agent

    wandb_agent.Agent.POLL_INTERVAL = 0.2
