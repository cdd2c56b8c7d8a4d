package tigertally.card;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.security.CryptoException;
import javacard.security.Key;
import javacard.security.Signature;

/**
 * One session of a kind (making or checking signatures): a text that comes in pieces behind one header, 9B L. The
 * platform hashes each piece as it comes, so a text may be longer than the card's memory.
 */
final class SignatureSession {
    private static final byte TAG_TEXT = (byte) 0x9B;
    private static final byte TAG_SIGNATURE = 0x33;
    private static final short MAX_TEXT = 2048;

    private static final short NUMBER = 0;
    private static final short KEY = 1;
    private static final short ANNOUNCED = 0;
    private static final short TAKEN = 1;

    /** Session number plus one (0: none open), and the id of its key. */
    private final byte[] open;

    /** Length that the header announced (0: no header yet), and bytes taken so far. */
    private final short[] text;

    private final byte[] der;
    private final Signature engine;

    SignatureSession() {
        open = JCSystem.makeTransientByteArray((short) 2, JCSystem.CLEAR_ON_DESELECT);
        text = JCSystem.makeTransientShortArray((short) 2, JCSystem.CLEAR_ON_DESELECT);
        der = JCSystem.makeTransientByteArray(EcdsaSignature.MAX_DER, JCSystem.CLEAR_ON_DESELECT);
        engine = Signature.getInstance(Signature.ALG_ECDSA_SHA_256, false);
    }

    boolean isOpen() {
        return open[NUMBER] != 0;
    }

    boolean isOpen(byte number) {
        return open[NUMBER] == (byte) (number + 1);
    }

    boolean usesKey(byte id) {
        return isOpen() && open[KEY] == id;
    }

    /** Opens the session with a key; {@code mode} is one of the platform's for signing or verifying. */
    void open(byte number, byte keyId, Key key, byte mode) {
        engine.init(key, mode);
        text[ANNOUNCED] = 0;
        text[TAKEN] = 0;
        open[KEY] = keyId;
        open[NUMBER] = (byte) (number + 1);
    }

    void close() {
        open[NUMBER] = 0;
        text[ANNOUNCED] = 0;
        text[TAKEN] = 0;
    }

    /** Reads the header where none was seen yet, and returns where text begins. */
    short enterText(byte[] data, short end) {
        if (text[ANNOUNCED] != 0) {
            return 0;
        }
        short start = Tlv.expectTag(data, (short) 0, end, TAG_TEXT);
        short length = Tlv.length(data, (short) 1, end);
        if (length < 1 || length > MAX_TEXT) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        text[ANNOUNCED] = length;
        return start;
    }

    /** The whole text's length, once its header was read. */
    short length() {
        return text[ANNOUNCED];
    }

    /** How many bytes of it were taken. */
    short taken() {
        return text[TAKEN];
    }

    /** How many are still to come. */
    short missing() {
        return (short) (text[ANNOUNCED] - text[TAKEN]);
    }

    /** Takes a piece of the text; the caller has seen to it that it is no longer than what is missing. */
    void take(byte[] data, short offset, short length) {
        if (length > 0) {
            engine.update(data, offset, length);
            text[TAKEN] = (short) (text[TAKEN] + length);
        }
    }

    /** Takes the last piece, not empty, and writes 33 40 r s; returns the place behind it. */
    short sign(byte[] data, short offset, short length, byte[] out) {
        engine.sign(data, offset, length, der, (short) 0);
        out[0] = TAG_SIGNATURE;
        out[1] = (byte) EcdsaSignature.RAW;
        EcdsaSignature.toRaw(der, out, (short) 2);
        return (short) (2 + EcdsaSignature.RAW);
    }

    /** Refuses (6A80) data that does not end with 33 40 r s at this place. */
    static void checkSignatureField(byte[] data, short offset, short end) {
        short value = Tlv.expect(data, offset, end, TAG_SIGNATURE, EcdsaSignature.RAW);
        Tlv.expectEnd((short) (value + EcdsaSignature.RAW), end);
    }

    /** Takes the last piece, which may be empty, and checks the signature that stands behind it. */
    boolean verify(byte[] data, short offset, short length) {
        short raw = (short) (offset + length + 2);
        short derLength = EcdsaSignature.toDer(data, raw, der);
        try {
            return engine.verify(data, offset, length, der, (short) 0, derLength);
        } catch (CryptoException outOfRange) {
            // Some platforms throw where r or s is no number from 1 to n - 1: it is no signature either way.
            return false;
        }
    }
}
