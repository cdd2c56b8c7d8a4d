package tigertally.card;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;

/**
 * The one file: a certificate of up to 2,048 bytes, written from its beginning in pieces. A file that is not whole yet
 * is empty to every reader, also after the card was pulled half way: bytes come first, the mark of how many are there
 * last.
 */
final class CertificateFile {
    static final byte TAG_ID = (byte) 0x83;
    static final byte TAG_LABEL = 0x73;

    private static final short MAX_SIZE = 2048;
    private static final byte ID = 0x01;
    private static final byte[] LABEL = {'c', 'e', 'r', 't', 'i', 'f', 'i', 'c', 'a', 't', 'e'};

    private final byte[] content = new byte[MAX_SIZE];
    private short size;
    private short written;

    /** Refuses (6A82) a parsed reference, at the beginning of the data, that names another file. */
    void expectNamed(byte[] data) {
        if (!Reference.isOf(data, (short) 0, TAG_ID, ID, LABEL)) {
            ISOException.throwIt(ISO7816.SW_FILE_NOT_FOUND);
        }
    }

    boolean isFilled() {
        return size != 0 && written == size;
    }

    /**
     * Copies at most {@code most} bytes from {@code offset}; returns the place behind them. 6984 empty, 6B00 past the
     * end.
     */
    short read(short offset, short most, byte[] out) {
        if (!isFilled()) {
            ISOException.throwIt(ISO7816.SW_DATA_INVALID);
        }
        if (offset >= size) {
            ISOException.throwIt(ISO7816.SW_WRONG_P1P2);
        }
        short count = (short) (size - offset);
        if (count > most) {
            count = most;
        }
        return Util.arrayCopyNonAtomic(content, offset, out, (short) 0, count);
    }

    /** Refuses (6A80) a size that the file cannot have. */
    static void checkSize(short announced) {
        if (announced < 1 || announced > MAX_SIZE) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
    }

    /**
     * Appends a piece at {@code offset}; at offset 0 the file is emptied first and gets the announced size.
     *
     * <p>6B00 for an offset that is not where the last piece ended, 6A80 for more bytes than the size.
     */
    void write(short offset, short announced, byte[] data, short from, short count) {
        short room = announced;
        if (offset != 0) {
            if (offset != written) {
                ISOException.throwIt(ISO7816.SW_WRONG_P1P2);
            }
            room = (short) (size - written);
        }
        if (count > room) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        if (offset == 0) {
            written = 0;
        }
        // Beyond the mark nothing is read, so these bytes need no transaction, whose buffer may be small.
        Util.arrayCopyNonAtomic(data, from, content, offset, count);
        JCSystem.beginTransaction();
        if (offset == 0) {
            size = announced;
        }
        written = (short) (offset + count);
        JCSystem.commitTransaction();
    }

    /** Appends the information on the file; returns the place behind it. */
    short writeInfo(byte[] out, short offset) {
        short at = Tlv.put(out, (short) (offset + 2), TAG_LABEL, LABEL);
        at = Tlv.putByte(out, at, TAG_ID, ID);
        at = Tlv.putByte(out, at, (byte) 0x60, (byte) 0x03);
        byte state = 0;
        short filledSize = 0;
        if (isFilled()) {
            state = 1;
            filledSize = size;
        }
        at = Tlv.putByte(out, at, (byte) 0x4A, state);
        at = Tlv.putShort(out, at, (byte) 0x20, filledSize);
        at = Tlv.putByte(out, at, (byte) 0x21, (byte) 0x02);
        out[offset] = (byte) 0xC3;
        out[(short) (offset + 1)] = (byte) (short) (at - offset - 2);
        return at;
    }
}
