"""``python -m bitcodec`` is the command, also for ``torchrun -m bitcodec train ...``."""

import sys

from bitcodec.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
