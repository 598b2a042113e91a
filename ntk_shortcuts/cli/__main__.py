"""`python -m ntk_shortcuts.cli`."""

import sys

from ntk_shortcuts.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
