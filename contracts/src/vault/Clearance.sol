// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

import {SafeToken} from "../libraries/SafeToken.sol";
import {AaveV3Clear} from "./AaveV3Clear.sol";
import {Budget, Limit, Spending} from "./Budget.sol";
import {Clear, Remover} from "./Clears.sol";
import {Place} from "./Cures.sol";
import {MorphoBlueClear} from "./MorphoBlueClear.sol";

/// Liquidates unhealthy accounts with the vault's own money and keeps the collateral, where nobody could do it at a
/// profit. A loss is what is spent less what is received, by the place's own prices, the collateral counted at the
/// share of its price that the owner sets; losses are limited by transaction and day, and so is every token spent.
abstract contract Clearance is Budget, AaveV3Clear, MorphoBlueClear {
    uint256 private constant BPS = 10_000;

    /// What may be lost in a place, in units of its base currency; nothing is cleared where there is no limit.
    mapping(bytes32 place => Limit) public lossLimitOf;
    /// At how much of its price a collateral counts, in 1/10,000; at zero it is not taken.
    mapping(bytes32 place => mapping(address collateral => uint256 bps)) public countedOf;

    mapping(bytes32 place => Spending) private lostIn;

    event LossLimitSet(bytes32 indexed place, uint128 perTransaction, uint128 perDay);
    event CountedSet(bytes32 indexed place, address indexed collateral, uint256 bps);
    event Cleared(
        bytes32 indexed place,
        address indexed account,
        address indexed token,
        address collateral,
        uint256 spent,
        uint256 received,
        uint256 loss
    );

    error NotOpen(bytes32 place, address collateral);
    error BadShare(uint256 bps);
    /// Debt and collateral are the same token: what was spent and what was received cannot be told apart.
    error SameToken(address token);
    /// More than was asked for, than a transaction may lose, or than is left of the day.
    error OverLoss(uint256 loss, uint256 limit);

    function setLossLimit(bytes32 place, uint128 perTransaction, uint128 perDay) external onlyOwner {
        lossLimitOf[place] = Limit(perTransaction, perDay);
        emit LossLimitSet(place, perTransaction, perDay);
    }

    function setCounted(bytes32 place, address collateral, uint256 bps) external onlyOwner {
        if (bps > BPS) revert BadShare(bps);
        countedOf[place][collateral] = bps;
        emit CountedSet(place, collateral, bps);
    }

    /// What may still be lost in a place today.
    function lossLeftToday(bytes32 place) public view returns (uint256) {
        return _left(lossLimitOf[place].perDay, lostIn[place]);
    }

    /// Clear one account, as far as the amount and the protocol allow, or change nothing.
    function clear(Clear calldata wanted)
        external
        onlyOperator
        whenNotPaused
        locked
        returns (uint256 spent, uint256 received, uint256 loss)
    {
        _notAfter(wanted.deadline);
        Clear memory asked = wanted;
        Remover memory remover = _remover(asked.kind);
        Place memory place = remover.place(asked);
        uint256 counted = countedOf[place.id][asked.collateral];
        if (counted == 0 || lossLimitOf[place.id].perTransaction == 0) revert NotOpen(place.id, asked.collateral);
        if (asked.token == asked.collateral) revert SameToken(asked.token);
        _charge(asked.token, asked.amount);
        (spent, received) = _exchange(asked, place.target, remover);
        _refund(asked.token, asked.amount - spent);
        uint256 cost = remover.costOf(asked, spent);
        uint256 worth = remover.worthOf(asked, received) * counted / BPS;
        loss = cost > worth ? cost - worth : 0;
        _lose(place.id, loss, asked.maxLoss);
        emit Cleared(place.id, place.account, asked.token, asked.collateral, spent, received, loss);
    }

    function _exchange(Clear memory asked, address target, Remover memory remover)
        private
        returns (uint256 spent, uint256 received)
    {
        uint256 before = SafeToken.balanceOf(asked.collateral, address(this));
        uint256 held = _allow(asked.token, target, asked.amount);
        remover.act(asked);
        spent = _settle(asked.token, target, asked.amount, held);
        uint256 found = SafeToken.balanceOf(asked.collateral, address(this));
        received = found > before ? found - before : 0;
    }

    function _lose(bytes32 place, uint256 loss, uint256 most) private {
        uint256 each = lossLimitOf[place].perTransaction;
        uint256 left = lossLeftToday(place);
        uint256 limit = most < each ? most : each;
        if (left < limit) limit = left;
        if (loss > limit) revert OverLoss(loss, limit);
        _book(lostIn[place], loss);
    }

    /// A further protocol is a file of its own, its name in the list of bases, and its lines here.
    function _remover(uint8 kind) private pure returns (Remover memory) {
        if (kind == AAVE_V3_CLEAR) {
            return Remover(_placeToClearOnAaveV3, _clearOnAaveV3, _costOnAaveV3, _worthOnAaveV3);
        }
        if (kind == MORPHO_BLUE_CLEAR) {
            return Remover(
                _placeToClearOnMorphoBlue, _clearOnMorphoBlue, _costOnMorphoBlue, _worthOnMorphoBlue
            );
        }
        revert UnknownKind(kind);
    }
}
