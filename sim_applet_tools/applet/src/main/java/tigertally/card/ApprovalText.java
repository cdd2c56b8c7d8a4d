package tigertally.card;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;

/**
 * What the approval key may sign. The card cannot show a text, so it holds the key to one purpose by form: every text
 * is the beginning of a JWS whose type starts with "tally". Nothing of TLS, of a CSR or of another application's login
 * has that form, so nobody can pass one to the card as an approval, or the other way round.
 */
final class ApprovalText {
    /** {"alg":"ES256","typ":"tally-possession+jws"} in base64url, and the dot behind it. */
    private static final byte[] POSSESSION_HEADER = {
        'e', 'y', 'J', 'h', 'b', 'G', 'c', 'i', 'O', 'i', 'J', 'F',
        'U', 'z', 'I', '1', 'N', 'i', 'I', 's', 'I', 'n', 'R', '5',
        'c', 'C', 'I', '6', 'I', 'n', 'R', 'h', 'b', 'G', 'x', '5',
        'L', 'X', 'B', 'v', 'c', '3', 'N', 'l', 'c', '3', 'N', 'p',
        'b', '2', '4', 'r', 'a', 'n', 'd', 'z', 'I', 'n', '0', '.',
    };

    /** So much of it stands for {"alg":"ES256","typ":"tally. */
    private static final short PREFIX = 36;

    /** Header, dot, and a digest of 32 bytes in base64url: before there is a PIN, nothing else is signed. */
    private static final short POSSESSION_TEXT = 103;

    private ApprovalText() {
    }

    /** Refuses (6A80) a text by its length alone. */
    static void checkLength(boolean fresh, short length) {
        if (length < PREFIX || (fresh && length != POSSESSION_TEXT)) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
    }

    /** Refuses (6A80) bytes of a text, the first of which stands at {@code position} in it. */
    static void check(boolean fresh, byte[] data, short offset, short length, short position) {
        short fixed = PREFIX;
        if (fresh) {
            fixed = (short) POSSESSION_HEADER.length;
        }
        short at = position;
        for (short i = 0; i < length && at < fixed; i++) {
            if (data[(short) (offset + i)] != POSSESSION_HEADER[at]) {
                ISOException.throwIt(ISO7816.SW_WRONG_DATA);
            }
            at++;
        }
    }
}
