// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

/// A token that misbehaves in one chosen way.
contract HostileToken {
    enum Mode { Plain, NoReturn, ReturnsFalse, FeeOnTransfer, BurnsGas, ReturnBomb, ApproveRace, NoZeroApprove, Reenters, GasPrice, BaseFee, Coinbase, Randomness, Origin, Height, Time }

    Mode public mode;
    address public target;
    bytes public message;
    uint256 public patience;
    bool public reentered;
    bytes public answer;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    function behave(Mode next) external { mode = next; }
    function reenterWith(address to, bytes calldata data) external { (target, message) = (to, data); }
    function wait(uint256 transfers) external { patience = transfers; }
    function give(address to, uint256 amount) external { balanceOf[to] += amount; }

    function approve(address spender, uint256 amount) external {
        if (mode == Mode.ApproveRace) require(amount == 0 || allowance[msg.sender][spender] == 0, "race");
        if (mode == Mode.NoZeroApprove) require(amount != 0, "zero");
        allowance[msg.sender][spender] = amount;
        _answer();
    }

    function transfer(address to, uint256 amount) external { _move(msg.sender, to, amount); _answer(); }

    function transferFrom(address from, address to, uint256 amount) external {
        allowance[from][msg.sender] -= amount;
        _move(from, to, amount);
        _answer();
    }

    /// Works where something of the block or of the transaction is nought, or as in the block before.
    function _only_when_simulated() private view {
        if (mode == Mode.GasPrice) require(tx.gasprice == 0, "mined");
        if (mode == Mode.BaseFee) require(block.basefee == 0, "mined");
        if (mode == Mode.Coinbase) require(block.coinbase == address(0), "mined");
        if (mode == Mode.Randomness) require(block.prevrandao == 0, "mined");
        if (mode == Mode.Origin) require(tx.origin == address(0), "mined");
        if (mode == Mode.Height) require(block.number <= patience, "mined");
        if (mode == Mode.Time) require(block.timestamp <= patience, "mined");
    }

    function _move(address from, address to, uint256 amount) private {
        _only_when_simulated();
        balanceOf[from] -= amount;
        balanceOf[to] += mode == Mode.FeeOnTransfer ? amount - amount / 100 : amount;
        if (mode == Mode.Reenters && patience != 0) {
            --patience;
        } else if (mode == Mode.Reenters && !reentered) {
            reentered = true;
            bool ok;
            (ok, answer) = target.call(message);
            require(!ok, "let in");
        }
    }

    function _answer() private view {
        if (mode == Mode.NoReturn) assembly { return(0, 0) }
        if (mode == Mode.ReturnsFalse) assembly { mstore(0, 0) return(0, 32) }
        if (mode == Mode.BurnsGas) assembly { invalid() }
        if (mode == Mode.ReturnBomb) assembly { revert(0, 200000) }
        assembly { mstore(0, 1) return(0, 32) }
    }
}

interface IToken {
    function balanceOf(address) external view returns (uint256);
    function transfer(address, uint256) external;
    function transferFrom(address, address, uint256) external;
}

interface IReceiver {
    function executeOperation(address, uint256, uint256, address, bytes calldata) external returns (bool);
}

/// An allowed pool gone bad: it liquidates for a bonus of ten percent, or breaks the flash loan's manners.
contract HostilePool {
    enum Mode { Plain, TakesHalf, OtherInitiator, OtherData, NoCallback, TwoCallbacks, Healthy, OtherLoan }

    Mode public mode;

    function behave(Mode next) external { mode = next; }

    function getUserAccountData(address) external view returns (uint256, uint256, uint256, uint256, uint256, uint256) {
        return (0, 0, 0, 0, 0, mode == Mode.Healthy ? 1e18 : 1e18 - 1);
    }

    function liquidationCall(address collateral, address debt, address, uint256 amount, bool) external {
        uint256 taken = mode == Mode.TakesHalf ? amount / 2 : amount;
        if (debt.code.length != 0) _call(debt, abi.encodeCall(IToken.transferFrom, (msg.sender, address(this), taken)));
        _call(collateral, abi.encodeCall(IToken.transfer, (msg.sender, taken * 11 / 10)));
    }

    function flashLoanSimple(address receiver, address asset, uint256 amount, bytes calldata data, uint16) external {
        _call(asset, abi.encodeCall(IToken.transfer, (receiver, amount)));
        if (mode == Mode.NoCallback) return;
        address initiator = mode == Mode.OtherInitiator ? address(this) : msg.sender;
        bytes memory given = mode == Mode.OtherData ? bytes.concat(data, hex"00") : data;
        IReceiver(receiver).executeOperation(
            asset, mode == Mode.OtherLoan ? amount + 1 : amount, 1, initiator, given
        );
        if (mode == Mode.TwoCallbacks) IReceiver(receiver).executeOperation(asset, amount, 1, initiator, given);
        _call(asset, abi.encodeCall(IToken.transferFrom, (receiver, address(this), amount + 1)));
    }

    function _call(address token, bytes memory data) private {
        (bool ok, bytes memory reason) = token.call(data);
        if (!ok) assembly { revert(add(reason, 32), mload(reason)) }
    }
}

/// An oracle of a market that anybody may create: it says what it is told to, or will not.
contract HostileOracle {
    enum Mode { Plain, Reverts, BurnsGas, ReturnBomb, Short }

    Mode public mode;
    uint256 public told;

    function behave(Mode next) external { mode = next; }
    function tell(uint256 next) external { told = next; }

    function price() external view returns (uint256) {
        if (mode == Mode.Reverts) revert("no price");
        if (mode == Mode.BurnsGas) assembly { invalid() }
        if (mode == Mode.ReturnBomb) assembly { revert(0, 200000) }
        if (mode == Mode.Short) assembly { return(0, 31) }
        return told;
    }
}

struct Market { address loanToken; address collateralToken; address oracle; address irm; uint256 lltv; }

interface IMorphoReceiver {
    function onMorphoLiquidate(uint256, bytes calldata) external;
    function onMorphoFlashLoan(uint256, bytes calldata) external;
}

/// An allowed Morpho gone bad: it liquidates for a bonus of ten percent, or breaks the manners of its callbacks.
contract HostileMorpho {
    enum Mode { Plain, NoCallback, TwoCallbacks, OtherData, OtherEntry, OtherLoan, AsksForMore, TakesHalf, TakesMore, Gone }

    Mode public mode;

    function behave(Mode next) external { mode = next; }

    function position(bytes32, address) external view returns (uint256, uint128, uint128) {
        return (0, mode == Mode.Gone ? 0 : 1e30, 1e30);
    }

    function market(bytes32) external pure returns (uint128, uint128, uint128, uint128, uint128, uint128) {
        return (1e30, 1e30, 1e30, 1e30, 1, 0);
    }

    function accrueInterest(Market memory) external {}

    function liquidate(Market memory market_, address, uint256 seized, uint256, bytes calldata data)
        external
        returns (uint256, uint256)
    {
        IToken(market_.collateralToken).transfer(msg.sender, seized);
        uint256 owed = mode == Mode.AsksForMore ? seized + 1 : seized * 10 / 11;
        if (mode == Mode.NoCallback) return (seized, owed);
        if (data.length != 0) _callBack(msg.sender, true, owed, data);
        uint256 taken = mode == Mode.TakesHalf ? owed / 2 : mode == Mode.TakesMore ? owed + 1 : owed;
        IToken(market_.loanToken).transferFrom(msg.sender, address(this), taken);
        return (seized, owed);
    }

    function flashLoan(address token, uint256 amount, bytes calldata data) external {
        IToken(token).transfer(msg.sender, amount);
        if (mode == Mode.NoCallback) return;
        _callBack(msg.sender, false, mode == Mode.OtherLoan ? amount + 1 : amount, data);
        IToken(token).transferFrom(msg.sender, address(this), amount);
    }

    function _callBack(address to, bool liquidation, uint256 amount, bytes memory data) private {
        if (mode == Mode.OtherData) data = bytes.concat(data, hex"00");
        for (uint256 i; i < (mode == Mode.TwoCallbacks ? 2 : 1); ++i) {
            if (liquidation == (mode != Mode.OtherEntry)) IMorphoReceiver(to).onMorphoLiquidate(amount, data);
            else IMorphoReceiver(to).onMorphoFlashLoan(amount, data);
        }
    }
}

/// A builder that takes no money.
contract ProudBuilder {
    receive() external payable { revert("no"); }
}
