// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

/// @title An oracle that says what it was told, or nothing at all, or burns all gas first.
contract MoodyOracle {
    enum Mood {
        Answers,
        Reverts,
        Burns
    }

    Mood public mood;
    uint256 private answer;

    error NotInTheMood();

    constructor(uint256 first) {
        answer = first;
    }

    function set(uint256 next, Mood how) external {
        answer = next;
        mood = how;
    }

    function price() external view returns (uint256) {
        if (mood == Mood.Reverts) revert NotInTheMood();
        if (mood == Mood.Burns) {
            assembly {
                invalid()
            }
        }
        return answer;
    }
}
