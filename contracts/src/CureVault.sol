// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

import {AaveV3Cure} from "./vault/AaveV3Cure.sol";
import {Clearance} from "./vault/Clearance.sol";
import {Cure, Place, Remedy} from "./vault/Cures.sol";
import {MorphoBlueCure} from "./vault/MorphoBlueCure.sol";
import {VaultAccess} from "./vault/VaultAccess.sol";

/// When a listed account may be cured, and what a cure must reach; health factors, 1e18 = 1.
struct Listing {
    uint128 actBelow;
    uint128 atLeast;
}

/// Money for accounts that its owner lists. An operator may add collateral to them or repay their debt, only when they
/// are in need, only so that they are cured, and only within the limits; nobody but the owner takes anything out.
/// Where the owner opened a place for it, an operator may also clear unhealthy accounts, within a budget for losses.
contract CureVault is Clearance, AaveV3Cure, MorphoBlueCure {
    /// By place: an Aave pool's address, or keccak256(morpho, market id).
    mapping(bytes32 place => mapping(address account => Listing)) public listingOf;

    event ListingSet(bytes32 indexed place, address indexed account, uint128 actBelow, uint128 atLeast);
    event Cured(
        bytes32 indexed place,
        address indexed account,
        address indexed token,
        uint8 kind,
        uint256 spent,
        uint256 healthBefore,
        uint256 healthAfter
    );

    error NotListed(bytes32 place, address account);
    /// The account is well (again): there is nothing to cure.
    error NotInNeed(address account, uint256 health);
    /// What was asked for does not bring the account to where it must be.
    error NotCured(address account, uint256 health, uint256 needed);

    constructor(address firstOwner, address[] memory operators) VaultAccess(firstOwner, operators) {}

    /// Let operators cure an account in a place when its health is below `actBelow`, to no less than `atLeast`; with
    /// zeros, never again. Whoever lists a place trusts its contracts and, on Morpho Blue, the market's oracle.
    function setListing(bytes32 place, address account, uint128 actBelow, uint128 atLeast) external onlyOwner {
        listingOf[place][account] = Listing(actBelow, atLeast);
        emit ListingSet(place, account, actBelow, atLeast);
    }

    /// Cure one account, or change nothing.
    function cure(Cure calldata wanted) external onlyOperator whenNotPaused locked returns (uint256 spent) {
        _notAfter(wanted.deadline);
        Cure memory asked = wanted;
        Remedy memory remedy = _remedy(asked.kind);
        Place memory place = remedy.place(asked);
        Listing memory listing = listingOf[place.id][place.account];
        if (listing.atLeast == 0) revert NotListed(place.id, place.account);
        uint256 before = remedy.health(asked);
        if (before >= listing.actBelow) revert NotInNeed(place.account, before);
        _charge(place.account, asked.token, asked.amount);
        spent = _spend(asked, place.target, remedy);
        _refund(place.account, asked.token, asked.amount - spent);
        uint256 health = remedy.health(asked);
        uint256 needed = asked.minHealth > listing.atLeast ? asked.minHealth : listing.atLeast;
        if (health < needed) revert NotCured(place.account, health, needed);
        emit Cured(place.id, place.account, asked.token, asked.kind, spent, before, health);
    }

    /// Act with an allowance of exactly the amount, which is gone afterwards; what was spent is what left the vault.
    function _spend(Cure memory asked, address target, Remedy memory remedy) private returns (uint256 spent) {
        uint256 held = _allow(asked.token, target, asked.amount);
        remedy.act(asked);
        spent = _settle(asked.token, target, asked.amount, held);
    }

    /// A further protocol is a file of its own that states its kinds, its name in the list of bases, and its lines here.
    function _remedy(uint8 kind) private pure returns (Remedy memory) {
        if (kind == AAVE_V3_SUPPLY) return Remedy(_placeOnAaveV3, _healthOnAaveV3, _supplyOnAaveV3);
        if (kind == AAVE_V3_REPAY) return Remedy(_placeOnAaveV3, _healthOnAaveV3, _repayOnAaveV3);
        if (kind == MORPHO_BLUE_SUPPLY) return Remedy(_placeOnMorphoBlue, _healthOnMorphoBlue, _supplyOnMorphoBlue);
        if (kind == MORPHO_BLUE_REPAY) return Remedy(_placeOnMorphoBlue, _healthOnMorphoBlue, _repayOnMorphoBlue);
        revert UnknownKind(kind);
    }
}
