package tigertally.card;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.Util;

/**
 * The two forms of an ECDSA signature: the DER that the platform makes and takes, and the 64 bytes r, s of IoT SAFE and
 * of JWS. Converted on the card, so that no program beside it has to.
 *
 * <p>Source: RFC 3279 §2.2.3 (Ecdsa-Sig-Value), RFC 7518 §3.4.
 */
final class EcdsaSignature {
    /** Most bytes of a DER signature on P-256: 30 46, twice 02 21 00 and 32 bytes. */
    static final short MAX_DER = 72;

    /** Bytes of r and s together. */
    static final short RAW = 64;

    private static final byte SEQUENCE = 0x30;
    private static final byte INTEGER = 0x02;

    private EcdsaSignature() {
    }

    /** Writes r and s, 32 bytes each; 6F00 if the platform's signature is not DER. */
    static void toRaw(byte[] der, byte[] raw, short rawOffset) {
        if (der[0] != SEQUENCE) {
            ISOException.throwIt(ISO7816.SW_UNKNOWN);
        }
        short next = copyInteger(der, (short) 2, raw, rawOffset);
        copyInteger(der, next, raw, (short) (rawOffset + P256.FIELD));
    }

    private static short copyInteger(byte[] der, short offset, byte[] raw, short rawOffset) {
        short length = der[(short) (offset + 1)];
        if (der[offset] != INTEGER || length < 1 || length > (short) (P256.FIELD + 1)) {
            ISOException.throwIt(ISO7816.SW_UNKNOWN);
        }
        short from = (short) (offset + 2);
        short end = (short) (from + length);
        if (length > P256.FIELD) {
            from = (short) (from + 1);
        }
        short digits = (short) (end - from);
        short pad = (short) (P256.FIELD - digits);
        Util.arrayFillNonAtomic(raw, rawOffset, pad, (byte) 0);
        Util.arrayCopyNonAtomic(der, from, raw, (short) (rawOffset + pad), digits);
        return end;
    }

    /** Writes the DER of r and s, and returns its length. */
    static short toDer(byte[] raw, short rawOffset, byte[] der) {
        short end = writeInteger(raw, rawOffset, der, (short) 2);
        end = writeInteger(raw, (short) (rawOffset + P256.FIELD), der, end);
        der[0] = SEQUENCE;
        der[1] = (byte) (short) (end - 2);
        return end;
    }

    private static short writeInteger(byte[] raw, short rawOffset, byte[] der, short offset) {
        short from = rawOffset;
        short last = (short) (rawOffset + P256.FIELD - 1);
        while (from < last && raw[from] == 0) {
            from++;
        }
        short digits = (short) (last - from + 1);
        short at = (short) (offset + 2);
        // A first bit of 1 would make the number negative.
        if (raw[from] < 0) {
            der[at] = 0;
            at++;
        }
        Util.arrayCopyNonAtomic(raw, from, der, at, digits);
        short end = (short) (at + digits);
        der[offset] = INTEGER;
        der[(short) (offset + 1)] = (byte) (short) (end - offset - 2);
        return end;
    }
}
