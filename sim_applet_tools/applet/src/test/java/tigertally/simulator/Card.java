package tigertally.simulator;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/** A simulated card with the applet selected, and the commands that many tests send. */
public final class Card {
    public static final String PIN = "313233343536FFFF";
    public static final String NEW_PIN = "3635343332313039";
    public static final String PUK = "3938373635343332";
    public static final String POSSESSION = "eyJhbGciOiJFUzI1NiIsInR5cCI6InRhbGx5LXBvc3Nlc3Npb24randzIn0.";
    public static final String APPROVAL = "eyJhbGciOiJFUzI1NiIsInR5cCI6InRhbGx5LWFwcHJvdmFsK2p3dCJ9.eyJpc3MiOiIifQ";
    public static final String OPEN_APPROVAL = "802A00000D840101A1010191020001920104";
    public static final String OPEN_DEVICE = "802A00000D840102A1010191020001920104";

    final SimCard sim;

    public Card() throws IOException {
        this(null);
    }

    Card(Path state) throws IOException {
        sim = new SimCard("8999901000000000017", state);
        select();
    }

    public void select() {
        expect("00A4040008F054414C4C590101", "9000");
    }

    public void reset() {
        sim.reset();
    }

    /** Answer, data and status word, in hexadecimal. */
    public String send(String command) {
        return Hex.digits(sim.transmit(Hex.bytes(command)));
    }

    public void expect(String command, String answer) {
        assertEquals(answer, send(command), command);
    }

    /** Data of an answer that must end with 9000. */
    public byte[] data(String command) {
        String answer = send(command);
        assertEquals("9000", answer.substring(answer.length() - 4), command);
        return Hex.bytes(answer.substring(0, answer.length() - 4));
    }

    /** The public point of a key that is made now. */
    public byte[] generate(int key) {
        byte[] answer = data(String.format("80B9000003%s%02X", "8401", key));
        byte[] point = new byte[65];
        System.arraycopy(answer, answer.length - 65, point, 0, 65);
        return point;
    }

    public void personalise() {
        expect("80D2000014C008" + PIN + "C108" + PUK, "9000");
    }

    public void activate() {
        expect("0024008110" + PIN + NEW_PIN, "9000");
    }

    public void verifyPin() {
        expect("0020008108" + NEW_PIN, "9000");
    }

    /** A card in daily use: keys 01 and 02, personalised, PIN changed; returns the point of key 01. */
    public byte[] inUse() {
        byte[] point = generate(1);
        generate(2);
        personalise();
        activate();
        return point;
    }

    public static String update(boolean last, String hexData) {
        return String.format("802B%s00%02X%s", last ? "80" : "00", hexData.length() / 2, hexData);
    }

    public static String text(String text) {
        int length = text.length();
        String header = length < 0x80 ? String.format("9B%02X", length)
            : length < 0x100 ? String.format("9B81%02X", length) : String.format("9B82%04X", length);
        return header + hex(text);
    }

    public static String hex(String text) {
        return Hex.digits(text.getBytes(StandardCharsets.US_ASCII));
    }

    public static String possession(char payload) {
        StringBuilder text = new StringBuilder(POSSESSION);
        for (int i = 0; i < 43; i++) {
            text.append(payload);
        }
        return text.toString();
    }

    public static String hexOf(byte[] bytes) {
        return Hex.digits(bytes);
    }

    public static byte[] bytesOf(String hex) {
        return Hex.bytes(hex);
    }
}
