// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

/// Decides, by a seed, where hostile contracts misbehave; the same seed, the same story.
contract Dice {
    uint256 public seed;
    uint256 public rolls;
    /// How often something goes wrong, in 1/1,000.
    uint256 public malice;

    function load(uint256 seed_, uint256 malice_) external { (seed, rolls, malice) = (seed_, 0, malice_); }

    function draw() public returns (uint256) {
        unchecked { return uint256(keccak256(abi.encode(seed, rolls++))); }
    }

    /// Return zero for good manners, else a number from 1 to `kinds`.
    function ill(uint256 kinds) external returns (uint256) {
        uint256 drawn = draw();
        return drawn % 1000 < malice ? 1 + (drawn >> 64) % kinds : 0;
    }
}

/// A token whose books are true, and whose manners may be anything; it wraps the native coin, too.
contract ChaosToken {
    enum Kind { Plain, NoReturn, Fee, FeeOnTop, Race, NoZero, Hooks, ReturnsFalse, Big }

    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;
    Kind public kind;
    Dice private immutable dice;
    uint8 public immutable decimals;
    ChaosPlace private mob;

    constructor(Dice dice_, uint8 decimals_) { (dice, decimals) = (dice_, decimals_); }

    receive() external payable {}

    function behave(Kind next, ChaosPlace mob_) external { (kind, mob) = (next, mob_); }
    function give(address to, uint256 amount) external { balanceOf[to] += amount; }
    function deposit() external payable { balanceOf[msg.sender] += msg.value; }

    function withdraw(uint256 amount) external {
        balanceOf[msg.sender] -= amount;
        (bool ok,) = msg.sender.call{value: amount}("");
        require(ok, "native");
    }

    function approve(address spender, uint256 amount) external {
        if (kind == Kind.Race) require(amount == 0 || allowance[msg.sender][spender] == 0, "race");
        if (kind == Kind.NoZero) require(amount != 0, "zero");
        allowance[msg.sender][spender] = amount;
        _answer();
    }

    function transfer(address to, uint256 amount) external { _move(msg.sender, to, amount); _answer(); }

    function transferFrom(address from, address to, uint256 amount) external {
        allowance[from][msg.sender] -= amount;
        _move(from, to, amount);
        _answer();
    }

    function _move(address from, address to, uint256 amount) private {
        balanceOf[from] -= kind == Kind.FeeOnTop ? amount + amount / 100 : amount;
        balanceOf[to] += kind == Kind.Fee ? amount - amount / 100 : amount;
        if (kind == Kind.Hooks && dice.ill(2) != 0) mob.riot();
    }

    function _answer() private {
        if (kind == Kind.NoReturn) assembly { return(0, 0) }
        if (kind == Kind.ReturnsFalse && dice.ill(2) != 0) assembly { mstore(0, 0) return(0, 32) }
        if (kind == Kind.Big) assembly { mstore(0, 1) return(0, 4096) }
        assembly { mstore(0, 1) return(0, 32) }
    }
}

struct Market { address loanToken; address collateralToken; address oracle; address irm; uint256 lltv; }

interface IVictim {
    function executeOperation(address, uint256, uint256, address, bytes calldata) external returns (bool);
    function onMorphoLiquidate(uint256, bytes calldata) external;
    function onMorphoFlashLoan(uint256, bytes calldata) external;
    function uniswapV3FlashCallback(uint256, uint256, bytes calldata) external;
    function uniswapV3SwapCallback(int256, int256, bytes calldata) external;
}

/// Everything that the executor and the vault call, in one contract that may turn on them at any moment: an Aave pool
/// with its registry and oracle, Morpho Blue, a Uniswap factory and its pools.
contract ChaosPlace {
    Dice private immutable dice;
    address[] private victims;
    ChaosToken[] private tokens;
    bytes[] private messages;
    bytes private lastData;
    mapping(address => uint256) public priceOf;
    mapping(address => uint256) public healthOf;
    mapping(bytes32 => address) private pools;
    address public token0;
    address public token1;
    uint24 public constant fee = 3000;
    uint256 public price;
    uint256 public bonus;
    uint256 private depth;
    ChaosPlace private oracle;

    constructor(Dice dice_) { dice = dice_; }

    function know(address[] calldata victims_, ChaosToken[] calldata tokens_) external { (victims, tokens) = (victims_, tokens_); }
    function learn(bytes[] calldata messages_) external { messages = messages_; }
    function setPrice(address token, uint256 value) external { priceOf[token] = value; }
    function setHealth(address account, uint256 value) external { healthOf[account] = value; }
    function setTerms(uint256 price_, uint256 bonus_) external { (price, bonus) = (price_, bonus_); }
    function addPool(address a, address b, address pool) external { (pools[_pair(a, b)], pools[_pair(b, a)]) = (pool, pool); }
    function bePool(address a, address b, ChaosPlace oracle_) external { (token0, token1, oracle) = (a, b, oracle_); }
    function getPool(address a, address b, uint24) external view returns (address) { return pools[_pair(a, b)]; }
    function _pair(address a, address b) private pure returns (bytes32) { return keccak256(abi.encode(a, b)); }

    /// Try to do harm: enter a victim again, replay a callback, take what is allowed, or lay money there.
    function riot() public {
        if (depth != 0 || victims.length == 0) return;
        depth = 1;
        uint256 drawn = dice.draw();
        address victim = victims[drawn % victims.length];
        ChaosToken token = tokens[(drawn >> 16) % tokens.length];
        uint256 what = (drawn >> 32) % 8;
        bool ok;
        if (what < 2 && messages.length != 0) {
            (ok,) = victim.call(messages[(drawn >> 48) % messages.length]);
        } else if (what == 2) {
            token.give(victim, 1 + (drawn >> 64) % 10**18);
        } else if (what == 3) {
            (ok,) = address(token).call(abi.encodeCall(ChaosToken.transferFrom, (victim, address(this), token.allowance(victim, address(this)))));
        } else if (what == 4) {
            (ok,) = victim.call(abi.encodeCall(IVictim.onMorphoFlashLoan, (drawn >> 128, lastData)));
        } else if (what == 5) {
            (ok,) = victim.call(abi.encodeCall(IVictim.uniswapV3SwapCallback, (int256(drawn >> 128), -1, lastData)));
        } else if (what == 6) {
            (ok,) = victim.call(abi.encodeCall(IVictim.executeOperation, (address(token), drawn >> 128, 0, victim, lastData)));
        } else {
            (ok,) = victim.call(abi.encodeCall(IVictim.onMorphoLiquidate, (drawn >> 128, lastData)));
        }
        depth = 0;
    }

    // Aave v3.

    function ADDRESSES_PROVIDER() external view returns (address) { return address(this); }
    function getPriceOracle() external view returns (address) { return address(this); }
    function getAssetPrice(address token) external view returns (uint256) { return priceOf[token]; }

    function getUserAccountData(address account) external view returns (uint256, uint256, uint256, uint256, uint256, uint256) {
        return (0, 0, 0, 0, 0, healthOf[account]);
    }

    function liquidationCall(address collateral, address debt, address account, uint256 amount, bool) external {
        uint256 how = dice.ill(7);
        if (how == 1) riot();
        require(how != 2, "no");
        if (healthOf[account] >= 1e18) require(how == 3, "well");
        if (amount > 1e24) amount = 1e24;
        uint256 taken = how == 4 ? amount / 2 : amount;
        _take(debt, msg.sender, taken);
        if (how == 5) _takeAllowed(debt, msg.sender);
        if (how != 6) _send(collateral, msg.sender, worth(debt, collateral, taken) * bonus / 100);
        if (how == 7) riot();
    }

    function supply(address asset, uint256 amount, address account, uint16) external { _receive(asset, amount, account); }

    function repay(address asset, uint256 amount, uint256, address account) external returns (uint256) {
        _receive(asset, amount, account);
        return amount;
    }

    function flashLoanSimple(address to, address asset, uint256 amount, bytes calldata data, uint16) external {
        lastData = data;
        uint256 how = dice.ill(8);
        uint256 premium = amount * (how == 1 ? 50 : 5) / 10_000;
        _send(asset, to, how == 2 ? amount / 2 : amount);
        if (how == 3) riot();
        bytes memory given = how == 4 ? bytes.concat(data, hex"00") : data;
        uint256 calls = how == 5 ? 0 : how == 6 ? 2 : 1;
        for (uint256 i; i < calls; ++i) {
            IVictim(to).executeOperation(asset, how == 7 ? amount + 1 : amount, premium, msg.sender, given);
        }
        if (how == 8) _takeAllowed(asset, to);
        else _take(asset, to, amount + premium);
    }

    // Morpho Blue.

    function position(bytes32, address account) external view returns (uint256, uint128, uint128) {
        return (0, healthOf[account] == 0 ? 0 : 1e24, uint128(1e24 * healthOf[account] / 1e18));
    }

    function market(bytes32) external pure returns (uint128, uint128, uint128, uint128, uint128, uint128) {
        return (1e30, 1e30, 1e30, 1e30, 1, 0);
    }

    function accrueInterest(Market memory) external { if (dice.ill(4) == 1) riot(); }

    function liquidate(Market memory asked, address, uint256 seized, uint256 shares, bytes calldata data)
        external
        returns (uint256, uint256 owed)
    {
        lastData = data;
        uint256 how = dice.ill(9);
        if (shares != 0) seized = shares * 1e36 / price * bonus / 100;
        owed = seized * price / 1e36 * 100 / bonus;
        _send(asked.collateralToken, msg.sender, how == 1 ? seized / 2 : seized);
        if (how == 2) riot();
        if (data.length != 0 && how != 3) {
            bytes memory given = how == 4 ? bytes.concat(data, hex"00") : data;
            if (how == 5) IVictim(msg.sender).onMorphoFlashLoan(owed, given);
            else IVictim(msg.sender).onMorphoLiquidate(how == 6 ? owed * 2 : owed, given);
            if (how == 7) IVictim(msg.sender).onMorphoLiquidate(owed, given);
        }
        if (how == 8) riot();
        if (how == 9) _takeAllowed(asked.loanToken, msg.sender);
        else _take(asked.loanToken, msg.sender, owed);
        return (seized, owed);
    }

    function supplyCollateral(Market memory asked, uint256 amount, address account, bytes memory) external {
        _receive(asked.collateralToken, amount, account);
    }

    function repay(Market memory asked, uint256 amount, uint256 shares, address account, bytes memory) external returns (uint256, uint256) {
        _receive(asked.loanToken, amount + shares, account);
        return (amount, shares);
    }

    function flashLoan(address token, uint256 amount, bytes calldata data) external {
        lastData = data;
        uint256 how = dice.ill(6);
        _send(token, msg.sender, how == 1 ? amount / 2 : amount);
        if (how == 2) riot();
        if (how == 3) IVictim(msg.sender).onMorphoLiquidate(amount, data);
        else if (how != 4) IVictim(msg.sender).onMorphoFlashLoan(how == 5 ? amount + 1 : amount, data);
        if (how == 6) _takeAllowed(token, msg.sender);
        else _take(token, msg.sender, amount);
    }

    // A Uniswap v3 pool, which trades at the oracle's price less a few percent.

    function swap(address to, bool zeroForOne, int256 amount, uint160, bytes calldata data) external returns (int256, int256) {
        lastData = data;
        uint256 how = dice.ill(8);
        (address paid, address got) = zeroForOne ? (token0, token1) : (token1, token0);
        uint256 slip = how == 1 ? 5_000 : 10_000 - dice.draw() % 300;
        (uint256 into, uint256 out) = amount > 0
            ? (uint256(amount), oracle.worth(paid, got, uint256(amount)) * slip / 10_000)
            : (oracle.worth(got, paid, uint256(-amount)) * 10_000 / slip + 1, uint256(-amount));
        _send(got, to, how == 2 ? out / 2 : out);
        if (how == 3) riot();
        if (how == 4) into *= 2;
        uint256 before = ChaosToken(payable(paid)).balanceOf(address(this));
        (int256 a, int256 b) = zeroForOne ? (int256(into), -int256(out)) : (-int256(out), int256(into));
        if (how != 5) IVictim(msg.sender).uniswapV3SwapCallback(a, b, data);
        if (how == 6) IVictim(msg.sender).uniswapV3SwapCallback(a, b, data);
        if (how == 7) riot();
        if (how == 0) require(ChaosToken(payable(paid)).balanceOf(address(this)) >= before + into * 98 / 100, "IIA");
        return how == 8 ? (-a, -b) : (a, b);
    }

    function flash(address to, uint256 amount0, uint256 amount1, bytes calldata data) external {
        lastData = data;
        uint256 how = dice.ill(4);
        address token = amount0 != 0 ? token0 : token1;
        uint256 amount = amount0 + amount1;
        uint256 before = ChaosToken(payable(token)).balanceOf(address(this));
        _send(token, to, how == 1 ? amount / 2 : amount);
        if (how == 2) riot();
        uint256 owed = amount * 3 / 1000;
        if (how != 3) IVictim(to).uniswapV3FlashCallback(amount0 != 0 ? owed : 0, amount0 != 0 ? 0 : owed, data);
        if (how == 4) riot();
        if (how == 0) require(ChaosToken(payable(token)).balanceOf(address(this)) >= before, "F");
    }

    function worth(address from, address to, uint256 amount) public view returns (uint256) {
        return amount * priceOf[from] * 10 ** ChaosToken(payable(to)).decimals() / (10 ** ChaosToken(payable(from)).decimals() * priceOf[to]);
    }

    function _receive(address asset, uint256 amount, address account) private {
        uint256 how = dice.ill(5);
        if (how == 1) riot();
        _take(asset, msg.sender, how == 2 ? amount / 2 : amount);
        if (how == 3) _takeAllowed(asset, msg.sender);
        if (how != 4) healthOf[account] += 2e17;
        if (how == 5) riot();
    }

    function _send(address token, address to, uint256 amount) private {
        ChaosToken(payable(token)).give(address(this), amount * 102 / 100);
        _call(token, abi.encodeCall(ChaosToken.transfer, (to, amount)));
    }

    function _take(address token, address from, uint256 amount) private {
        _call(token, abi.encodeCall(ChaosToken.transferFrom, (from, address(this), amount)));
    }

    function _takeAllowed(address token, address from) private {
        _take(token, from, ChaosToken(payable(token)).allowance(from, address(this)));
    }

    function _call(address token, bytes memory data) private {
        (bool ok, bytes memory reason) = token.call(data);
        if (!ok) assembly { revert(add(reason, 32), mload(reason)) }
    }
}
