package tigertally.card;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;

/** What P1 and P2 may be; anything else is 6A86. */
final class Parameters {
    static final byte OPEN = 0x00;
    static final byte CLOSE = 0x01;
    static final byte MORE = 0x00;
    static final byte LAST = (byte) 0x80;
    static final byte PIN = (byte) 0x81;
    private static final byte LAST_SESSION = 0x03;

    private Parameters() {
    }

    static void expectZero(byte p1, byte p2) {
        refuseUnless(p1 == 0 && p2 == 0);
    }

    static void expectOnly(byte parameter, byte only) {
        refuseUnless(parameter == only);
    }

    static void expectOpenOrClose(byte p1) {
        refuseUnless(p1 == OPEN || p1 == CLOSE);
    }

    static void expectMoreOrLast(byte p1) {
        refuseUnless(p1 == MORE || p1 == LAST);
    }

    static void expectSession(byte p2) {
        refuseUnless(p2 >= 0 && p2 <= LAST_SESSION);
    }

    /** P1 and P2 are an offset of 15 bits. */
    static void expectOffset(byte p1) {
        refuseUnless(p1 >= 0);
    }

    private static void refuseUnless(boolean stated) {
        if (!stated) {
            ISOException.throwIt(ISO7816.SW_INCORRECT_P1P2);
        }
    }
}
