// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

import {IMorphoBlue, IMorphoOracle, MarketParams} from "../interfaces/IMorphoBlue.sol";
import {Clear} from "./Clears.sol";
import {Place} from "./Cures.sol";

/// What is liquidated, and where. One of the two amounts is zero; each is the most that is wanted.
struct MorphoClear {
    address morpho;
    MarketParams market;
    address account;
    uint256 seizedAssets;
    uint256 repaidShares;
}

/// Clearing on Morpho Blue; a loss is counted in units of the market's loan token, by the market's own oracle.
abstract contract MorphoBlueClear {
    uint8 public constant MORPHO_BLUE_CLEAR = 6;

    uint256 private constant ORACLE_SCALE = 1e36;

    /// The market's tokens are not those that were asked for.
    error OtherMarket(address loanToken, address collateralToken);

    /// A market is a place of its own: anybody may make one, with an oracle of his.
    function _placeToClearOnMorphoBlue(Clear memory wanted) internal pure returns (Place memory) {
        MorphoClear memory asked = abi.decode(wanted.data, (MorphoClear));
        MarketParams memory market = asked.market;
        if (market.loanToken != wanted.token || market.collateralToken != wanted.collateral) {
            revert OtherMarket(market.loanToken, market.collateralToken);
        }
        bytes32 id = keccak256(abi.encode(asked.morpho, _marketId(market)));
        return Place({target: asked.morpho, id: id, account: asked.account});
    }

    /// Morpho refuses accounts that are well. No message is given along, so that it does not call back.
    function _clearOnMorphoBlue(Clear memory wanted) internal {
        MorphoClear memory asked = abi.decode(wanted.data, (MorphoClear));
        (, uint256 shares, uint256 collateral) =
            IMorphoBlue(asked.morpho).position(_marketId(asked.market), asked.account);
        uint256 seized = asked.seizedAssets < collateral ? asked.seizedAssets : collateral;
        uint256 repaid = asked.repaidShares < shares ? asked.repaidShares : shares;
        IMorphoBlue(asked.morpho).liquidate(asked.market, asked.account, seized, repaid, "");
    }

    function _costOnMorphoBlue(Clear memory, uint256 amount) internal pure returns (uint256) {
        return amount;
    }

    function _worthOnMorphoBlue(Clear memory wanted, uint256 amount) internal view returns (uint256) {
        MorphoClear memory asked = abi.decode(wanted.data, (MorphoClear));
        return amount * IMorphoOracle(asked.market.oracle).price() / ORACLE_SCALE;
    }

    function _marketId(MarketParams memory market) private pure returns (bytes32) {
        return keccak256(abi.encode(market));
    }
}
