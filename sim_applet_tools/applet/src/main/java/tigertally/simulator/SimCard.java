package tigertally.simulator;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import javacard.framework.AID;
import javacard.framework.APDU;
import tigertally.card.ApprovalApplet;

/**
 * A SIM with the approval applet on it: the simulated runtime, and around it what a runtime alone lacks of a card. A
 * real SIM answers 6A82 for an application that it does not have, has files beside applications, and loses its sessions
 * at a reset.
 *
 * <p>Commands and answers here are whole (data and Le together); {@link TransmissionT0} cuts them for T=0.
 */
final class SimCard implements CardOnWire {
    /** The application's AID, as docs/apdu.md states it. */
    static final byte[] APPLICATION = Hex.bytes("F054414C4C590101");

    private static final byte[] INSTALLATION_FLAGS = {0x01};
    private static final int INS_SELECT = 0xA4;

    private final CardRuntime runtime;
    private final SimFiles files;

    /**
     * @param iccid of a new card, 18 to 20 digits, check digit included; one that is read back keeps its own
     * @param state file that keeps the card, or null for a card that ends with the process
     * @throws IOException when the file cannot be read or written
     */
    SimCard(String iccid, Path state) throws IOException {
        AID aid = new AID(APPLICATION, (short) 0, (byte) APPLICATION.length);
        runtime = CardRuntime.open(aid, ApprovalApplet.class, INSTALLATION_FLAGS, iccid, state);
        // The runtime's T=1 keeps "no Le" and "Le of 256" apart; T=0 is a matter of the wire, not of the applet.
        runtime.changeProtocol(APDU.PROTOCOL_T1);
        files = new SimFiles(runtime.iccid(), APPLICATION);
        reset();
    }

    @Override
    public void reset() {
        runtime.reset();
        files.reset();
    }

    /** Runs one command and returns data and status word, both whole: so it goes over the wire under T=1. */
    @Override
    public byte[] transmit(byte[] command) {
        if (!isWhole(command)) {
            return StatusWord.WRONG_LENGTH.bytes();
        }
        if ((command[0] & 0x6C) != 0) {
            return StatusWord.CLASS_NOT_SUPPORTED.bytes();
        }
        if ((command[0] & 0x03) != 0) {
            return StatusWord.CHANNEL_NOT_SUPPORTED.bytes();
        }
        boolean selectsByName = command[0] == 0 && (command[1] & 0xFF) == INS_SELECT && command[2] == 0x04;
        boolean hasOtherP2 = command[3] != 0x00 && command[3] != 0x0C;
        if (runtime.getAID() != null || (selectsByName && !hasOtherP2 && isOurs(command))) {
            // Also a SELECT of something else: the applet ends its sessions and answers 6A82.
            return runtime.transmitCommand(command);
        }
        if (selectsByName) {
            return hasOtherP2 ? StatusWord.INCORRECT_P1P2.bytes() : StatusWord.FILE_NOT_FOUND.bytes();
        }
        return files.run(command);
    }

    /** Header alone, with Le, with Lc and data, or with both; the applet has no use for extended lengths. */
    private static boolean isWhole(byte[] command) {
        if (command.length <= 5) {
            return command.length >= 4;
        }
        int end = 5 + (command[4] & 0xFF);
        return command[4] != 0 && (command.length == end || command.length == end + 1);
    }

    private static boolean isOurs(byte[] select) {
        return select.length > 5
            && Arrays.equals(APPLICATION, Arrays.copyOfRange(select, 5, 5 + (select[4] & 0xFF)));
    }
}
