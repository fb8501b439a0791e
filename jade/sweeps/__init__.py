"""Sweeps on one machine: run with one command, shown, exported.

The agents and the trials are those of W&B's client; the server is the embedded one, another process, or
whichever the environment names.
"""
