// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {CertificateRules} from "../../x509/CertificateRules.sol";
import {CertificateTime} from "../../x509/CertificateTime.sol";
import {ProfileBits} from "../../x509/ProfileBits.sol";
import {Reasons} from "../../x509/Reasons.sol";
import {CertificateBuilder as Build, Draft} from "./CertificateBuilder.sol";
import {ParserTest} from "./ParserTest.sol";
import {RsaCertificate} from "./RsaCertificate.sol";

/// @notice Reads one time from calldata.
contract TimeCaller {
    function parse(bytes calldata time) external pure returns (uint256, bool) {
        uint256 position;
        assembly ("memory-safe") {
            position := time.offset
        }
        return CertificateTime.parse(position);
    }
}

/// @notice Reasons 10 to 15 and 29: times, the key, the signature.
contract ParserValidityAndKeyTest is ParserTest {
    TimeCaller private times = new TimeCaller();

    function _expectValidity(bytes memory notBefore, bytes memory notAfter, uint16 reason) private view {
        Draft memory draft = Build.accepted();
        draft.validity = Build.validity(notBefore, notAfter);
        expectReason(draft, reason);
    }

    function test_10_forms() external view {
        _expectValidity("261101000000Z", "281101000000Z", Reasons.NONE);
        _expectValidity("261101000000Z", "261201235959Z", Reasons.NONE);
        bytes[15] memory bad = [
            bytes("2611010000Z"), // no seconds
            "261101000000+", // no Z
            "261101000000z",
            "261301000000Z",
            "260001000000Z",
            "261100000000Z",
            "261131000000Z", // November has 30 days
            "270229000000Z", // no leap year
            "261101240000Z",
            "261101006000Z",
            "261101000060Z",
            "2611010000:0Z",
            "2611010000/0Z",
            "690101000000Z", // 1969
            "20301101000000Z" // GeneralizedTime before 2050
        ];
        for (uint256 i = 0; i < bad.length; ++i) {
            _expectValidity("261101000000Z", bad[i], Reasons.BAD_VALIDITY);
            _expectValidity(bad[i], "281101000000Z", Reasons.BAD_VALIDITY);
        }
        _expectValidity("261101000000Z", "261101000000.5Z", Reasons.BAD_VALIDITY);
        _expectValidity("261102000000Z", "261101235959Z", Reasons.BAD_VALIDITY);
    }

    function _expectTime(bytes memory text, uint256 expected) private view {
        (uint256 time, bool ok) = times.parse(Build.time(text));
        require(ok == (expected != type(uint256).max), Failed(string(text)));
        require(!ok || time == expected, Failed(string(text)));
    }

    function test_times() external view {
        _expectTime("700101000000Z", 0);
        _expectTime("700301000000Z", 59 days);
        _expectTime("720229235959Z", 68255999);
        _expectTime("991231235959Z", 946684799);
        _expectTime("000229000000Z", 951782400);
        _expectTime("491231235959Z", 2524607999);
        _expectTime("500101000000Z", type(uint256).max); // 1950
        _expectTime("20500101000000Z", 2524608000);
        _expectTime("20491231235959Z", type(uint256).max);
        _expectTime("21000228000000Z", 4107456000);
        _expectTime("21000229000000Z", type(uint256).max);
        _expectTime("24000229000000Z", 13574563200);
        _expectTime("99991231235959Z", 253402300799);
    }

    /// @dev Day after day and second after second time grows by one: no calendar slip between 2050 and 9999.
    function testFuzz_daysFollowEachOther(uint16 year, uint8 month, uint8 day) external view {
        uint256 y = 2050 + uint256(year) % 7950;
        uint256 m = 1 + uint256(month) % 12;
        uint256 d = 1 + uint256(day) % 31;
        (uint256 today, bool ok) = times.parse(Build.time(_text(y, m, d)));
        (uint256 next, bool nextOk) = times.parse(Build.time(_text(y, m, d + 1)));
        if (!ok) {
            require(!nextOk && d > 28, Failed("days stop once"));
        } else if (nextOk) {
            require(next == today + 1 days, Failed("one day"));
        } else if (y < 9999 || m < 12) {
            (next, nextOk) = times.parse(Build.time(m == 12 ? _text(y + 1, 1, 1) : _text(y, m + 1, 1)));
            require(nextOk && next == today + 1 days, Failed("one month"));
        }
    }

    function _text(uint256 year, uint256 month, uint256 day) private pure returns (bytes memory) {
        return abi.encodePacked(_two(year / 100), _two(year % 100), _two(month), _two(day), "000000Z");
    }

    function _two(uint256 number) private pure returns (bytes2) {
        return bytes2(uint16(0x3030 + (number / 10) * 256 + number % 10));
    }

    function test_11_notYetValid() external view {
        // Block time is 2026-11-21 05:00:00 UTC and the profile allows clocks that run 300 s ahead.
        _expectValidity("261121050500Z", "281101000000Z", Reasons.NONE);
        _expectValidity("261121050501Z", "281101000000Z", Reasons.NOT_YET_VALID);
    }

    function test_12_expired() external view {
        _expectValidity("251101000000Z", "261121050000Z", Reasons.NONE);
        _expectValidity("251101000000Z", "261121045959Z", Reasons.EXPIRED);
    }

    function test_13_life() external view {
        _expectValidity("261101000000Z", "361101000000Z", Reasons.NONE); // 3,653 days
        _expectValidity("261101000000Z", "361101000001Z", Reasons.LIFETIME_TOO_LONG);
        _expectValidity("261101000000Z", "20500101000000Z", Reasons.LIFETIME_TOO_LONG);
    }

    function test_13_endless() external view {
        Draft memory draft = Build.accepted();
        draft.validity = Build.validity("261101000000Z", "99991231235959Z");
        expectReason(draft, Reasons.LIFETIME_TOO_LONG);
        CertificateRules memory rules = smallCellRules();
        rules.profile.endlessAllowed = true;
        expectReason(draft, rules, Reasons.NONE);
        draft.validity = Build.validity("261101000000Z", "99991231235958Z");
        expectReason(draft, rules, Reasons.LIFETIME_TOO_LONG);
    }

    function test_14_keyAlgorithm() external view {
        Draft memory draft = Build.accepted();
        // P-384, and P-256 by its explicit name in another algorithm (id-ecDH)
        draft.spki = Build.sequence(
            bytes.concat(
                hex"301006072a8648ce3d020106052b81040022", Build.tlv(0x03, bytes.concat(hex"0004", new bytes(96)))
            )
        );
        expectReason(draft, Reasons.KEY_ALGORITHM_NOT_ALLOWED);
        draft = Build.accepted();
        draft.spki[12] = 0x0c;
        expectReason(draft, Reasons.KEY_ALGORITHM_NOT_ALLOWED);
        CertificateRules memory rules = smallCellRules();
        rules.profile.keyAlgorithms = ProfileBits.KEY_RSA;
        expectReason(Build.accepted(), rules, Reasons.KEY_ALGORITHM_NOT_ALLOWED);
    }

    function test_15_point() external view {
        Draft memory draft = Build.accepted();
        draft.spki[90] = bytes1(uint8(draft.spki[90]) ^ 1);
        expectReason(draft, Reasons.BAD_POINT);
        draft.spki = Build.spkiOf(0, 0);
        expectReason(draft, Reasons.BAD_POINT);
        draft = Build.accepted();
        draft.spki[26] = 0x06; // hybrid
        expectReason(draft, Reasons.BAD_POINT);
        bytes memory x = new bytes(32);
        for (uint256 i = 0; i < 32; ++i) {
            x[i] = Build.accepted().spki[27 + i];
        }
        draft.spki = bytes.concat(hex"3039301306072a8648ce3d020106082a8648ce3d030107032200", hex"02", x); // compressed
        expectReason(draft, Reasons.BAD_POINT);
        draft.spki = hex"3018301306072a8648ce3d020106082a8648ce3d030107030100";
        expectReason(draft, Reasons.BAD_POINT);
    }

    /// @dev x and x + p name the same point; only the reduced one is a key. x = 5 is on the curve.
    function test_15_coordinateAboveThePrime() external view {
        uint256 p = 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffff;
        uint256 y = 0x459243b9aa581806fe913bce99817ade11ca503c64d9a3c533415c083248fbcc;
        Draft memory draft = Build.accepted();
        draft.spki = Build.spkiOf(5, y);
        expectReason(draft, Reasons.BAD_SIGNATURE);
        draft.spki = Build.spkiOf(5 + p, y);
        expectReason(draft, Reasons.BAD_POINT);
        draft.spki = Build.spkiOf(5, p - y);
        expectReason(draft, Reasons.BAD_SIGNATURE);
    }

    function _expectSignature(bytes memory signature, uint16 reason) private view {
        Draft memory draft = Build.accepted();
        draft.signature = signature;
        expectReason(draft, reason);
    }

    function test_29_signatureTwinIsTheSameCertificate() external view {
        bytes memory signed = Build.tbs(Build.accepted());
        bytes memory one = Build.assemble(signed, Build.ECDSA_SHA256, Build.sign(signed));
        bytes memory other = Build.assemble(signed, Build.ECDSA_SHA256, Build.signTwin(signed));
        require(keccak256(one) != keccak256(other), Failed("two encodings"));
        require(
            keccak256(abi.encode(checkOne(one, smallCellRules())))
                == keccak256(abi.encode(checkOne(other, smallCellRules()))),
            Failed("one certificate")
        );
        expectReason(one, Reasons.NONE);
        expectReason(other, Reasons.NONE);
    }

    function test_29_wrongSignature() external view {
        Draft memory draft = Build.accepted();
        draft.signature = Build.sign("something else");
        expectReason(draft, Reasons.BAD_SIGNATURE);
        draft.signature = "";
        draft.spki = Build.spkiOf(
            0x6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296,
            0x4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5
        ); // another key
        expectReason(draft, Reasons.BAD_SIGNATURE);
    }

    function test_29_strictEncoding() external view {
        bytes memory good = Build.sign(Build.tbs(Build.accepted()));
        _expectSignature(good, Reasons.NONE);
        _expectSignature(bytes.concat(good, hex"00"), Reasons.BAD_SIGNATURE);
        _expectSignature(hex"00", Reasons.BAD_SIGNATURE);
        _expectSignature(hex"3000", Reasons.BAD_SIGNATURE);
        _expectSignature(hex"3003020101", Reasons.BAD_SIGNATURE);
        _expectSignature(hex"3006020100020101", Reasons.BAD_SIGNATURE);
        _expectSignature(hex"3006020101020100", Reasons.BAD_SIGNATURE);
        _expectSignature(hex"30060201ff020101", Reasons.BAD_SIGNATURE);
        _expectSignature(hex"300702020001020101", Reasons.BAD_SIGNATURE);
        _expectSignature(hex"3009020101020101020101", Reasons.BAD_SIGNATURE);
        bytes memory n = Build.integer(Build.N);
        bytes memory one = Build.integer(1);
        _expectSignature(Build.sequence(bytes.concat(n, one)), Reasons.BAD_SIGNATURE);
        _expectSignature(Build.sequence(bytes.concat(one, n)), Reasons.BAD_SIGNATURE);
        bytes memory huge = Build.tlv(0x02, bytes.concat(hex"01", new bytes(33)));
        _expectSignature(Build.sequence(bytes.concat(one, huge)), Reasons.BAD_SIGNATURE);
    }

    function _rsaRules() private pure returns (CertificateRules memory rules) {
        rules = smallCellRules();
        rules.profile.keyAlgorithms = ProfileBits.KEY_P256 | ProfileBits.KEY_RSA;
        rules.profile.signatureAlgorithms = ProfileBits.SIGNATURE_ECDSA_SHA256 | ProfileBits.SIGNATURE_RSA_SHA256;
    }

    /// @dev Where `piece` begins in the fixture.
    function _find(bytes memory piece) private pure returns (uint256 place) {
        bytes memory der = RsaCertificate.DER;
        for (uint256 matched = 0; matched != piece.length; ++place) {
            matched = 0;
            while (matched < piece.length && der[place + matched] == piece[matched]) ++matched;
        }
        return place - 1;
    }

    function test_rsa() external view {
        expectReason(RsaCertificate.DER, _rsaRules(), Reasons.NONE);
        expectReason(RsaCertificate.DER, Reasons.UNSUPPORTED_ALGORITHM);
        CertificateRules memory rules = _rsaRules();
        rules.profile.keyAlgorithms = ProfileBits.KEY_P256;
        expectReason(RsaCertificate.DER, rules, Reasons.KEY_ALGORITHM_NOT_ALLOWED);
    }

    function test_15_rsa() external view {
        uint256 modulus = _find(hex"0282010100") + 5;
        bytes memory der = RsaCertificate.DER;
        der[modulus + 255] = bytes1(uint8(der[modulus + 255]) ^ 1); // even
        expectReason(der, _rsaRules(), Reasons.BAD_POINT);
        der = RsaCertificate.DER;
        der[_find(hex"0203010001") + 4] = 0x03; // exponent 65539
        expectReason(der, _rsaRules(), Reasons.BAD_POINT);
        der = RsaCertificate.DER;
        der[modulus] = bytes1(uint8(der[modulus]) & 0x7f); // not the shortest form any more
        expectReason(der, _rsaRules(), Reasons.BAD_POINT);
        der = RsaCertificate.DER;
        der[modulus - 1] = 0x80; // negative
        expectReason(der, _rsaRules(), Reasons.BAD_POINT);
        der = RsaCertificate.DER;
        der[modulus + 7] = bytes1(uint8(der[modulus + 7]) ^ 1); // another key
        expectReason(der, _rsaRules(), Reasons.BAD_SIGNATURE);
    }

    function test_29_rsa() external view {
        bytes memory der = RsaCertificate.DER;
        for (uint256 i = 1; i < 257; i += 51) {
            bytes1 kept = der[der.length - i];
            der[der.length - i] = bytes1(uint8(kept) ^ 0x10);
            expectReason(der, _rsaRules(), Reasons.BAD_SIGNATURE);
            der[der.length - i] = kept;
        }
        expectReason(der, _rsaRules(), Reasons.NONE);
        bytes memory lenient = RsaCertificate.SIGNATURE_WITHOUT_NULL;
        for (uint256 i = 0; i < 256; ++i) {
            der[der.length - 256 + i] = lenient[i];
        }
        expectReason(der, _rsaRules(), Reasons.BAD_SIGNATURE);
        for (uint256 i = 0; i < 256; ++i) {
            der[der.length - 256 + i] = 0xff; // above the modulus
        }
        expectReason(der, _rsaRules(), Reasons.BAD_SIGNATURE);
    }
}
