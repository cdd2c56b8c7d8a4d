package tigertally.card;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;

/** The keys of the card: who they are, how commands name them, and what is told of them. */
final class KeyRing {
    static final byte PRIVATE_ID = (byte) 0x84;
    static final byte PRIVATE_LABEL = 0x74;
    static final byte PUBLIC_ID = (byte) 0x85;
    static final byte PUBLIC_LABEL = 0x75;

    private static final byte[] LABEL_APPROVAL = {'a', 'p', 'p', 'r', 'o', 'v', 'a', 'l'};
    private static final byte[] LABEL_DEVICE = {'d', 'e', 'v', 'i', 'c', 'e'};
    private static final byte[] LABEL_SESSION = {'s', 'e', 's', 's', 'i', 'o', 'n'};
    private static final byte[] LABEL_PEER = {'p', 'e', 'e', 'r'};
    private static final byte SIGN_AND_VERIFY = 0x03;
    private static final byte VERIFY = 0x01;
    private static final byte GENERATE_AND_AGREE = 0x06;
    private static final byte AGREE = 0x04;
    private static final byte VERIFY_AND_AGREE = 0x05;
    private static final short SW_REFERENCE_EMPTY = 0x6984;

    /** Signs approvals, and nothing else. */
    final KeySlot approval = new KeySlot((byte) 1, LABEL_APPROVAL, false, SIGN_AND_VERIFY, VERIFY);

    /** Signs any text without PIN, for a CSR or TLS. */
    final KeySlot device = new KeySlot((byte) 2, LABEL_DEVICE, false, SIGN_AND_VERIFY, VERIFY);

    /** Volatile, for key agreement. */
    final KeySlot session = new KeySlot((byte) 3, LABEL_SESSION, true, GENERATE_AND_AGREE, AGREE);

    /** Somebody else's public key, volatile. */
    final KeySlot peer = new KeySlot((byte) 4, LABEL_PEER, true, (byte) 0, VERIFY_AND_AGREE);

    private final PinPolicy pins;
    private final byte[] data;

    /** @param data where commands leave their references */
    KeyRing(PinPolicy pins, CommandData data) {
        this.pins = pins;
        this.data = data.bytes;
    }

    void clearVolatile() {
        session.clearVolatile();
        peer.clearVolatile();
    }

    /** The private key that a parsed reference names; 6A82 for none. */
    KeySlot findPrivate(short reference) {
        if (isNamed(reference, PRIVATE_ID, approval)) {
            return approval;
        }
        if (isNamed(reference, PRIVATE_ID, device)) {
            return device;
        }
        if (!isNamed(reference, PRIVATE_ID, session)) {
            ISOException.throwIt(ISO7816.SW_FILE_NOT_FOUND);
        }
        return session;
    }

    /** The public key that a parsed reference names; 6A82 for none. */
    KeySlot findPublic(short reference) {
        if (isNamed(reference, PUBLIC_ID, approval)) {
            return approval;
        }
        if (isNamed(reference, PUBLIC_ID, device)) {
            return device;
        }
        if (isNamed(reference, PUBLIC_ID, session)) {
            return session;
        }
        if (!isNamed(reference, PUBLIC_ID, peer)) {
            ISOException.throwIt(ISO7816.SW_FILE_NOT_FOUND);
        }
        return peer;
    }

    private boolean isNamed(short reference, byte tagId, KeySlot key) {
        return Reference.isOf(data, reference, tagId, key.id(), key.label());
    }

    /** Refuses (6984) a container that holds no key. */
    static void expectFilled(KeySlot key) {
        if (!key.isFilled()) {
            ISOException.throwIt(SW_REFERENCE_EMPTY);
        }
    }

    /** Writes the information on all keys at the beginning; returns the place behind it. */
    short writeList() {
        short at = writePrivateInfo(approval, (short) 0);
        at = writePrivateInfo(device, at);
        at = writePrivateInfo(session, at);
        at = writePublicInfo(approval, at);
        at = writePublicInfo(device, at);
        at = writePublicInfo(session, at);
        return writePublicInfo(peer, at);
    }

    /** Appends the information on a private key, with what may be done to it now. */
    short writePrivateInfo(KeySlot key, short offset) {
        byte access = 0x02;
        if (key != session && !pins.isFresh()) {
            access = 0x00;
        }
        return key.writePrivateInfo(data, offset, access);
    }

    /** Appends the information on a public key, with what may be done to it now. */
    short writePublicInfo(KeySlot key, short offset) {
        byte access = 0x01;
        if (key == peer) {
            access = 0x03;
        } else if (key == approval && !pins.isFresh()) {
            access = 0x00;
        }
        return key.writePublicInfo(data, offset, access);
    }
}
