package tigertally.card;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigInteger;
import java.security.GeneralSecurityException;
import java.security.SecureRandom;
import org.junit.jupiter.api.Test;
import tigertally.simulator.Curve;

/** The card's own test of foreign points, against the platform's curve. */
class P256Test {
    private static final BigInteger P =
        new BigInteger("FFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF", 16);
    private static final BigInteger B =
        new BigInteger("5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B", 16);

    private final P256 curve = new P256();

    @Test
    void takesPointsOfTheCurveAndRefusesTheirNeighbours() throws GeneralSecurityException {
        SecureRandom random = new SecureRandom();
        for (int i = 0; i < 100; i++) {
            byte[] point = Curve.point(Curve.generate().getPublic());
            assertTrue(curve.isPoint(point, (short) 0));
            point[1 + random.nextInt(64)] ^= (byte) (1 << random.nextInt(8));
            assertFalse(curve.isPoint(point, (short) 0));
        }
    }

    @Test
    void agreesWithBigNumbersOnCoordinatesThatCarryFar() {
        BigInteger[] coordinates = {
            BigInteger.ZERO, BigInteger.ONE, P.subtract(BigInteger.ONE), P.subtract(BigInteger.TWO), P.shiftRight(1),
            BigInteger.ONE.shiftLeft(255), BigInteger.ONE.shiftLeft(256).subtract(BigInteger.ONE), P,
            P.add(BigInteger.ONE), BigInteger.ONE.shiftLeft(224), BigInteger.ONE.shiftLeft(96).subtract(BigInteger.ONE),
        };
        for (BigInteger x : coordinates) {
            BigInteger three = BigInteger.valueOf(3);
            BigInteger right = x.modPow(three, P).subtract(x.multiply(three)).add(B).mod(P);
            // p is 3 mod 4, so this is a square root where there is one.
            BigInteger root = right.modPow(P.add(BigInteger.ONE).shiftRight(2), P);
            boolean onCurve = root.modPow(BigInteger.TWO, P).equals(right) && x.compareTo(P) < 0;
            assertTrue(curve.isPoint(point(x, root), (short) 0) == onCurve, x.toString(16));
            assertTrue(curve.isPoint(point(x, P.subtract(root)), (short) 0) == onCurve, x.toString(16));
            for (BigInteger y : coordinates) {
                boolean isRoot = onCurve && y.compareTo(P) < 0 && y.modPow(BigInteger.TWO, P).equals(right);
                assertTrue(curve.isPoint(point(x, y), (short) 0) == isRoot, x.toString(16) + " " + y.toString(16));
            }
        }
    }

    @Test
    void refusesOtherEncodings() throws GeneralSecurityException {
        byte[] point = Curve.point(Curve.generate().getPublic());
        for (int form : new int[] {0, 2, 3, 5, 6, 7, 0x84}) {
            point[0] = (byte) form;
            assertFalse(curve.isPoint(point, (short) 0));
        }
    }

    private static byte[] point(BigInteger x, BigInteger y) {
        byte[] point = new byte[65];
        point[0] = 4;
        Curve.put(x, point, 1);
        Curve.put(y, point, 33);
        return point;
    }
}
