"""Checks of the vault's loss limits for clearing, and of the collateral that counts."""

from collections.abc import Sequence

from keeper.abilities import TakesClears
from keeper.chain.abi import WORD, word
from keeper.cli.findings import Finding, ok, warn
from keeper.cli.here import Here
from keeper.cli.words import decimal
from keeper.domain.reads import CallResult
from keeper.domain.units import BPS, Address
from keeper.domain.value import TokenPrice
from keeper.execution import vault as language
from keeper.ports import MarketSnapshot


async def loss_findings(
    place: Here, vault: Address, snapshots: Sequence[MarketSnapshot], *, wanted: bool
) -> list[Finding]:
    """Check the markets opened for clearing. Warn if clearing is enabled and no market is open."""
    able = [one for one in snapshots if isinstance(one, TakesClears)]
    found = [each for one in able for each in await _check_market(place, vault, one)]
    if found or not able or not wanted:
        return found
    where = f"0x{able[0].clear_place.hex()}"
    call = f"the owner calls setLossLimit({where}, perTransaction, perDay) for {able[0].market}"
    return [warn("vault clearing", "cure.clear is on, but no market is open for it", call)]


async def _check_market(place: Here, vault: Address, snapshot: TakesClears) -> list[Finding]:
    """Check one market. Empty if it is not open."""
    tokens = sorted(snapshot.prices.values(), key=lambda one: one.symbol)
    calls = language.loss_calls(vault, snapshot.clear_place, [one.token for one in tokens])
    limits, left, *shares = await place.reader.aggregate(calls, place.basis)
    each, day = _read_words(limits, 2)
    if not each and not day:
        return []
    unit, digits = snapshot.loss_unit
    (rest,) = _read_words(left, 1)
    where = f"vault clearing {snapshot.market}"
    detail = (
        f"may lose {decimal(each, digits)} {unit} in a transaction and {decimal(day, digits)} a"
        f" day, {decimal(rest, digits)} of it left today"
    )
    figures = {
        "place": f"0x{snapshot.clear_place.hex()}",
        "unit": unit,
        "decimals": str(digits),
        "per_transaction": str(each),
        "per_day": str(day),
        "left_today": str(rest),
    }
    counted = [
        _check_counted(where, one, bps)
        for one, share in zip(tokens, shares, strict=True)
        if (bps := _read_words(share, 1)[0])
    ]
    if not counted:
        call = f"the owner calls setCounted({figures['place']}, collateral, bps)"
        counted = [warn(where, "no collateral counts, so that none is taken", call)]
    return [ok(where, detail, figures), *counted]


def _check_counted(where: str, token: TokenPrice, bps: int) -> Finding:
    detail = f"{token.symbol} counts at {decimal(bps * 100, 4)} % of the market's price"
    if bps == BPS:
        call = "the owner calls setCounted with what it would really fetch"
        return warn(where, f"{detail}: by that nothing is ever lost, and no loss limit holds", call)
    return ok(
        where, detail, {"token": token.token, "symbol": token.symbol, "counted_bps": str(bps)}
    )


def _read_words(result: CallResult, number: int) -> list[int]:
    """Return an answer's 32-byte words. Zeros if the vault did not answer."""
    if not result.success or len(result.data) < number * WORD:
        return [0] * number
    return [word(result.data, at) for at in range(number)]
