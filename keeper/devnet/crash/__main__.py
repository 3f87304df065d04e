"""
``scripts/crashes``: recorded crashes on the local chain, predicted against realised net profit.

The real keeper bids, pays a share to the builder, and puts up to twelve accounts into a
transaction, while blocks are full and its own transactions wait. Its journal is held against
receipts and balances.
"""

import argparse
import contextlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from keeper.devnet.crash.books import Books
from keeper.devnet.crash.ledger import Ledger
from keeper.devnet.crash.playing import HOUR, Player, write_settings
from keeper.devnet.crash.report import as_document, as_text
from keeper.devnet.demo.ledger import journal, opened_books
from keeper.devnet.demo.process import KeeperProcess
from keeper.devnet.local import BOTH, UpOptions, attach, down, up
from keeper.devnet.toolchain import ROOT
from keeper.domain.errors import KeeperError
from keeper.domain.units import WAD
from keeper.rehearse.prices import PricePath, parsed

BORROWERS: Final = 68
CRASHES: Final = ("2021-05", "2022-06")
_HOT_ETHER: Final = 500


def crash_path(name: str, first_hour: int = 0, hours: int | None = None) -> PricePath:
    """Load the prices of a recorded crash, from ``first_hour`` on.

    Raises:
        ConfigError: that part has fewer than two records.
    """
    file = ROOT / "docs" / "data" / f"prices-{name}-crash.csv"
    whole = parsed(file.read_text(), file.name)
    lasting = whole.times[-1] - whole.times[0] if hours is None else hours * HOUR
    return whole.part(first_hour * HOUR, lasting)


def play(
    path: PricePath,
    *,
    every: int = 1,
    seed: int,
    borrowers: int,
    tell: Callable[[str], object] = lambda _: None,
) -> Books:
    """Play every n-th hour of a path and return the books."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keeper-crash-")))
        up(UpOptions(folder=folder, borrowers=borrowers, seed=seed, protocol=BOTH, detached=False))
        stack.callback(down, folder)
        devnet = attach(folder)
        stack.callback(devnet.node.close)
        devnet.node.set_balance(devnet.accounts.hot, _HOT_ETHER * WAD)
        opening = opened_books(devnet)
        keeper = KeeperProcess.start(write_settings(folder))
        stack.callback(keeper.stop)
        player = Player(
            devnet=devnet,
            path=path,
            keeper=keeper,
            chance=random.Random(seed),  # noqa: S311 - to be repeated
            borrowers=borrowers // 2,
        )
        player.start()
        for hour in range(0, (path.times[-1] - path.times[0]) // HOUR + 1, every):
            player.play(hour)
            tell(f"hour {hour}: block {devnet.node.block_number()}, {player.full} full")
        player.settle()
        keeper.stop()
        ledger = Ledger(
            devnet=devnet, submissions=journal(folder / "keeper.sqlite"), prices=player.prices
        )
        return Books(
            rows=ledger.rows(),
            balances=ledger.balances(opening),
            blocks=player.blocks,
            full=player.full,
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. The exit code is 1 if a plan deviates or fails without a cause."""
    parser = argparse.ArgumentParser(prog="scripts/crashes", description=__doc__)
    parser.add_argument("--crash", choices=CRASHES, action="append", help="default: both")
    parser.add_argument("--first-hour", type=int, default=0, metavar="H")
    parser.add_argument("--hours", type=int, metavar="N", help="default: to the end")
    parser.add_argument("--every", type=int, default=1, metavar="H", help="hours between records")
    parser.add_argument("--borrowers", type=int, default=BORROWERS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print JSON, every plan in it")
    given = parser.parse_args(arguments)
    documents, right = list[dict[str, object]](), True
    for name in given.crash or CRASHES:
        begun = time.monotonic()
        try:
            books = play(
                crash_path(name, given.first_hour, given.hours),
                every=given.every,
                seed=given.seed,
                borrowers=given.borrowers,
                tell=lambda line: sys.stderr.write(line + "\n"),
            )
        except KeeperError as error:
            sys.stderr.write(f"error[{error.code}]: {error}\n{error.hint or ''}\n")
            return error.exit_code
        right = right and books.is_right
        documents.append({"crash": name, "seed": given.seed, **as_document(books)})
        if not given.json:
            seconds = round(time.monotonic() - begun)
            sys.stdout.write(f"{name}, seed {given.seed}, {seconds} s\n{as_text(books)}\n")
            sys.stdout.flush()
    if given.json:
        sys.stdout.write(json.dumps(documents) + "\n")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
