// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title Counts votes on all entries of a batch at once
/// @notice Bit i of plane j is bit j of the number of maps that have bit i set: adding a map is a ripple carry over
/// words, whatever the number of entries.
library Settlement {
    /// @dev 8 planes count to 255, the size of the largest electorate.
    uint256 private constant PLANES = 8;

    struct Count {
        uint256[PLANES] planes;
    }

    function add(Count memory count, uint256 map) internal pure {
        uint256[PLANES] memory planes = count.planes;
        for (uint256 j = 0; map != 0; ++j) {
            uint256 plane = planes[j];
            planes[j] = plane ^ map;
            map &= plane;
        }
    }

    /// @return map The entries that `threshold` maps or more have set.
    function atLeast(Count memory count, uint256 threshold) internal pure returns (uint256 map) {
        uint256[PLANES] memory planes = count.planes;
        if (threshold >> PLANES != 0) return 0;
        uint256 equal = type(uint256).max;
        for (uint256 j = PLANES; j != 0;) {
            --j;
            if ((threshold >> j) & 1 == 0) {
                map |= equal & planes[j];
                equal &= ~planes[j];
            } else {
                equal &= planes[j];
            }
        }
        map |= equal;
    }
}
