package tigertally.card;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.Util;

/** How a command names an object: by id or by label, each with a tag of its own for each kind of object. */
final class Reference {
    private static final short MAX_ID = 20;
    private static final short MAX_LABEL = 60;

    private Reference() {
    }

    /** Refuses (6A80) what is no reference to an object of this kind; returns the place behind it. */
    static short parse(byte[] data, short offset, short end, byte tagId, byte tagLabel) {
        short longest = MAX_ID;
        byte tag = tagId;
        if (offset < end && data[offset] == tagLabel) {
            longest = MAX_LABEL;
            tag = tagLabel;
        }
        short value = Tlv.expectTag(data, offset, end, tag);
        short length = Tlv.length(data, (short) (offset + 1), end);
        if (length < 1 || length > longest || length > (short) (end - value)) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        return (short) (value + length);
    }

    /** Says whether a reference that was parsed names this object. */
    static boolean isOf(byte[] data, short offset, byte tagId, byte id, byte[] label) {
        short length = data[(short) (offset + 1)];
        short value = (short) (offset + 2);
        if (data[offset] == tagId) {
            return length == 1 && data[value] == id;
        }
        return length == (short) label.length
            && Util.arrayCompare(data, value, label, (short) 0, length) == 0;
    }
}
