package tigertally.card;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.OwnerPIN;

/**
 * PIN, PUK and the card's life cycle, which turns on them: a card leaves the operator with a transport PIN, and becomes
 * active when its holder changes it.
 *
 * <p>{@link OwnerPIN} spends a try before it compares, compares in constant time, and forgets a validation when the
 * card is reset. It holds PINs padded with FF to eight bytes, so that the comparison's length says nothing about the
 * PIN's.
 *
 * <p>Source: ISO 7816-4 §11.5 (VERIFY, CHANGE REFERENCE DATA, RESET RETRY COUNTER).
 */
final class PinPolicy {
    /** Keys may be made and possession shown; no PIN yet. */
    static final byte FRESH = 0x01;

    /** The transport PIN is set and not yet changed: the approval key signs nothing. */
    static final byte PERSONALISED = 0x02;

    /** The holder has set a PIN. */
    static final byte ACTIVE = 0x03;

    /** Bytes of a padded PIN or PUK. */
    static final short LENGTH = 8;

    private static final byte PIN_TRIES = 3;
    private static final byte PUK_TRIES = 10;
    private static final short SHORTEST_PIN = 6;
    private static final byte PADDING = (byte) 0xFF;
    private static final short SW_WRONG_SECRET = 0x63C0;
    private static final short SW_BLOCKED = 0x6983;

    private final OwnerPIN pin = new OwnerPIN(PIN_TRIES, (byte) LENGTH);
    private final OwnerPIN puk = new OwnerPIN(PUK_TRIES, (byte) LENGTH);
    private byte state = FRESH;

    byte state() {
        return state;
    }

    boolean isFresh() {
        return state == FRESH;
    }

    byte pinTries() {
        return pin.getTriesRemaining();
    }

    byte pukTries() {
        return puk.getTriesRemaining();
    }

    /** Refuses (6982) what needs the PIN. */
    void expectValidated() {
        if (!pin.isValidated()) {
            ISOException.throwIt(ISO7816.SW_SECURITY_STATUS_NOT_SATISFIED);
        }
    }

    /** Ends the validation; tries stay as they are. */
    void endValidation() {
        if (pin.isValidated()) {
            pin.reset();
        }
    }

    /** Refuses (6A80) what is no PIN: 6 to 8 digits, then padding. */
    static void checkPinForm(byte[] data, short offset) {
        boolean padded = false;
        for (short i = 0; i < LENGTH; i++) {
            byte digit = data[(short) (offset + i)];
            if (digit == PADDING && i >= SHORTEST_PIN) {
                padded = true;
            } else if (padded || digit < '0' || digit > '9') {
                ISOException.throwIt(ISO7816.SW_WRONG_DATA);
            }
        }
    }

    /** Refuses (6A80) what is no PUK: 8 digits. */
    static void checkPukForm(byte[] data, short offset) {
        for (short i = 0; i < LENGTH; i++) {
            byte digit = data[(short) (offset + i)];
            if (digit < '0' || digit > '9') {
                ISOException.throwIt(ISO7816.SW_WRONG_DATA);
            }
        }
    }

    /** Sets transport PIN and PUK, and leaves the fresh state, at once or not at all. */
    void personalise(byte[] data, short pinOffset, short pukOffset) {
        JCSystem.beginTransaction();
        pin.update(data, pinOffset, (byte) LENGTH);
        puk.update(data, pukOffset, (byte) LENGTH);
        state = PERSONALISED;
        JCSystem.commitTransaction();
    }

    /** Answers VERIFY without data: nothing if validated, else 6983 or the tries left. */
    void verifyState() {
        checkPersonalised();
        if (!pin.isValidated()) {
            checkNotBlocked(pin);
            ISOException.throwIt((short) (SW_WRONG_SECRET | pin.getTriesRemaining()));
        }
    }

    /** VERIFY: the PIN stands at {@code offset}. */
    void verify(byte[] data, short offset) {
        checkPinForm(data, offset);
        checkPersonalised();
        checkSecret(pin, data, offset);
    }

    /** CHANGE PIN: the old one stands at offset 0, the new one behind it. */
    void change(byte[] data) {
        checkPinForm(data, (short) 0);
        checkPinForm(data, LENGTH);
        if (isSame(data)) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        checkPersonalised();
        checkSecret(pin, data, (short) 0);
        JCSystem.beginTransaction();
        pin.update(data, LENGTH, (byte) LENGTH);
        state = ACTIVE;
        JCSystem.commitTransaction();
        pin.reset();
    }

    /** RESET RETRY COUNTER: the PUK stands at offset 0, the new PIN behind it. The state stays. */
    void unblock(byte[] data) {
        checkPukForm(data, (short) 0);
        checkPinForm(data, LENGTH);
        checkPersonalised();
        checkSecret(puk, data, (short) 0);
        JCSystem.beginTransaction();
        pin.update(data, LENGTH, (byte) LENGTH);
        JCSystem.commitTransaction();
        pin.reset();
        puk.reset();
    }

    private void checkPersonalised() {
        if (isFresh()) {
            ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
        }
    }

    private static void checkNotBlocked(OwnerPIN secret) {
        if (secret.getTriesRemaining() == 0) {
            ISOException.throwIt(SW_BLOCKED);
        }
    }

    private static void checkSecret(OwnerPIN secret, byte[] data, short offset) {
        checkNotBlocked(secret);
        if (!secret.check(data, offset, (byte) LENGTH)) {
            ISOException.throwIt((short) (SW_WRONG_SECRET | secret.getTriesRemaining()));
        }
    }

    /** Compares old and new PIN of one command without stopping at the first difference: both are secrets. */
    private static boolean isSame(byte[] data) {
        byte difference = 0;
        for (short i = 0; i < LENGTH; i++) {
            difference |= (byte) (data[i] ^ data[(short) (LENGTH + i)]);
        }
        return difference == 0;
    }
}
