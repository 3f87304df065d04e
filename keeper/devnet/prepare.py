"""``python -m keeper.devnet.prepare``: fetch and compile ahead what the local chain needs."""

import sys
from collections.abc import Callable
from typing import Final

from keeper.devnet.aave_v36 import aave_v36_artifacts
from keeper.devnet.morpho import morpho_artifact
from keeper.devnet.toolchain import anvil_binary
from keeper.domain.errors import KeeperError

STEPS: Final[tuple[tuple[str, Callable[[], object]], ...]] = (
    ("npm packages and the Anvil binary", anvil_binary),
    ("Aave v3.6, compiled", aave_v36_artifacts),
    ("Morpho Blue, compiled", morpho_artifact),
)


def main() -> int:
    """Run every step that is not done yet. An error is one line, its code the exit code."""
    for name, step in STEPS:
        sys.stderr.write(f"  {name} .. ")
        sys.stderr.flush()
        try:
            step()
        except KeeperError as error:
            sys.stderr.write(f"\nerror[{error.code}]: {error}\n")
            sys.stderr.write(f"hint: {error.hint}\n" if error.hint else "")
            return error.exit_code
        sys.stderr.write("ok\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
