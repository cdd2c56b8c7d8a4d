package tigertally.simulator;

import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.function.Supplier;
import jdk.net.ExtendedSocketOptions;

/**
 * One slot of the reader driver vpcd, which dials the port that a card listens on: a length of two bytes, and a body
 * that is a power command of one byte or an APDU. One connection at a time, and the next one after it: the driver dials
 * again when pcscd is started again.
 *
 * <p>Source: vsmartcard, virtualsmartcard/src/vpcd.
 */
final class VpcdLink implements Runnable {
    private static final int POWER_OFF = 0;
    private static final int POWER_ON = 1;
    private static final int RESET = 2;
    private static final int ASK_ATR = 4;

    private final ServerSocket listener;
    private final byte[] atr;
    private final Supplier<CardOnWire> cards;

    /**
     * @param port on 127.0.0.1, or 0 for any free one
     * @param atr answered whenever the driver asks for it
     * @param cards asked for the card at each connection
     * @throws IOException when the port is taken
     */
    VpcdLink(int port, byte[] atr, Supplier<CardOnWire> cards) throws IOException {
        listener = new ServerSocket();
        listener.setReuseAddress(true);
        listener.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
        this.atr = atr;
        this.cards = cards;
    }

    int port() {
        return listener.getLocalPort();
    }

    @Override
    public void run() {
        while (!listener.isClosed()) {
            try (Socket socket = listener.accept()) {
                socket.setTcpNoDelay(true);
                CardOnWire card = cards.get();
                card.reset();
                serve(socket, card);
            } catch (EOFException ended) {
                // pcscd was stopped, or a test is through; the next connection begins with a reset.
            } catch (IOException broken) {
                System.err.println("card server: port " + port() + ": " + broken.getMessage());
            }
        }
    }

    private void serve(Socket socket, CardOnWire card) throws IOException {
        DataInputStream in = new DataInputStream(socket.getInputStream());
        OutputStream out = socket.getOutputStream();
        while (true) {
            byte[] body = new byte[in.readUnsignedShort()];
            acknowledge(socket);
            in.readFully(body);
            acknowledge(socket);
            if (body.length != 1) {
                send(out, card.transmit(body));
            } else if (body[0] == ASK_ATR) {
                send(out, atr);
            } else if (body[0] == POWER_OFF || body[0] == POWER_ON || body[0] == RESET) {
                card.reset();
            } else {
                throw new IOException("the driver sent a command that is not known: " + Hex.digits(body));
            }
        }
    }

    /**
     * The driver sends length and body apart, and waits with the body for the length's acknowledgement; the kernel
     * holds that back for 40 ms, and after each read it returns to doing so.
     */
    private static void acknowledge(Socket socket) throws IOException {
        if (socket.supportedOptions().contains(ExtendedSocketOptions.TCP_QUICKACK)) {
            socket.setOption(ExtendedSocketOptions.TCP_QUICKACK, true);
        }
    }

    private static void send(OutputStream out, byte[] body) throws IOException {
        byte[] frame = new byte[2 + body.length];
        frame[0] = (byte) (body.length >> 8);
        frame[1] = (byte) body.length;
        System.arraycopy(body, 0, frame, 2, body.length);
        out.write(frame);
        out.flush();
    }
}
