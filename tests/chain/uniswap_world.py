"""A Uniswap v3 of its own on a fresh Anvil: pools, random positions, swaps, the real QuoterV2."""

import dataclasses
import random

from keeper.devnet.artifacts import Artifact, Contract, Deployer, multicall3_creation_code, packaged
from keeper.devnet.node import Node
from keeper.devnet.toolchain import compile_solidity
from keeper.domain.errors import RpcRefused
from keeper.quotes.uniswap_v3.tick_math import HIGHEST_PRICE, LOWEST_PRICE, sqrt_ratio_at_tick

CORE = "@uniswap/v3-core/artifacts/contracts"
PERIPHERY = "@uniswap/v3-periphery/artifacts/contracts"

SOURCE = """
// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

contract Token {
    mapping(address => uint256) public balanceOf;
    function give(address to, uint256 amount) external { balanceOf[to] += amount; }
    function transfer(address to, uint256 amount) external returns (bool) {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
        return true;
    }
}

interface IPool {
    function token0() external view returns (address);
    function token1() external view returns (address);
    function mint(address, int24, int24, uint128, bytes calldata)
        external returns (uint256, uint256);
    function swap(address, bool, int256, uint160, bytes calldata)
        external returns (int256, int256);
    function flash(address, uint256, uint256, bytes calldata) external;
}

contract Trader {
    event Swapped(int256 amount0, int256 amount1);

    function mint(IPool pool, int24 lower, int24 upper, uint128 liquidity) external {
        pool.mint(address(this), lower, upper, liquidity, "");
    }
    function swap(IPool pool, bool zeroForOne, int256 amount, uint160 limit) external {
        (int256 a, int256 b) = pool.swap(address(this), zeroForOne, amount, limit, "");
        emit Swapped(a, b);
    }
    function flash(IPool pool, uint256 amount0, uint256 short) external {
        pool.flash(address(this), amount0, 0, abi.encode(amount0, short));
    }
    function _pay(uint256 a, uint256 b) private {
        if (a > 0) Token(IPool(msg.sender).token0()).transfer(msg.sender, a);
        if (b > 0) Token(IPool(msg.sender).token1()).transfer(msg.sender, b);
    }
    function uniswapV3MintCallback(uint256 a, uint256 b, bytes calldata) external { _pay(a, b); }
    function uniswapV3SwapCallback(int256 a, int256 b, bytes calldata) external {
        _pay(a > 0 ? uint256(a) : 0, b > 0 ? uint256(b) : 0);
    }
    function uniswapV3FlashCallback(uint256 fee, uint256, bytes calldata data) external {
        (uint256 amount0, uint256 short) = abi.decode(data, (uint256, uint256));
        _pay(amount0 + fee - short, 0);
    }
}
"""

SETTINGS = {
    "optimizer": {"enabled": True, "runs": 200},
    "evmVersion": "paris",
    "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object"]}},
}


@dataclasses.dataclass
class World:
    """Three tokens and some pools; ``trader`` owns all liquidity and does all swaps."""

    node: Node
    factory: Contract
    quoter: Contract
    trader: Contract
    tokens: list[Contract]
    weth: str
    pools: dict[str, Contract] = dataclasses.field(default_factory=dict)

    def create_pool(self, a: int, b: int, fee: int, tick: int) -> Contract:
        """Create a pool whose price is exactly at a tick."""
        self.factory.send("createPool", self.tokens[a].address, self.tokens[b].address, fee)
        address = self.factory.call("getPool", self.tokens[a].address, self.tokens[b].address, fee)
        artifact = packaged(f"{CORE}/UniswapV3Pool.sol/UniswapV3Pool.json")
        pool = Contract(self.node, artifact, address, self.factory.sender)
        pool.send("initialize", sqrt_ratio_at_tick(tick))
        self.pools[address] = pool
        return pool

    def mint(self, pool: Contract, lower: int, upper: int, liquidity: int) -> None:
        """Add liquidity between two ticks."""
        self.trader.send("mint", pool.address, lower, upper, liquidity)

    def swap(self, pool: Contract, zero_for_one: bool, amount: int) -> tuple[int, int]:  # noqa: FBT001 - as the pool names it
        """Swap and return what went in and what came out; a negative amount is wanted out."""
        limit = LOWEST_PRICE if zero_for_one else HIGHEST_PRICE
        receipt = self.trader.send("swap", pool.address, zero_for_one, amount, limit)
        raw = bytes.fromhex(receipt["logs"][-1]["data"][2:])
        deltas = [int.from_bytes(raw[at : at + 32], signed=True) for at in (0, 32)]
        taken, paid = deltas if zero_for_one else reversed(deltas)
        return taken, -paid

    def quoted_in(self, sold: str, bought: str, fee: int, amount: int) -> tuple[int, int] | None:
        """Return QuoterV2's amount out and price after of an exact input; None if it reverts."""
        return self._quoted("quoteExactInputSingle", sold, bought, fee, amount)

    def quoted_out(self, sold: str, bought: str, fee: int, amount: int) -> tuple[int, int] | None:
        """Return QuoterV2's amount in and price after of an exact output; None if it reverts."""
        return self._quoted("quoteExactOutputSingle", sold, bought, fee, amount)

    def quoted_path(self, function: str, path: bytes, amount: int) -> int | None:
        """Return QuoterV2's amount at the other end of a path; None if it reverts."""
        try:
            return int(self.quoter.call(function, path, amount)[0])
        except RpcRefused:
            return None

    def _quoted(
        self, function: str, sold: str, bought: str, fee: int, amount: int
    ) -> tuple[int, int] | None:
        try:
            answer = self.quoter.call(function, (sold, bought, amount, fee, 0))
        except RpcRefused:
            return None
        return int(answer[0]), int(answer[1])


def bring_up(node: Node) -> World:
    """Deploy everything but pools."""
    sender = node.rpc("eth_accounts")[0]
    deployer = Deployer(node, sender)
    place_multicall(node)
    factory = deployer.deploy(packaged(f"{CORE}/UniswapV3Factory.sol/UniswapV3Factory.json"))
    factory.send("enableFeeAmount", 100, 1)
    factory.send("enableFeeAmount", 1700, 35)
    built = compile_solidity({"World.sol": SOURCE}, settings=SETTINGS)["World.sol"]
    artifacts = {
        name: Artifact(name=name, abi=each["abi"], code=each["evm"]["bytecode"]["object"])
        for name, each in built.items()
    }
    trader = deployer.deploy(artifacts["Trader"])
    tokens = [deployer.deploy(artifacts["Token"]) for _ in range(3)]
    tokens.sort(key=lambda token: int(token.address, 16))
    for token in tokens:
        token.send("give", trader.address, 2**250)
    weth = tokens[0].address
    quoter = deployer.deploy(
        packaged(f"{PERIPHERY}/lens/QuoterV2.sol/QuoterV2.json"), factory.address, weth
    )
    return World(node, factory, quoter, trader, tokens, weth)


def place_multicall(node: Node) -> None:
    """Put Multicall3 at its canonical address."""
    deployer = "0x05f32B3cC3888453ff71B01135B34FF8e41263F2"
    node.set_balance(deployer, 10**18)
    node.rpc("anvil_impersonateAccount", [deployer])
    node.deploy(deployer, multicall3_creation_code())


def scatter(world: World, pool: Contract, rng: random.Random, spacing: int, tick: int) -> None:
    """Add random positions around a tick, with a gap that nothing covers."""
    usable = 887272 // spacing
    here = tick // spacing
    for _ in range(rng.randint(3, 7)):
        width = rng.choice([1, 3, 40, 300, 2500])
        lower = max(here + rng.randint(-width, width), -usable)
        upper = min(lower + rng.randint(1, 2 * width), usable)
        world.mint(pool, lower * spacing, upper * spacing, rng.randint(1, 10 ** rng.randint(4, 24)))
    far = min(here + rng.randint(3000, 4000), usable - 10)
    world.mint(pool, far * spacing, (far + 7) * spacing, 10**18)
    if rng.random() < 0.4:
        world.mint(pool, -usable * spacing, usable * spacing, rng.randint(1, 10**20))


def path_of(tokens: list[str], fees: list[int]) -> bytes:
    """Return a path as QuoterV2 reads it."""
    path = bytes.fromhex(tokens[0][2:])
    for fee, token in zip(fees, tokens[1:], strict=True):
        path += fee.to_bytes(3) + bytes.fromhex(token[2:])
    return path
