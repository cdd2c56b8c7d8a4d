package tigertally.card;

import javacard.framework.APDU;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.security.Signature;

/** VERIFY SIGNATURE; its sessions are apart from those that sign, and do not touch the PIN. */
final class VerifyingCommands {
    private static final short SW_SIGNATURE_WRONG = 0x6D01;

    private final CommandData data;
    private final KeyRing keys;
    private final SignatureSession session = new SignatureSession();

    VerifyingCommands(CommandData data, KeyRing keys) {
        this.data = data;
        this.keys = keys;
    }

    /** Ends the session without an answer. */
    void close() {
        session.close();
    }

    /** Ends a session whose key is replaced. */
    void closeIfUsing(KeySlot key) {
        if (session.usesKey(key.id())) {
            session.close();
        }
    }

    void init(APDU apdu, byte p1, byte p2) {
        Parameters.expectOpenOrClose(p1);
        Parameters.expectSession(p2);
        if (p1 == Parameters.CLOSE) {
            data.receiveNothing(apdu);
            session.close();
            return;
        }
        byte mode = OperationData.receive(data, apdu, KeyRing.PUBLIC_ID, KeyRing.PUBLIC_LABEL);
        KeySlot key = keys.findPublic((short) 0);
        KeyRing.expectFilled(key);
        if (session.isOpen() || mode != OperationData.FULL_TEXT || (key != keys.device && key != keys.peer)) {
            ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
        }
        session.open(p2, key.id(), key.publicKey(), Signature.MODE_VERIFY);
    }

    void update(APDU apdu, byte p1, byte p2) {
        boolean goesOn = false;
        boolean right = true;
        try {
            right = take(apdu, p1, p2);
            goesOn = p1 == Parameters.MORE;
        } finally {
            if (!goesOn) {
                session.close();
            }
        }
        if (!right) {
            ISOException.throwIt(SW_SIGNATURE_WRONG);
        }
    }

    private boolean take(APDU apdu, byte p1, byte p2) {
        Parameters.expectMoreOrLast(p1);
        Parameters.expectSession(p2);
        short end = data.receiveSome(apdu);
        if (!session.isOpen(p2)) {
            ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
        }
        short start = session.enterText(data.bytes, end);
        short count = (short) (end - start);
        if (p1 == Parameters.MORE) {
            if (count > session.missing()) {
                ISOException.throwIt(ISO7816.SW_WRONG_DATA);
            }
            session.take(data.bytes, start, count);
            return true;
        }
        if (count < session.missing()) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        count = session.missing();
        SignatureSession.checkSignatureField(data.bytes, (short) (start + count), end);
        return session.verify(data.bytes, start, count);
    }
}
