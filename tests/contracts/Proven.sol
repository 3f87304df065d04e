// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;
import {LiquidationExecutor, StepResult} from "src/LiquidationExecutor.sol";
import {OperatorLimits} from "src/Access.sol";
import {Step} from "src/Flow.sol";
import {CureVault} from "src/CureVault.sol";
interface Vm { function prank(address) external; function assume(bool) external; }
/// What Halmos proves for all callers and arguments: nobody but the owner redirects, no callback is let in unasked.
contract Proven {
    Vm constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);
    LiquidationExecutor e; CureVault v;
    address constant OWNER = address(0xaaaa); address constant RECEIVER = address(0xbbbb); address constant OPERATOR = address(0xcccc);
    function setUp() public {
        address[] memory ops = new address[](1); ops[0] = OPERATOR;
        address[] memory none = new address[](0);
        e = new LiquidationExecutor(OWNER, RECEIVER, ops, none, none, address(0xdddd), OperatorLimits(2000, 9000));
        v = new CureVault(OWNER, ops);
    }
    function _refused(address who, address what, bytes memory data) private {
        vm.assume(who != OWNER);
        vm.prank(who);
        (bool ok,) = what.call(data);
        assert(!ok);
        assert(e.owner() == OWNER && e.receiver() == RECEIVER && e.maxBuilderShareBps() == 2000 && e.minSaleBps() == 9000 && v.owner() == OWNER);
    }
    function check_setReceiver(address who, address to) public { _refused(who, address(e), abi.encodeCall(e.setReceiver, (to))); }
    function check_transferOwnership(address who, address to) public { _refused(who, address(e), abi.encodeCall(e.transferOwnership, (to))); }
    function check_acceptOwnership(address who) public { vm.assume(who != address(0)); _refused(who, address(e), abi.encodeCall(e.acceptOwnership, ())); }
    function check_setOperator(address who, address a, bool b) public { _refused(who, address(e), abi.encodeCall(e.setOperator, (a, b))); }
    function check_setLendingPool(address who, address a, bool b) public { _refused(who, address(e), abi.encodeCall(e.setLendingPool, (a, b))); }
    function check_setFactory(address who, address a, bool b) public { _refused(who, address(e), abi.encodeCall(e.setFactory, (a, b))); }
    function check_setPaused(address who, bool b) public { _refused(who, address(e), abi.encodeCall(e.setPaused, (b))); }
    function check_setMaxBuilderShare(address who, uint16 b) public { _refused(who, address(e), abi.encodeCall(e.setMaxBuilderShare, (b))); }
    function check_setMinSale(address who, uint16 b) public { _refused(who, address(e), abi.encodeCall(e.setMinSale, (b))); }
    function check_rescue(address who, address t, address to, uint256 n) public { _refused(who, address(e), abi.encodeCall(e.rescue, (t, to, n))); }
    function check_withdraw(address who, address t, address to, uint256 n) public { _refused(who, address(v), abi.encodeCall(v.withdraw, (t, to, n))); }
    function check_setLimit(address who, address t, uint128 a, uint128 b) public { _refused(who, address(v), abi.encodeCall(v.setLimit, (t, a, b))); }
    function check_setListing(address who, bytes32 p, address a, uint128 x, uint128 y) public { _refused(who, address(v), abi.encodeCall(v.setListing, (p, a, x, y))); }
    function check_setLossLimit(address who, bytes32 p, uint128 x, uint128 y) public { _refused(who, address(v), abi.encodeCall(v.setLossLimit, (p, x, y))); }
    function check_noCallback(address who, uint256 a, uint256 b) public { _refused(who, address(e), abi.encodeCall(e.uniswapV3FlashCallback, (a, b, hex"01"))); }
    function check_noMorphoCallback(address who, uint256 a) public { _refused(who, address(e), abi.encodeCall(e.onMorphoLiquidate, (a, hex"01"))); }
    function check_builderCap(uint16 share, uint256 deadline) public {
        vm.assume(share > 2000);
        vm.prank(OPERATOR);
        (bool ok, bytes memory why) = address(e).call(abi.encodeCall(e.liquidate, (new Step[](0), deadline, share)));
        // Not for want of steps: that would be refused, too.
        bytes4 reason = deadline < block.timestamp
            ? LiquidationExecutor.DeadlinePassed.selector
            : LiquidationExecutor.BadBuilderShare.selector;
        assert(!ok && bytes4(why) == reason);
    }
}
