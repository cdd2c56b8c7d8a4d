// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {DerReader} from "./DerReader.sol";
import {DistinguishedName, Subject} from "./DistinguishedName.sol";
import {ExtensionList, Extensions} from "./Extensions.sol";

/// @notice Where the parts of one certificate lie, as offsets into calldata. A name with `End` is the end of the part
/// before it; tbs, algorithms, issuer, subject, times and spki begin at their tags, the other parts at their contents.
/// @dev In memory, allocated once a batch: one certificate after the other writes it.
struct CertificateParts {
    bool isVersion3;
    uint256 tbs;
    uint256 tbsEnd;
    uint256 serialNumber;
    uint256 serialNumberEnd;
    uint256 innerAlgorithm;
    uint256 innerAlgorithmEnd;
    uint256 outerAlgorithm;
    uint256 outerAlgorithmEnd;
    bool isIssuerSubject;
    uint256 notBefore;
    uint256 notAfter;
    uint256 spki;
    uint256 spkiEnd;
    uint256 keyAlgorithm;
    uint256 keyAlgorithmEnd;
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
        (uint256 cursor, uint256 end) = DerReader.read(DerReader.SEQUENCE, position, limit);
        if (end != limit) return false;
        parts.tbs = cursor;
        uint256 tbs;
        (tbs, cursor) = DerReader.read(DerReader.SEQUENCE, cursor, end);
        parts.tbsEnd = cursor;
        parts.outerAlgorithm = cursor;
        cursor = DerReader.readAlgorithm(cursor, end);
        parts.outerAlgorithmEnd = cursor;
        (parts.signature, cursor) = DerReader.readWholeOctets(cursor, end);
        parts.signatureEnd = cursor;
        return cursor == end && _readSigned(parts, tbs, parts.tbsEnd);
    }

    /// @dev The content of TBSCertificate.
    function _readSigned(CertificateParts memory parts, uint256 cursor, uint256 end) private pure returns (bool) {
        uint256 start;
        (parts.isVersion3, cursor) = _readVersion(cursor, end);
        (start, cursor) = DerReader.read(DerReader.INTEGER, cursor, end);
        if (!DerReader.isInteger(start, cursor)) return false;
        parts.serialNumber = start;
        parts.serialNumberEnd = cursor;
        parts.innerAlgorithm = cursor;
        cursor = DerReader.readAlgorithm(cursor, end);
        parts.innerAlgorithmEnd = cursor;
        cursor = _readNamesAndTimes(parts, cursor, end);
        cursor = _readSubjectPublicKeyInfo(parts, cursor, end);
        if (cursor > end) return false;
        parts.extensions.present = 0;
        parts.extensions.count = 0;
        if (cursor == end) return true;
        // issuerUniqueID and subjectUniqueID would stand here; RFC 5280 §4.1.2.8: conforming CAs do not make them.
        uint256 list;
        (start, cursor) = DerReader.read(0xa3, cursor, end);
        if (cursor != end) return false;
        (list, cursor) = DerReader.read(DerReader.SEQUENCE, start, end);
        return cursor == end && ExtensionList.read(parts.extensions, list, end);
    }

    function _readVersion(uint256 position, uint256 limit) private pure returns (bool isVersion3, uint256 end) {
        uint256 head = DerReader.word(position);
        unchecked {
            if (head >> 216 == 0xa003020102 && position + 5 <= limit) return (true, position + 5);
        }
        if (head >> 248 != 0xa0) return (false, position);
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
        end = _readValidity(parts, issuerEnd, limit);
        uint256 subject;
        (subject, end) = DerReader.read(DerReader.SEQUENCE, end, limit);
        if (end > limit) return DerReader.NOWHERE;
        unchecked {
            // Equal contents stand in equal elements, since only one form of a length is accepted.
            parts.isIssuerSubject =
                issuerEnd - issuer == end - subject && DerReader.areEqual(issuer, subject, end - subject);
        }
        if (!parts.isIssuerSubject && !DistinguishedName.read(parts.subject, issuer, issuerEnd)) {
            return DerReader.NOWHERE;
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
            bool isUsual =
                DerReader.word(position) >> 224 == 0x301e170d && DerReader.word(position + 17) >> 240 == 0x170d;
            if (isUsual && position + 32 <= limit) {
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
            if (DerReader.word(position) >> 40 == P256_KEY && end <= limit) {
                parts.spkiEnd = end;
                parts.keyAlgorithm = position + 2;
                parts.keyAlgorithmEnd = position + 23;
                parts.key = position + 26;
                parts.keyEnd = end;
                return end;
            }
        }
        (cursor, end) = DerReader.read(DerReader.SEQUENCE, position, limit);
        parts.spkiEnd = end;
        parts.keyAlgorithm = cursor;
        cursor = DerReader.readAlgorithm(cursor, end);
        parts.keyAlgorithmEnd = cursor;
        (parts.key, cursor) = DerReader.readWholeOctets(cursor, end);
        parts.keyEnd = cursor;
        if (cursor != end) return DerReader.NOWHERE;
    }
}
