// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

/// @title A Chainlink-shaped feed that says whatever it was told, or nothing, or burns all gas.
contract WildFeed {
    enum Mood {
        Answers,
        Reverts,
        Burns
    }

    uint8 public immutable decimals;
    Mood public mood;
    uint80 private roundId;
    int256 private answer;
    uint256 private updatedAt;
    uint80 private answeredInRound;

    error NotInTheMood();

    constructor(uint8 decimals_, int256 first) {
        decimals = decimals_;
        (roundId, answer, updatedAt, answeredInRound) = (1, first, block.timestamp, 1);
    }

    function set(uint80 round, int256 next, uint256 at, uint80 answeredIn, Mood how) external {
        (roundId, answer, updatedAt, answeredInRound) = (round, next, at, answeredIn);
        mood = how;
    }

    function latestAnswer() external view returns (int256) {
        _behave();
        return answer;
    }

    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        _behave();
        return (roundId, answer, updatedAt, updatedAt, answeredInRound);
    }

    function _behave() private view {
        if (mood == Mood.Reverts) revert NotInTheMood();
        if (mood == Mood.Burns) {
            assembly {
                invalid()
            }
        }
    }
}
