"""``keeper`` and ``python -m keeper``."""

import sys

from keeper.cli.root import run


def main() -> int:
    """Run the command line of this process and return its exit code."""
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
