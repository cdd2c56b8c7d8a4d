package tigertally.simulator;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;

/**
 * Shows, before a card is served, that the simulator's random source was mended: two new cards make two keys, and no
 * signature shares its nonce with another or with a key. With the simulator's own source all of them are the same, and
 * one signature gives the key away.
 */
final class SelfTest {
    private static final byte[] GENERATE = Hex.bytes("80B9000003840101");
    private static final byte[] OPEN = Hex.bytes("802A00000D840101A10101910200019201" + "04");
    private static final byte[] RANDOM = Hex.bytes("8084000020");
    private static final String HEADER = "eyJhbGciOiJFUzI1NiIsInR5cCI6InRhbGx5LXBvc3Nlc3Npb24randzIn0.";
    private static final int FIELD = 32;

    private SelfTest() {
    }

    /**
     * Runs it on cards of its own, which are thrown away.
     *
     * @throws IllegalStateException when two values that must differ are the same
     */
    static void run() throws IOException {
        Set<String> seen = new HashSet<>();
        for (int card = 0; card < 2; card++) {
            SimCard fresh = new SimCard("8900000000000000000", null);
            demand(fresh, select());
            byte[] key = demand(fresh, GENERATE);
            expectNew(seen, key, key.length - 2 * FIELD, "key");
            for (int signature = 0; signature < 2; signature++) {
                demand(fresh, OPEN);
                byte[] answer = demand(fresh, lastUpdate());
                expectNew(seen, answer, 2, "nonce of a signature");
            }
            expectNew(seen, demand(fresh, RANDOM), 0, "random value");
        }
    }

    private static void expectNew(Set<String> seen, byte[] answer, int offset, String what) {
        if (!seen.add(Hex.digits(Arrays.copyOfRange(answer, offset, offset + FIELD)))) {
            throw new IllegalStateException(
                "the simulator repeats a " + what + ": its random source is not the mended one. Start it with "
                    + "java -jar card-server.jar, so that our classes come ahead of the simulator's");
        }
    }

    private static byte[] demand(SimCard card, byte[] command) {
        byte[] answer = card.transmit(command);
        int end = answer.length - 2;
        if (answer[end] != (byte) 0x90 || answer[end + 1] != 0) {
            throw new IllegalStateException(
                "the applet answers " + Hex.digits(answer) + " to " + Hex.digits(command) + " on a new card");
        }
        return Arrays.copyOf(answer, end);
    }

    private static byte[] select() {
        byte[] aid = SimCard.APPLICATION;
        byte[] command = Arrays.copyOf(Hex.bytes("00A4040000"), 5 + aid.length);
        command[4] = (byte) aid.length;
        System.arraycopy(aid, 0, command, 5, aid.length);
        return command;
    }

    private static byte[] lastUpdate() {
        byte[] payload = new byte[43];
        Arrays.fill(payload, (byte) 'A');
        byte[] text = (HEADER + new String(payload, StandardCharsets.US_ASCII)).getBytes(StandardCharsets.US_ASCII);
        byte[] command = Arrays.copyOf(Hex.bytes("802B80006" + "99B67"), 7 + text.length);
        System.arraycopy(text, 0, command, 7, text.length);
        return command;
    }
}
