package tigertally.simulator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Answers in two steps, and commands that run once. */
class TransmissionT0Test {
    private TransmissionT0 wire;

    @BeforeEach
    void newCard() throws IOException {
        wire = new TransmissionT0(new SimCard("8999901000000000017", null));
        expect("00A4040008F054414C4C590101", "9000");
    }

    @Test
    void anAnswerToDataWaitsAndTheCommandRunsOnce() {
        expect("80B9000003840101", "614D");
        String generated = send("00C000004D");
        assertTrue(generated.startsWith("840101850101344549438641") && generated.endsWith("9000"));
        expect("80CD000003850101", "6147");
        assertEquals(generated.substring(12), send("00C0000047"));
        expect("00C0000047", "6985");
    }

    @Test
    void anAnswerIsFetchedInPartsAndLostToAnotherCommand() {
        expect("80CBC10003840101", "6125");
        String first = send("00C0000005");
        assertEquals("C123740861" + "6120", first);
        assertTrue(send("00C0000020").endsWith("9000"));
        expect("80CBC10003840101", "6125");
        expect("0020008108313233343536FFFF", "6985");
        expect("00C0000025", "6985");
        expect("00C0010025", "6A86");
    }

    @Test
    void leOfACommandWithDataDoesNotReachTheCard() {
        expect("80D600000A830101200200015301AA", "9000");
        expect("80D600000D83010120020004530401020304", "9000");
        expect("80B000000383010102", "6104");
        expect("00C0000002", "0102" + "6102");
        expect("00C0000002", "0304" + "9000");
    }

    @Test
    void aWrongLeIsToldAndTheAnswerKept() {
        expect("80CBF000FF", "6C12");
        expect("80CBF00013", "6C12");
        assertTrue(send("80CBF00012").endsWith("9000"));
        assertEquals(36, send("8084000010").length());
        expect("80840000", "6700");
    }

    @Test
    void filesOfASimAreThereUntilAnApplicationIsSelected() {
        expect("00A40004022FE2", "6D00");
        wire.reset();
        expect("00A40004022FE2", "9000");
        expect("00B000000A", "989909010000000010F79000");
        expect("00B00000FF", "6C0A");
        expect("00B0000A01", "6B00");
        expect("00B2010420", "6981");
        expect("00A40004022F00", "9000");
        expect("00B2010400", "6C20");
        assertTrue(send("00B2010420").startsWith("611A4F08F054414C4C590101500E" + Card.hex("Tally approval") + "FFFF"));
        expect("00B2020420", "6A83");
        expect("00B0000001", "6986");
        expect("00A40004026F07", "6A82");
        expect("00A4040007A0000005590010", "6A82");
        expect("00A4040107A0000005590010", "6A86");
        expect("80CB000000", "6E00");
        expect("0070000001", "6D00");
        expect("01A4040008F054414C4C590101", "6881");
    }

    @Test
    void refusesApdusThatAreCutShort() {
        String[] cuts = {"", "00", "00A404", "00A4040008F054", "00A4040001F00000", "80CB0000000000"};
        for (String cut : cuts) {
            expect(cut, "6700");
        }
    }

    private String send(String command) {
        return Hex.digits(wire.transmit(Hex.bytes(command)));
    }

    private void expect(String command, String answer) {
        assertEquals(answer, send(command), command);
    }
}
