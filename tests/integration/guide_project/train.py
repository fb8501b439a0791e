import sys

from jade.cli import main

sys.exit(main(sys.argv[1:]))
