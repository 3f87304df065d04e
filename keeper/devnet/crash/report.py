"""The books of a played crash, for people and as plain data."""

from dataclasses import asdict
from typing import Final

from keeper.cli.words import decimal
from keeper.devnet.crash.books import Books, Line, Row
from keeper.domain.units import BPS

_ETHER: Final = 18
_DIGITS: Final = 5
_SHOWN: Final = 20


def as_document(books: Books) -> dict[str, object]:
    """Return the books as plain data, every plan in it."""
    return {
        "blocks": books.blocks,
        "full_blocks": books.full,
        "is_right": books.is_right,
        "lines": [_build_figures(line) for line in books.lines()],
        "balances": asdict(books.balances),
        "plans": [
            {**asdict(row), "cause": row.cause, "deviation_bps": row.deviation_bps}
            for row in books.rows
        ],
    }


def as_text(books: Books) -> str:
    """Return the table, and every plan that failed or deviates without a cause."""
    head = f"{'':<28}{'plans':>6}{'landed':>7}{'reverted':>9}{'predicted':>12}{'realised':>12}"
    lines = [head + f"{'in sum':>10}{'worst':>10}{'within 1 %':>12}"]
    lines += [_format_line(line) for line in books.lines()]
    lines.append(f"{books.blocks} blocks, {books.full} full while own transactions waited")
    even = "as booked" if books.balances.is_even else f"not as booked: {books.balances}"
    lines.append(f"balances {even}")
    failed = [row for row in books.rows if row.failure]
    lines += [
        f"reverted ({row.cause}): {_format_row(row)}: {row.failure}" for row in failed[:_SHOWN]
    ]
    lines += [f"unexplained: {_format_row(row)}" for row in books.unexplained[:_SHOWN]]
    return "\n".join(lines)


def _build_figures(line: Line) -> dict[str, object]:
    worst = line.worst
    return {
        "name": line.name.strip(),
        "plans": len(line.rows),
        "landed": len(line.landed),
        "reverted": len(line.rows) - len(line.landed),
        "predicted_wei": str(line.predicted),
        "realised_wei": str(line.realised),
        "worst_bps": None if worst is None else worst.deviation_bps,
        "exact": sum(row.is_exact for row in line.landed),
    }


def _format_line(line: Line) -> str:
    landed, worst = line.landed, line.worst
    counts = f"{len(line.rows):>6}{len(landed):>7}{len(line.rows) - len(landed):>9}"
    if not landed or worst is None:
        return f"{line.name:<28}{counts}"
    sums = "".join(
        f"{decimal(wei, _ETHER, _DIGITS):>12}" for wei in (line.predicted, line.realised)
    )
    share = (line.realised - line.predicted) * BPS / max(abs(line.predicted), 1) / 100
    exact = sum(row.is_exact for row in landed) * 100 / len(landed)
    worst_share = worst.deviation_bps / 100
    return f"{line.name:<28}{counts}{sums}{share:>+9.3f}%{worst_share:>+9.2f}%{exact:>11.1f}%"


def _format_row(row: Row) -> str:
    return (
        f"{row.account} in {row.transaction} of {row.beside}, planned {row.planned_block},"
        f" landed {row.landed_block}, behind {row.behind}:"
        f" {decimal(row.predicted, _ETHER, 6)} predicted,"
        f" {decimal(row.realised, _ETHER, 6)} realised,"
        f" {decimal(row.with_planned_fee, _ETHER, 6)} at the planned fee"
    )
