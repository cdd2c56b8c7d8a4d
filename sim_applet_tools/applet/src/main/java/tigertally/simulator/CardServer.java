package tigertally.simulator;

import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.List;

/**
 * Serves two cards to pcscd through the driver vpcd: card 1 on a port, card 2 on the next, because the driver always
 * dials both and takes pcscd down with it where nothing answers.
 */
public final class CardServer {
    private static final String USAGE =
        "usage: java -jar card-server.jar PORT [--state FILE] [--second-state FILE] [--protocol T=0|T=1]\n"
            + "                                  [--cards kept|new]\n"
            + "PORT and PORT + 1, on 127.0.0.1, are what DEVICENAME 127.0.0.1:PORT of pcscd's vpcd driver dials.\n"
            + "A card lives as long as the server, or as its state FILE, or, with --cards new, as a connection.\n"
            + "Start this before pcscd, and stop pcscd before this.";

    /** T=0 only; historical bytes: EF.DIR, selection by full name, no chaining, and the card's name. */
    private static final byte[] ATR_T0 = Hex.bytes("3B1D968031A073BE21006554414C4C59");

    /** The same card with T=1 only, which TD1 says, and which wants a check byte. */
    private static final byte[] ATR_T1 = withCheck("3B9D96018031A073BE21006554414C4C59");

    private static final int HIGHEST_PORT = 32766;

    private int port = -1;
    private boolean blocks;
    private boolean newCards;
    private final Path[] states = new Path[2];

    private CardServer() {
    }

    /** Runs until it is killed. */
    public static void main(String[] arguments) throws IOException, InterruptedException {
        CardServer server = new CardServer();
        try {
            server.read(arguments);
        } catch (IllegalArgumentException wrong) {
            System.err.println("card server: " + wrong.getMessage() + "\n" + USAGE);
            System.exit(2);
        }
        try {
            server.serve();
        } catch (IOException | IllegalStateException failed) {
            System.err.println("card server: " + failed.getMessage());
            System.exit(1);
        }
    }

    private void read(String[] arguments) {
        for (int i = 0; i < arguments.length; i++) {
            String name = arguments[i];
            if (!name.startsWith("--")) {
                port = port(name);
                continue;
            }
            if (i + 1 == arguments.length) {
                throw new IllegalArgumentException(name + " needs a value");
            }
            i++;
            option(name, arguments[i]);
        }
        if (port < 0) {
            throw new IllegalArgumentException("no port given");
        }
        if (states[0] != null && states[0].equals(states[1])) {
            throw new IllegalArgumentException("two cards cannot share the file " + states[0]);
        }
        if (newCards && (states[0] != null || states[1] != null)) {
            throw new IllegalArgumentException("--cards new keeps nothing, so it takes no state file");
        }
    }

    private void option(String name, String value) {
        switch (name) {
            case "--state":
                states[0] = Paths.get(value).toAbsolutePath().normalize();
                break;
            case "--second-state":
                states[1] = Paths.get(value).toAbsolutePath().normalize();
                break;
            case "--protocol":
                if (!value.equals("T=0") && !value.equals("T=1")) {
                    throw new IllegalArgumentException("--protocol is T=0 or T=1, not " + value);
                }
                blocks = value.equals("T=1");
                break;
            case "--cards":
                if (!value.equals("kept") && !value.equals("new")) {
                    throw new IllegalArgumentException("--cards is kept or new, not " + value);
                }
                newCards = value.equals("new");
                break;
            default:
                throw new IllegalArgumentException("unknown option " + name);
        }
    }

    private static int port(String digits) {
        int port;
        try {
            port = Integer.parseInt(digits);
        } catch (NumberFormatException notANumber) {
            throw new IllegalArgumentException("a port is a number, not " + digits, notANumber);
        }
        if (port < 1024 || port > HIGHEST_PORT) {
            throw new IllegalArgumentException(
                "the port must lie between 1024 and " + HIGHEST_PORT + " (the driver reads higher ones wrongly), not "
                    + digits);
        }
        return port;
    }

    private void serve() throws IOException, InterruptedException {
        // The simulator talks on standard output; ours is for the line that says that the ports are open.
        PrintStream console = System.out;
        System.setOut(System.err);
        SelfTest.run();
        List<Thread> links = new ArrayList<>();
        for (int slot = 0; slot < 2; slot++) {
            links.add(new Thread(link(slot), "slot " + slot));
        }
        for (Thread each : links) {
            each.start();
        }
        console.println("card server: cards on 127.0.0.1:" + port + " and 127.0.0.1:" + (port + 1));
        console.flush();
        for (Thread each : links) {
            each.join();
        }
    }

    private VpcdLink link(int slot) throws IOException {
        CardOnWire kept = newCards ? null : card(slot);
        try {
            return new VpcdLink(port + slot, blocks ? ATR_T1 : ATR_T0, () -> newCards ? anotherCard(slot) : kept);
        } catch (IOException taken) {
            throw new IOException("port " + (port + slot) + " cannot be listened on: " + taken.getMessage(), taken);
        }
    }

    private CardOnWire card(int slot) throws IOException {
        SimCard card = new SimCard(newIccid(), states[slot]);
        return new StoppingCard(blocks ? card : new TransmissionT0(card));
    }

    private CardOnWire anotherCard(int slot) {
        try {
            return card(slot);
        } catch (IOException noFileIsInvolved) {
            throw new UncheckedIOException(noFileIsInvolved);
        }
    }

    /** A card that cannot keep its state must not go on as if it had: both slots end, as if the reader were pulled. */
    private static final class StoppingCard implements CardOnWire {
        private final CardOnWire card;

        StoppingCard(CardOnWire card) {
            this.card = card;
        }

        @Override
        public byte[] transmit(byte[] command) {
            try {
                return card.transmit(command);
            } catch (RuntimeException failed) {
                System.err.println("card server: " + failed.getMessage());
                Runtime.getRuntime().halt(1);
                throw failed;
            }
        }

        @Override
        public void reset() {
            card.reset();
        }
    }

    /** An invented number (999 is no country's code) with its check digit. Source: ITU-T E.118, ISO 7812-1 annex B. */
    private static String newIccid() {
        String payload = String.format("8999902%011d", (long) (new SecureRandom().nextDouble() * 1e11));
        int sum = 0;
        for (int i = 0; i < payload.length(); i++) {
            int digit = payload.charAt(payload.length() - 1 - i) - '0';
            sum += i % 2 == 0 ? digit * 2 / 10 + digit * 2 % 10 : digit;
        }
        return payload + (10 - sum % 10) % 10;
    }

    private static byte[] withCheck(String digits) {
        byte[] atr = Hex.bytes(digits + "00");
        for (int i = 1; i < atr.length - 1; i++) {
            atr[atr.length - 1] ^= atr[i];
        }
        return atr;
    }
}
