package tigertally.simulator;

import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.security.AlgorithmParameters;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.PublicKey;
import java.security.Signature;
import java.security.interfaces.ECPublicKey;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;
import java.security.spec.ECPublicKeySpec;
import java.util.Arrays;

/** The platform's own P-256, as the second implementation that the card is held to. */
public final class Curve {
    private Curve() {
    }

    public static KeyPair generate() throws GeneralSecurityException {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
        generator.initialize(new ECGenParameterSpec("secp256r1"));
        return generator.generateKeyPair();
    }

    public static PublicKey key(byte[] point) throws GeneralSecurityException {
        AlgorithmParameters parameters = AlgorithmParameters.getInstance("EC");
        parameters.init(new ECGenParameterSpec("secp256r1"));
        ECPoint w = new ECPoint(
            new BigInteger(1, Arrays.copyOfRange(point, 1, 33)), new BigInteger(1, Arrays.copyOfRange(point, 33, 65)));
        return KeyFactory.getInstance("EC").generatePublic(
            new ECPublicKeySpec(w, parameters.getParameterSpec(ECParameterSpec.class)));
    }

    public static byte[] point(PublicKey key) {
        ECPoint w = ((ECPublicKey) key).getW();
        byte[] point = new byte[65];
        point[0] = 4;
        put(w.getAffineX(), point, 1);
        put(w.getAffineY(), point, 33);
        return point;
    }

    public static void put(BigInteger number, byte[] out, int offset) {
        byte[] digits = number.toByteArray();
        int from = Math.max(0, digits.length - 32);
        int count = digits.length - from;
        System.arraycopy(digits, from, out, offset + 32 - count, count);
    }

    public static boolean verify(byte[] point, String text, byte[] raw) throws GeneralSecurityException {
        Signature signature = Signature.getInstance("SHA256withECDSAinP1363Format");
        signature.initVerify(key(point));
        signature.update(text.getBytes(StandardCharsets.US_ASCII));
        return signature.verify(raw);
    }

    public static byte[] sign(KeyPair pair, String text) throws GeneralSecurityException {
        Signature signature = Signature.getInstance("SHA256withECDSAinP1363Format");
        signature.initSign(pair.getPrivate());
        signature.update(text.getBytes(StandardCharsets.US_ASCII));
        return signature.sign();
    }
}
