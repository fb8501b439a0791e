"""Writes what a benchmark found into `results.md`, one section each, with machine and versions."""

import datetime
import os
import platform
import re
from pathlib import Path

import torch

FILE = Path(__file__).parent / "results.md"


def write(title, how, lines):
    """Replace the section `title` of the results by `lines`, and print it."""
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, torch {torch.__version__}"
    section = "\n".join([f"## {title}", "", f"{how} {machine}; {datetime.date.today()}.", "", *lines, ""])
    text = (
        FILE.read_text()
        if FILE.exists()
        else "# What the benchmarks found\n\n`make benchmark` writes this file.\n\n"
    )
    kept = re.sub(rf"## {re.escape(title)}\n.*?(?=\n## |\Z)", "", text, flags=re.DOTALL).rstrip()
    FILE.write_text(f"{kept}\n\n{section}")
    print(section)
