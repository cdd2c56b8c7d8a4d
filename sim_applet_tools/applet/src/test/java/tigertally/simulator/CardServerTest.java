package tigertally.simulator;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.DataInputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The server as a process of its own, spoken to as the reader driver speaks. */
class CardServerTest {
    private static final String CLASSES = Paths.get("target", "classes").toString();
    private static final int BOUND_S = 60;

    @TempDir
    private Path folder;

    private final List<Process> started = new ArrayList<>();

    @AfterEach
    void endServers() throws InterruptedException {
        for (Process each : started) {
            each.destroyForcibly();
            assertTrue(each.waitFor(BOUND_S, TimeUnit.SECONDS));
        }
    }

    @Test
    void servesTwoCardsOnTwoPorts() throws IOException {
        int port = freePorts();
        Process server = start(mended(), String.valueOf(port));
        assertEquals("card server: cards on 127.0.0.1:" + port + " and 127.0.0.1:" + (port + 1), line(server));
        String[] keys = new String[2];
        for (int slot = 0; slot < 2; slot++) {
            try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), port + slot)) {
                order(socket, "01");
                assertEquals("3B1D968031A073BE21006554414C4C59", ask(socket, "04"));
                assertEquals("9000", ask(socket, "00A4040008F054414C4C590101"));
                assertEquals("614D", ask(socket, "80B9000003840101"));
                keys[slot] = ask(socket, "00C000004D");
                order(socket, "02");
                assertEquals("6E00", ask(socket, "80CBF00012"));
            }
            // The driver comes and goes; the card stays.
            try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), port + slot)) {
                assertEquals("9000", ask(socket, "00A4040008F054414C4C590101"));
                assertEquals("6147", ask(socket, "80CD000003850101"));
                assertEquals(keys[slot].substring(12), ask(socket, "00C0000047"));
            }
        }
        assertNotEquals(keys[0], keys[1]);
    }

    @Test
    void answersWholeUnderT1() throws IOException {
        int port = freePorts();
        line(start(mended(), String.valueOf(port), "--protocol", "T=1"));
        try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), port)) {
            String atr = ask(socket, "04");
            assertTrue(atr.startsWith("3B9D9601"), atr);
            byte check = 0;
            for (byte each : Arrays.copyOfRange(Hex.bytes(atr), 1, atr.length() / 2)) {
                check ^= each;
            }
            assertEquals(0, check);
            assertEquals("9000", ask(socket, "00A4040008F054414C4C590101"));
            assertTrue(ask(socket, "80B900000384010100").startsWith("840101850101344549438641"));
        }
    }

    @Test
    void givesEachConnectionANewCardWhereAskedTo() throws IOException {
        int port = freePorts();
        line(start(mended(), String.valueOf(port), "--cards", "new"));
        for (int i = 0; i < 2; i++) {
            try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), port)) {
                assertEquals("9000", ask(socket, "00A4040008F054414C4C590101"));
                assertEquals("6984", ask(socket, "80CD000003850101"));
                assertEquals("614D", ask(socket, "80B9000003840101"));
            }
        }
    }

    @Test
    void aKilledServersCardIsWhole() throws IOException, InterruptedException {
        int port = freePorts();
        String[] arguments = {String.valueOf(port), "--state", folder.resolve("one").toString()};
        Process server = start(mended(), arguments);
        line(server);
        String key;
        try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), port)) {
            ask(socket, "00A4040008F054414C4C590101");
            ask(socket, "80B9000003840101");
            key = ask(socket, "00C000004D");
        }
        server.destroyForcibly();
        assertTrue(server.waitFor(BOUND_S, TimeUnit.SECONDS));
        line(start(mended(), arguments));
        try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), port)) {
            ask(socket, "00A4040008F054414C4C590101");
            ask(socket, "80CD000003850101");
            assertEquals(key.substring(12), ask(socket, "00C0000047"));
        }
    }

    @Test
    void refusesToServeWithTheSimulatorsOwnRandomSource() throws IOException, InterruptedException {
        String simulatorFirst = simulator() + File.pathSeparator + CLASSES;
        assertRefuses(1, "the simulator repeats a", start(simulatorFirst, String.valueOf(freePorts())));
    }

    @Test
    void saysWhatIsWrongWithItsArguments() throws IOException, InterruptedException {
        assertRefuses(2, "no port given", start(mended()));
        assertRefuses(2, "must lie between 1024 and 32766", start(mended(), "32767"));
        assertRefuses(2, "a port is a number", start(mended(), "port"));
        assertRefuses(2, "unknown option --fast", start(mended(), "20000", "--fast", "yes"));
        assertRefuses(2, "--state needs a value", start(mended(), "20000", "--state"));
        assertRefuses(2, "T=0 or T=1", start(mended(), "20000", "--protocol", "T=2"));
        assertRefuses(2, "kept or new", start(mended(), "20000", "--cards", "old"));
        assertRefuses(2, "keeps nothing", start(mended(), "20000", "--cards", "new", "--state", "a"));
        assertRefuses(2, "cannot share", start(mended(), "20000", "--state", "a", "--second-state", "./a"));
        int port = freePorts();
        try (ServerSocket taken = new ServerSocket(port + 1, 1, InetAddress.getLoopbackAddress())) {
            String message = "port " + taken.getLocalPort() + " cannot be listened on";
            assertRefuses(1, message, start(mended(), String.valueOf(port)));
        }
    }

    private static void assertRefuses(int status, String message, Process server)
            throws IOException, InterruptedException {
        byte[] said = server.getErrorStream().readAllBytes();
        assertTrue(server.waitFor(BOUND_S, TimeUnit.SECONDS));
        String text = new String(said, StandardCharsets.UTF_8);
        assertTrue(text.contains(message), text);
        assertEquals(status, server.exitValue(), text);
    }

    private static String mended() {
        return CLASSES + File.pathSeparator + simulator();
    }

    private static String simulator() {
        return Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator))
            .filter(each -> each.contains("jcardsim")).findFirst().orElseThrow(IllegalStateException::new);
    }

    private Process start(String classPath, String... arguments) throws IOException {
        List<String> command = new ArrayList<>(Arrays.asList(
            Paths.get(System.getProperty("java.home"), "bin", "java").toString(), "-cp", classPath,
            "tigertally.simulator.CardServer"));
        command.addAll(Arrays.asList(arguments));
        Process process = new ProcessBuilder(command).start();
        started.add(process);
        return process;
    }

    private static String line(Process server) throws IOException {
        return new BufferedReader(new InputStreamReader(server.getInputStream(), StandardCharsets.UTF_8)).readLine();
    }

    /** A port below 32768 that is free now, and the next one with it. */
    private static int freePorts() throws IOException {
        for (int port = 20000 + (int) (ProcessHandle.current().pid() % 5000); port < 32000; port += 2) {
            try (ServerSocket one = new ServerSocket(port, 1, InetAddress.getLoopbackAddress());
                    ServerSocket two = new ServerSocket(port + 1, 1, InetAddress.getLoopbackAddress())) {
                return one.getLocalPort() + two.getLocalPort() - port - 1;
            } catch (IOException taken) {
                continue;
            }
        }
        throw new IOException("no two free ports below 32000");
    }

    private static void order(Socket socket, String body) throws IOException {
        byte[] bytes = Hex.bytes(body);
        // Length and body apart, as Debian's driver sends them.
        socket.getOutputStream().write(new byte[] {0, (byte) bytes.length});
        socket.getOutputStream().write(bytes);
    }

    private static String ask(Socket socket, String body) throws IOException {
        order(socket, body);
        DataInputStream in = new DataInputStream(socket.getInputStream());
        byte[] answer = new byte[in.readUnsignedShort()];
        in.readFully(answer);
        return Hex.digits(answer);
    }
}
