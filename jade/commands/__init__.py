"""The commands of `python -m jade <command>`, one file each, found by their names."""
