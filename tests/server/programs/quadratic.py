"""A program that knows wandb and nothing of JADE: some steps of a loss that depends on two params."""

import os
import time

import wandb
from wandb.sdk.lib.run_stopping import RunStopChecker

# A run asks every fifteen seconds whether it is to stop; wandb has no setting for it.
RunStopChecker.__init__.__kwdefaults__["poll_interval"] = 0.5

with wandb.init() as run:
    x, y = run.config.get("x", 0.0), run.config.get("y", 0.0)
    for step in range(int(os.environ.get("STEPS", "3"))):
        run.log({"loss": (x - 0.3) ** 2 + y + 1 / (step + 1)})
        if x >= float(os.environ.get("SLOW_FROM_X", "-inf")):
            time.sleep(float(os.environ.get("STEP_SECONDS", "0")))
