// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {both} from "./Branchless.sol";
import {DerReader} from "./DerReader.sol";
import {DistinguishedName, Subject} from "./DistinguishedName.sol";
import {ExtensionList, Extensions} from "./Extensions.sol";
import {PublicKey} from "./PublicKey.sol";

/// @notice Where the parts of one certificate lie, as offsets into calldata. A name with `End` is the end of the part
/// before it; tbs, algorithms, issuer, subjectName, times and spki begin at their tags, the other parts at their contents.
/// @param isEcdsaSha256 both AlgorithmIdentifiers are ecdsa-with-SHA256 without parameters
/// @dev In memory, allocated once a batch: one certificate after the other writes it.
struct CertificateParts {
    bool isVersion3;
    bool isEcdsaSha256;
    uint256 tbs;
    uint256 tbsEnd;
    uint256 serialNumber;
    uint256 serialNumberEnd;
    uint256 innerAlgorithm;
    uint256 innerAlgorithmEnd;
    uint256 outerAlgorithm;
    uint256 outerAlgorithmEnd;
    bool isIssuerSubject;
    uint256 issuer;
    uint256 issuerEnd;
    uint256 subjectName;
    uint256 subjectNameEnd;
    uint256 notBefore;
    uint256 notAfter;
    uint256 spki;
    uint256 spkiEnd;
    PublicKey.Kind keyKind;
    uint256 key;
    uint256 keyEnd;
    uint256 signature;
    uint256 signatureEnd;
    Subject subject;
    Extensions extensions;
}

/// @title The structure of a whole certificate. Source: RFC 5280 §4.1
/// @dev Where nearly all certificates say the same, those octets are compared as a word before they are read one element
/// after the other; the long way gives the same answer and serves the rest.
library CertificateStructure {
    /// @dev SubjectPublicKeyInfo of an uncompressed point on P-256, up to its 04. Source: RFC 5480 §2
    uint256 private constant P256_KEY = 0x3059301306072a8648ce3d020106082a8648ce3d03010703420004;
    uint256 private constant P256_KEY_LENGTH = 91;

    /// @notice Finds the parts of the certificate that fills `position` to `limit`.
    /// @return whether it is one certificate in strict DER with nothing after any end (reason 2 where not)
    function read(CertificateParts memory parts, uint256 position, uint256 limit) internal pure returns (bool) {
        uint256 cursor = _readUsualFrame(parts, position, limit);
        if (cursor > limit) cursor = _readFrame(parts, position, limit);
        uint256 end = parts.tbsEnd;
        cursor = _readNamesAndTimes(parts, cursor, end);
        cursor = _readSubjectPublicKeyInfo(parts, cursor, end);
        if (cursor > limit) return false;
        ExtensionList.clear(parts.extensions);
        if (cursor == end) return true;
        // issuerUniqueID and subjectUniqueID would stand here; RFC 5280 §4.1.2.8: conforming CAs do not make them.
        position = _readUsualList(cursor, end);
        if (position > end) position = _readList(cursor, end);
        return position < end && ExtensionList.read(parts.extensions, position, end);
    }

    /// @dev The frame of extensions that have 128 to 255 octets: a3 81 (n+3) 30 81 n.
    /// @return start where the first one begins; NOWHERE for any other frame
    function _readUsualList(uint256 position, uint256 end) private pure returns (uint256 start) {
        unchecked {
            uint256 length = end - position - 6;
            bool isUsual = DerReader.word(position) >> 208 == 0xa38103308100 + 0x1000001 * length;
            return both(isUsual, length - 0x80 < 0x7d) ? position + 6 : DerReader.NOWHERE;
        }
    }

    function _readList(uint256 position, uint256 end) private pure returns (uint256 start) {
        uint256 last;
        (start, last) = DerReader.read(0xa3, position, end);
        if (last != end) return DerReader.NOWHERE;
        (start, last) = DerReader.read(DerReader.SEQUENCE, start, end);
        if (last != end) return DerReader.NOWHERE;
    }

    /// @dev Certificate up to issuer, and what stands behind TBSCertificate, of a certificate of 256 to 65,535 octets,
    /// version 3, signed with ecdsa-with-SHA256: 30 82 m m 30 82 n n a0 03 02 01 02 02 s serialNumber 30 0a 06 08 ...
    /// @return issuer where issuer begins; NOWHERE for any other certificate
    function _readUsualFrame(CertificateParts memory parts, uint256 position, uint256 limit)
        private
        pure
        returns (uint256 issuer)
    {
        unchecked {
            uint256 head = DerReader.word(position);
            uint256 tbsEnd = position + 8 + ((head >> 192) & 0xffff);
            uint256 serialNumberEnd = position + 15 + ((head >> 136) & 0xff);
            uint256 tail = DerReader.word(tbsEnd) >> 136; // 30 0a 06 08 ... 03 n 00
            uint256 difference = ((head >> 144) & 0xffff0000ffff0000ffffffffffff) ^ 0x3082000030820000a00302010202;
            difference |= (tail & 0xffffffffffffffffffffffffff00ff) ^ ((DerReader.ECDSA_SHA256 << 24) | 0x030000);
            difference |= (DerReader.word(serialNumberEnd) >> 160) ^ DerReader.ECDSA_SHA256;
            tail = (tail >> 8) & 0xff;
            difference |= (position + 4 + ((head >> 224) & 0xffff)) ^ limit;
            difference |= (tbsEnd + 14 + tail) ^ limit;
            // The outer length is above the inner one, which must be worth two octets.
            bool isLength = both(both(tbsEnd > position + 263, tail - 1 < 0x7f), serialNumberEnd < position + 15 + 0x80);
            bool isUsual = both(both(isLength, difference == 0), DerReader.isInteger(position + 15, serialNumberEnd));
            if (!isUsual) return DerReader.NOWHERE;
            parts.isVersion3 = true;
            parts.isEcdsaSha256 = true;
            parts.tbs = position + 4;
            parts.tbsEnd = tbsEnd;
            parts.serialNumber = position + 15;
            parts.serialNumberEnd = serialNumberEnd;
            parts.signature = tbsEnd + 15;
            parts.signatureEnd = limit;
            return serialNumberEnd + 12;
        }
    }

    /// @dev The same for any certificate.
    function _readFrame(CertificateParts memory parts, uint256 position, uint256 limit)
        private
        pure
        returns (uint256 issuer)
    {
        (uint256 cursor, uint256 end) = DerReader.read(DerReader.SEQUENCE, position, limit);
        if (end != limit) return DerReader.NOWHERE;
        parts.tbs = cursor;
        (position, cursor) = DerReader.read(DerReader.SEQUENCE, cursor, end);
        parts.tbsEnd = cursor;
        parts.outerAlgorithm = cursor;
        cursor = DerReader.readAlgorithm(cursor, end);
        parts.outerAlgorithmEnd = cursor;
        (parts.signature, cursor) = DerReader.readWholeOctets(cursor, end);
        parts.signatureEnd = cursor;
        if (cursor != end) return DerReader.NOWHERE;
        end = parts.tbsEnd;
        (parts.isVersion3, cursor) = _readVersion(position, end);
        (position, cursor) = DerReader.read(DerReader.INTEGER, cursor, end);
        if (!DerReader.isInteger(position, cursor)) return DerReader.NOWHERE;
        parts.serialNumber = position;
        parts.serialNumberEnd = cursor;
        parts.innerAlgorithm = cursor;
        issuer = DerReader.readAlgorithm(cursor, end);
        parts.innerAlgorithmEnd = issuer;
        parts.isEcdsaSha256 =
            _isEcdsaSha256(cursor, issuer) && _isEcdsaSha256(parts.outerAlgorithm, parts.outerAlgorithmEnd);
    }

    function _isEcdsaSha256(uint256 start, uint256 end) private pure returns (bool) {
        unchecked {
            return end - start == 12 && DerReader.word(start) >> 160 == DerReader.ECDSA_SHA256;
        }
    }

    function _readVersion(uint256 position, uint256 limit) private pure returns (bool isVersion3, uint256 end) {
        if (DerReader.octet(position) != 0xa0) return (false, position);
        uint256 start;
        uint256 innerEnd;
        (start, end) = DerReader.read(0xa0, position, limit);
        (start, innerEnd) = DerReader.read(DerReader.INTEGER, start, end);
        if (innerEnd != end || !DerReader.isInteger(start, end)) return (false, DerReader.NOWHERE);
        unchecked {
            isVersion3 = end - start == 1 && DerReader.octet(start) == 2;
        }
    }

    function _readNamesAndTimes(CertificateParts memory parts, uint256 position, uint256 limit)
        private
        pure
        returns (uint256 end)
    {
        (uint256 issuer, uint256 issuerEnd) = DerReader.read(DerReader.SEQUENCE, position, limit);
        parts.issuer = position;
        parts.issuerEnd = issuerEnd;
        end = _readValidity(parts, issuerEnd, limit);
        parts.subjectName = end;
        uint256 subject;
        (subject, end) = DerReader.read(DerReader.SEQUENCE, end, limit);
        parts.subjectNameEnd = end;
        if (end > limit) return DerReader.NOWHERE;
        unchecked {
            // Equal contents stand in equal elements, since only one form of a length is accepted.
            bool isSame = issuerEnd - issuer == end - subject && DerReader.areEqual(issuer, subject, end - subject);
            parts.isIssuerSubject = isSame;
            if (!isSame && !DistinguishedName.read(parts.subject, issuer, issuerEnd)) return DerReader.NOWHERE;
        }
        if (!DistinguishedName.read(parts.subject, subject, end)) return DerReader.NOWHERE;
    }

    function _readValidity(CertificateParts memory parts, uint256 position, uint256 limit)
        private
        pure
        returns (uint256 end)
    {
        unchecked {
            // Two UTCTimes of 13 octets.
            uint256 difference =
                (DerReader.word(position) >> 224 ^ 0x301e170d) | (DerReader.word(position + 17) >> 240 ^ 0x170d);
            if (both(difference == 0, position + 32 <= limit)) {
                parts.notBefore = position + 2;
                parts.notAfter = position + 17;
                return position + 32;
            }
        }
        uint256 cursor;
        (cursor, end) = DerReader.read(DerReader.SEQUENCE, position, limit);
        parts.notBefore = cursor;
        cursor = _readTime(cursor, end);
        parts.notAfter = cursor;
        cursor = _readTime(cursor, end);
        if (cursor != end) return DerReader.NOWHERE;
    }

    function _readTime(uint256 position, uint256 limit) private pure returns (uint256 end) {
        uint256 tag = DerReader.octet(position);
        if (tag != DerReader.UTC_TIME) tag = DerReader.GENERALIZED_TIME;
        (, end) = DerReader.read(tag, position, limit);
    }

    function _readSubjectPublicKeyInfo(CertificateParts memory parts, uint256 position, uint256 limit)
        private
        pure
        returns (uint256 end)
    {
        uint256 cursor;
        parts.spki = position;
        unchecked {
            end = position + P256_KEY_LENGTH;
            if (both(DerReader.word(position) >> 40 == P256_KEY, end <= limit)) {
                parts.spkiEnd = end;
                parts.keyKind = PublicKey.Kind.P256;
                parts.key = position + 26;
                parts.keyEnd = end;
                return end;
            }
        }
        (cursor, end) = DerReader.read(DerReader.SEQUENCE, position, limit);
        parts.spkiEnd = end;
        uint256 algorithm = cursor;
        cursor = DerReader.readAlgorithm(algorithm, end);
        parts.keyKind = PublicKey.kind(algorithm, cursor);
        (parts.key, cursor) = DerReader.readWholeOctets(cursor, end);
        parts.keyEnd = cursor;
        if (cursor != end) return DerReader.NOWHERE;
    }
}
