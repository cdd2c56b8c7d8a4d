package tigertally.card;

import javacard.framework.APDU;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;

/** VERIFY, CHANGE PIN, RESET RETRY COUNTER and PERSONALISE; none leaves a PIN in memory. */
final class PinCommands {
    private static final short PERSONALISATION_DATA = 20;

    private final CommandData data;
    private final KeyRing keys;
    private final PinPolicy pins;

    PinCommands(CommandData data, KeyRing keys, PinPolicy pins) {
        this.data = data;
        this.keys = keys;
        this.pins = pins;
    }

    void verify(APDU apdu, byte p1, byte p2) {
        Parameters.expectOnly(p1, (byte) 0);
        Parameters.expectOnly(p2, Parameters.PIN);
        short length = data.receive(apdu);
        if (length == 0) {
            pins.verifyState();
            return;
        }
        pins.endValidation();
        CommandData.expectLength(length, PinPolicy.LENGTH);
        try {
            pins.verify(data.bytes, (short) 0);
        } finally {
            data.wipe(apdu);
        }
    }

    void change(APDU apdu, byte p1) {
        Parameters.expectOnly(p1, (byte) 0);
        pins.endValidation();
        data.receiveExactly(apdu, (short) (2 * PinPolicy.LENGTH));
        try {
            pins.change(data.bytes);
        } finally {
            data.wipe(apdu);
        }
    }

    void unblock(APDU apdu, byte p1) {
        Parameters.expectOnly(p1, (byte) 0);
        pins.endValidation();
        data.receiveExactly(apdu, (short) (2 * PinPolicy.LENGTH));
        try {
            pins.unblock(data.bytes);
        } finally {
            data.wipe(apdu);
        }
    }

    void personalise(APDU apdu, byte p1, byte p2) {
        Parameters.expectZero(p1, p2);
        data.receiveExactly(apdu, PERSONALISATION_DATA);
        try {
            short pin = Tlv.expect(data.bytes, (short) 0, PERSONALISATION_DATA, (byte) 0xC0, PinPolicy.LENGTH);
            short next = (short) (pin + PinPolicy.LENGTH);
            short puk = Tlv.expect(data.bytes, next, PERSONALISATION_DATA, (byte) 0xC1, PinPolicy.LENGTH);
            PinPolicy.checkPinForm(data.bytes, pin);
            PinPolicy.checkPukForm(data.bytes, puk);
            if (!pins.isFresh() || !keys.approval.isFilled()) {
                ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
            }
            pins.personalise(data.bytes, pin, puk);
        } finally {
            data.wipe(apdu);
        }
    }
}
