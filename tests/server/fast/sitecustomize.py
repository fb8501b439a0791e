"""Makes an agent ask for work every fifth of a second instead of every five, and a trial whether it is to stop every
half second instead of every fifteen: wandb has no setting for either.
"""

import sys

if any(argument == "agent" for argument in sys.argv):
    from wandb import wandb_agent

    wandb_agent.Agent.POLL_INTERVAL = 0.2

if any(argument in ("train", "train.py") for argument in sys.argv):
    from wandb.sdk.lib.run_stopping import RunStopChecker

    RunStopChecker.__init__.__kwdefaults__["poll_interval"] = 0.5
