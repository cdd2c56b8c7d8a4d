// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {CertificateTime} from "../../x509/CertificateTime.sol";
import {DnsName} from "../../x509/DnsName.sol";

/// @notice What the parser reads by the word, from calldata.
contract WordReader {
    /// @return isName as `DnsName.parse` says of the octets from `start` to `end`; what lies behind them is anything
    /// @return punycode counted from `start`
    function dnsName(bytes calldata text, uint256 start, uint256 end)
        external
        pure
        returns (bool isName, uint256 punycode)
    {
        uint256 offset;
        assembly ("memory-safe") {
            offset := add(text.offset, start)
        }
        (isName, punycode) = DnsName.parse(offset, offset + end - start);
        punycode -= offset;
    }

    function times(bytes calldata both)
        external
        pure
        returns (uint256 notBefore, uint256 notAfter, bool ok, uint256 first, uint256 last, bool isFirst, bool isLast)
    {
        uint256 offset;
        assembly ("memory-safe") {
            offset := both.offset
        }
        (notBefore, notAfter, ok) = CertificateTime.parseBoth(offset, offset + 15);
        (first, isFirst) = CertificateTime.parse(offset);
        (last, isLast) = CertificateTime.parse(offset + 15);
    }
}

/// @notice The ways by the word say what the plain ways over single octets say.
contract ParserWordsTest {
    WordReader private reader = new WordReader();

    error Differs(bytes text);

    /// @dev Labels of all lengths that matter, mostly well formed, and the rest of the text behind them.
    function testFuzz_dnsNames(uint256 seed) external view {
        bytes memory octets = "abcxn019-.-.xn--zA_/\xae\x00";
        bytes memory text = "x";
        while (text.length < 300) {
            uint256 length = [uint256(1), 2, 5, 31, 32, 33, 61, 62, 63, 64, 65, 96][_draw(seed, text.length) % 12];
            bytes memory label = new bytes(length);
            for (uint256 i = 0; i < length; ++i) {
                label[i] = octets[_draw(seed, text.length + i + 1000) % 6];
            }
            if (_draw(seed, text.length + 1) % 4 == 0) label = bytes.concat("xn--", label);
            if (_draw(seed, text.length + 2) % 8 == 0) label = bytes.concat("ab--", label);
            text = bytes.concat(text, ".", label);
        }
        if (_draw(seed, 1) % 2 == 0) text[_draw(seed, 2) % text.length] = octets[_draw(seed, 3) % octets.length];
        if (_draw(seed, 1) % 4 == 0) text[_draw(seed, 4) % text.length] = ".";
        for (uint256 i = 0; i < 24; ++i) {
            uint256 start = _draw(seed, 5 + i) % text.length;
            uint256 end = start + _draw(seed, 50 + i) % (text.length - start + 1);
            (bool isName, uint256 punycode) = reader.dnsName(text, start, end);
            (bool isExpected, uint256 expected) = _plainDnsName(text, start, end);
            require(
                isName == isExpected && punycode == expected, Differs(bytes.concat(text, bytes32(start), bytes32(end)))
            );
        }
    }

    /// @dev The first 63 and the first 64 of one octet, with every beginning and every end around words.
    function test_labelLengths() external view {
        for (uint256 before = 0; before < 70; ++before) {
            for (uint256 length = 60; length < 68; ++length) {
                bytes memory text = bytes.concat(_filled(before), "b.", _filled(length), ".c", _filled(40));
                _compare(text, 0, text.length);
                _compare(text, 0, before + 2 + length);
                if (before != 0) _compare(text, before + 2 - 2, text.length);
            }
        }
    }

    function testFuzz_times(uint256 seed) external view {
        bytes memory text;
        for (uint256 i = 0; i < 2; ++i) {
            text = bytes.concat(text, hex"170d");
            uint256[6] memory most = [uint256(100), 14, 33, 25, 61, 61];
            for (uint256 j = 0; j < 6; ++j) {
                uint256 value = _draw(seed, 10 * i + j) % most[j];
                text = bytes.concat(text, bytes1(uint8(0x30 + value / 10)), bytes1(uint8(0x30 + value % 10)));
            }
            text = bytes.concat(text, "Z");
        }
        if (_draw(seed, 30) % 4 == 0) text[_draw(seed, 31) % text.length] = bytes1(uint8(_draw(seed, 32)));
        _compareTimes(text);
    }

    /// @dev Every day that a UTCTime can name, and some that it cannot.
    function test_everyDay() external view {
        for (uint256 year = 0; year < 100; ++year) {
            for (uint256 month = 0; month < 14; ++month) {
                for (uint256 day = 27; day < 33; ++day) {
                    bytes memory date = bytes.concat(_digits(year), _digits(month), _digits(day == 32 ? 0 : day));
                    _compareTimes(bytes.concat(hex"170d", date, "235959Z", hex"170d", date, "000000Z"));
                }
            }
        }
    }

    function _compareTimes(bytes memory text) private view {
        (uint256 notBefore, uint256 notAfter, bool ok, uint256 first, uint256 last, bool isFirst, bool isLast) =
            reader.times(text);
        require(ok == (isFirst && isLast), Differs(text));
        require(!ok || (notBefore == first && notAfter == last), Differs(text));
    }

    function _compare(bytes memory text, uint256 start, uint256 end) private view {
        (bool isName, uint256 punycode) = reader.dnsName(text, start, end);
        (bool isExpected, uint256 expected) = _plainDnsName(text, start, end);
        require(isName == isExpected && punycode == expected, Differs(text));
    }

    /// @dev Octet by octet, as RFC 1034 reads.
    function _plainDnsName(bytes memory text, uint256 start, uint256 end)
        private
        pure
        returns (bool, uint256 punycode)
    {
        uint256 length = end - start;
        uint256 label = start;
        uint256 dots;
        if (length == 0 || length > 253) return (false, length);
        punycode = length;
        for (uint256 i = start; i <= end; ++i) {
            bytes1 octet = i == end ? bytes1(".") : text[i];
            if (octet == ".") {
                if (i == label || i - label > 63 || text[i - 1] == "-" || text[label] == "-") return (false, length);
                bool isPunycode = i - label > 3 && text[label] == "x" && text[label + 1] == "n"
                    && text[label + 2] == "-" && text[label + 3] == "-";
                if (isPunycode && punycode == length) punycode = label - start;
                if (i != end) ++dots;
                label = i + 1;
            } else if (octet != "-" && (octet < "0" || octet > "9") && (octet < "a" || octet > "z")) {
                return (false, length);
            }
        }
        return dots == 0 ? (false, length) : (true, punycode);
    }

    function _filled(uint256 length) private pure returns (bytes memory text) {
        text = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            text[i] = "a";
        }
    }

    function _digits(uint256 value) private pure returns (bytes memory) {
        return bytes.concat(bytes1(uint8(0x30 + value / 10)), bytes1(uint8(0x30 + value % 10)));
    }

    function _draw(uint256 seed, uint256 index) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, index)));
    }
}
