package tigertally.simulator;

import java.util.Arrays;

/** Status words that the card around the applet gives. Source: ISO 7816-4 §5.6. */
enum StatusWord {
    OK(0x9000),
    WRONG_LENGTH(0x6700),
    CHANNEL_NOT_SUPPORTED(0x6881),
    NOT_A_RECORD_FILE(0x6981),
    CONDITIONS_NOT_SATISFIED(0x6985),
    COMMAND_NOT_ALLOWED(0x6986),
    FILE_NOT_FOUND(0x6A82),
    RECORD_NOT_FOUND(0x6A83),
    INCORRECT_P1P2(0x6A86),
    WRONG_OFFSET(0x6B00),
    INSTRUCTION_NOT_SUPPORTED(0x6D00),
    CLASS_NOT_SUPPORTED(0x6E00);

    private final int value;

    StatusWord(int value) {
        this.value = value;
    }

    /** Two bytes, as they go over the wire. */
    byte[] bytes() {
        return bytes(value);
    }

    static byte[] bytes(int value) {
        return new byte[] {(byte) (value >> 8), (byte) value};
    }

    /** Data and 9000. */
    static byte[] ok(byte[] data) {
        byte[] answer = Arrays.copyOf(data, data.length + 2);
        answer[data.length] = (byte) 0x90;
        return answer;
    }
}
