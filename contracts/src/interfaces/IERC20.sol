// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

/// The calls that are made to a token. What they return is not trusted: see SafeToken.
interface IERC20 {
    function balanceOf(address account) external view returns (uint256);

    function allowance(address owner, address spender) external view returns (uint256);

    function approve(address spender, uint256 amount) external returns (bool);

    function transfer(address to, uint256 amount) external returns (bool);
}

/// The wrapped native coin.
interface IWrappedNative {
    function deposit() external payable;

    function withdraw(uint256 amount) external;
}
