package tigertally.card;

import javacard.framework.APDU;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.security.KeyAgreement;

/** GENERATE KEY PAIR, READ PUBLIC KEY, PUT PUBLIC KEY and COMPUTE DH. */
final class KeyCommands {
    private final CommandData data;
    private final KeyRing keys;
    private final PinPolicy pins;
    private final SigningCommands signing;
    private final VerifyingCommands verifying;
    private final P256 curve = new P256();
    private final KeyAgreement agreement = KeyAgreement.getInstance(KeyAgreement.ALG_EC_SVDP_DH_PLAIN, false);

    /** Number of the open PUT session plus one; 0 when there is none. */
    private final byte[] putting = JCSystem.makeTransientByteArray((short) 1, JCSystem.CLEAR_ON_DESELECT);

    KeyCommands(
            CommandData data, KeyRing keys, PinPolicy pins, SigningCommands signing, VerifyingCommands verifying) {
        this.data = data;
        this.keys = keys;
        this.pins = pins;
        this.signing = signing;
        this.verifying = verifying;
    }

    /** Ends the PUT session and forgets volatile keys. */
    void endVolatile() {
        putting[0] = 0;
        keys.clearVolatile();
    }

    void generate(APDU apdu, byte p1, byte p2) {
        Parameters.expectZero(p1, p2);
        data.receiveReference(apdu, KeyRing.PRIVATE_ID, KeyRing.PRIVATE_LABEL);
        KeySlot key = keys.findPrivate((short) 0);
        if (key != keys.session && !pins.isFresh()) {
            ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
        }
        signing.closeIfUsing(key);
        verifying.closeIfUsing(key);
        key.generate();
        // Pulled before this, the card has an empty key, and GENERATE may be repeated.
        JCSystem.beginTransaction();
        if (key == keys.approval) {
            signing.restartCounter();
        }
        key.markFilled();
        JCSystem.commitTransaction();
        short at = Tlv.putByte(data.bytes, (short) 0, KeyRing.PRIVATE_ID, key.id());
        at = Tlv.putByte(data.bytes, at, KeyRing.PUBLIC_ID, key.id());
        data.respond(apdu, key.writePublicKey(data.bytes, at));
    }

    void readPublicKey(APDU apdu, byte p1, byte p2) {
        Parameters.expectZero(p1, p2);
        data.receiveReference(apdu, KeyRing.PUBLIC_ID, KeyRing.PUBLIC_LABEL);
        KeySlot key = keys.findPublic((short) 0);
        KeyRing.expectFilled(key);
        // Read freely, it would be an identifier that everybody with access to the card shares.
        if (key == keys.approval && !pins.isFresh()) {
            pins.expectValidated();
        }
        data.respond(apdu, key.writePublicKey(data.bytes, (short) 0));
    }

    void putInit(APDU apdu, byte p1, byte p2) {
        Parameters.expectOpenOrClose(p1);
        Parameters.expectSession(p2);
        if (p1 == Parameters.CLOSE) {
            data.receiveNothing(apdu);
            putting[0] = 0;
            return;
        }
        data.receiveReference(apdu, KeyRing.PUBLIC_ID, KeyRing.PUBLIC_LABEL);
        if (keys.findPublic((short) 0) != keys.peer || putting[0] != 0) {
            ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
        }
        putting[0] = (byte) (p2 + 1);
    }

    void putUpdate(APDU apdu, byte p1, byte p2) {
        byte open = putting[0];
        putting[0] = 0;
        Parameters.expectSession(p2);
        Parameters.expectOnly(p1, Parameters.LAST);
        short length = data.receiveSome(apdu);
        short point = KeySlot.expectPoint(data.bytes, length);
        if (!curve.isPoint(data.bytes, point)) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        if (open != (byte) (p2 + 1)) {
            ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
        }
        verifying.closeIfUsing(keys.peer);
        keys.peer.put(data.bytes, point);
    }

    void computeDh(APDU apdu, byte p1, byte p2) {
        Parameters.expectZero(p1, p2);
        short length = data.receiveSome(apdu);
        short second = Reference.parse(data.bytes, (short) 0, length, KeyRing.PRIVATE_ID, KeyRing.PRIVATE_LABEL);
        short end = Reference.parse(data.bytes, second, length, KeyRing.PUBLIC_ID, KeyRing.PUBLIC_LABEL);
        Tlv.expectEnd(end, length);
        KeySlot own = keys.findPrivate((short) 0);
        KeySlot other = keys.findPublic(second);
        KeyRing.expectFilled(own);
        KeyRing.expectFilled(other);
        if (own != keys.session || other != keys.peer) {
            ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
        }
        agreement.init(keys.session.privateKey());
        short point = P256.FIELD;
        keys.peer.publicKey().getW(data.bytes, point);
        data.respond(apdu, agreement.generateSecret(data.bytes, point, P256.POINT, data.bytes, (short) 0));
    }
}
