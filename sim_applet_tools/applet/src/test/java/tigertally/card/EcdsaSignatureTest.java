package tigertally.card;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.math.BigInteger;
import java.util.Arrays;
import javacard.framework.ISOException;
import org.junit.jupiter.api.Test;
import tigertally.simulator.Card;
import tigertally.simulator.Curve;

/** DER and raw form of a signature, at the lengths where they differ. */
class EcdsaSignatureTest {
    @Test
    void bothFormsAreOneNumber() {
        BigInteger[] numbers = {
            BigInteger.ZERO, BigInteger.ONE, BigInteger.valueOf(0x7F), BigInteger.valueOf(0x80),
            BigInteger.ONE.shiftLeft(247), BigInteger.ONE.shiftLeft(248).subtract(BigInteger.ONE),
            BigInteger.ONE.shiftLeft(255), BigInteger.ONE.shiftLeft(256).subtract(BigInteger.ONE),
        };
        for (BigInteger r : numbers) {
            for (BigInteger s : numbers) {
                byte[] raw = new byte[64];
                Curve.put(r, raw, 0);
                Curve.put(s, raw, 32);
                byte[] der = new byte[EcdsaSignature.MAX_DER];
                short length = EcdsaSignature.toDer(raw, (short) 0, der);
                assertEquals(expectedDer(r, s), Card.hexOf(Arrays.copyOf(der, length)));
                byte[] again = new byte[64];
                Arrays.fill(again, (byte) 0x55);
                EcdsaSignature.toRaw(der, again, (short) 0);
                assertArrayEquals(raw, again);
            }
        }
    }

    @Test
    void refusesWhatIsNoDer() {
        byte[] raw = new byte[64];
        for (String der : new String[] {"3106020101020101", "3006030101020101", "3006020101030101", "30060200020101FF",
            "3048022200" + "11".repeat(33)}) {
            byte[] padded = Arrays.copyOf(Card.bytesOf(der), 80);
            assertThrows(ISOException.class, () -> EcdsaSignature.toRaw(padded, raw, (short) 0), der);
        }
    }

    private static String expectedDer(BigInteger r, BigInteger s) {
        String body = integer(r) + integer(s);
        return String.format("30%02X", body.length() / 2) + body;
    }

    private static String integer(BigInteger number) {
        byte[] digits = number.toByteArray();
        return String.format("02%02X", digits.length) + Card.hexOf(digits);
    }
}
