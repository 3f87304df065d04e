// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

/// What a contract may look at to tell a simulation, or a read, from the chain.
enum Tell { None, GasPrice, BaseFee, Coinbase, Randomness, Origin, Height, Time, GasLeft, LastHash, EveryOtherBlock, Sender }

/// Decides whether it is being simulated; `hint` is what the tell compares with.
abstract contract Liar {
    Tell public tell;
    uint256 public hint;

    function lie(Tell next, uint256 hint_) external { (tell, hint) = (next, hint_); }

    function _is_simulated() internal view returns (bool) {
        if (tell == Tell.GasPrice) return tx.gasprice <= hint;
        if (tell == Tell.BaseFee) return block.basefee <= hint;
        if (tell == Tell.Coinbase) return block.coinbase == address(uint160(hint));
        if (tell == Tell.Randomness) return block.prevrandao % 4 != hint;
        if (tell == Tell.Origin) return tx.origin == address(uint160(hint));
        if (tell == Tell.Height) return block.number <= hint;
        if (tell == Tell.Time) return block.timestamp <= hint;
        if (tell == Tell.GasLeft) return gasleft() > hint;
        if (tell == Tell.LastHash) return blockhash(block.number - 1) == 0;
        if (tell == Tell.EveryOtherBlock) return block.number % 2 == hint;
        if (tell == Tell.Sender) return tx.origin != address(uint160(hint));
        return true;
    }
}

/// An oracle that has one price for simulations and another for the chain, or burns all gas there.
contract LyingOracle is Liar {
    uint256 private simulated;
    uint256 private mined;
    bool private burns;

    constructor(uint256 first) { (simulated, mined) = (first, first); }

    function set(uint256 simulated_, uint256 mined_, bool burns_) external {
        (simulated, mined, burns) = (simulated_, mined_, burns_);
    }

    function price() external view returns (uint256) {
        if (_is_simulated()) return simulated;
        if (burns) assembly { invalid() }
        return mined;
    }
}

/// A token that moves more than `limit` in simulations only, or half of it elsewhere. Anyone may mint.
contract LyingToken is Liar {
    string public constant name = "Lying";
    string public constant symbol = "LIE";
    uint8 public constant decimals = 18;
    uint256 public limit;
    bool private skims;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);

    function restrict(uint256 limit_, bool skims_) external { (limit, skims) = (limit_, skims_); }

    function mint(address to, uint256 value) external {
        balanceOf[to] += value;
        emit Transfer(address(0), to, value);
    }

    function approve(address spender, uint256 value) external returns (bool) {
        allowance[msg.sender][spender] = value;
        emit Approval(msg.sender, spender, value);
        return true;
    }

    function transfer(address to, uint256 value) external returns (bool) {
        _move(msg.sender, to, value);
        return true;
    }

    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        allowance[from][msg.sender] -= value;
        _move(from, to, value);
        return true;
    }

    function _move(address from, address to, uint256 value) private {
        bool lies = value > limit && !_is_simulated();
        require(!lies || skims, "mined");
        balanceOf[from] -= value;
        if (lies) value /= 2;
        balanceOf[to] += value;
        emit Transfer(from, to, value);
    }
}

