package tigertally.card;

import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacard.security.ECKey;

/**
 * The curve P-256, spelled out: cards before Java Card 3.1 know no named curves, and a key without its parameters
 * generates on whatever curve the platform defaults to, or not at all.
 *
 * <p>Also the test whether a foreign point lies on the curve. Not every platform makes it before a key agreement, and a
 * point off the curve gives the private key away piece by piece.
 *
 * <p>Source: FIPS 186-4 D.1.2.3 (NIST), SEC 1 §3.2.2.1 (validation of public keys).
 */
final class P256 {
    /** Bytes of a coordinate, a scalar, and each half of a signature. */
    static final short FIELD = 32;

    /** Bytes of an uncompressed point: 04, X, Y. */
    static final short POINT = 65;

    private static final byte UNCOMPRESSED = 0x04;
    private static final short COFACTOR = 1;

    private static final byte[] P = {
        (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, 0x00, 0x00, 0x00, 0x01,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF,
        (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF,
    };
    private static final byte[] A = {
        (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, 0x00, 0x00, 0x00, 0x01,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF,
        (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFC,
    };
    private static final byte[] B = {
        0x5A, (byte) 0xC6, 0x35, (byte) 0xD8, (byte) 0xAA, 0x3A, (byte) 0x93, (byte) 0xE7,
        (byte) 0xB3, (byte) 0xEB, (byte) 0xBD, 0x55, 0x76, (byte) 0x98, (byte) 0x86, (byte) 0xBC,
        0x65, 0x1D, 0x06, (byte) 0xB0, (byte) 0xCC, 0x53, (byte) 0xB0, (byte) 0xF6,
        0x3B, (byte) 0xCE, 0x3C, 0x3E, 0x27, (byte) 0xD2, 0x60, 0x4B,
    };
    private static final byte[] G = {
        UNCOMPRESSED,
        0x6B, 0x17, (byte) 0xD1, (byte) 0xF2, (byte) 0xE1, 0x2C, 0x42, 0x47,
        (byte) 0xF8, (byte) 0xBC, (byte) 0xE6, (byte) 0xE5, 0x63, (byte) 0xA4, 0x40, (byte) 0xF2,
        0x77, 0x03, 0x7D, (byte) 0x81, 0x2D, (byte) 0xEB, 0x33, (byte) 0xA0,
        (byte) 0xF4, (byte) 0xA1, 0x39, 0x45, (byte) 0xD8, (byte) 0x98, (byte) 0xC2, (byte) 0x96,
        0x4F, (byte) 0xE3, 0x42, (byte) 0xE2, (byte) 0xFE, 0x1A, 0x7F, (byte) 0x9B,
        (byte) 0x8E, (byte) 0xE7, (byte) 0xEB, 0x4A, 0x7C, 0x0F, (byte) 0x9E, 0x16,
        0x2B, (byte) 0xCE, 0x33, 0x57, 0x6B, 0x31, 0x5E, (byte) 0xCE,
        (byte) 0xCB, (byte) 0xB6, 0x40, 0x68, 0x37, (byte) 0xBF, 0x51, (byte) 0xF5,
    };
    private static final byte[] N = {
        (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, 0x00, 0x00, 0x00, 0x00,
        (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF,
        (byte) 0xBC, (byte) 0xE6, (byte) 0xFA, (byte) 0xAD, (byte) 0xA7, 0x17, (byte) 0x9E, (byte) 0x84,
        (byte) 0xF3, (byte) 0xB9, (byte) 0xCA, (byte) 0xC2, (byte) 0xFC, 0x63, 0x25, 0x51,
    };

    /** Two bytes above a field element: a partial sum stays below 2^9 times the modulus. */
    private static final short WIDE = 34;

    private final byte[] product;
    private final byte[] left;
    private final byte[] right;

    /** Allocates what the point test needs; to be made at installation. */
    P256() {
        product = JCSystem.makeTransientByteArray(WIDE, JCSystem.CLEAR_ON_DESELECT);
        left = JCSystem.makeTransientByteArray(FIELD, JCSystem.CLEAR_ON_DESELECT);
        right = JCSystem.makeTransientByteArray(FIELD, JCSystem.CLEAR_ON_DESELECT);
    }

    /** Sets the parameters; to be repeated before each use of a key that may have been cleared. */
    static void setParameters(ECKey key) {
        key.setFieldFP(P, (short) 0, FIELD);
        key.setA(A, (short) 0, FIELD);
        key.setB(B, (short) 0, FIELD);
        key.setG(G, (short) 0, POINT);
        key.setR(N, (short) 0, FIELD);
        key.setK(COFACTOR);
    }

    /**
     * Says whether 65 bytes are an uncompressed point on the curve: both coordinates below p, and y² = x³ - 3x + b.
     *
     * <p>About 6,000 products of bytes; it takes its time on a card, and is made once per foreign key. The values are
     * public, so it need not run in constant time.
     */
    boolean isPoint(byte[] bytes, short offset) {
        short x = (short) (offset + 1);
        short y = (short) (x + FIELD);
        if (bytes[offset] != UNCOMPRESSED || !isBelowP(bytes, x) || !isBelowP(bytes, y)) {
            return false;
        }
        // x³ - 3x + b = (x² + a) x + b, where a = p - 3
        multiply(bytes, x, bytes, x);
        add(A);
        Util.arrayCopyNonAtomic(product, (short) 2, left, (short) 0, FIELD);
        multiply(left, (short) 0, bytes, x);
        add(B);
        Util.arrayCopyNonAtomic(product, (short) 2, right, (short) 0, FIELD);
        multiply(bytes, y, bytes, y);
        return Util.arrayCompare(product, (short) 2, right, (short) 0, FIELD) == 0;
    }

    private static boolean isBelowP(byte[] bytes, short offset) {
        for (short i = 0; i < FIELD; i++) {
            short digit = (short) (bytes[(short) (offset + i)] & 0xFF);
            short limit = (short) (P[i] & 0xFF);
            if (digit != limit) {
                return digit < limit;
            }
        }
        return false;
    }

    /** Leaves the product of two field elements, reduced, in {@link #product}. */
    private void multiply(byte[] one, short oneOffset, byte[] other, short otherOffset) {
        Util.arrayFillNonAtomic(product, (short) 0, WIDE, (byte) 0);
        for (short i = 0; i < FIELD; i++) {
            // product < p < 2^256 here, so the byte that is shifted out on the left is zero
            Util.arrayCopyNonAtomic(product, (short) 1, product, (short) 0, (short) (WIDE - 1));
            product[(short) (WIDE - 1)] = 0;
            addProduct((short) (one[(short) (oneOffset + i)] & 0xFF), other, otherOffset);
            reduce();
        }
    }

    /** Adds a field element to {@link #product}, reduced again. */
    private void add(byte[] element) {
        addProduct((short) 1, element, (short) 0);
        reduce();
    }

    /** Adds factor times element; a 16-bit sum of product, digit and carry never overflows: 255² + 2 * 255 = 65535. */
    private void addProduct(short factor, byte[] element, short offset) {
        short carry = 0;
        for (short i = (short) (FIELD - 1); i >= 0; i--) {
            short at = (short) (i + 2);
            short sum = (short) (factor * (short) (element[(short) (offset + i)] & 0xFF));
            sum = (short) (sum + (short) (product[at] & 0xFF));
            sum = (short) (sum + carry);
            product[at] = (byte) sum;
            carry = (short) ((short) (sum >> 8) & 0xFF);
        }
        short high = (short) ((short) (product[1] & 0xFF) + carry);
        product[1] = (byte) high;
        product[0] = (byte) (short) ((short) (product[0] & 0xFF) + (short) (high >> 8));
    }

    /** Brings {@link #product} below p. */
    private void reduce() {
        while (product[0] != 0 || product[1] != 0) {
            // p is a little under 2^256, so what stands above 2^256 is at most the quotient, and near it. A first byte
            // counts 256 quotients, of which one step takes 255.
            short quotient = (short) (product[1] & 0xFF);
            if (product[0] != 0) {
                quotient = 255;
            }
            subtractMultipleOfP(quotient);
        }
        if (!isBelowP(product, (short) 2)) {
            subtractMultipleOfP((short) 1);
        }
    }

    private void subtractMultipleOfP(short factor) {
        short borrow = 0;
        for (short i = (short) (FIELD - 1); i >= 0; i--) {
            short at = (short) (i + 2);
            short take = (short) (factor * (short) (P[i] & 0xFF));
            take = (short) (take + borrow);
            short digit = (short) (product[at] & 0xFF);
            short low = (short) (take & 0xFF);
            borrow = (short) ((short) (take >> 8) & 0xFF);
            if (digit < low) {
                borrow = (short) (borrow + 1);
            }
            product[at] = (byte) (short) (digit - low);
        }
        short top = (short) (Util.getShort(product, (short) 0) - borrow);
        Util.setShort(product, (short) 0, top);
    }
}
