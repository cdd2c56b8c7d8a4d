package tigertally.card;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.Util;

/**
 * Reads and writes the tag-length-value fields of commands: one-byte tags, BER lengths in their shortest form. Anything
 * else is 6A80, so that one command has one encoding.
 */
final class Tlv {
    private Tlv() {
    }

    /**
     * Refuses a field unless tag and length stand at this place and the value ends by {@code end}; returns where the
     * value begins.
     */
    static short expect(byte[] data, short offset, short end, byte tag, short length) {
        short value = expectTag(data, offset, end, tag);
        if (length(data, (short) (offset + 1), end) != length || (short) (end - value) < length) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        return value;
    }

    /** Refuses a field of another tag; returns where its value begins, which may be cut short by {@code end}. */
    static short expectTag(byte[] data, short offset, short end, byte tag) {
        if (offset >= end || data[offset] != tag) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        length(data, (short) (offset + 1), end);
        return (short) (offset + 1 + lengthOfLength(data[(short) (offset + 1)]));
    }

    /** Reads a length of one to three bytes, at most 7FFF. */
    static short length(byte[] data, short offset, short end) {
        if (offset >= end || (short) (end - offset) < lengthOfLength(data[offset])) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        short first = (short) (data[offset] & 0xFF);
        short value = first;
        short least = 0;
        if (first == 0x81) {
            value = (short) (data[(short) (offset + 1)] & 0xFF);
            least = 0x80;
        } else if (first == 0x82) {
            value = Util.getShort(data, (short) (offset + 1));
            least = 0x100;
        } else if (first >= 0x80) {
            value = -1;
        }
        if (value < least) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        return value;
    }

    private static short lengthOfLength(byte first) {
        if (first == (byte) 0x81) {
            return 2;
        }
        if (first == (byte) 0x82) {
            return 3;
        }
        return 1;
    }

    /** Refuses bytes behind the last field. */
    static void expectEnd(short offset, short end) {
        if (offset != end) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
    }

    /** Appends a field of one byte; returns the place behind it. */
    static short putByte(byte[] out, short offset, byte tag, byte value) {
        out[offset] = tag;
        out[(short) (offset + 1)] = 1;
        out[(short) (offset + 2)] = value;
        return (short) (offset + 3);
    }

    /** Appends a field of two bytes, the more significant first; returns the place behind it. */
    static short putShort(byte[] out, short offset, byte tag, short value) {
        out[offset] = tag;
        out[(short) (offset + 1)] = 2;
        return Util.setShort(out, (short) (offset + 2), value);
    }

    /** Appends a field of at most 127 bytes; returns the place behind it. */
    static short put(byte[] out, short offset, byte tag, byte[] value) {
        short length = (short) value.length;
        out[offset] = tag;
        out[(short) (offset + 1)] = (byte) length;
        return Util.arrayCopyNonAtomic(value, (short) 0, out, (short) (offset + 2), length);
    }
}
