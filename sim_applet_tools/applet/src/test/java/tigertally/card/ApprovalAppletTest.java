package tigertally.card;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.util.Arrays;
import javax.crypto.KeyAgreement;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import tigertally.simulator.Card;
import tigertally.simulator.Curve;

/** The applet's policy, command by command. The order of checks byte for byte is held by tests/sim/scripts. */
class ApprovalAppletTest {
    private static final String PUBLIC_KEY = "344549438641";
    private static final String CLOSE_SIGNING = "802A0100";

    private Card card;

    @BeforeEach
    void newCard() throws IOException {
        card = new Card();
    }

    @Test
    void saysWhatItIs() {
        card.expect("80CB000000", "1001011108F054414C4C590101B10101B20103B30104B40100900107910200019201049301019401"
            + "00B70103EF098001018101018301019000");
        card.expect("80CBF00000", "C00101C10103C2010AC30400000000C401019000");
        card.expect("80CBC10003840101",
            "C1237408617070726F76616C8401016001024A01004B01134E0101610103920104910200019000");
        card.expect("80CBC200067504" + "70656572", "C21875" + "04706565728501046001034A01004B01144E01016101059000");
        card.expect("80CBC30003830101", "C31D730B63657274696669636174658301016001034A0100200200002101029000");
        byte[] list = card.data("80CB010000");
        assertTrue(list.length <= 256);
        assertTrue(Card.hexOf(list).endsWith("C31D730B63657274696669636174658301016001034A010020020000210102"));
    }

    @Test
    void possessionIsSignedThreeTimesAndNothingElseBeforePersonalisation() throws GeneralSecurityException {
        byte[] point = card.generate(1);
        card.expect(Card.OPEN_APPROVAL, "9000");
        card.expect(Card.update(true, Card.text(Card.APPROVAL)), "6A80");
        for (int i = 0; i < 3; i++) {
            String text = Card.possession((char) ('A' + i));
            card.expect(Card.OPEN_APPROVAL, "9000");
            byte[] answer = card.data(Card.update(true, Card.text(text)));
            assertTrue(Curve.verify(point, text, Arrays.copyOfRange(answer, 2, 66)));
            assertFalse(Curve.verify(point, Card.possession('Z'), Arrays.copyOfRange(answer, 2, 66)));
        }
        card.expect(Card.OPEN_APPROVAL, "6985");
        card.expect("80CBF00000", "C00101C10103C2010AC30400000003C401019000");
        assertNotEquals(Card.hexOf(point), Card.hexOf(card.generate(1)));
        card.expect("80CBF00000", "C00101C10103C2010AC30400000000C401019000");
        card.expect(Card.OPEN_APPROVAL, "9000");
    }

    @Test
    void aTransportPinSignsNothing() {
        card.generate(1);
        card.expect(Card.OPEN_APPROVAL, "9000");
        card.personalise();
        // A session from before, and a new one with the transport PIN verified, are both refused.
        card.expect(Card.update(true, Card.text(Card.possession('A'))), "6985");
        card.expect("0020008108" + Card.PIN, "9000");
        card.expect(Card.OPEN_APPROVAL, "6985");
        card.expect("002C008110" + Card.PUK + Card.NEW_PIN, "9000");
        card.expect("80CBF00000", "C00102C10103C2010AC30400000000C401019000");
        card.expect("80B9000003840101", "6985");
        card.expect("80D2000014C008" + Card.PIN + "C108" + Card.PUK, "6985");
    }

    @Test
    void oneVerifyIsOneSignature() throws GeneralSecurityException {
        byte[] point = card.inUse();
        card.expect(Card.OPEN_APPROVAL, "6982");
        card.verifyPin();
        card.expect("80CD000003850101", PUBLIC_KEY + Card.hexOf(point) + "9000");
        card.expect(Card.OPEN_APPROVAL, "9000");
        byte[] answer = card.data(Card.update(true, Card.text(Card.APPROVAL)));
        assertTrue(Curve.verify(point, Card.APPROVAL, Arrays.copyOfRange(answer, 2, 66)));
        card.expect(Card.OPEN_APPROVAL, "6982");
        card.expect("80CD000003850101", "6982");
        card.expect("80CBF00000", "C00103C10103C2010AC30400000001C401019000");
    }

    @Test
    void aTextComesInPieces() throws GeneralSecurityException {
        byte[] point = card.inUse();
        StringBuilder text = new StringBuilder(Card.APPROVAL);
        while (text.length() < 2048) {
            text.append('x');
        }
        String data = Card.text(text.toString());
        card.verifyPin();
        card.expect(Card.OPEN_APPROVAL, "9000");
        byte[] answer = null;
        // The first piece is the header alone, the second ends within the prefix.
        int[] cuts = {0, 8, 30, 500, 1000, 1500, 2000, 2500, 3000, 3500, 4000, data.length()};
        for (int i = 1; i < cuts.length; i++) {
            boolean last = i == cuts.length - 1;
            answer = card.data(Card.update(last, data.substring(cuts[i - 1], cuts[i])));
        }
        assertTrue(Curve.verify(point, text.toString(), Arrays.copyOfRange(answer, 2, 66)));
    }

    @Test
    void everyOtherTextEndsSessionAndValidation() {
        card.inUse();
        String header = "9B" + String.format("%02X", Card.APPROVAL.length());
        String wrong = Card.hex("X" + Card.APPROVAL.substring(1));
        String lateWrong = Card.hex(Card.APPROVAL.substring(0, 35) + "?" + Card.APPROVAL.substring(36));
        String[] refused = {
            header + wrong, header + lateWrong, header + Card.hex(Card.APPROVAL) + "00",
            header + Card.hex(Card.APPROVAL.substring(1)), "9B23" + Card.hex(Card.APPROVAL.substring(0, 35)),
            "9B00", "9B820801", "9B8100" + Card.hex(Card.APPROVAL), "9B8200" + Card.hex(Card.APPROVAL), "9B80", "9B83",
            "9B82", "9B", "9A" + header.substring(2) + Card.hex(Card.APPROVAL), "9E20" + "00".repeat(32),
        };
        for (String data : refused) {
            card.verifyPin();
            card.expect(Card.OPEN_APPROVAL, "9000");
            card.expect(Card.update(true, data), "6A80");
            card.expect(Card.update(true, Card.text(Card.APPROVAL)), "6985");
            card.expect(Card.OPEN_APPROVAL, "6982");
        }
        card.expect("80CBF00000", "C00103C10103C2010AC30400000000C401019000");
    }

    @Test
    void nothingButSigningSurvivesBetweenVerifyAndSignature() {
        card.inUse();
        String[] endings = {
            "0020008108" + Card.PIN, "002000810131", "0024008110" + Card.PIN + Card.PIN, "002C00810131",
            "00A4040005F000000000", "802A00000D840101A1010391020001920104", "802A0004", "802A0200", "802B0101",
            CLOSE_SIGNING,
        };
        for (String ending : endings) {
            card.verifyPin();
            card.expect(Card.OPEN_APPROVAL, "9000");
            card.send(ending);
            String answer = card.send(Card.update(true, Card.text(Card.APPROVAL)));
            assertTrue(answer.equals("6982") || answer.equals("6985"), ending + " then " + answer);
            card.expect(Card.OPEN_APPROVAL, "6982");
            card.reset();
            card.select();
            card.verifyPin();
        }
    }

    @Test
    void aPinLastsNeitherOverSelectNorOverReset() {
        card.inUse();
        card.verifyPin();
        card.expect("00200081", "9000");
        card.select();
        card.expect("00200081", "63C3");
        card.verifyPin();
        card.reset();
        card.expect("00200081", "6D00");
        card.select();
        card.expect("00200081", "63C3");
    }

    @Test
    void threeWrongPinsBlockAndThePukUnblocksTenTimesAtMost() {
        card.inUse();
        String wrong = "0020008108" + Card.PIN;
        card.expect(wrong, "63C2");
        card.expect("002000810831323334" + "35FFFFFF", "6A80");
        card.expect("0020008107" + Card.PIN.substring(2), "6700");
        card.verifyPin();
        card.expect(wrong, "63C2");
        card.expect(wrong, "63C1");
        card.expect(wrong, "63C0");
        card.expect("0020008108" + Card.NEW_PIN, "6983");
        card.expect("0024008110" + Card.NEW_PIN + Card.PIN, "6983");
        card.expect("00200081", "6983");
        card.expect("002C008110" + Card.PUK + Card.PIN, "9000");
        card.expect("00200081", "63C3");
        card.expect("0020008108" + Card.PIN, "9000");
        for (int left = 9; left >= 0; left--) {
            card.expect("002C008110" + "3030303030303030" + Card.PIN, String.format("63C%X", left));
        }
        card.expect("002C008110" + Card.PUK + Card.PIN, "6983");
        card.expect("80CBF00000", "C00103C10103C20100C30400000000C401019000");
    }

    @Test
    void changePinWantsAnotherPin() {
        card.generate(1);
        card.expect("0024008110" + Card.PIN + Card.NEW_PIN, "6985");
        card.personalise();
        card.expect("0024008110" + Card.PIN + Card.PIN, "6A80");
        card.expect("0024008110" + Card.NEW_PIN + Card.PIN, "63C2");
        card.activate();
        card.expect("00200081", "63C3");
    }

    @Test
    void theApprovalKeyDoesNothingElse() {
        card.inUse();
        card.verifyPin();
        for (String mode : new String[] {"02", "03"}) {
            card.expect("802A00000D840101A101" + mode + "91020001920104", "6985");
            card.verifyPin();
        }
        card.expect("802C00000D850101A1010191020001920104", "6985");
        card.generate(3);
        byte[] own = card.data("80CD000003850103");
        card.expect("8024000003850104", "9000");
        card.expect("80D8800047" + Card.hexOf(own), "9000");
        card.expect("8046000006840101850104", "6985");
        card.expect("8024000003850101", "6985");
    }

    @Test
    void theDeviceKeySignsWithoutPin() throws GeneralSecurityException {
        card.generate(1);
        byte[] point = card.generate(2);
        card.personalise();
        card.expect(Card.OPEN_DEVICE, "9000");
        byte[] answer = card.data(Card.update(true, Card.text("anything")));
        assertTrue(Curve.verify(point, "anything", Arrays.copyOfRange(answer, 2, 66)));
        card.expect("80CBF00000", "C00102C10103C2010AC30400000000C401019000");
        card.expect(Card.OPEN_DEVICE.replace("840102", "840103"), "6984");
    }

    @Test
    void checksSignaturesOfAPeer() throws GeneralSecurityException {
        KeyPair pair = Curve.generate();
        card.expect("802C00000D850104A1010191020001920104", "6984");
        put(Curve.point(pair.getPublic()));
        String signature = Card.hexOf(Curve.sign(pair, "peer"));
        verify("9B04" + Card.hex("peer") + "3340" + signature, "9000");
        verify("9B04" + Card.hex("Peer") + "3340" + signature, "6D01");
        verify("9B04" + Card.hex("peer") + "3340" + "00".repeat(64), "6D01");
        verify("9B04" + Card.hex("peer") + "3340" + "FF".repeat(64), "6D01");
        verify("9B04" + Card.hex("peer") + "333F" + signature, "6A80");
        verify("9B04" + Card.hex("peer") + "3340" + signature + "00", "6A80");
        verify("9B04" + Card.hex("peer"), "6A80");
        card.expect("802C00000D850104A1010191020001920104", "9000");
        card.expect("802D0000069B04" + Card.hex("peer"), "9000");
        card.expect("802D800042" + "3340" + signature, "9000");
    }

    @Test
    void agreesWithTheCurveOfThePlatform() throws GeneralSecurityException {
        KeyPair pair = Curve.generate();
        byte[] own = card.generate(3);
        put(Curve.point(pair.getPublic()));
        KeyAgreement agreement = KeyAgreement.getInstance("ECDH");
        agreement.init(pair.getPrivate());
        agreement.doPhase(Curve.key(own), true);
        assertArrayEquals(agreement.generateSecret(), card.data("8046000006840103850104"));
        card.select();
        card.expect("8046000006840103850104", "6984");
        assertNotEquals(Card.hexOf(own), Card.hexOf(card.generate(3)));
    }

    @Test
    void refusesForeignPointsOffTheCurve() throws GeneralSecurityException {
        byte[] point = Curve.point(Curve.generate().getPublic());
        point[64] ^= 1;
        card.expect("8024000003850104", "9000");
        card.expect("80D8800047" + PUBLIC_KEY + Card.hexOf(point), "6A80");
        point[64] ^= 1;
        card.expect("80D8800047" + PUBLIC_KEY + Card.hexOf(point), "6985");
        card.expect("8024000003850104", "9000");
        card.expect("80D8800047" + PUBLIC_KEY + Card.hexOf(point), "9000");
    }

    @Test
    void aFileIsReadWholeOrNotAtAll() {
        card.expect("80B0000003830101", "6984");
        card.expect("80D600000D830101200200085304" + "01020304", "9000");
        card.expect("80B0000003830101", "6984");
        card.expect("80D6000409830101530405060708", "9000");
        card.expect("80B000000383010100", "01020304050607089000");
        card.expect("80B000060383010102", "07089000");
        card.expect("80B0000803830101", "6B00");
        card.expect("80D600080683010153010A", "6A80");
        card.expect("80D600020683010153010A", "6B00");
        card.expect("80D600000A830101200208015301" + "01", "6A80");
        card.generate(1);
        card.personalise();
        card.expect("80D600000A830101200200015301" + "01", "6982");
        card.expect("0020008108" + Card.PIN, "9000");
        card.expect("80D600000A830101200200015301" + "01", "9000");
        card.expect("80B000000383010100", "019000");
    }

    @Test
    void randomBytesDiffer() {
        byte[] one = card.data("8084000020");
        assertEquals(32, one.length);
        assertFalse(Arrays.equals(one, card.data("8084000020")));
        assertEquals(256, card.data("8084000000").length);
        card.expect("80840000", "6700");
        card.expect("808400000100", "6700");
    }

    @Test
    void unknownThingsAreRefused() {
        card.expect("84CB000000", "6E00");
        card.expect("90CB000000", "6884");
        card.expect("804A0000", "6D00");
        card.expect("80480000", "6D00");
        card.expect("80CB020000", "6A86");
        card.expect("80CBC40003860101", "6A82");
        card.expect("80CBC10003840109", "6A82");
        card.expect("80CBC10003850101", "6A80");
        card.expect("80CBC100058401018401", "6A80");
        card.expect("80CBC10000", "6700");
        card.expect("80CB00000100", "6700");
        card.expect("80CD000003850102", "6984");
        card.expect("00A4000C023F00", "6D00");
        card.expect("00A4040006F054414C4C59", "6A82");
        card.expect("81CB000000", "6881");
    }

    private void put(byte[] point) {
        card.expect("8024000003850104", "9000");
        card.expect("80D8800047" + PUBLIC_KEY + Card.hexOf(point), "9000");
    }

    private void verify(String data, String answer) {
        card.expect("802C00000D850104A1010191020001920104", "9000");
        card.expect(String.format("802D8000%02X%s", data.length() / 2, data), answer);
    }
}
