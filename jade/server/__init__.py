"""A server that speaks W&B's protocol to the real client, on one machine, with no account.

Another process than the one that trains, reached through `WANDB_BASE_URL`; it knows nothing of JADE's runs
but what any client of W&B says. `python -m jade server` starts it.
"""
