package tigertally.card;

import javacard.framework.APDU;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;

/**
 * A command's data, and then its answer, in one array of the applet's own: the APDU buffer need not hold 256 bytes.
 */
final class CommandData {
    /** Most bytes of an answer. */
    static final short MAX_ANSWER = 256;

    private static final short MAX_DATA = 255;

    /** Data of the command from its beginning; later the answer. Cleared when the applet is deselected. */
    final byte[] bytes = JCSystem.makeTransientByteArray(MAX_ANSWER, JCSystem.CLEAR_ON_DESELECT);

    /** Reads a command's data into {@link #bytes} and returns its length, 0 to 255. */
    short receive(APDU apdu) {
        byte[] buffer = apdu.getBuffer();
        short count = apdu.setIncomingAndReceive();
        short length = apdu.getIncomingLength();
        if (length < 0 || length > MAX_DATA) {
            ISOException.throwIt(ISO7816.SW_WRONG_LENGTH);
        }
        short from = apdu.getOffsetCdata();
        short at = 0;
        while (count > 0) {
            at = Util.arrayCopyNonAtomic(buffer, from, bytes, at, count);
            if (at >= length) {
                break;
            }
            count = apdu.receiveBytes(from);
        }
        expectLength(at, length);
        return length;
    }

    /** As {@link #receive}; 6700 where there is nothing. */
    short receiveSome(APDU apdu) {
        short length = receive(apdu);
        if (length == 0) {
            ISOException.throwIt(ISO7816.SW_WRONG_LENGTH);
        }
        return length;
    }

    /** Reads data that is one reference and nothing else. */
    void receiveReference(APDU apdu, byte tagId, byte tagLabel) {
        short length = receiveSome(apdu);
        Tlv.expectEnd(Reference.parse(bytes, (short) 0, length, tagId, tagLabel), length);
    }

    /** Reads data of one length only; 6700 otherwise. */
    void receiveExactly(APDU apdu, short length) {
        expectLength(receive(apdu), length);
    }

    /** Refuses data (6700) in a command that never has an answer. */
    void receiveNothing(APDU apdu) {
        expectLength(receive(apdu), (short) 0);
    }

    /**
     * Refuses data (6700) where the command has none. Under T=0 the fifth byte of such a command is Le and no data can
     * come, and asking the platform for some would hang.
     */
    static void expectNoData(APDU apdu) {
        if ((byte) (APDU.getProtocol() & APDU.PROTOCOL_TYPE_MASK) != APDU.PROTOCOL_T0) {
            expectLength(apdu.setIncomingAndReceive(), (short) 0);
        }
    }

    /** Sends the first bytes as the answer. */
    void respond(APDU apdu, short length) {
        apdu.setOutgoing();
        send(apdu, length);
    }

    /** As {@link #respond}, where the platform was asked for Le before. */
    void send(APDU apdu, short length) {
        apdu.setOutgoingLength(length);
        apdu.sendBytesLong(bytes, (short) 0, length);
    }

    /** A PIN does not stay in memory that another applet or a later answer may see. */
    void wipe(APDU apdu) {
        Util.arrayFillNonAtomic(bytes, (short) 0, (short) bytes.length, (byte) 0);
        byte[] buffer = apdu.getBuffer();
        Util.arrayFillNonAtomic(buffer, (short) 0, (short) buffer.length, (byte) 0);
    }

    /** Refuses (6700) data of another length. */
    static void expectLength(short length, short only) {
        if (length != only) {
            ISOException.throwIt(ISO7816.SW_WRONG_LENGTH);
        }
    }
}
