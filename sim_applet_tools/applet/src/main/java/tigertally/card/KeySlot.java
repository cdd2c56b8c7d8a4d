package tigertally.card;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacard.security.CryptoException;
import javacard.security.ECPrivateKey;
import javacard.security.ECPublicKey;
import javacard.security.KeyBuilder;
import javacard.security.KeyPair;

/**
 * A key object of the card: a P-256 key pair or, for the peer, a public key alone, with its id and label. No method
 * gives a private key away: it is used through {@link #privateKey()} by the platform's own engines and never read.
 */
final class KeySlot {
    /** Length of 34 45 49 43 86 41 and the point. */
    static final short PUBLIC_KEY = 71;

    private static final byte TAG_PRIVATE_INFO = (byte) 0xC1;
    private static final byte TAG_PUBLIC_INFO = (byte) 0xC2;
    private static final byte[] POINT_HEADER = {0x34, 0x45, 0x49, 0x43, (byte) 0x86, 0x41};

    private final byte id;
    private final byte[] label;
    private final boolean isVolatile;
    private final byte privateFunctions;
    private final byte publicFunctions;
    private final byte[] filled;
    private final ECPrivateKey privateKey;
    private final ECPublicKey publicKey;
    private final KeyPair pair;

    /**
     * @param privateFunctions what the private key is for (61), 0 where there is none
     * @param isVolatile whether the key goes when the applet is deselected
     */
    KeySlot(byte id, byte[] label, boolean isVolatile, byte privateFunctions, byte publicFunctions) {
        this.id = id;
        this.label = label;
        this.isVolatile = isVolatile;
        this.privateFunctions = privateFunctions;
        this.publicFunctions = publicFunctions;
        if (isVolatile) {
            filled = JCSystem.makeTransientByteArray((short) 1, JCSystem.CLEAR_ON_DESELECT);
        } else {
            filled = new byte[1];
        }
        publicKey =
            (ECPublicKey) KeyBuilder.buildKey(KeyBuilder.TYPE_EC_FP_PUBLIC, KeyBuilder.LENGTH_EC_FP_256, false);
        P256.setParameters(publicKey);
        if (privateFunctions == 0) {
            privateKey = null;
            pair = null;
        } else {
            privateKey = buildPrivateKey(isVolatile);
            P256.setParameters(privateKey);
            pair = new KeyPair(publicKey, privateKey);
        }
    }

    private static ECPrivateKey buildPrivateKey(boolean isVolatile) {
        if (isVolatile) {
            try {
                return (ECPrivateKey) KeyBuilder.buildKey(
                    KeyBuilder.TYPE_EC_FP_PRIVATE_TRANSIENT_DESELECT, KeyBuilder.LENGTH_EC_FP_256, false);
            } catch (CryptoException refused) {
                // Not every card keeps key objects in RAM; there, clear() empties a persistent one when the applet is
                // selected and deselected.
            }
        }
        return (ECPrivateKey) KeyBuilder.buildKey(
            KeyBuilder.TYPE_EC_FP_PRIVATE, KeyBuilder.LENGTH_EC_FP_256, false);
    }

    byte id() {
        return id;
    }

    byte[] label() {
        return label;
    }

    boolean isFilled() {
        return filled[0] != 0;
    }

    ECPrivateKey privateKey() {
        return privateKey;
    }

    ECPublicKey publicKey() {
        return publicKey;
    }

    /**
     * Makes a key pair in place of the old one. A volatile one is filled at once; a lasting one stays empty until
     * {@link #markFilled()}, so that the caller can set what belongs to it in the same transaction.
     */
    void generate() {
        filled[0] = 0;
        // A cleared key may have lost its parameters.
        P256.setParameters(publicKey);
        P256.setParameters(privateKey);
        pair.genKeyPair();
    }

    /** Takes a point that was checked to be on the curve. */
    void put(byte[] data, short offset) {
        filled[0] = 0;
        P256.setParameters(publicKey);
        publicKey.setW(data, offset, P256.POINT);
        markFilled();
    }

    void markFilled() {
        filled[0] = 1;
    }

    /** Forgets a volatile key; others stay. */
    void clearVolatile() {
        if (!isVolatile) {
            return;
        }
        filled[0] = 0;
        // Asked of the keys themselves: where they are not transient, they outlived a reset that cleared the mark.
        if (publicKey.isInitialized()) {
            publicKey.clearKey();
        }
        if (privateKey != null && privateKey.isInitialized()) {
            privateKey.clearKey();
        }
    }

    /** Appends the public key as IoT SAFE wants it; returns the place behind it. */
    short writePublicKey(byte[] out, short offset) {
        short at = Util.arrayCopyNonAtomic(POINT_HEADER, (short) 0, out, offset, (short) POINT_HEADER.length);
        return (short) (at + publicKey.getW(out, at));
    }

    /** Says where the point begins in data that must be a public key and nothing else; 6A80 otherwise. */
    static short expectPoint(byte[] data, short length) {
        if (length != PUBLIC_KEY
            || Util.arrayCompare(data, (short) 0, POINT_HEADER, (short) 0, (short) POINT_HEADER.length) != 0) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        return (short) POINT_HEADER.length;
    }

    /** Appends the information on the private key; returns the place behind it. */
    short writePrivateInfo(byte[] out, short offset, byte access) {
        short at = writeInfo(out, offset, (byte) 0x74, (byte) 0x84, access, privateFunctions);
        if (isVolatile) {
            at = Tlv.putByte(out, at, (byte) 0x6F, (byte) 0x01);
        } else {
            at = Tlv.putByte(out, at, (byte) 0x92, (byte) 0x04);
            at = Tlv.putShort(out, at, (byte) 0x91, (short) 0x0001);
        }
        return closeInfo(out, offset, TAG_PRIVATE_INFO, at);
    }

    /** Appends the information on the public key; returns the place behind it. */
    short writePublicInfo(byte[] out, short offset, byte access) {
        short at = writeInfo(out, offset, (byte) 0x75, (byte) 0x85, access, publicFunctions);
        return closeInfo(out, offset, TAG_PUBLIC_INFO, at);
    }

    private short writeInfo(byte[] out, short offset, byte tagLabel, byte tagId, byte access, byte functions) {
        short at = Tlv.put(out, (short) (offset + 2), tagLabel, label);
        at = Tlv.putByte(out, at, tagId, id);
        at = Tlv.putByte(out, at, (byte) 0x60, access);
        at = Tlv.putByte(out, at, (byte) 0x4A, filled[0]);
        byte type = 0x13;
        if (isVolatile) {
            type = 0x14;
        }
        at = Tlv.putByte(out, at, (byte) 0x4B, type);
        at = Tlv.putByte(out, at, (byte) 0x4E, (byte) 0x01);
        return Tlv.putByte(out, at, (byte) 0x61, functions);
    }

    private static short closeInfo(byte[] out, short offset, byte tag, short end) {
        out[offset] = tag;
        out[(short) (offset + 1)] = (byte) (short) (end - offset - 2);
        return end;
    }
}
