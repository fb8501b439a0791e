"""Train one run: `python train.py --help` lists the flags. All the work is done in `jade.cli`."""

import sys
from pathlib import Path

from jade.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], project=Path(__file__).parent))
