"""Standalone devnet with start, lookup, stop, and a keeper's settings."""

import json
import os
import socket
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from keeper.devnet.anvil import (
    CHAIN_ID,
    HOST,
    Anvil,
    AnvilOptions,
    is_running,
    start_anvil,
    stop_process,
)
from keeper.devnet.assets import BY_SYMBOL, VIA
from keeper.devnet.market import (
    AAVE_V3,
    LINE,
    MORPHO_BLUE,
    PROTOCOLS,
    VERSIONS,
    Devnet,
    bring_up,
    hot_key,
    opened,
    saved,
)
from keeper.devnet.morpho import health_factors
from keeper.devnet.node import Node
from keeper.domain.errors import ConfigError, EnvironmentFault
from keeper.exposure import open_private

DEFAULT_FOLDER: Final = Path(".devnet")

BOTH: Final = "both"

_STATE: Final = "state.json"
_LONGEST_SOCKET_PATH: Final = 100
_HEAD_START_SECONDS: Final = 3_600
_MOST_BORROWERS: Final = 20_000
_LARGEST_PORT: Final = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """Options of ``up``. ``protocol`` is the name of one or ``both``.

    With ``block_time`` 0 each transaction gets a block, with ``port`` 0 the port is any free one.

    Unless ``detached``, the kernel ends the chain together with the calling process.
    """

    folder: Path = DEFAULT_FOLDER
    version: str = VERSIONS[0]
    protocol: str = AAVE_V3
    borrowers: int = 32
    seed: int = 1
    block_time: int = 0
    fork: bool = False
    port: int = 0
    detached: bool = True

    @property
    def protocols(self) -> tuple[str, ...]:
        """The protocols that have borrowers and are in the settings."""
        return PROTOCOLS if self.protocol == BOTH else (self.protocol,)


def up(options: UpOptions) -> dict[str, Any]:
    """Start a devnet that outlives this process, and return the values for a keeper's settings.

    Journals in the folder are deleted, since they belong to an earlier chain.

    Raises:
        ConfigError: an option out of range, or a devnet runs in the folder already.
        EnvironmentFault: the folder cannot be written, or the node or contracts fail.
    """
    _check(options)
    folder = options.folder.absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for journal in folder.glob("keeper*.sqlite*"):
            journal.unlink()
        return _start_in(folder, options)
    except OSError as error:
        raise EnvironmentFault(
            f"cannot use the devnet's folder: {error.strerror}", hint=f"check {folder}"
        ) from error


def attach(folder: Path) -> Devnet:
    """Return a folder's running devnet (its fork, if any). ``EnvironmentFault`` if none."""
    state = _read_state(folder)
    node = state["nodes"][-1]
    if not _is_ours(node):
        raise EnvironmentFault(
            f"the devnet of {folder} has ended", hint="start it again: keeper devnet up"
        )
    return opened(Node(node["port"]), state["market"])


def status(folder: Path) -> dict[str, Any]:
    """Return block, prices (8 decimals), unhealthy accounts (worst first) and processes."""
    devnet = attach(folder)
    kinds = {borrower.address: borrower.kind for borrower in devnet.borrowers}
    unhealthy = [(health, who, kinds[who]) for who, health in devnet.unhealthy().items()]
    morpho = health_factors(devnet.morpho) if devnet.morpho else {}
    unhealthy += [(health, who, name) for (name, who), health in morpho.items() if health < LINE]
    answer = {
        "block_number": devnet.node.block_number(),
        "prices": {symbol: str(price) for symbol, price in devnet.prices().items()},
        "borrowers": len(devnet.borrowers) + len(morpho),
        "unhealthy": [
            {"account": who, "kind": kind, "health_factor": str(health)}
            for health, who, kind in sorted(unhealthy)
        ],
        "pids": [node["pid"] for node in _read_state(folder)["nodes"]],
    }
    devnet.node.close()
    return answer


def down(folder: Path) -> list[int]:
    """Stop the devnet of a folder and return the ids of the ended processes."""
    file = folder / _STATE
    if not file.exists():
        return []
    nodes = _read_state(folder)["nodes"]
    ended = [
        node["pid"] for node in reversed(nodes) if _is_ours(node) and stop_process(node["pid"])
    ]
    file.unlink(missing_ok=True)
    return ended


def _check(options: UpOptions) -> None:
    if options.version not in VERSIONS:
        raise ConfigError(
            f"no Aave version {options.version!r}", hint=f"one of {', '.join(VERSIONS)}"
        )
    if options.protocol not in (*PROTOCOLS, BOTH):
        allowed = ", ".join((*PROTOCOLS, BOTH))
        raise ConfigError(f"no protocol {options.protocol!r} here", hint=f"one of {allowed}")
    if not 0 <= options.borrowers <= _MOST_BORROWERS:
        raise ConfigError(f"borrowers must be from 0 to {_MOST_BORROWERS}")
    if options.block_time < 0:
        raise ConfigError("the block time must be whole seconds, or 0 for a block per transaction")
    if not 0 <= options.port <= _LARGEST_PORT:
        raise ConfigError(f"the port must be from 0 to {_LARGEST_PORT}")
    if options.port and _is_taken(options.port):
        raise ConfigError(f"port {options.port} is taken", hint="choose another, or leave it out")
    file = options.folder / _STATE
    if file.exists() and any(_is_ours(node) for node in _read_state(options.folder)["nodes"]):
        raise ConfigError(
            f"a devnet runs in {options.folder} already",
            hint="stop it (keeper devnet down), or name another folder with --dir",
        )


def _start_in(folder: Path, options: UpOptions) -> dict[str, Any]:
    # The bring-up has a block per transaction, each at least a second after the last.
    start = int(time.time()) - _HEAD_START_SECONDS
    nodes = [_start(folder, options, fork_of=None, start=start)]
    try:
        node = Node(nodes[0].port)
        devnet = bring_up(
            node,
            version=options.version,
            borrowers=options.borrowers,
            seed=options.seed,
            protocols=options.protocols,
        )
        _to_wall_clock(node)
        if options.fork:
            node.close()
            nodes.append(_start(folder, options, fork_of=nodes[0].port, start=None))
            node = Node(nodes[1].port)
            node.rpc("anvil_autoImpersonateAccount", [True])
            _to_wall_clock(node)
        if options.block_time:
            node.rpc("evm_setIntervalMining", [options.block_time])
        answer = {
            **_build_document(devnet, nodes, folder),
            "protocols": list(options.protocols),
            "block_number": node.block_number(),
        }
        node.close()
        _write(folder, devnet, nodes, answer, options)
    except BaseException:
        for anvil in reversed(nodes):
            anvil.stop()
        raise
    return answer


def _start(folder: Path, options: UpOptions, *, fork_of: int | None, start: int | None) -> Anvil:
    on_top = options.fork == (fork_of is not None)
    ipc = folder / "anvil.ipc"
    return start_anvil(
        AnvilOptions(
            port=options.port if on_top else 0,
            timestamp=start,
            fork_port=fork_of,
            ipc=ipc if on_top and len(str(ipc)) < _LONGEST_SOCKET_PATH else None,
            log=folder / ("anvil-fork.log" if fork_of else "anvil.log"),
            detached=options.detached,
        )
    )


def _to_wall_clock(node: Node) -> None:
    node.rpc("evm_setTime", [hex(int(time.time()))])
    node.rpc("evm_mine")


def _build_document(devnet: Devnet, nodes: list[Anvil], folder: Path) -> dict[str, Any]:
    top = nodes[-1]
    aave, venue = devnet.aave, devnet.venue
    return {
        "chain_id": CHAIN_ID,
        "rpc": {"ws": top.ws, "http": top.http, "ipc": str(top.ipc) if top.ipc else None},
        "base_rpc": {"ws": nodes[0].ws, "http": nodes[0].http},
        "aave": aave.version,
        "morpho": _build_morpho_document(devnet),
        "addresses_provider": aave.provider.address,
        "pool": aave.pool.address,
        "oracle": aave.oracle.address,
        "from_block": devnet.from_block,
        "factory": venue.factory.address,
        "quoter": venue.quoter.address,
        "router": venue.router.address,
        "via": [devnet.tokens[symbol].address for symbol in VIA],
        "wrapped_native": devnet.tokens["WETH"].address,
        "executor": devnet.executor,
        "owner": devnet.accounts.owner,
        "receiver": devnet.accounts.receiver,
        "hot": devnet.accounts.hot,
        "config": str(folder / "keeper.toml"),
        "key_file": str(folder / ".env"),
        "tokens": {
            symbol: {"address": token.address, "decimals": BY_SYMBOL[symbol].decimals}
            for symbol, token in devnet.tokens.items()
        },
        "feeds": saved(devnet)["feeds"],
        "borrowers": len(devnet.borrowers) + len(devnet.morpho.borrowers if devnet.morpho else ()),
        "kinds": dict(Counter(borrower.kind for borrower in devnet.borrowers)),
        "pids": [anvil.pid for anvil in nodes],
    }


def _build_morpho_document(devnet: Devnet) -> dict[str, Any] | None:
    """Build Morpho Blue's addresses, with dollar feeds of the tokens that have decimals."""
    if devnet.morpho is None:
        return None
    return {
        "address": devnet.morpho.contract.address,
        "from_block": devnet.morpho.from_block,
        "usd_feeds": {
            devnet.tokens[symbol].address: feed.source.address
            for symbol, feed in devnet.feeds.items()
            if feed.aggregator is not None
        },
        "markets": {name: one.id for name, one in devnet.morpho.markets.items()},
    }


def _write(
    folder: Path,
    devnet: Devnet,
    nodes: list[Anvil],
    answer: Mapping[str, Any],
    options: UpOptions,
) -> None:
    with os.fdopen(open_private(folder / "keeper.toml"), "w", encoding="utf-8") as settings:
        settings.write(_render_settings(answer, options))
    secret = folder / ".env"
    secret.unlink(missing_ok=True)
    descriptor = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"KEEPER_WALLET__PRIVATE_KEY={hot_key()}\n")
    state = {
        "nodes": [{"pid": anvil.pid, "port": anvil.port} for anvil in nodes],
        "market": saved(devnet),
    }
    (folder / _STATE).write_text(json.dumps(state))


def _render_settings(answer: Mapping[str, Any], options: UpOptions) -> str:
    interval = f"block_time_ms = {options.block_time * 1_000}\n" if options.block_time else ""
    return f"""\
# Written by: keeper devnet up. The hot key is in .env beside this file.
[chain]
id = {answer["chain_id"]}
endpoints = [{json.dumps(answer["rpc"]["ws"])}]
wrapped_native = "{answer["wrapped_native"]}"
{interval}
{"".join(_render_market_settings(answer, name) for name in options.protocols)}
[[venue]]
kind = "uniswap_v3"
factory = "{answer["factory"]}"
quoter = "{answer["quoter"]}"
router = "{answer["router"]}"
via = {json.dumps(answer["via"])}

[[executor]]
name = "main"
address = "{answer["executor"]}"

[policy]
min_profit_usd = "5"
"""


def _render_market_settings(answer: Mapping[str, Any], protocol: str) -> str:
    if protocol == MORPHO_BLUE:
        morpho = answer["morpho"]
        feeds = ", ".join(f'"{token}" = "{feed}"' for token, feed in morpho["usd_feeds"].items())
        return f"""
[[market]]
protocol = "{MORPHO_BLUE}"
morpho = "{morpho["address"]}"
all = true
usd_feeds = {{ {feeds} }}
from_block = {morpho["from_block"]}
"""
    return f"""
[[market]]
protocol = "{AAVE_V3}"
addresses_provider = "{answer["addresses_provider"]}"
from_block = {answer["from_block"]}
"""


def _read_state(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / _STATE).read_text()))
    except (OSError, ValueError) as error:
        raise EnvironmentFault(
            f"no devnet in {folder}", hint="start one: keeper devnet up"
        ) from error


def _is_ours(node: Mapping[str, int]) -> bool:
    """Return whether the process is still the node that we started, by id and port."""
    try:
        arguments = Path(f"/proc/{node['pid']}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return is_running(node["pid"]) and str(node["port"]).encode() in arguments


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False
