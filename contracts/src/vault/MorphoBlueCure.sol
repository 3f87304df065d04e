// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

import {IMorphoBlue, IMorphoOracle, MarketParams} from "../interfaces/IMorphoBlue.sol";
import {Cure, Place} from "./Cures.sol";

/// Cures on Morpho Blue. Data: (morpho, marketParams, account).
abstract contract MorphoBlueCure {
    uint8 public constant MORPHO_BLUE_SUPPLY = 3;
    uint8 public constant MORPHO_BLUE_REPAY = 4;

    uint256 private constant WAD = 1e18;
    uint256 private constant PRICE_SCALE = 1e36;
    uint256 private constant VIRTUAL_ASSETS = 1;
    uint256 private constant VIRTUAL_SHARES = 1e6;

    /// The market's token for this kind of cure is another one.
    error OtherToken(address token);

    /// A market is a place of its own: anybody may make one, with an oracle of his.
    function _placeOnMorphoBlue(Cure memory wanted) internal pure returns (Place memory) {
        (address morpho, MarketParams memory market, address account) = _decoded(wanted);
        address token = wanted.kind == MORPHO_BLUE_SUPPLY ? market.collateralToken : market.loanToken;
        if (token != wanted.token) revert OtherToken(token);
        bytes32 id = keccak256(abi.encode(morpho, keccak256(abi.encode(market))));
        return Place({target: morpho, id: id, account: account});
    }

    /// Morpho has no view of the health: it is computed as its `_isHealthy` does, interest accrued before.
    function _healthOnMorphoBlue(Cure memory wanted) internal returns (uint256) {
        (address morpho, MarketParams memory market, address account) = _decoded(wanted);
        bytes32 id = keccak256(abi.encode(market));
        IMorphoBlue(morpho).accrueInterest(market);
        (, uint256 shares, uint256 collateral) = IMorphoBlue(morpho).position(id, account);
        if (shares == 0) return type(uint256).max;
        uint256 limit = collateral * IMorphoOracle(market.oracle).price() / PRICE_SCALE * market.lltv / WAD;
        return limit * WAD / _owed(morpho, id, shares);
    }

    function _supplyOnMorphoBlue(Cure memory wanted) internal {
        (address morpho, MarketParams memory market, address account) = _decoded(wanted);
        IMorphoBlue(morpho).supplyCollateral(market, wanted.amount, account, "");
    }

    /// More than is owed repays everything, by shares, so that no dust is left; interest is accrued already.
    function _repayOnMorphoBlue(Cure memory wanted) internal {
        (address morpho, MarketParams memory market, address account) = _decoded(wanted);
        bytes32 id = keccak256(abi.encode(market));
        (, uint256 shares,) = IMorphoBlue(morpho).position(id, account);
        if (wanted.amount < _owed(morpho, id, shares)) {
            IMorphoBlue(morpho).repay(market, wanted.amount, 0, account, "");
        } else {
            IMorphoBlue(morpho).repay(market, 0, shares, account, "");
        }
    }

    function _owed(address morpho, bytes32 id, uint256 shares) private view returns (uint256) {
        (,, uint256 assets, uint256 allShares,,) = IMorphoBlue(morpho).market(id);
        uint256 product = shares * (assets + VIRTUAL_ASSETS);
        uint256 by = allShares + VIRTUAL_SHARES;
        return (product + by - 1) / by;
    }

    function _decoded(Cure memory wanted)
        private
        pure
        returns (address morpho, MarketParams memory market, address account)
    {
        return abi.decode(wanted.data, (address, MarketParams, address));
    }
}
