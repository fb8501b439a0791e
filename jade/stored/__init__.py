"""Stored runs: found, fetched, opened, compared.

From a folder or from W&B, with the run's own code or with the present one; see `run.py`.
"""
