"""Morpho Blue on the devnet with its contracts, markets and borrowers."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Final

from eth_utils.crypto import keccak

from keeper.chain.abi import encoded
from keeper.devnet.artifacts import Abi, Artifact, Contract, Deployer, compiled
from keeper.devnet.assets import BY_SYMBOL
from keeper.devnet.feeds import SOURCES, ZERO_ADDRESS, Feed
from keeper.devnet.morpho_markets import (
    BLOCKING,
    LLTVS,
    MARKETS,
    WAD,
    MarketSpec,
    MorphoBorrower,
    first_price,
    planned_morpho_borrowers,
)
from keeper.devnet.node import Transaction
from keeper.devnet.toolchain import compile_solidity, ensure_packages
from keeper.domain.errors import EnvironmentFault, RpcRefused

_UNIT: Final = "@morpho-org/morpho-blue/src/Morpho.sol"
_PUBLISHED: Final = "@morpho-org/morpho-blue-bundlers/types/factories/lib/"
_IRM: Final = "morpho-blue-irm/src/adaptive-curve-irm/AdaptiveCurveIrm__factory.js"
_MORPHO: Final = "morpho-blue/src/Morpho__factory.js"
_SOLC: Final = "solc-0.8.19"
_SETTINGS: Final = {
    "optimizer": {"enabled": True, "runs": 999_999},
    "viaIR": True,
    "evmVersion": "paris",
    "outputSelection": {_UNIT: {"Morpho": ["abi", "evm.bytecode.object"]}},
}
_OWN_SETTINGS: Final = {"optimizer": {"enabled": True, "runs": 200}, "evmVersion": "shanghai"}
_BPS: Final = 10_000
_VIRTUAL_SHARES: Final = 10**6
_PRICE_SCALE: Final = 10**36
_GAS_MONEY: Final = 10**18
_FOREVER: Final = 2**256 - 1

Terms = tuple[str, str, str, str, int]
"""A market's parameters in the contract's order."""


@dataclass(frozen=True, slots=True)
class MorphoMarket:
    """A market of the devnet."""

    spec: MarketSpec
    terms: Terms
    id: str
    oracle: Contract


@dataclass(frozen=True, slots=True)
class Morpho:
    """Deployed Morpho Blue. ``markets`` are by name, ``blocking`` is the hostile market's token."""

    contract: Contract
    irm: Contract
    factory: Contract
    blocking: Contract
    markets: Mapping[str, MorphoMarket]
    borrowers: tuple[MorphoBorrower, ...]
    from_block: int


@cache
def morpho_artifact() -> Artifact:
    """Compile Morpho Blue from its published source."""
    sources = {_UNIT: ensure_packages() / _UNIT}
    built = compile_solidity(sources, settings=_SETTINGS, solc=_SOLC)[_UNIT]["Morpho"]
    return Artifact(name="Morpho", abi=built["abi"], code=built["evm"]["bytecode"]["object"])


def published_code(file: str = _MORPHO) -> str:
    """Load the creation code in the bundlers' package, as hex without 0x."""
    text = (ensure_packages() / (_PUBLISHED + file)).read_text()
    found = re.search(r'_bytecode = "0x([0-9a-f]+)"', text)
    if found is None:
        raise EnvironmentFault(f"{file} carries no creation code")
    return found.group(1)


@cache
def irm_artifact() -> Artifact:
    """Load AdaptiveCurveIrm as published."""
    return Artifact(name="AdaptiveCurveIrm", abi=_get_irm_abi(), code=published_code(_IRM))


@cache
def own_morpho_contracts() -> dict[str, Artifact]:
    """Compile the devnet's own oracles and its hostile token."""
    names = {
        "FeedOracle": "FeedOracle",
        "FeedOracleFactory": "FeedOracle",
        "MoodyOracle": "MoodyOracle",
        "BlockingToken": "BlockingToken",
    }
    files = {f"{file}.sol": SOURCES / f"{file}.sol" for file in names.values()}
    return compiled(files, _OWN_SETTINGS, {name: f"{file}.sol" for name, file in names.items()})


def deploy_morpho(
    deployer: Deployer,
    tokens: Mapping[str, Contract],
    feeds: Mapping[str, Feed],
    *,
    borrowers: int = 32,
    seed: int = 1,
) -> Morpho:
    """Create Morpho Blue with its markets and borrowers.

    The deployer owns it, supplies the loans and pledges for the borrowers.
    """
    node, admin, own = deployer.node, deployer.sender, own_morpho_contracts()
    from_block = node.block_number()
    contract = deployer.deploy(morpho_artifact(), admin)
    irm = deployer.deploy(irm_artifact(), contract.address)
    factory = deployer.deploy(own["FeedOracleFactory"])
    blocking = deployer.deploy(own["BlockingToken"])
    every = {**tokens, BLOCKING: blocking}
    for model in (irm.address, ZERO_ADDRESS):
        contract.send("enableIrm", model)
    contract.send("setFeeRecipient", admin)
    node.send_all([contract.transaction("enableLltv", lltv) for lltv in LLTVS])
    markets = {}
    for spec in MARKETS:
        oracle = _deploy_oracle(deployer, factory, feeds, spec)
        model = irm.address if spec.interest else ZERO_ADDRESS
        pair = (every[spec.loan].address, every[spec.collateral].address)
        markets[spec.name] = _create_market(
            contract, spec, (*pair, oracle.address, model, spec.lltv), oracle
        )
    planned = planned_morpho_borrowers(borrowers, seed)
    made = Morpho(contract, irm, factory, blocking, markets, planned, from_block)
    enter_markets(made, planned, tokens)
    return made


def saved_morpho(morpho: Morpho) -> dict[str, Any]:
    """Return the deployment as JSON values, enough for ``opened_morpho``."""
    return {
        "contract": morpho.contract.address,
        "irm": morpho.irm.address,
        "factory": morpho.factory.address,
        "blocking": morpho.blocking.address,
        "markets": {
            name: {"terms": list(one.terms), "id": one.id} for name, one in morpho.markets.items()
        },
        "borrowers": [asdict(each) for each in morpho.borrowers],
        "from_block": morpho.from_block,
    }


def opened_morpho(deployer: Deployer, state: Mapping[str, Any]) -> Morpho:
    """Load the deployment that ``saved_morpho`` described."""
    own = own_morpho_contracts()
    specs = {spec.name: spec for spec in MARKETS}
    markets = {}
    for name, one in state["markets"].items():
        kind = "MoodyOracle" if specs[name].moody else "FeedOracle"
        oracle = deployer.at(own[kind], one["terms"][2])
        markets[name] = MorphoMarket(specs[name], tuple(one["terms"]), one["id"], oracle)
    return Morpho(
        deployer.at(morpho_artifact(), state["contract"]),
        deployer.at(irm_artifact(), state["irm"]),
        deployer.at(own["FeedOracleFactory"], state["factory"]),
        deployer.at(own["BlockingToken"], state["blocking"]),
        markets,
        tuple(MorphoBorrower(**each) for each in state["borrowers"]),
        state["from_block"],
    )


def market_id(terms: Terms) -> str:
    """Return the id of a market."""
    return "0x" + keccak(encoded(("(address,address,address,address,uint256)",), (terms,))).hex()


def health_factors(morpho: Morpho) -> dict[tuple[str, str], int]:
    """Compute every borrower's health factor (wad) by market and address, at the newest block.

    Interest is as accrued in the contract. 0 if the market's oracle fails.
    """
    found = {}
    for name, one in morpho.markets.items():
        identity = bytes.fromhex(one.id[2:])
        _, _, assets, shares, _, _ = morpho.contract.call("market", identity)
        try:
            price = one.oracle.call("price")
        except RpcRefused:
            price = 0
        for borrower in (each.address for each in morpho.borrowers if each.market == name):
            _, owed, collateral = morpho.contract.call("position", identity, borrower)
            debt = -(-owed * (assets + 1) // (shares + _VIRTUAL_SHARES))
            most = collateral * price // _PRICE_SCALE * one.spec.lltv // WAD
            if debt:
                found[name, borrower] = most * WAD // debt
    return found


def _deploy_oracle(
    deployer: Deployer, factory: Contract, feeds: Mapping[str, Feed], spec: MarketSpec
) -> Contract:
    own = own_morpho_contracts()
    if spec.moody:
        return deployer.deploy(own["MoodyOracle"], first_price(spec.collateral, spec.loan))
    arguments = (
        feeds[spec.collateral].source.address,
        feeds[spec.loan].source.address,
        BY_SYMBOL[spec.collateral].decimals,
        BY_SYMBOL[spec.loan].decimals,
    )
    address = factory.call("create", *arguments)
    factory.send("create", *arguments)
    return deployer.at(own["FeedOracle"], address)


def _create_market(
    contract: Contract, spec: MarketSpec, terms: Terms, oracle: Contract
) -> MorphoMarket:
    contract.send("createMarket", terms)
    if spec.fee:
        contract.send("setFee", terms, spec.fee)
    return MorphoMarket(spec, terms, market_id(terms), oracle)


def enter_markets(
    morpho: Morpho, borrowers: Sequence[MorphoBorrower], tokens: Mapping[str, Contract]
) -> None:
    """Let the lender supply and pledge, and each borrower borrow, a block per wave.

    ``tokens`` are the devnet's, by symbol. The hostile one is Morpho's.
    """
    contract, node, admin = morpho.contract, morpho.contract.node, morpho.contract.sender
    supplied, needed = dict[str, int](), dict[str, int]()
    for each in borrowers:
        spec = morpho.markets[each.market].spec
        supplied[each.market] = supplied.get(each.market, 0) + each.debt
        needed[spec.collateral] = needed.get(spec.collateral, 0) + each.collateral
    for name in supplied:
        spec = morpho.markets[name].spec
        supplied[name] = supplied[name] * _BPS // spec.utilization + 1
        needed[spec.loan] = needed.get(spec.loan, 0) + supplied[name]
    node.send_all(_build_funding(contract, {**tokens, BLOCKING: morpho.blocking}, needed))
    node.batch([("anvil_setBalance", [each.address, hex(_GAS_MONEY)]) for each in borrowers])
    terms = {name: one.terms for name, one in morpho.markets.items()}
    node.send_all(
        [
            contract.transaction("supply", terms[name], amount, 0, admin, b"")
            for name, amount in supplied.items()
        ]
    )
    node.send_all(
        [
            contract.transaction(
                "supplyCollateral", terms[each.market], each.collateral, each.address, b""
            )
            for each in borrowers
        ]
    )
    node.send_all([_borrow(contract, terms[each.market], each) for each in borrowers])


def _borrow(contract: Contract, terms: Terms, each: MorphoBorrower) -> Transaction:
    who = each.address
    return contract.transaction("borrow", terms, each.debt, 0, who, who, sender=who)


def _build_funding(
    contract: Contract, tokens: Mapping[str, Contract], needed: Mapping[str, int]
) -> Sequence[Transaction]:
    """Build the transactions that fund the lender further and approve Morpho."""
    transactions = []
    for symbol, amount in needed.items():
        token = tokens[symbol]
        if symbol == "WETH":
            transactions.append(token.transaction("deposit", value=amount))
        else:
            transactions.append(token.transaction("mint", contract.sender, amount))
        if not token.call("allowance", contract.sender, contract.address):
            transactions.append(token.transaction("approve", contract.address, _FOREVER))
    return transactions


def _get_irm_abi() -> Abi:
    """Return the devnet's ABI of the rate model, as the published one is not JSON."""
    rate = {
        "type": "function",
        "name": "rateAtTarget",
        "inputs": [{"type": "bytes32", "name": "id"}],
        "outputs": [{"type": "int256", "name": ""}],
    }
    return [{"type": "constructor", "inputs": [{"type": "address", "name": "morpho"}]}, rate]
