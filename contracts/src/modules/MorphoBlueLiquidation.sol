// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

import {Flow, Step} from "../Flow.sol";
import {IMorphoBlue, IMorphoOracle, MarketParams} from "../interfaces/IMorphoBlue.sol";
import {SafeToken} from "../libraries/SafeToken.sol";

/// The step's data. One of the two amounts is zero; each is the most that is wanted, so that somebody who
/// repays a share of the debt first does not make the step fail.
struct MorphoSeizure {
    address morpho;
    MarketParams market;
    address borrower;
    uint256 seizedAssets;
    uint256 repaidShares;
}

/// Liquidations on Morpho Blue. Markets are anybody's: their tokens, their oracle and its gas are not trusted.
abstract contract MorphoBlueLiquidation is Flow {
    uint8 public constant MODULE_MORPHO_BLUE = 2;
    /// Nothing is borrowed: Morpho hands the collateral over and waits for its money.
    uint8 public constant FUNDING_MORPHO_CALLBACK = 4;

    uint256 private constant WAD = 1e18;
    uint256 private constant PRICE_SCALE = 1e36;
    uint256 private constant VIRTUAL_ASSETS = 1;
    uint256 private constant VIRTUAL_SHARES = 1e6;

    /// The market's tokens are not those of the step.
    error OtherMarket(address loanToken, address collateralToken);

    /// Morpho has no view of the health, so it is computed as its `_isHealthy` does, from the market as it is in this
    /// block: interest is accrued first, which the liquidation then need not do again. Where Morpho waits
    /// for its money nothing is borrowed before, and `liquidate` itself looks at the health first.
    function _checkMorphoBlue(Step memory step) internal {
        MorphoSeizure memory wanted = _seizure(step.data);
        MarketParams memory market = wanted.market;
        if (market.loanToken != step.spendToken || market.collateralToken != step.receiveToken) {
            revert OtherMarket(market.loanToken, market.collateralToken);
        }
        if (step.funding == FUNDING_MORPHO_CALLBACK) return;
        bytes32 id = _idOf(market);
        (uint256 shares, uint256 collateral) = _positionOf(wanted, id);
        IMorphoBlue(wanted.morpho).accrueInterest(market);
        (,, uint256 assets, uint256 allShares,,) = IMorphoBlue(wanted.morpho).market(id);
        uint256 debt = _divUp(shares * (assets + VIRTUAL_ASSETS), allShares + VIRTUAL_SHARES);
        uint256 limit = collateral * IMorphoOracle(market.oracle).price() / PRICE_SCALE * market.lltv / WAD;
        if (limit >= debt) revert NotLiquidatable(wanted.borrower, limit * WAD / debt);
    }

    function _liquidateMorphoBlue(Step memory step, uint256 held) internal returns (uint256 used) {
        address morpho = _seizure(step.data).morpho;
        SafeToken.approveExactly(step.spendToken, morpho, held);
        _seizeMorphoBlue(step.data, "");
        return SafeToken.settle(step.spendToken, morpho, held);
    }

    /// By the market's own oracle. A price of zero would be no floor at all.
    function _valueByMorphoBlue(Step memory step, uint256 amount) internal view returns (uint256) {
        uint256 price = IMorphoOracle(_seizure(step.data).market.oracle).price();
        if (price == 0) revert NoPrice(step.receiveToken);
        return amount * price / PRICE_SCALE;
    }

    /// Liquidate; with a message, Morpho calls back with it before it takes its money.
    function _seizeMorphoBlue(bytes memory data, bytes memory message) internal {
        MorphoSeizure memory wanted = _seizure(data);
        (uint256 shares, uint256 collateral) = _positionOf(wanted, _idOf(wanted.market));
        IMorphoBlue(wanted.morpho).liquidate(
            wanted.market,
            wanted.borrower,
            _least(wanted.seizedAssets, collateral),
            _least(wanted.repaidShares, shares),
            message
        );
    }

    /// The step's data, if its Morpho is on the list.
    function _seizure(bytes memory data) internal view returns (MorphoSeizure memory wanted) {
        wanted = abi.decode(data, (MorphoSeizure));
        _requireLendingPool(wanted.morpho);
    }

    /// The borrower's shares and collateral; reverts if there is no debt (any more).
    function _positionOf(MorphoSeizure memory wanted, bytes32 id)
        private
        view
        returns (uint256 shares, uint256 collateral)
    {
        (, shares, collateral) = IMorphoBlue(wanted.morpho).position(id, wanted.borrower);
        if (shares == 0) revert NotLiquidatable(wanted.borrower, type(uint256).max);
    }

    function _idOf(MarketParams memory market) private pure returns (bytes32) {
        return keccak256(abi.encode(market));
    }

    function _least(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }

    function _divUp(uint256 value, uint256 by) private pure returns (uint256) {
        return (value + by - 1) / by;
    }
}
