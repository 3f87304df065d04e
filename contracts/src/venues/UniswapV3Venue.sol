// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

import {Flow, Job} from "../Flow.sol";
import {IUniswapV3Factory, IUniswapV3Pool} from "../interfaces/IUniswapV3.sol";
import {Path} from "../libraries/Path.sol";
import {SafeToken} from "../libraries/SafeToken.sol";

/// What the pool's callback has to do: how the amount that it asks for is paid.
struct Payment {
    /// Vouches for the pools of `path`.
    address factory;
    /// The most that may be paid of the path's first token; set by the liquidation if `job` is there.
    uint256 available;
    /// Ends with the token that is owed; longer than one token: it is bought on the way.
    bytes path;
    /// An encoded Job to perform first; empty if there is none.
    bytes job;
}

/// Swaps with the pools themselves: no router, so no allowance.
abstract contract UniswapV3Venue is Flow {
    using Path for bytes;

    uint160 private constant LOWEST_PRICE_LIMIT = 4295128740;
    uint160 private constant HIGHEST_PRICE_LIMIT = 1461446703485210103287273052203988822378723970341;

    /// The factory has no such pool.
    error NoPool(address tokenA, address tokenB, uint24 fee);
    /// The pool could not trade the whole amount.
    error PartialFill(address pool, uint256 wanted, uint256 traded);

    /// The pool's callback in a swap: pays what it asks for, after the liquidation if that is still to be done.
    function uniswapV3SwapCallback(int256 amount0Delta, int256 amount1Delta, bytes calldata data) external {
        _consume(data);
        Payment memory payment = abi.decode(data, (Payment));
        uint256 owed = uint256(amount0Delta > 0 ? amount0Delta : amount1Delta);
        if (payment.job.length != 0) {
            payment.available = _liquidate(abi.decode(payment.job, (Job)));
            payment.job = "";
        }
        if (payment.path.hasPool()) {
            _buyExactly(payment, owed, msg.sender);
        } else {
            address token = payment.path.firstToken();
            if (owed > payment.available) revert Shortfall(token, owed, payment.available);
            SafeToken.transfer(token, msg.sender, owed);
        }
    }

    /// Sell exactly `amount` of the path's first token, pool after pool. What lay here of a token on the way stays.
    function _sellAlong(address factory, bytes memory path, uint256 amount) internal {
        uint256 untouched;
        while (path.hasPool()) {
            (address tokenIn, uint24 fee, address tokenOut) = path.firstPool();
            uint256 before = SafeToken.balanceOf(tokenOut, address(this));
            _sellExactly(_poolOf(factory, tokenIn, tokenOut, fee), tokenIn, tokenOut, amount);
            amount = _gained(tokenOut, before);
            if (untouched != 0) _gained(tokenIn, untouched);
            untouched = before;
            path = path.withoutFirst();
        }
    }

    /// Buy exactly `amount` of the path's last token for `recipient`; the payment says how the rest is paid.
    function _buyExactly(Payment memory payment, uint256 amount, address recipient) internal {
        (address tokenIn, uint24 fee, address tokenOut) = payment.path.lastPool();
        address pool = _poolOf(payment.factory, tokenIn, tokenOut, fee);
        payment.path = payment.path.withoutLast();
        bytes memory data = abi.encode(payment);
        bool zeroForOne = tokenIn < tokenOut;
        (int256 amount0, int256 amount1) = _swap(pool, recipient, zeroForOne, -_signed(amount), data);
        uint256 bought = uint256(-(zeroForOne ? amount1 : amount0));
        if (bought != amount) revert PartialFill(pool, amount, bought);
    }

    /// The pool of the two tokens, as a factory on the allow-list states it.
    function _poolOf(address factory, address tokenA, address tokenB, uint24 fee) internal view returns (address pool) {
        _requireFactory(factory);
        pool = IUniswapV3Factory(factory).getPool(tokenA, tokenB, fee);
        if (pool == address(0)) revert NoPool(tokenA, tokenB, fee);
    }

    function _sellExactly(address pool, address tokenIn, address tokenOut, uint256 amount) private {
        Payment memory payment =
            Payment({factory: address(0), available: amount, path: abi.encodePacked(tokenIn), job: ""});
        bool zeroForOne = tokenIn < tokenOut;
        (int256 amount0, int256 amount1) =
            _swap(pool, address(this), zeroForOne, _signed(amount), abi.encode(payment));
        uint256 sold = uint256(zeroForOne ? amount0 : amount1);
        if (sold != amount) revert PartialFill(pool, amount, sold);
    }

    function _swap(address pool, address recipient, bool zeroForOne, int256 amount, bytes memory data)
        private
        returns (int256 amount0, int256 amount1)
    {
        _expect(pool, this.uniswapV3SwapCallback.selector, data);
        (amount0, amount1) = IUniswapV3Pool(pool).swap(
            recipient, zeroForOne, amount, zeroForOne ? LOWEST_PRICE_LIMIT : HIGHEST_PRICE_LIMIT, data
        );
        _requireConsumed(pool);
    }

    function _signed(uint256 amount) private pure returns (int256) {
        if (amount > uint256(type(int256).max)) revert BadPath();
        return int256(amount);
    }
}
