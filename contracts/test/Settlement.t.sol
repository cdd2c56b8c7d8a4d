// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Settlement} from "../Settlement.sol";
import {LedgerTest} from "./LedgerTest.sol";

contract SettlementTest is LedgerTest {
    function setUp() public override {}

    function testFuzz_countsLikeOneByOne(uint256[] memory maps, uint8 threshold) external pure {
        Settlement.Count memory count;
        uint256 length = maps.length > 255 ? 255 : maps.length;
        for (uint256 i = 0; i < length; ++i) {
            Settlement.add(count, maps[i]);
        }
        check(Settlement.atLeast(count, threshold) == naive(maps, length, threshold), "bit-sliced and naive differ");
    }

    function test_255OfAll() external pure {
        Settlement.Count memory count;
        for (uint256 i = 0; i < 255; ++i) {
            Settlement.add(count, type(uint256).max);
        }
        check(Settlement.atLeast(count, 255) == type(uint256).max, "255 of 255");
        check(Settlement.atLeast(count, 256) == 0, "no more than 255");
        check(Settlement.atLeast(count, 0) == type(uint256).max, "0 is always reached");
    }

    function naive(uint256[] memory maps, uint256 length, uint256 threshold) private pure returns (uint256 map) {
        for (uint256 bit = 0; bit < 256; ++bit) {
            uint256 votes = 0;
            for (uint256 i = 0; i < length; ++i) {
                votes += (maps[i] >> bit) & 1;
            }
            if (votes >= threshold) map |= uint256(1) << bit;
        }
    }
}
