"""``python -m keeper.devnet.demo``: what ``scripts/demo`` runs once everything is set up."""

import argparse
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Final

from keeper.cli.output import print_json, print_note
from keeper.devnet.demo.books import audited
from keeper.devnet.demo.progress import Progress
from keeper.devnet.demo.report import document, print_report
from keeper.devnet.demo.show import Options, show
from keeper.devnet.local import BOTH
from keeper.devnet.market import AAVE_V3, PROTOCOLS, VERSIONS
from keeper.domain.errors import KeeperError

BOOKS_EXIT: Final = 1
INTERRUPTED_EXIT: Final = 130

DESCRIPTION: Final = """\
Bring up a local chain with real contracts, let the keeper run on it while prices fall, and
check its books against the chain. Exit code 0 only if everything adds up."""


def main(arguments: Sequence[str]) -> int:
    """Run the demo. The exit code is 0 only if every check of the books holds."""
    wanted = _build_parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _raise_interrupt)
    options = Options(
        protocol=wanted.protocol,
        aave=wanted.aave,
        borrowers=wanted.borrowers,
        seed=wanted.seed,
        block_time=wanted.block_time,
        fork=wanted.fork,
        keep=wanted.keep,
    )
    try:
        shown = show(options, Progress())
    except KeeperError as error:
        print_note(f"error[{error.code}]: {error}")
        if error.hint:
            print_note(f"hint: {error.hint}")
        return error.exit_code
    except KeyboardInterrupt:
        print_note("stopped; nothing runs on" if not wanted.keep else "stopped")
        return INTERRUPTED_EXIT
    checks = audited(shown.facts)
    if wanted.json:
        print_json(document(shown.facts, checks, shown.told, shown.about))
    else:
        print_report(shown.facts, checks, shown.accounts)
    broken = [one for one in checks if not one.held]
    if broken:
        print_note(f"error[books]: {broken[0].name}: {broken[0].detail}")
        return BOOKS_EXIT
    return 0


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=DESCRIPTION)
    parser.add_argument(
        "--protocol", choices=(*PROTOCOLS, BOTH), default=AAVE_V3, help="whose borrowers"
    )
    parser.add_argument("--aave", choices=VERSIONS, default="3.6", help="Aave's version")
    parser.add_argument("--borrowers", type=_count, default=32, metavar="N", help="default 32")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="makes the borrowers")
    parser.add_argument(
        "--block-time", type=_count, default=1, metavar="S", help="seconds between blocks"
    )
    parser.add_argument("--fork", action="store_true", help="run the keeper on a fork of the chain")
    parser.add_argument("--keep", action="store_true", help="leave chain and keeper running")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, not {text!r}")
    return int(text)


def _raise_interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
