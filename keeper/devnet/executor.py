"""Deploy the liquidation executor for the devnet's accounts."""

import json
from collections.abc import Sequence
from typing import Final

from keeper.devnet.artifacts import Artifact, Deployer
from keeper.devnet.toolchain import ROOT
from keeper.domain.units import BPS

ARTIFACT: Final = ROOT / "contracts" / "abi" / "LiquidationExecutor.json"


def executor_artifact() -> Artifact:
    """Load the executor as committed, with its ABI and creation code."""
    content = json.loads(ARTIFACT.read_text())
    return Artifact(
        name=ARTIFACT.stem, abi=content["abi"], code=content["bytecode"].removeprefix("0x")
    )


def deploy_executor(
    deployer: Deployer,
    *,
    owner: str,
    receiver: str,
    operator: str,
    places: tuple[str, str, str],
    more_lenders: Sequence[str] = (),
    operator_limits: tuple[int, int] = (BPS, 0),
) -> str:
    """Create the executor. ``places`` are lending pool, factory and wrapped native token.

    ``more_lenders`` are further allowed lending contracts. ``operator_limits`` are the most of a
    profit for the builder and the least of a sale, in basis points.
    """
    pool, factory, wrapped = places
    terms = (
        owner,
        receiver,
        [operator],
        [pool, *more_lenders],
        [factory],
        wrapped,
        operator_limits,
    )
    return deployer.deploy(executor_artifact(), *terms).address
