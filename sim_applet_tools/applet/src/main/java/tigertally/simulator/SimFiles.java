package tigertally.simulator;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * The two files by which tools tell one SIM from another: EF.ICCID (2FE2, transparent) and EF.DIR (2F00, records),
 * under the master file. Reached while no application is selected; nothing can be written.
 *
 * <p>Source: ETSI TS 102 221 §11.1.1, §11.1.3, §11.1.5 (commands), §13.1 (EF.DIR), §13.2 (EF.ICCID).
 */
final class SimFiles {
    private static final int MASTER_FILE = 0x3F00;
    private static final int EF_DIR = 0x2F00;
    private static final int EF_ICCID = 0x2FE2;
    private static final int RECORD_LENGTH = 0x20;

    private final byte[] iccid;
    private final byte[] directory;
    private int selected;

    SimFiles(String iccidDigits, byte[] application) {
        iccid = swapNibbles(iccidDigits);
        directory = directoryRecord(application);
        reset();
    }

    void reset() {
        selected = MASTER_FILE;
    }

    byte[] run(byte[] command) {
        if (command[0] != 0) {
            return StatusWord.CLASS_NOT_SUPPORTED.bytes();
        }
        switch (command[1] & 0xFF) {
            case 0xA4:
                return select(command);
            case 0xB0:
                return readBinary(command);
            case 0xB2:
                return readRecord(command);
            default:
                return StatusWord.INSTRUCTION_NOT_SUPPORTED.bytes();
        }
    }

    /** By identifier (P1 00) or by path from the master file (P1 08); no description is given, whatever P2 asks for. */
    private byte[] select(byte[] command) {
        int p1 = command[2] & 0xFF;
        int p2 = command[3] & 0xFF;
        if ((p1 != 0x00 && p1 != 0x08) || (p2 != 0x00 && p2 != 0x04 && p2 != 0x0C)) {
            return StatusWord.INCORRECT_P1P2.bytes();
        }
        if (command.length < 7 || command[4] != 2) {
            return StatusWord.WRONG_LENGTH.bytes();
        }
        int identifier = (command[5] & 0xFF) << 8 | command[6] & 0xFF;
        if (identifier != MASTER_FILE && identifier != EF_DIR && identifier != EF_ICCID) {
            return StatusWord.FILE_NOT_FOUND.bytes();
        }
        selected = identifier;
        return StatusWord.OK.bytes();
    }

    private byte[] readBinary(byte[] command) {
        if (selected != EF_ICCID) {
            return StatusWord.COMMAND_NOT_ALLOWED.bytes();
        }
        int offset = (command[2] & 0xFF) << 8 | command[3] & 0xFF;
        if (offset >= iccid.length) {
            return StatusWord.WRONG_OFFSET.bytes();
        }
        int wanted = command.length > 4 && command[4] != 0 ? command[4] & 0xFF : 256;
        return StatusWord.ok(Arrays.copyOfRange(iccid, offset, Math.min(iccid.length, offset + wanted)));
    }

    private byte[] readRecord(byte[] command) {
        if (selected != EF_DIR) {
            return StatusWord.NOT_A_RECORD_FILE.bytes();
        }
        if (command[3] != 0x04) {
            return StatusWord.INCORRECT_P1P2.bytes();
        }
        return command[2] == 1 ? StatusWord.ok(directory) : StatusWord.RECORD_NOT_FOUND.bytes();
    }

    private static byte[] swapNibbles(String digits) {
        StringBuilder padded = new StringBuilder(digits);
        while (padded.length() < 20) {
            padded.append('F');
        }
        StringBuilder swapped = new StringBuilder();
        for (int i = 0; i < padded.length(); i += 2) {
            swapped.append(padded.charAt(i + 1)).append(padded.charAt(i));
        }
        return Hex.bytes(swapped.toString());
    }

    /** An application template (61) with AID (4F) and label (50), padded to the record's length. */
    private static byte[] directoryRecord(byte[] application) {
        byte[] label = "Tally approval".getBytes(StandardCharsets.US_ASCII);
        byte[] record = new byte[RECORD_LENGTH];
        Arrays.fill(record, (byte) 0xFF);
        record[0] = 0x61;
        record[1] = (byte) (4 + application.length + label.length);
        record[2] = 0x4F;
        record[3] = (byte) application.length;
        System.arraycopy(application, 0, record, 4, application.length);
        int at = 4 + application.length;
        record[at] = 0x50;
        record[at + 1] = (byte) label.length;
        System.arraycopy(label, 0, record, at + 2, label.length);
        return record;
    }
}
