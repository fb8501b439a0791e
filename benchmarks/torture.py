"""Kills runs at random moments, twenty times each, and compares them with undisturbed ones, bit by bit: minutes.

`python benchmarks/torture.py [kills]`. The kills are SIGKILL, SIGTERM and SIGUSR1, some of them to every process of the
run at once, with a backup every 7 iterations, so that some fall into the writing of one. The tests do the same with three.
"""

import collections
import signal
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))
import results  # beside this file

from tests.integration import torture  # the machinery that the tests use, too

KILLS = 20
# Each run must last until its last kill.
LONGER = 8


def main():
    kills = int(sys.argv[1]) if sys.argv[1:] else KILLS
    text = [
        "| experiment | how its processes ended | what differs from an undisturbed run |",
        "|---|---|---|",
    ]
    failed = False
    for name, case in torture.CASES.items():
        longer = case.longer(LONGER if kills > 5 else 1)
        with tempfile.TemporaryDirectory() as folder:
            whole = torture.run(longer, folder, "whole")
            ends = torture.killed(longer, folder, "cut", kills, seed=name)
            differing = torture.differences(Path(folder) / "whole", Path(folder) / "cut")
        how = collections.Counter(_told(code) for _, code, _ in ends)
        failed = failed or bool(differing) or whole.returncode != 0 or ends[-1][1] != 0
        ended = ", ".join(f"{count} x {what}" for what, count in how.items())
        text.append(f"| {name} | {ended} | {'; '.join(differing[:3]) or 'nothing'} |")
        print(text[-1], flush=True)
    how = f'{kills} kills of each run, `--backup-every "7 iterations"`; `model.pt` and `metrics.jsonl` compared.'
    results.write("Killed and continued", how, text)
    return int(failed)


def _told(code):
    if code < 0:
        return signal.Signals(-code).name
    return signal.Signals(code - 128).name + " with a backup" if code > 128 else f"exit {code}"


if __name__ == "__main__":
    sys.exit(main())
