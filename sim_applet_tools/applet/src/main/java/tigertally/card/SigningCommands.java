package tigertally.card;

import javacard.framework.APDU;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.Util;
import javacard.security.Signature;

/**
 * COMPUTE SIGNATURE. One VERIFY permits one signature of the approval key: whatever ends an operation, also of another
 * key, ends the validation.
 */
final class SigningCommands {
    private static final byte FRESH_SIGNATURES = 3;
    private static final byte[] ZERO = {0, 0, 0, 0};
    private static final byte[] END = {(byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF};

    private final CommandData data;
    private final KeyRing keys;
    private final PinPolicy pins;
    private final SignatureSession session = new SignatureSession();

    /** Signatures of the approval key, the most significant byte first. */
    private final byte[] counter = new byte[END.length];

    SigningCommands(CommandData data, KeyRing keys, PinPolicy pins) {
        this.data = data;
        this.keys = keys;
        this.pins = pins;
    }

    byte[] counter() {
        return counter;
    }

    /** For a new key, in the transaction that fills its container. */
    void restartCounter() {
        Util.arrayCopy(ZERO, (short) 0, counter, (short) 0, (short) counter.length);
    }

    /** Ends the session without an answer. */
    void close() {
        session.close();
    }

    /** Ends a session whose key is replaced. */
    void closeIfUsing(KeySlot key) {
        if (session.usesKey(key.id())) {
            session.close();
            pins.endValidation();
        }
    }

    void init(APDU apdu, byte p1, byte p2) {
        boolean goesOn = false;
        try {
            Parameters.expectOpenOrClose(p1);
            Parameters.expectSession(p2);
            if (p1 == Parameters.OPEN) {
                open(apdu, p2);
            }
            goesOn = true;
        } finally {
            if (!goesOn) {
                pins.endValidation();
            }
        }
        if (p1 == Parameters.CLOSE) {
            data.receiveNothing(apdu);
            if (session.isOpen()) {
                session.close();
                pins.endValidation();
            }
        }
    }

    private void open(APDU apdu, byte p2) {
        byte mode = OperationData.receive(data, apdu, KeyRing.PRIVATE_ID, KeyRing.PRIVATE_LABEL);
        KeySlot key = keys.findPrivate((short) 0);
        KeyRing.expectFilled(key);
        if (session.isOpen() || mode != OperationData.FULL_TEXT || key == keys.session) {
            ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
        }
        if (key == keys.approval) {
            expectCounterAllows();
            expectMaySign();
        }
        session.open(p2, key.id(), key.privateKey(), Signature.MODE_SIGN);
    }

    /** Asked when a session opens and again at each UPDATE: a PIN or a state that is gone signs nothing. */
    private void expectMaySign() {
        if (pins.state() == PinPolicy.PERSONALISED) {
            ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
        }
        if (!pins.isFresh()) {
            pins.expectValidated();
        }
    }

    /** Refuses a fourth signature of a fresh key, and any once the counter is at its end. */
    private void expectCounterAllows() {
        boolean allows = !pins.isFresh() || counter[3] < FRESH_SIGNATURES;
        if (!allows || Util.arrayCompare(counter, (short) 0, END, (short) 0, (short) END.length) == 0) {
            ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
        }
    }

    void update(APDU apdu, byte p1, byte p2) {
        boolean goesOn = false;
        short answer = 0;
        try {
            answer = take(apdu, p1, p2);
            goesOn = p1 == Parameters.MORE;
        } finally {
            // One VERIFY, one signature: whatever became of it, the validation is over.
            if (!goesOn) {
                session.close();
                pins.endValidation();
            }
        }
        if (!goesOn) {
            data.respond(apdu, answer);
        }
    }

    private short take(APDU apdu, byte p1, byte p2) {
        Parameters.expectMoreOrLast(p1);
        Parameters.expectSession(p2);
        short end = data.receiveSome(apdu);
        if (!session.isOpen(p2)) {
            ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
        }
        boolean ofApproval = session.usesKey(keys.approval.id());
        if (ofApproval) {
            expectMaySign();
        }
        short start = session.enterText(data.bytes, end);
        short count = (short) (end - start);
        if (ofApproval) {
            ApprovalText.checkLength(pins.isFresh(), session.length());
        }
        if (count > session.missing() || (p1 == Parameters.LAST && count != session.missing())) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        if (ofApproval) {
            ApprovalText.check(pins.isFresh(), data.bytes, start, count, session.taken());
        }
        if (p1 == Parameters.MORE) {
            session.take(data.bytes, start, count);
            return 0;
        }
        short answer = session.sign(data.bytes, start, count, data.bytes);
        if (ofApproval) {
            countSignature();
        }
        return answer;
    }

    /** Counts, in one step, before the signature leaves the card; the counter is not at its end. */
    private void countSignature() {
        short scratch = CommandData.MAX_ANSWER - 4;
        Util.arrayCopyNonAtomic(counter, (short) 0, data.bytes, scratch, (short) 4);
        short digit = 3;
        while (data.bytes[(short) (scratch + digit)] == (byte) 0xFF) {
            data.bytes[(short) (scratch + digit)] = 0;
            digit--;
        }
        data.bytes[(short) (scratch + digit)]++;
        Util.arrayCopy(data.bytes, scratch, counter, (short) 0, (short) 4);
    }
}
