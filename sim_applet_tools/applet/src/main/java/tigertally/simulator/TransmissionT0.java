package tigertally.simulator;

import java.util.Arrays;

/**
 * The character protocol T=0, in which one exchange carries data one way only. An answer to a command with data waits
 * for GET RESPONSE (61xx); a wrong Le is told (6Cxx), and the answer kept, so that a command never runs twice: a second
 * GENERATE would make another key than the one the first was asked for.
 *
 * <p>Source: ISO 7816-3 §12.2, ETSI TS 102 221 §7.3.1.
 */
final class TransmissionT0 implements CardOnWire {
    private static final int HEADER = 4;
    private static final int INS_GET_RESPONSE = 0xC0;

    private final SimCard card;

    /** Answer that waits for GET RESPONSE. */
    private byte[] waiting;

    /** Header that fetches it too, after a wrong Le. */
    private byte[] repeated;

    TransmissionT0(SimCard card) {
        this.card = card;
    }

    @Override
    public void reset() {
        forget();
        card.reset();
    }

    @Override
    public byte[] transmit(byte[] command) {
        if (command.length < HEADER) {
            return StatusWord.WRONG_LENGTH.bytes();
        }
        byte[] header = Arrays.copyOf(command, HEADER);
        if (command.length == HEADER + 1 && Arrays.equals(header, repeated)) {
            return repeat(command);
        }
        if (header[0] == 0 && (header[1] & 0xFF) == INS_GET_RESPONSE) {
            return getResponse(command);
        }
        forget();
        byte[] answer = card.transmit(withoutLe(command));
        int length = answer.length - 2;
        if (length == 0) {
            return answer;
        }
        waiting = Arrays.copyOf(answer, length);
        if (command.length != HEADER + 1) {
            return more(length);
        }
        if (expected(command) <= length) {
            return next(expected(command));
        }
        repeated = header;
        return wrongLe(length);
    }

    private byte[] repeat(byte[] command) {
        if (expected(command) != waiting.length) {
            return wrongLe(waiting.length);
        }
        return next(waiting.length);
    }

    private byte[] getResponse(byte[] command) {
        if (command[2] != 0 || command[3] != 0) {
            return StatusWord.INCORRECT_P1P2.bytes();
        }
        if (waiting == null) {
            return StatusWord.CONDITIONS_NOT_SATISFIED.bytes();
        }
        return next(Math.min(expected(command), waiting.length));
    }

    /** The next bytes that wait, and how many are left behind them. */
    private byte[] next(int count) {
        byte[] part = Arrays.copyOf(waiting, count);
        byte[] left = Arrays.copyOfRange(waiting, count, waiting.length);
        forget();
        if (left.length == 0) {
            return StatusWord.ok(part);
        }
        waiting = left;
        byte[] answer = Arrays.copyOf(part, count + 2);
        System.arraycopy(more(left.length), 0, answer, count, 2);
        return answer;
    }

    private void forget() {
        waiting = null;
        repeated = null;
    }

    /**
     * The command as the card gets it: Le of one with data stays with the reader, which asks for the answer by GET
     * RESPONSE.
     */
    private static byte[] withoutLe(byte[] command) {
        if (command.length > HEADER + 2 && command.length == HEADER + 2 + (command[HEADER] & 0xFF)) {
            return Arrays.copyOf(command, command.length - 1);
        }
        return command;
    }

    /** The fifth byte, 00 for 256; a command of four bytes goes over the wire with a fifth of 00. */
    private static int expected(byte[] command) {
        int le = command.length > HEADER ? command[HEADER] & 0xFF : 0;
        return le == 0 ? 256 : le;
    }

    private static byte[] more(int length) {
        return StatusWord.bytes(0x6100 | length & 0xFF);
    }

    private static byte[] wrongLe(int length) {
        return StatusWord.bytes(0x6C00 | length & 0xFF);
    }
}
