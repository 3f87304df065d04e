// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

/// What the lens asks of a pool (Uniswap/v3-core, IUniswapV3PoolState).
interface IPool {
    function slot0() external view returns (uint160, int24, uint16, uint16, uint16, uint8, bool);
    function liquidity() external view returns (uint128);
    function tickBitmap(int16 word) external view returns (uint256);
    function ticks(int24 tick)
        external
        view
        returns (uint128, int128, uint256, uint256, int56, uint160, uint32, bool);
}

interface IBalance {
    function balanceOf(address holder) external view returns (uint256);
}

/// @title UniswapV3Lens
/// @notice Reads whole pools in one call and is deployed nowhere: its constructor returns, as if
/// it were the code to deploy, what it read. Per pool eight words (price, tick, liquidity, balance
/// of token0 and of token1, first and last word read of the tick bitmap, number of ticks), then
/// nineteen bytes per initialised tick (tick, net liquidity), in no order. A pool that
/// does not answer has the price 0. The answer is bounded by a contract's greatest size.
contract UniswapV3Lens {
    struct Pool {
        address pool;
        address token0;
        address token1;
        int24 spacing;
    }

    int24 private constant MAX_TICK = 887272;
    uint256 private constant HEADER = 256;
    uint256 private constant PER_TICK = 19;

    /// @param pools What to read.
    /// @param radius How many words to either side of the current one to read at most.
    /// @param enough How many ticks to either side end the reading.
    constructor(Pool[] memory pools, int256 radius, uint256 enough) {
        uint256 start;
        assembly {
            start := mload(0x40)
        }
        uint256 end = start;
        for (uint256 i = 0; i < pools.length; i++) {
            end = _read(pools[i], radius, enough, end);
        }
        assembly {
            return(start, sub(end, start))
        }
    }

    function _read(Pool memory pool, int256 radius, uint256 enough, uint256 at)
        private
        view
        returns (uint256 end)
    {
        end = at + HEADER;
        assembly {
            mstore(0x40, add(end, 0x40000)) // calls keep their scratch space behind the answer
            for { let i := 0 } lt(i, 8) { i := add(i, 1) } { mstore(add(at, mul(i, 32)), 0) }
        }
        if (pool.pool.code.length == 0) return end;
        int24 tick;
        try IPool(pool.pool).slot0() returns (
            uint160 price, int24 current, uint16, uint16, uint16, uint8, bool
        ) {
            tick = current;
            _store(at, 0, price);
            _store(at, 1, uint256(int256(current)));
        } catch {
            return end;
        }
        _store(at, 2, IPool(pool.pool).liquidity());
        _store(at, 3, _balance(pool.token0, pool.pool));
        _store(at, 4, _balance(pool.token1, pool.pool));
        int256 compressed = tick / pool.spacing;
        if (tick < 0 && tick % pool.spacing != 0) compressed--;
        return _walk(pool, compressed >> 8, radius, enough, at);
    }

    /// Reads the current word, then the words below it, then those above it.
    function _walk(Pool memory pool, int256 word, int256 radius, uint256 enough, uint256 at)
        private
        view
        returns (uint256 end)
    {
        int256 last = int256(MAX_TICK / pool.spacing);
        int256 lowest = _max(word - radius, (-last) >> 8);
        int256 highest = -_max(-(word + radius), -(last >> 8));
        uint256 count = _word(pool, word, at + HEADER);
        uint256 side = 0;
        int256 low = word;
        while (low > lowest && side < enough) {
            low--;
            side += _word(pool, low, at + HEADER + PER_TICK * (count + side));
        }
        count += side;
        side = 0;
        int256 high = word;
        while (high < highest && side < enough) {
            high++;
            side += _word(pool, high, at + HEADER + PER_TICK * (count + side));
        }
        count += side;
        _store(at, 5, uint256(low));
        _store(at, 6, uint256(high));
        _store(at, 7, count);
        return at + HEADER + PER_TICK * count;
    }

    /// Appends one word's initialised ticks at `at` and returns how many there were.
    function _word(Pool memory pool, int256 word, uint256 at) private view returns (uint256 count) {
        uint256 bits = IPool(pool.pool).tickBitmap(int16(word));
        for (uint256 bit = 0; bits != 0; bit++) {
            if (bits & 1 == 1) {
                int24 tick = int24((word * 256 + int256(bit)) * pool.spacing);
                (, int128 net,,,,,,) = IPool(pool.pool).ticks(tick);
                uint256 packed = uint256(uint24(tick)) << 232 | uint256(uint128(net)) << 104;
                assembly {
                    mstore(at, packed)
                }
                at += PER_TICK;
                count++;
            }
            bits >>= 1;
        }
    }

    /// A token that does not answer is a token of which the pool can lend nothing.
    function _balance(address token, address holder) private view returns (uint256) {
        (bool success, bytes memory answer) =
            token.staticcall(abi.encodeCall(IBalance.balanceOf, (holder)));
        return success && answer.length >= 32 ? abi.decode(answer, (uint256)) : 0;
    }

    function _store(uint256 at, uint256 index, uint256 value) private pure {
        assembly {
            mstore(add(at, mul(index, 32)), value)
        }
    }

    function _max(int256 a, int256 b) private pure returns (int256) {
        return a > b ? a : b;
    }
}
