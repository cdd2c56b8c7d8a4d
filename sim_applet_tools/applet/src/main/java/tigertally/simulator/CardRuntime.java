package tigertally.simulator;

import com.licel.jcardsim.base.ApduCase;
import com.licel.jcardsim.base.SimulatorRuntime;
import com.licel.jcardsim.base.TransientMemory;
import com.licel.jcardsim.esotericsoftware.kryo.Kryo;
import com.licel.jcardsim.esotericsoftware.kryo.Serializer;
import com.licel.jcardsim.esotericsoftware.kryo.io.Input;
import com.licel.jcardsim.esotericsoftware.kryo.io.Output;
import com.licel.jcardsim.esotericsoftware.kryo.util.DefaultInstantiatorStrategy;
import com.licel.jcardsim.objenesis.strategy.StdInstantiatorStrategy;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.SecureRandom;
import java.util.Arrays;
import java.util.Set;
import javacard.framework.AID;
import javacard.framework.Applet;

/**
 * One simulated runtime with one applet, kept in a file where one is given.
 *
 * <p>The simulator's own persistence writes an applet's file in place and does not know which of its arrays are
 * transient; here the transient memory is stored with the applet, so that a power cut still clears it, and a file is
 * replaced whole, after it was forced to disk: a kill at any moment leaves the state before or after a command.
 *
 * <p>The file holds private keys in the clear and belongs to its owner alone (0600). It is a simulator's: no key of
 * worth goes there.
 */
final class CardRuntime extends SimulatorRuntime {
    private static final Set<PosixFilePermission> OWNER_ONLY = PosixFilePermissions.fromString("rw-------");
    private static final FileAttribute<Set<PosixFilePermission>> CREATE_OWNER_ONLY =
        PosixFilePermissions.asFileAttribute(OWNER_ONLY);

    static {
        // Random data, unlike keys and signatures, is seeded on demand.
        System.setProperty("com.licel.jcardsim.randomdata.secure", "1");
    }

    private final Path file;
    private final Kryo kryo;
    private final String iccid;
    private byte[] stored = {};

    /** What the file holds. */
    private static final class Image {
        private Applet applet;
        private TransientMemory memory;
        private String iccid;
    }

    private CardRuntime(TransientMemory memory, String iccid, Path file, Kryo kryo) {
        super(memory);
        this.iccid = iccid;
        this.file = file;
        this.kryo = kryo;
    }

    /** Reads the card back from its file, or installs the applet on a new one with this ICCID. */
    static CardRuntime open(AID aid, Class<? extends Applet> applet, byte[] parameters, String iccid, Path file)
            throws IOException {
        Kryo kryo = kryo();
        if (file == null || !Files.exists(file)) {
            CardRuntime fresh = new CardRuntime(new TransientMemory(), iccid, file, kryo);
            fresh.install(aid, applet, parameters);
            fresh.store();
            return fresh;
        }
        Files.setPosixFilePermissions(file, OWNER_ONLY);
        byte[] bytes = Files.readAllBytes(file);
        Image image = read(kryo, bytes, file);
        CardRuntime kept = new CardRuntime(image.memory, image.iccid, file, kryo);
        kept.applets.put(aid, new ApplicationInstance(aid, image.applet));
        kept.stored = bytes;
        kept.reset();
        return kept;
    }

    /** The number by which the card is told from others; its own for life. */
    String iccid() {
        return iccid;
    }

    private static Image read(Kryo kryo, byte[] bytes, Path file) throws IOException {
        try (Input input = new Input(bytes)) {
            return kryo.readObject(input, Image.class);
        } catch (RuntimeException unreadable) {
            throw new IOException(
                file + " is not a card of this version; move it away, and the next start makes a new card", unreadable);
        }
    }

    private void install(AID aid, Class<? extends Applet> applet, byte[] parameters) {
        byte[] data = new byte[1 + aidLength(aid) + 1 + 1 + parameters.length];
        data[0] = aid.getBytes(data, (short) 1);
        int at = 1 + data[0];
        data[at + 1] = (byte) parameters.length;
        System.arraycopy(parameters, 0, data, at + 2, parameters.length);
        loadApplet(aid, applet);
        installApplet(aid, data, (short) 0, (byte) data.length);
    }

    private static int aidLength(AID aid) {
        return aid.getBytes(new byte[16], (short) 0);
    }

    /** A full AID only: the simulator would also take the beginning of one, and cards differ in that. */
    @Override
    protected AID findAppletForSelectApdu(byte[] select, ApduCase form) {
        boolean isFirst = select[3] == 0x00 || select[3] == 0x0C;
        if (isFirst && select.length > 5) {
            for (AID aid : applets.keySet()) {
                if (aid.equals(select, (short) 5, select[4])) {
                    return aid;
                }
            }
        }
        return null;
    }

    /** Runs a command; what it changed is on disk before the answer is given. */
    @Override
    public byte[] transmitCommand(byte[] command) {
        byte[] answer = super.transmitCommand(command);
        try {
            store();
        } catch (IOException failed) {
            throw new UncheckedIOException(file + " cannot be written, so the card stops here", failed);
        }
        return answer;
    }

    private void store() throws IOException {
        if (file == null) {
            return;
        }
        byte[] bytes = image();
        if (Arrays.equals(bytes, stored)) {
            return;
        }
        Path next = file.resolveSibling(file.getFileName() + ".next");
        Files.deleteIfExists(next);
        try (FileChannel channel = FileChannel.open(
                Files.createFile(next, CREATE_OWNER_ONLY), StandardOpenOption.WRITE)) {
            ByteBuffer buffer = ByteBuffer.wrap(bytes);
            while (buffer.hasRemaining()) {
                channel.write(buffer);
            }
            channel.force(true);
        }
        try {
            Files.move(next, file, StandardCopyOption.ATOMIC_MOVE);
        } catch (AtomicMoveNotSupportedException unsafe) {
            throw new IOException(
                file + " lies on a file system without atomic rename; keep the card elsewhere", unsafe);
        }
        stored = bytes;
    }

    private byte[] image() {
        Image image = new Image();
        image.applet = applets.values().iterator().next().getApplet();
        image.memory = transientMemory;
        image.iccid = iccid;
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (Output output = new Output(bytes)) {
            kryo.writeObject(output, image);
        }
        return bytes.toByteArray();
    }

    private static Kryo kryo() {
        Kryo kryo = new Kryo();
        kryo.setReferences(true);
        kryo.setRegistrationRequired(false);
        kryo.setInstantiatorStrategy(new DefaultInstantiatorStrategy(new StdInstantiatorStrategy()));
        kryo.addDefaultSerializer(SecureRandom.class, new RandomSerializer());
        return kryo;
    }

    /** Stores nothing of a random source: a card that is read back draws from a new one. */
    private static final class RandomSerializer extends Serializer<SecureRandom> {
        @Override
        public void write(Kryo kryo, Output output, SecureRandom random) {
            // Its state is the platform's, not the card's.
        }

        @Override
        public SecureRandom read(Kryo kryo, Input input, Class<? extends SecureRandom> type) {
            return kryo.newInstance(type);
        }
    }
}
