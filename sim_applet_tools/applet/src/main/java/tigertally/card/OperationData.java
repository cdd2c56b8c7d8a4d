package tigertally.card;

import javacard.framework.APDU;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.Util;

/** What an INIT of either kind of signature says: key, mode, hash, algorithm. */
final class OperationData {
    /** The mode in which the card sees the whole text; the only one that this applet offers. */
    static final byte FULL_TEXT = 0x01;

    static final byte TAG_HASH = (byte) 0x91;
    static final byte TAG_ALGORITHM = (byte) 0x92;
    static final short SHA_256 = 0x0001;
    static final byte ECDSA = 0x04;
    private static final byte TAG_MODE = (byte) 0xA1;
    private static final byte PRE_HASHED = 0x03;

    private OperationData() {
    }

    /** Reads the data of an INIT of a signature: reference, mode, hash, algorithm; returns the mode. */
    static byte receive(CommandData data, APDU apdu, byte tagId, byte tagLabel) {
        short length = data.receiveSome(apdu);
        byte[] bytes = data.bytes;
        short at = Reference.parse(bytes, (short) 0, length, tagId, tagLabel);
        at = Tlv.expect(bytes, at, length, TAG_MODE, (short) 1);
        byte mode = bytes[at];
        at = Tlv.expect(bytes, (short) (at + 1), length, TAG_HASH, (short) 2);
        short hash = Util.getShort(bytes, at);
        at = Tlv.expect(bytes, (short) (at + 2), length, TAG_ALGORITHM, (short) 1);
        byte algorithm = bytes[at];
        Tlv.expectEnd((short) (at + 1), length);
        if (mode < FULL_TEXT || mode > PRE_HASHED || hash != SHA_256 || algorithm != ECDSA) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        return mode;
    }
}
