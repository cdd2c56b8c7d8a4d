// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

import {Vm} from "./Vm.sol";

/// @notice The parts of a certificate, each a whole TLV, so that a test can spoil any one of them.
/// @param extensions Extension TLVs in a row, without the SEQUENCE and the [3] around them
/// @param signature content of the BIT STRING's octets; made with the key when empty
/// @param tail what stands in TBSCertificate in place of the extensions, when `hasTail`
struct Draft {
    bytes version;
    bytes serialNumber;
    bytes innerAlgorithm;
    bytes issuer;
    bytes validity;
    bytes subject;
    bytes spki;
    bytes extensions;
    bytes outerAlgorithm;
    bytes signature;
    bytes tail;
    bool hasTail;
    bytes trailer;
}

/// @title Makes certificates in DER, well formed or spoilt on purpose
library CertificateBuilder {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    uint256 internal constant KEY = 0x7a1bfb2cb1ac3f2b7ad5bc4a0d95d3f1a30cf2b7e4aaac9c1d2e3f40516273a5;
    uint256 internal constant N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551;

    bytes internal constant ECDSA_SHA256 = hex"300a06082a8648ce3d040302";
    bytes internal constant ORGANISATION = "Acme Cells Ltd";
    bytes internal constant DEVICE_NAME = "00aabbccddee.cells.acme.example";
    bytes internal constant ORGANISATION_OID = hex"060355040a";
    bytes internal constant SERIAL_NUMBER_OID = hex"0603550405";
    bytes internal constant COMMON_NAME_OID = hex"0603550403";

    bytes internal constant SKI = hex"0603551d0e";
    bytes internal constant KEY_USAGE = hex"0603551d0f";
    bytes internal constant SAN = hex"0603551d11";
    bytes internal constant BASIC_CONSTRAINTS = hex"0603551d13";
    bytes internal constant CDP = hex"0603551d1f";
    bytes internal constant AKI = hex"0603551d23";
    bytes internal constant EKU = hex"0603551d25";
    bytes internal constant AIA = hex"06082b06010505070101";
    bytes internal constant SERVER_AND_CLIENT = hex"301406082b0601050507030106082b06010505070302";

    function tlv(uint256 tag, bytes memory content) internal pure returns (bytes memory) {
        uint256 length = content.length;
        if (length < 0x80) return abi.encodePacked(uint8(tag), uint8(length), content);
        if (length < 0x100) return abi.encodePacked(uint8(tag), uint8(0x81), uint8(length), content);
        return abi.encodePacked(uint8(tag), uint8(0x82), uint16(length), content);
    }

    function sequence(bytes memory content) internal pure returns (bytes memory) {
        return tlv(0x30, content);
    }

    /// @notice The shortest INTEGER of a number.
    function integer(uint256 value) internal pure returns (bytes memory) {
        bytes memory octets = abi.encodePacked(uint8(0), value);
        uint256 skip = 0;
        while (skip < 32 && octets[skip] == 0 && uint8(octets[skip + 1]) < 0x80) ++skip;
        bytes memory content = new bytes(33 - skip);
        for (uint256 i = 0; i < content.length; ++i) {
            content[i] = octets[skip + i];
        }
        return tlv(0x02, content);
    }

    function rdn(bytes memory kind, uint256 tag, bytes memory value) internal pure returns (bytes memory) {
        return tlv(0x31, sequence(bytes.concat(kind, tlv(tag, value))));
    }

    /// @notice O, serialNumber and CN; the two others are left out when empty.
    function name(bytes memory organisation, bytes memory serial, bytes memory common)
        internal
        pure
        returns (bytes memory)
    {
        bytes memory rdns = rdn(ORGANISATION_OID, 0x0c, organisation);
        if (serial.length != 0) rdns = bytes.concat(rdns, rdn(SERIAL_NUMBER_OID, 0x13, serial));
        if (common.length != 0) rdns = bytes.concat(rdns, rdn(COMMON_NAME_OID, 0x0c, common));
        return sequence(rdns);
    }

    function time(bytes memory text) internal pure returns (bytes memory) {
        return tlv(text.length == 13 ? 0x17 : 0x18, text);
    }

    function validity(bytes memory notBefore, bytes memory notAfter) internal pure returns (bytes memory) {
        return sequence(bytes.concat(time(notBefore), time(notAfter)));
    }

    function spkiOf(uint256 x, uint256 y) internal pure returns (bytes memory) {
        return abi.encodePacked(hex"3059301306072a8648ce3d020106082a8648ce3d03010703420004", x, y);
    }

    function extension(bytes memory kind, bool isCritical, bytes memory value) internal pure returns (bytes memory) {
        bytes memory critical = isCritical ? bytes(hex"0101ff") : bytes("");
        return sequence(bytes.concat(kind, critical, tlv(0x04, value)));
    }

    function dnsNames(bytes memory first) internal pure returns (bytes memory) {
        return sequence(tlv(0x82, first));
    }

    function keyIdentifier() internal pure returns (bytes memory) {
        return abi.encodePacked(bytes20(keccak256("key identifier")));
    }

    function keyUsageExtension() internal pure returns (bytes memory) {
        return extension(KEY_USAGE, true, hex"03020780");
    }

    /// @notice The extensions of the accepted certificate, all but subjectAltName.
    function usualExtensions() internal pure returns (bytes memory) {
        return bytes.concat(
            extension(SKI, false, tlv(0x04, keyIdentifier())),
            extension(AKI, false, sequence(tlv(0x80, keyIdentifier()))),
            keyUsageExtension(),
            extension(EKU, false, SERVER_AND_CLIENT),
            extension(BASIC_CONSTRAINTS, true, hex"3000")
        );
    }

    /// @notice A small cell's certificate as the profile wants it.
    function accepted() internal pure returns (Draft memory draft) {
        (uint256 x, uint256 y) = vm.publicKeyP256(KEY);
        draft.version = hex"a003020102";
        draft.serialNumber = tlv(0x02, hex"5a0123456789abcdef0123456789abcdef012345");
        draft.innerAlgorithm = ECDSA_SHA256;
        draft.issuer = name(ORGANISATION, "SC-2026-00000001", DEVICE_NAME);
        draft.validity = validity("261101000000Z", "361030000000Z");
        draft.subject = draft.issuer;
        draft.spki = spkiOf(x, y);
        draft.extensions = bytes.concat(usualExtensions(), extension(SAN, false, dnsNames(DEVICE_NAME)));
        draft.outerAlgorithm = ECDSA_SHA256;
    }

    function tbs(Draft memory draft) internal pure returns (bytes memory) {
        bytes memory tail = draft.hasTail ? draft.tail : tlv(0xa3, sequence(draft.extensions));
        return sequence(
            bytes.concat(
                bytes.concat(draft.version, draft.serialNumber, draft.innerAlgorithm, draft.issuer),
                bytes.concat(draft.validity, draft.subject, draft.spki, tail)
            )
        );
    }

    function signatureOf(bytes32 r, bytes32 s) internal pure returns (bytes memory) {
        return sequence(bytes.concat(integer(uint256(r)), integer(uint256(s))));
    }

    function sign(bytes memory signed) internal pure returns (bytes memory) {
        return signBy(KEY, signed);
    }

    function signBy(uint256 key, bytes memory signed) internal pure returns (bytes memory) {
        (bytes32 r, bytes32 s) = vm.signP256(key, sha256(signed));
        return signatureOf(r, s);
    }

    /// @notice As another signs it: a CA.
    function buildBy(uint256 key, Draft memory draft) internal pure returns (bytes memory) {
        return bytes.concat(assemble(tbs(draft), draft.outerAlgorithm, signBy(key, tbs(draft))), draft.trailer);
    }

    /// @notice The other signature that ECDSA has for the same text: (r, n - s).
    function signTwin(bytes memory signed) internal pure returns (bytes memory) {
        (bytes32 r, bytes32 s) = vm.signP256(KEY, sha256(signed));
        return signatureOf(r, bytes32(N - uint256(s)));
    }

    function assemble(bytes memory signed, bytes memory algorithm, bytes memory signature)
        internal
        pure
        returns (bytes memory)
    {
        return sequence(bytes.concat(signed, algorithm, tlv(0x03, bytes.concat(hex"00", signature))));
    }

    function build(Draft memory draft) internal pure returns (bytes memory) {
        bytes memory signed = tbs(draft);
        bytes memory signature = draft.signature.length == 0 ? sign(signed) : draft.signature;
        return bytes.concat(assemble(signed, draft.outerAlgorithm, signature), draft.trailer);
    }
}
